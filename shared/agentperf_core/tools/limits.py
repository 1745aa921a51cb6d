"""How many calls may run at once, of all tools and of each, in which order, and how often.

One lock and one list of who waits, for threads and event loops alike: semaphores of either world do
not know of the other's callers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from typing import Self

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.inside import inside
from agentperf_core.tools.waits import waiting_for

__all__ = ["Limits", "Permit"]

_UNLIMITED = ToolPolicy()


@dataclass(slots=True, eq=False)
class Permit:
    """A place for one call.

    Attributes:
        tool: name of the tool.
        most: how many calls of the tool may run at once.
        exclusive: the group that it takes.
        order: who waits with a lower one comes first.
        counted: whether it takes one of the places of all tools.
        ready: done when the place is given; `None` for a call that need not wait, because one costs
            as much as the rest of the place.
        given: whether it is.
    """

    tool: str
    most: int | None
    exclusive: str | None
    order: tuple[float, int]
    counted: bool
    ready: Future[None] | None = None
    given: bool = False

    @classmethod
    def of(cls, tool: str, policy: ToolPolicy, order: tuple[float, int]) -> Self:
        """What a call needs, without what its caller holds already."""
        outer, most, group = inside(), policy.max_concurrency, policy.exclusive
        if outer is None:
            return cls(tool, most, group, order, counted=True)
        return cls(
            tool,
            None if tool in outer.held else most,
            None if group is None or _group(group) in outer.held else group,
            order,
            counted=False,
        )

    @property
    def names(self) -> frozenset[str]:
        """What is held with this place."""
        return frozenset(
            (self.tool,) if self.exclusive is None else (self.tool, _group(self.exclusive))
        )


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
        self._waiting: list[Permit] = []
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
        return len(self._waiting)

    def enter(
        self,
        tool: str,
        policy: ToolPolicy | None = None,
        *,
        priority: float | None = None,
        wait_s: float | None = None,
        queued: Callable[[], None] | None = None,
    ) -> Flow[Permit]:
        """Wait for a place.

        Args:
            tool: name of the tool.
            policy: its limits.
            priority: who waits with a higher one comes first; default the policy's.
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
        permit = Permit.of(tool, policy, (first, next(self._numbers)))
        with self._lock:
            if self._fits(permit):
                self._give(permit)
                return permit
            ready = permit.ready = Future[None]()
            self._waiting.append(permit)
            self._waiting.sort(key=_order)
        try:
            if queued is not None:
                queued()
            given = yield from waiting_for(ready, wait_s)
        except BaseException:
            self._withdraw(permit)
            raise
        if not given:
            self._withdraw(permit)
            raise TimeoutError
        return permit

    def leave(self, permit: Permit) -> None:
        """Give a place back; those who wait for it get it."""
        with self._lock:
            self._running -= permit.counted
            self._of_tool[permit.tool] -= 1
            if permit.exclusive is not None:
                self._exclusive.discard(permit.exclusive)
            woken = self._admit()
        for one in woken:
            if one.ready is not None:
                one.ready.set_result(None)

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

    def _admit(self) -> list[Permit]:
        """Give places to those who wait, best first; whoever does not fit lets others pass."""
        woken: list[Permit] = []
        for permit in self._waiting:
            if self._fits(permit):
                self._give(permit)
                woken.append(permit)
        if woken:
            self._waiting = [permit for permit in self._waiting if not permit.given]
        return woken

    def _withdraw(self, permit: Permit) -> None:
        with self._lock:
            if not permit.given:
                self._waiting.remove(permit)
                return
        self.leave(permit)

    def _reserve(self, tool: str, rate: float, wait_s: float | None) -> float:
        """Seconds until the next start of a tool, which is then taken.

        The generic cell rate algorithm: a start every `1 / rate` seconds, and what was not used of
        the last second in advance.
        """
        with self._lock:
            now = self._clock.monotonic()
            due = max(self._next_start.get(tool, 0.0), now - 1.0 + 1.0 / rate)
            pause_s = max(due - now, 0.0)
            if wait_s is not None and pause_s > wait_s:
                raise TimeoutError
            self._next_start[tool] = due + 1.0 / rate
            return pause_s


def _group(name: str) -> str:
    return f"group {name}"


def _order(permit: Permit) -> tuple[float, int]:
    return permit.order
