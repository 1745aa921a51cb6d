"""Typed events, and a bus whose hooks never raise.

Every decision and every fault of the pack is an event. A hook is any callable that takes one
event; what a hook raises is counted, logged once, and never reaches the call that emitted.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["BUS", "DecisionMade", "Event", "EventBus", "Fault", "Hook"]

logger = logging.getLogger("agentperf")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionMade:
    """A room decided something: who, what, why.

    Attributes:
        room: the room that decided, such as `"cache"`.
        outcome: the short standard word, such as `"hit"` or `"bypass"`.
        reason: one sentence for a person.
        details: plain data that belongs to the decision.
    """

    room: str
    outcome: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something of ours failed and the call went on without it.

    Attributes:
        where: the component, such as `"cache.store"` or `"sink.jsonl"`.
        error: what was raised.
        count: how often `where` has failed on this bus so far.
    """

    where: str
    error: BaseException
    count: int


Event: TypeAlias = DecisionMade | Fault
Hook: TypeAlias = Callable[[Event], None]


class EventBus:
    """Delivers events to hooks; safe under threads.

    Example:
        >>> bus = EventBus()
        >>> seen = []
        >>> unsubscribe = bus.subscribe(seen.append)
        >>> bus.emit(DecisionMade(room="cache", outcome="hit", reason="same request"))
        >>> seen[0].outcome
        'hit'
        >>> unsubscribe()
    """

    def __init__(self) -> None:
        self._hooks: tuple[tuple[object, Hook], ...] = ()
        self._faults: Counter[str] = Counter()
        # Re-entrant: the garbage collector may close a generator that reports a fault, in here.
        self._lock = threading.RLock()

    def subscribe(self, hook: Hook) -> Callable[[], None]:
        """Add a hook; the returned callable removes this subscription, and no other of its kind."""
        ticket = object()
        with self._lock:
            self._hooks = (*self._hooks, (ticket, hook))

        def unsubscribe() -> None:
            with self._lock:
                self._hooks = tuple(kept for kept in self._hooks if kept[0] is not ticket)

        return unsubscribe

    @property
    def listening(self) -> bool:
        """Whether any hook is there: who emits often need not build what nobody hears."""
        return bool(self._hooks)

    def emit(self, event: Event) -> None:
        """Hand an event to every hook; never raises."""
        for _, hook in self._hooks:
            try:
                hook(event)
            except Exception as error:
                self._count("events.hook", error)

    def fault(self, where: str, error: BaseException) -> None:
        """Report that `where` failed: one warning in the log per `where`, an event every time."""
        self.emit(Fault(where=where, error=error, count=self._count(where, error)))

    def faults(self) -> Mapping[str, int]:
        """How often each component has failed so far."""
        with self._lock:
            return dict(self._faults)

    def _count(self, where: str, error: BaseException) -> int:
        with self._lock:
            self._faults[where] += 1
            count = self._faults[where]
        if count == 1:
            # The type only: a message may quote a prompt or a secret.
            logger.warning(
                "%s failed (%s) and is skipped; further failures are counted, not logged",
                where,
                type(error).__name__,
            )
        return count


BUS = EventBus()
