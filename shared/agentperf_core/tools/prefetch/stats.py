"""What prefetch has brought so far, in numbers: of each rule, and of all."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

__all__ = ["PrefetchStats", "PrefetchTally", "RuleStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStats:
    """What one rule, or all of them, has brought.

    Attributes:
        offered: calls that were foreseen.
        begun: calls that were made on a guess: those that a place was found for, that the budget
            allowed, and whose result was not there already.
        used: calls of them that an agent asked for, and got from the cache or while they ran.
        wasted: calls of them that nobody asked for in their run, or whose result was of no use.
        failed: calls of them that gave no result; counted as wasted, too.
        saved_s: seconds that agents did not have to wait.
    """

    offered: int = 0
    begun: int = 0
    used: int = 0
    wasted: int = 0
    failed: int = 0
    saved_s: float = 0.0

    @property
    def used_share(self) -> float | None:
        """The share of used ones among those that have turned out; `None` before any has."""
        known = self.used + self.wasted
        return self.used / known if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchStats(RuleStats):
    """What prefetch has brought.

    Attributes:
        rules: the same by the text of the rule, or whoever else proposed a call.
        stopped: what the budget has stopped now; `"all"` for everything.
        running: calls that run now.
    """

    rules: Mapping[str, RuleStats] = field(default_factory=dict[str, RuleStats])
    stopped: tuple[str, ...] = ()
    running: int = 0


_COUNTS = ("offered", "begun", "used", "wasted", "failed", "saved_s")


class PrefetchTally:
    """Counts; safe under threads."""

    def __init__(self) -> None:
        self._rules: dict[str, RuleStats] = {}
        self._lock = threading.Lock()

    def add(self, source: str, **counts: float) -> None:
        """Count something for a rule; what is given back is negative."""
        with self._lock:
            found = self._rules.get(source, RuleStats())
            sums = {name: getattr(found, name) + more for name, more in counts.items()}
            self._rules[source] = replace(found, **sums)

    def stats(self, *, stopped: tuple[str, ...], running: int) -> PrefetchStats:
        """The counts so far, beside what is the case now."""
        with self._lock:
            rules = dict(self._rules)
        sums = {name: sum(getattr(rule, name) for rule in rules.values()) for name in _COUNTS}
        return PrefetchStats(rules=rules, stopped=stopped, running=running, **sums)
