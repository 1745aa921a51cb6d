"""Single flight: equal calls at the same time become one, across threads and event loops.

The first caller leads and makes the call; the others wait for its answer. If the leader fails, the
others try once more, again in single flight; a second failure goes to everyone who still waits. A
leader that is cancelled hands over without counting as a failure.

Waiting is bounded: a leader may be a stream whose reader has stopped reading, or may itself wait
for a thread or a stream of the one that waits for it. Who has waited long enough calls by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Generic, TypeVar

from agentperf_core.accounting.deadline import clamped
from agentperf_core.cache.flight.slots import (
    Failed,
    Landed,
    Result,
    Retry,
    Slot,
    new_future,
    waiting_for,
)
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow

__all__ = ["Failed", "Landed", "Lead", "SingleFlight"]

T = TypeVar("T")

_MAX_FAILURES = 2

# What this thread or task leads, by flight and key: waiting for it would be waiting for oneself.
_leading: ContextVar[frozenset[tuple[int, Hashable]]] = ContextVar(
    "agentperf_leading", default=frozenset()
)


class Lead(Generic[T]):
    """The leader's duty: call one of `land` and `fail`; the first one counts.

    Used as a context manager around the call, it also keeps the caller from waiting for itself when
    the same request comes up again inside the call. A lead that is forgotten (a stream that nobody
    ever read) hands over when it is collected.
    """

    __slots__ = ("_flight", "_key", "_slot", "_token")

    def __init__(self, flight: SingleFlight[T], key: Hashable, slot: Slot[T] | None) -> None:
        self._flight = flight
        self._key = key
        self._slot = slot
        self._token: Token[frozenset[tuple[int, Hashable]]] | None = None

    def __enter__(self) -> Lead[T]:
        self._token = _leading.set(_leading.get() | {(id(self._flight), self._key)})
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            # A stream that another task closes leaves the block in a foreign context.
            with suppress(ValueError):
                _leading.reset(self._token)

    def __del__(self) -> None:
        self.fail(GeneratorExit())

    @property
    def awaited(self) -> bool:
        """Whether anyone waits for the answer by now."""
        return self._slot is not None and self._slot.waiting > 0

    def land(self, value: T | None) -> None:
        """Hand the answer to everyone who waits; `None` if it may not be shared."""
        slot, self._slot = self._slot, None
        if slot is not None:
            self._flight.settle(self._key, slot, Landed(value))

    def fail(self, error: BaseException) -> None:
        """Let the others try, or hand them the error if it is the second in a row."""
        slot, self._slot = self._slot, None
        if slot is not None:
            self._flight.give_up(self._key, slot, error)


class SingleFlight(Generic[T]):
    """Joins equal calls; keys are any hashable values.

    Args:
        max_wait_s: seconds to wait for a leader before calling too; `None` for no limit but the
            deadline of the run that waits.

    Attributes:
        landed: how many flights have ended with an answer so far.

    Example:
        >>> from agentperf_core.flow import run
        >>> flight = SingleFlight[str]()
        >>> lead = run(flight.join("key"))
        >>> isinstance(lead, Lead)
        True
        >>> lead.land("answer")
    """

    def __init__(self, max_wait_s: float | None = None) -> None:
        require_positive(max_wait_s=max_wait_s)
        self.landed = 0
        self._max_wait_s = max_wait_s
        self._slots: dict[Hashable, Slot[T]] = {}
        # Re-entrant: the garbage collector may drop a forgotten lead while we are in here.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """How many calls are in flight."""
        return len(self._slots)

    def join(self, key: Hashable) -> Flow[Lead[T] | Landed[T] | Failed]:
        """Lead the call of `key`, or wait for the one that does and get its outcome."""
        if self.is_led_here(key):
            return Lead(self, key, None)
        slot, future = self._enter(key)
        while future is not None:
            try:
                result = yield from waiting_for(future, clamped(self._max_wait_s))
            except BaseException:
                self._leave(key, slot)
                raise
            if isinstance(result, Retry):
                future = self._take_over(slot)
            elif result is not None:
                return result
            else:
                # It waited long enough, or it is a sync caller on the leader's own event loop and
                # cannot wait at all: it calls by itself.
                self._leave(key, slot)
                return Lead(self, key, None)
        return Lead(self, key, slot)

    def is_led_here(self, key: Hashable) -> bool:
        """Whether this thread or task is inside the call that leads `key`."""
        return (id(self), key) in _leading.get()

    def lead_now(self, key: Hashable) -> Lead[T] | None:
        """Lead the call of `key` if nobody does; `None` otherwise. Never waits."""
        if self.is_led_here(key):
            return None
        with self._lock:
            if key in self._slots:
                return None
            slot = self._slots[key] = Slot[T]()
        return Lead(self, key, slot)

    def settle(self, key: Hashable, slot: Slot[T], result: Landed[T] | Failed) -> None:
        """End the flight of `slot`; called by its `Lead`."""
        with self._lock:
            self._forget(key, slot)
            self.landed += 1
        slot.future.set_result(result)

    def give_up(self, key: Hashable, slot: Slot[T], error: BaseException) -> None:
        """Pass the lead on, or the error after the second failure; called by the `Lead`."""
        result: Result[T] = Retry()
        with self._lock:
            # A cancellation is no answer about the call: it hands over without counting.
            slot.failures += isinstance(error, Exception)
            woken = slot.future
            if slot.failures >= _MAX_FAILURES:
                # The slot keeps this future: whoever wakes up late from the failure before finds
                # the error in it instead of a lead.
                self._forget(key, slot)
                result = Failed(error)
            else:
                slot.future, slot.led = new_future(), False
                if slot.waiting == 0:
                    self._forget(key, slot)
        woken.set_result(result)

    def _enter(self, key: Hashable) -> tuple[Slot[T], Future[Result[T]] | None]:
        """The slot of `key` and what to wait for; nothing to wait for means to lead.

        The future is taken under the lock: read later, it could be the one of the next leader, and
        the wake-up of this one would be lost.
        """
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                slot = self._slots[key] = Slot[T]()
                return slot, None
            slot.waiting += 1
            future = slot.future
            if slot.led:
                return slot, future
            slot.led = True
            slot.waiting -= 1
            return slot, None

    def _take_over(self, slot: Slot[T]) -> Future[Result[T]] | None:
        with self._lock:
            if slot.led:
                return slot.future
            slot.led = True
            slot.waiting -= 1
            return None

    def _leave(self, key: Hashable, slot: Slot[T]) -> None:
        with self._lock:
            slot.waiting -= 1
            if not slot.led and slot.waiting == 0:
                self._forget(key, slot)

    def _forget(self, key: Hashable, slot: Slot[T]) -> None:
        if self._slots.get(key) is slot:
            del self._slots[key]
