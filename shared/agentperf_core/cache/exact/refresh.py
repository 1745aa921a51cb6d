"""Renewing stale answers behind the caller's back: a few at a time, never in the caller's way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import Context
from typing import Any

from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, Step, arun, run

__all__ = ["Refresher"]


class Refresher:
    """Runs flows in the background: in a thread for sync callers, in a task for async ones.

    They run in an empty context, so that callbacks and traces of the caller's run, which is over by
    then, do not hear of them. What they raise is a fault. An event loop that ends takes its tasks
    with it; then the next caller finds the stale answer and renews it.

    Args:
        most: how many may run at once; more are not begun.
        bus: where faults go.

    Example:
        >>> from agentperf_core.flow import run
        >>> refresher, done = Refresher(), []
        >>> def renew() -> Flow[None]:
        ...     done.append((yield from Step(lambda: "new", asyncio.sleep)))
        >>> run(iter(refresher.begin(renew)))
        True
        >>> refresher.drain()
        >>> done
        ['new']
    """

    def __init__(self, *, most: int = 8, bus: EventBus = BUS) -> None:
        self._most = most
        self._bus = bus
        self._pool: ThreadPoolExecutor | None = None
        self._running: set[Future[None] | asyncio.Task[None]] = set()
        # Re-entrant: the garbage collector may end a task in here.
        self._lock = threading.RLock()

    def begin(self, job: Callable[[], Flow[None]]) -> Step[bool]:
        """Run a job in the background; whether there was room for it."""
        return Step(self._in_thread, self._in_task, job)

    def drain(self, timeout_s: float | None = None) -> None:
        """Wait for what sync callers have begun, at most `timeout_s` seconds."""
        with self._lock:
            running = [one for one in self._running if isinstance(one, Future)]
        wait(running, timeout_s)

    async def adrain(self) -> None:
        """Wait for what was begun on this event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            running = [one for one in self._running if isinstance(one, asyncio.Task)]
        await asyncio.gather(*(task for task in running if task.get_loop() is loop))

    def _in_thread(self, job: Callable[[], Flow[None]]) -> bool:
        with self._lock:
            if len(self._running) >= self._most:
                return False
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._most, "agentperf-refresh")
            future = self._pool.submit(run, self._guarded(job))
            self._running.add(future)
        future.add_done_callback(self._forget)
        return True

    async def _in_task(self, job: Callable[[], Flow[None]]) -> bool:
        with self._lock:
            if len(self._running) >= self._most:
                return False
            task = asyncio.get_running_loop().create_task(
                arun(self._guarded(job)), context=Context()
            )
            self._running.add(task)
        task.add_done_callback(self._forget)
        return True

    def _guarded(self, job: Callable[[], Flow[None]]) -> Flow[None]:
        try:
            yield from job()
        except Exception as error:
            self._bus.fault("cache.refresh", error)

    def _forget(self, done: Any) -> None:
        with self._lock:
            self._running.discard(done)
