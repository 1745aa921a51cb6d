"""Flows that nobody waits for: in a thread of the executor for sync callers, in a task for async.

Neither keeps the program alive: the threads are daemons, and tasks end with their event loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeAlias

from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.tools.executor import ToolExecutor

__all__ = ["Errands"]

_Errand: TypeAlias = Future[None] | asyncio.Task[None]


class Errands:
    """What runs behind the callers of one conversation; safe under threads.

    Args:
        executor: has the threads.
    """

    def __init__(self, executor: ToolExecutor) -> None:
        self._executor = executor
        self._running: set[_Errand] = set()
        # Re-entrant: a future that is done already calls back at once.
        self._lock = threading.RLock()

    def begin(self, work: Callable[[], Flow[None]], done: Callable[[], object]) -> Step[None]:
        """Begin a flow; `done` is called when it has ended, or was cancelled before it began."""
        return Step(self._in_thread, self._in_task, work, done)

    def cancel(self) -> Step[None]:
        """Cancel what can be cancelled: tasks, and threads that have not begun."""
        return Step(self._cancel, self._acancel)

    def drain(self, timeout_s: float | None = None) -> None:
        """Wait for the threads and for those that they begin, at most `timeout_s` seconds."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while futures := [one for one in self._all() if isinstance(one, Future)]:
            left_s = None if until is None else until - time.monotonic()
            if left_s is not None and left_s <= 0:
                return
            wait(futures, left_s)

    async def adrain(self) -> None:
        """Wait for the tasks of this event loop, for the threads, and for those that they begin."""
        while waits := [w for one in self._all() if (w := _waitable(one)) is not None]:
            await asyncio.wait(waits)

    def _all(self) -> list[_Errand]:
        with self._lock:
            return [*self._running]

    def _in_thread(self, work: Callable[[], Flow[None]], done: Callable[[], object]) -> None:
        self._keep(self._executor.in_background(_driven, work), done)

    async def _in_task(self, work: Callable[[], Flow[None]], done: Callable[[], object]) -> None:
        self._keep(asyncio.get_running_loop().create_task(arun(work())), done)

    def _keep(self, one: Any, done: Callable[[], object]) -> None:
        with self._lock:
            self._running.add(one)

        def ended(_: object) -> None:
            with self._lock:
                self._running.discard(one)
            done()

        one.add_done_callback(ended)

    def _cancel(self) -> None:
        for one in self._all():
            if isinstance(one, Future):
                one.cancel()
            elif not one.get_loop().is_closed():
                one.get_loop().call_soon_threadsafe(one.cancel)

    async def _acancel(self) -> None:
        here = asyncio.get_running_loop()
        mine = [
            one for one in self._all() if not isinstance(one, Future) and one.get_loop() is here
        ]
        self._cancel()
        if mine:
            for one in mine:
                one.cancel()
            await asyncio.wait(mine)


def _waitable(one: _Errand) -> asyncio.Future[None] | None:
    """What this event loop can wait for; `None` for a task of another one."""
    if isinstance(one, Future):
        return asyncio.wrap_future(one)
    return one if one.get_loop() is asyncio.get_running_loop() else None


def _driven(work: Callable[[], Flow[None]]) -> None:
    run(work())
