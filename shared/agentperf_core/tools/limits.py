"""How many calls may run at once, of all tools and of each, in which order, and how often.

One lock and one list of who waits, for threads and event loops alike: semaphores of either world do
not know of the other's callers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from bisect import insort
from collections import Counter
from collections.abc import Callable
from itertools import count
from operator import attrgetter

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.permits import Permit
from agentperf_core.tools.waits import Moment

__all__ = ["Limits"]

_UNLIMITED = ToolPolicy()
_ORDER = attrgetter("order")


class Limits:
    """Gives places to calls; safe under threads and event loops.

    Args:
        max_concurrency: calls at once, of all tools.
        clock: where the time comes from.

    Raises:
        ConfigError: if `max_concurrency` is not above zero.

    Example:
        >>> from agentperf_core.flow import run
        >>> limits = Limits(max_concurrency=1)
        >>> permit = run(limits.enter("ping"))
        >>> limits.running
        1
        >>> limits.leave(permit)
    """

    def __init__(self, *, max_concurrency: int = 32, clock: Clock = SYSTEM_CLOCK) -> None:
        require_positive(max_concurrency=max_concurrency)
        self._most = max_concurrency
        self._clock = clock
        self._running = 0
        self._of_tool: Counter[str] = Counter()
        self._exclusive: set[str] = set()
        # Best first; calls that tools make apart, because they do not wait for the places of all.
        self._waiting: tuple[list[Permit], list[Permit]] = ([], [])
        self._numbers = count()
        self._next_start: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """How many calls hold one of the places of all tools."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many calls wait for a place."""
        return sum(map(len, self._waiting))

    def enter(
        self,
        tool: str,
        policy: ToolPolicy | None = None,
        *,
        priority: float | None = None,
        asked_at: float | None = None,
        wait_s: float | None = None,
        queued: Callable[[], None] | None = None,
    ) -> Flow[Permit]:
        """Wait for a place.

        Args:
            tool: name of the tool.
            policy: its limits.
            priority: who waits with a higher one comes first; default the policy's.
            asked_at: of those with the same one, who waits since earlier; default now.
            wait_s: seconds to wait at most, `None` for no limit.
            queued: called if it has to wait at all.

        Raises:
            TimeoutError: if there was no place in time.
        """
        policy = policy if policy is not None else _UNLIMITED
        if policy.rate is not None:
            pause_s = self._reserve(tool, policy.rate, wait_s)
            if pause_s > 0:
                if queued is not None:
                    queued()
                    queued = None
                yield from Step(time.sleep, asyncio.sleep, pause_s)
                wait_s = None if wait_s is None else max(wait_s - pause_s, 0.0)
        first = -(policy.priority if priority is None else priority)
        since = self._clock.monotonic() if asked_at is None else asked_at
        permit = Permit.of(tool, policy, (first, since, next(self._numbers)))
        with self._lock:
            if self._fits(permit):
                self._give(permit)
                return permit
            insort(self._waiting[permit.counted], permit, key=_ORDER)
            permit.ready = Moment()
        try:
            if queued is not None:
                queued()
            yield from self._wait_for(permit, wait_s)
        except BaseException:
            self._withdraw(permit)
            raise
        return permit

    def leave(self, permit: Permit) -> None:
        """Give a place back; those who wait for it get it."""
        with self._lock:
            self._take(permit)
            woken = self._admit()
        _wake(woken)

    def _wait_for(self, permit: Permit, wait_s: float | None) -> Flow[None]:
        until = None if wait_s is None else self._clock.monotonic() + wait_s
        while permit.ready is not None:
            if not (yield from permit.ready.wait(wait_s)):
                raise TimeoutError
            yield from _OTHERS_FIRST
            if self._still_first(permit):
                return
            if until is not None:
                wait_s = max(until - self._clock.monotonic(), 0.0)

    def _still_first(self, permit: Permit) -> bool:
        """Whether a place is used by whom it was given to, once that one is awake.

        What a call has just made possible comes a moment after the call has left its place: if it
        goes first, it gets the place after all.
        """
        with self._lock:
            queue = self._waiting[permit.counted]
            if not queue or permit.order < queue[0].order:
                return True
            self._take(permit)
            permit.ready = Moment()
            insort(queue, permit, key=_ORDER)
            woken = self._admit()
        _wake(woken)
        return permit in woken

    def _fits(self, permit: Permit) -> bool:
        if permit.counted and self._running >= self._most:
            return False
        if permit.most is not None and self._of_tool[permit.tool] >= permit.most:
            return False
        return permit.exclusive is None or permit.exclusive not in self._exclusive

    def _give(self, permit: Permit) -> None:
        permit.given = True
        self._running += permit.counted
        self._of_tool[permit.tool] += 1
        if permit.exclusive is not None:
            self._exclusive.add(permit.exclusive)

    def _take(self, permit: Permit) -> None:
        permit.given = False
        self._running -= permit.counted
        self._of_tool[permit.tool] -= 1
        if permit.exclusive is not None:
            self._exclusive.discard(permit.exclusive)

    def _admit(self) -> list[Permit]:
        """Give places to those who wait, best first; whoever does not fit lets others pass."""
        woken: list[Permit] = []
        for queue in self._waiting:
            place = 0
            while place < len(queue):
                permit = queue[place]
                if permit.counted and self._running >= self._most:
                    break  # with a thousand that wait, to ask each of them is what costs
                if self._fits(permit):
                    self._give(permit)
                    woken.append(queue.pop(place))
                else:
                    place += 1
        return woken

    def _withdraw(self, permit: Permit) -> None:
        with self._lock:
            if not permit.given:
                self._waiting[permit.counted].remove(permit)
                return
        self.leave(permit)

    def _reserve(self, tool: str, rate: float, wait_s: float | None) -> float:
        """Seconds until the next start of a tool, which is then taken.

        The generic cell rate algorithm: a start every `1 / rate` seconds, and what was not used of
        the last second in advance.
        """
        with self._lock:
            now = self._clock.monotonic()
            due = max(self._next_start.get(tool, 0.0), now - max(1.0 - 1.0 / rate, 0.0))
            pause_s = max(due - now, 0.0)
            if wait_s is not None and pause_s > wait_s:
                raise TimeoutError
            self._next_start[tool] = due + 1.0 / rate
            return pause_s


def _wake(permits: list[Permit]) -> None:
    for permit in permits:
        if permit.ready is not None:
            permit.ready.happen()


def _go_on() -> None:
    """Threads have no turns to wait for."""


async def _two_turns() -> None:
    # In one a call that has ended starts those that waited for it, in the next they ask for places.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


_OTHERS_FIRST = Step(_go_on, _two_turns)
