"""What prefetch may cost, and who is stopped when it costs more than it brings."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from agentperf_core.clock import Clock
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.tools.prefetch.evidence import lower_bound

__all__ = ["ALL", "Governor", "PrefetchBudget"]

ALL = "all"
_MEMORY = 0.995  # of what was measured before, at each new measure: about the last 200 count


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchBudget:
    """How much may be called on a guess.

    Attributes:
        max_concurrency: calls on a guess at once, of all runs.
        max_wasted: share of them that nobody asks for afterwards, at most; a rule that wastes more
            is stopped, and all are if they do together. A few unlucky ones stop nothing: the share
            has to be above with 95 % certainty.
        min_calls: how many must have turned out, before a share is believed.
        retry_s: seconds after which what was stopped is tried again, one call at a time.
        max_wait_s: seconds that a call waits for a place behind the calls of agents, before it is
            dropped.
        max_per_call: how many calls of one rule one result may bring about at once.
        max_waiting: how many may wait in one run; of more, the least likely are dropped.

    Raises:
        ConfigError: if a number cannot mean anything.

    Example:
        >>> PrefetchBudget(max_concurrency=2).max_wasted
        0.5
    """

    max_concurrency: int = 4
    max_wasted: float = 0.5
    min_calls: int = 10
    retry_s: float = 60.0
    max_wait_s: float = 1.0
    max_per_call: int = 20
    max_waiting: int = 100

    def __post_init__(self) -> None:
        require_positive(**{name: getattr(self, name) for name in self.__dataclass_fields__})
        if self.max_wasted > 1:
            msg = f"max_wasted is a share, at most 1, got {self.max_wasted!r}; give one such as 0.5"
            raise ConfigError(msg)


class _Meter:
    """How much of what one source had called was used, the newest above all."""

    __slots__ = ("calls", "retry_at", "used", "wasted")

    def __init__(self) -> None:
        self.calls = 0
        self.used = 0.0
        self.wasted = 0.0
        self.retry_at: float | None = None  # while it is stopped

    def note(self, *, used: bool) -> None:
        self.calls += 1
        self.used = self.used * _MEMORY + used
        self.wasted = self.wasted * _MEMORY + (not used)

    def reclaim(self) -> None:
        back = min(self.wasted, 1.0)
        self.wasted -= back
        self.used += back

    def too_much(self, budget: PrefetchBudget) -> bool:
        known = self.used + self.wasted
        at_least = lower_bound(self.wasted, known)
        return self.calls >= budget.min_calls and at_least > budget.max_wasted

    def recovered(self, budget: PrefetchBudget) -> bool:
        return self.wasted <= budget.max_wasted * (self.used + self.wasted)


class Governor:
    """Counts places and waste; safe under threads.

    What was stopped is still watched: offers that it would have made and that were asked for count
    for it, so that it is let go again when it has become right.

    Args:
        budget: what prefetch may cost.
        clock: where the time comes from.
        bus: receives a `DecisionMade` of the room `"prefetch"` when a source is stopped or resumed.
    """

    def __init__(self, budget: PrefetchBudget, *, clock: Clock, bus: EventBus) -> None:
        self._budget = budget
        self._clock = clock
        self._bus = bus
        self._running = 0
        self._meters: dict[str, _Meter] = {ALL: _Meter()}
        self._lock = threading.RLock()

    @property
    def running(self) -> int:
        """How many calls hold a place."""
        return self._running

    def enter(self) -> bool:
        """Take a place for a call, if there is one."""
        with self._lock:
            free = self._running < self._budget.max_concurrency
            self._running += free
            return free

    def leave(self) -> None:
        """Give the place back."""
        with self._lock:
            self._running -= 1

    def lets(self, source: str) -> bool:
        """Whether a source may have a call made now; what is stopped may once in `retry_s`."""
        with self._lock:
            now = self._clock.monotonic()
            meters = {name: self._meter(name) for name in (ALL, source)}
            if any(m.retry_at is not None and now < m.retry_at for m in meters.values()):
                return False
            for name, meter in meters.items():
                if meter.retry_at is None:
                    continue
                if meter.recovered(self._budget):
                    meter.retry_at = None
                    self._tell(name, "resumed", "its calls are asked for again")
                else:
                    meter.retry_at = now + self._budget.retry_s
            return True

    def note(self, source: str, *, used: bool, begun: bool = True) -> None:
        """A call was asked for, or was in vain; `begun=False` if it would only have been made."""
        with self._lock:
            for name in (source, ALL):
                meter = self._meter(name)
                if name is not ALL or begun or meter.retry_at is not None:
                    meter.note(used=used)
                    self._judge(name, meter)

    def reclaim(self, source: str) -> None:
        """A call that was taken to be in vain was asked for after all."""
        with self._lock:
            self._meter(source).reclaim()
            self._meter(ALL).reclaim()

    def stopped(self) -> tuple[str, ...]:
        """The sources that are stopped; `ALL` if everything is."""
        with self._lock:
            return tuple(name for name, m in self._meters.items() if m.retry_at is not None)

    def _meter(self, name: str) -> _Meter:
        return self._meters.setdefault(name, _Meter())

    def _judge(self, name: str, meter: _Meter) -> None:
        if meter.retry_at is None and meter.too_much(self._budget):
            meter.retry_at = self._clock.monotonic() + self._budget.retry_s
            share = meter.wasted / (meter.used + meter.wasted)
            why = f"{share:.0%} of its calls were in vain, max_wasted={self._budget.max_wasted:g}"
            self._tell(name, "stopped", why)

    def _tell(self, name: str, outcome: str, reason: str) -> None:
        details = {"source": name}
        self._bus.emit(
            DecisionMade(room="prefetch", outcome=outcome, reason=reason, details=details)
        )
