"""Work after the answer went out: one worker thread per cache, started when there is work.

A thread and not a task, also for async callers: an event loop ends with its last answer
(`asyncio.run`), and would take what is still to be learnt with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS, EventBus

__all__ = ["Background"]


class Background:
    """Runs jobs one after the other, off the path of the calls; what they raise is a fault.

    Args:
        name: of the worker thread.
        where: the component that faults are counted for.
        limit: how many jobs may wait; more are dropped and counted as a fault.
        bus: where faults go.

    Example:
        >>> done = []
        >>> background = Background("example", where="example")
        >>> background.submit(lambda: done.append(1))
        >>> background.drain()
        >>> done
        [1]
    """

    def __init__(self, name: str, *, where: str, limit: int = 1000, bus: EventBus = BUS) -> None:
        self._name = name
        self._where = where
        self._limit = limit
        self._bus = bus
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: set[Future[None]] = set()
        self._lock = threading.Lock()

    def submit(self, job: Callable[[], object]) -> None:
        """Run a job soon; never raises."""
        try:
            with self._lock:
                full = len(self._waiting) >= self._limit
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(1, thread_name_prefix=self._name)
                future = None if full else self._pool.submit(self._run, job)
                if future is not None:
                    self._waiting.add(future)
            if future is None:
                msg = f"at most {self._limit} jobs wait behind a cache; one more was dropped"
                raise ConfigError(msg)  # noqa: TRY301 - one place reports everything
            future.add_done_callback(self._forget)
        except Exception as error:  # RuntimeError: the interpreter is going down
            self._bus.fault(self._where, error)

    def drain(self, timeout_s: float | None = None) -> None:
        """Wait until everything that was submitted so far has run, at most `timeout_s` seconds."""
        with self._lock:
            waiting = set(self._waiting)
        wait(waiting, timeout_s)

    def _run(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:
            self._bus.fault(self._where, error)

    def _forget(self, future: Future[None]) -> None:
        with self._lock:
            self._waiting.discard(future)
