"""A lease for as long as its holder lives: short, and made longer while the call goes on.

Only a call that lasts pays for that: it stands in a line that is looked at now and then, those of
sync callers by one thread for all, those of an event loop by a timer of the loop. Where the loop is
held up for longer than a lease lasts, others may make the call, too.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from agentperf_core.accounting.deadline import clamped
from agentperf_core.cache.stores import LeaseStore
from agentperf_core.cache.worker import Worker
from agentperf_core.clock import Clock
from agentperf_core.events import EventBus
from agentperf_core.flow import Flow, Step, arun, run

__all__ = ["Renewals"]

_SHARE = 1 / 3  # of a lease is over when it is renewed: two attempts may fail
_LOOKS = 3  # at a line in that time


class _Due(NamedTuple):
    at: float
    key: str
    holder: str


@dataclass(slots=True, eq=False)
class _Line:
    """Leases in the order in which they are due, since all wait equally long.

    One that ended is passed over when its time has come: on the way of a call nobody searches.
    """

    waiting: deque[_Due] = field(default_factory=deque[_Due])
    watched: bool = False


class Renewals:
    """Renews the leases of this process until they end.

    Args:
        store: where the leases are.
        lease_s: seconds that one lasts without being renewed.
        most_s: seconds after which one is renewed no more, where the deadline of the run that took
            it does not end sooner.
        clock: where the time comes from.
        bus: where faults go.
    """

    def __init__(
        self, store: LeaseStore, *, lease_s: float, most_s: float, clock: Clock, bus: EventBus
    ) -> None:
        self._store = store
        self._lease_s = lease_s
        self._most_s = most_s
        self._clock = clock
        self._bus = bus
        self._every_s = lease_s * _SHARE
        self._look_s = self._every_s / _LOOKS
        self._worker = Worker(
            "agentperf-leases",
            self._step,
            where="cache.store",
            pause_s=self._look_s,
            keep_s=None,
            renew=self._fresh,
            bus=bus,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._fresh()

    def __len__(self) -> int:
        """How many leases are held."""
        return len(self._until)

    def begin(self, key: str, holder: str) -> Step[None]:
        """Keep a lease that was just taken."""
        return Step(self._begin, self._abegin, key, holder)

    def end(self, holder: str) -> None:
        """The lease is no longer needed."""
        self._until.pop(holder, None)

    def stop(self) -> None:
        """Renew nothing any more, as if this process had died."""
        self._until.clear()
        self._worker.stop()

    def _enter(self, line: _Line, key: str, holder: str) -> bool:
        """Whether somebody has to begin to look at the line."""
        now = self._clock.monotonic()
        self._until[holder] = now + clamped(self._most_s)
        line.waiting.append(_Due(now + self._every_s, key, holder))
        if line.watched:
            return False
        line.watched = True
        return True

    def _left(self, line: _Line) -> bool:
        """Whether somebody has to go on looking at the line."""
        # In this order: who enters a line after the word was given, begins to look.
        line.watched = False
        line.watched = bool(line.waiting)
        return line.watched

    def _renew(self, line: _Line) -> Flow[None]:
        now, waiting = self._clock.monotonic(), line.waiting
        while waiting and waiting[0].at <= now:
            due = waiting.popleft()
            if (yield from self._goes_on(due, now)):
                waiting.append(due._replace(at=now + self._every_s))
            else:
                self.end(due.holder)

    def _goes_on(self, due: _Due, now: float) -> Flow[bool]:
        store = self._store
        ttl_s = min(self._lease_s, self._until.get(due.holder, now) - now)
        if ttl_s <= 0:
            return False
        try:
            return (
                yield from Step(store.keep_leading, store.akeep_leading, due.key, due.holder, ttl_s)
            )
        except Exception as error:
            self._bus.fault("cache.store", error)
            return True  # the next attempt may reach the store

    # Sync callers: a thread

    def _begin(self, key: str, holder: str) -> None:
        if self._enter(self._of_threads, key, holder):
            self._worker.wake()

    def _step(self) -> bool:
        run(self._renew(self._of_threads))
        return self._left(self._of_threads)

    def _fresh(self) -> None:
        """Also after a fork: the parent holds its leases."""
        self._until: dict[str, float] = {}
        self._of_threads = _Line()
        self._of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = (
            weakref.WeakKeyDictionary()
        )

    # Async callers: a timer

    async def _abegin(self, key: str, holder: str) -> None:
        loop = asyncio.get_running_loop()
        line = self._of_loops.get(loop)
        if line is None:
            line = self._of_loops[loop] = _Line()
        if self._enter(line, key, holder):
            loop.call_later(self._look_s, self._look, loop, line)

    def _look(self, loop: asyncio.AbstractEventLoop, line: _Line) -> None:
        task = loop.create_task(self._astep(loop, line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _astep(self, loop: asyncio.AbstractEventLoop, line: _Line) -> None:
        await arun(self._renew(line))
        if self._left(line):
            loop.call_later(self._look_s, self._look, loop, line)
