"""Threads for sync tools: named, daemons, and replaced when a tool hangs.

Own code because the pool of `concurrent.futures` waits for every thread when the interpreter ends,
so that one hung tool keeps the program alive, and counts a hung thread against its size for ever.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import wait
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from agentperf_core.errors import require_positive
from agentperf_core.tools._pooljob import PoolJob

__all__ = ["Overdue", "ThreadPool"]

T = TypeVar("T")

_IDLE_S = 10.0  # a thread that had nothing to do for so long ends
_EXIT_WAIT_S = 2.0  # how long the end of the interpreter waits for tools that still run


class Overdue(TimeoutError):  # noqa: N818 - the function has not failed
    """A call took longer than it may; told apart from what the function itself may raise."""


class ThreadPool:
    """Runs sync functions in daemon threads, each in a copy of its caller's context.

    Args:
        max_threads: threads at once, orphans not counted; more calls wait.
        name: of the threads, before their number.

    Raises:
        ConfigError: if `max_threads` is not above zero.

    Example:
        >>> pool = ThreadPool(max_threads=2)
        >>> pool.call(lambda: 6 * 7)
        42
    """

    def __init__(self, *, max_threads: int = 64, name: str = "agentperf-tool") -> None:
        require_positive(max_threads=max_threads)
        self._max = max_threads
        self._name = name
        self._numbers = 0
        self._fresh()
        _pools.add(self)

    def _fresh(self) -> None:
        self._jobs: SimpleQueue[PoolJob[Any] | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._busy: dict[PoolJob[Any], threading.Thread] = {}
        self._idle = 0  # threads that will take the next jobs
        self._queued = 0  # jobs that no thread has taken
        self._orphans = 0
        self._lock = threading.Lock()

    @property
    def threads(self) -> int:
        """How many threads there are now, orphans not counted."""
        return len(self._threads)

    @property
    def orphans(self) -> int:
        """How many calls that nobody waits for still run."""
        return self._orphans

    def submit(self, function: Callable[..., T], *args: Any) -> PoolJob[T]:
        """Begin a call.

        Raises:
            RuntimeError: if there is no thread, and the system has none.
        """
        context = copy_context()

        def call() -> T:
            return context.run(function, *args)

        job = PoolJob(call, self.write_off)
        with self._lock:
            self._queued += 1
            refused = self._start_if_needed()
            if refused is not None and not self._threads:
                self._queued -= 1
                raise refused
        self._jobs.put(job)
        return job

    def call(self, function: Callable[..., T], *args: Any, timeout_s: float | None = None) -> T:
        """Make a call and wait for it.

        Raises:
            Overdue: if it takes longer than `timeout_s` seconds; it goes on as an orphan.
            BaseException: what the function raised.
        """
        job = self.submit(function, *args)
        try:
            wait((job.future,), timeout_s)
        finally:  # an interrupt while it waits, too
            in_time = job.future.done()
            if not in_time:
                job.abandon()
        if not in_time:
            raise Overdue
        return job.future.result()

    def write_off(self, job: PoolJob[Any]) -> bool:
        """Take the thread of a job out of the count; whether the job was still running."""
        with self._lock:
            thread = self._busy.get(job)
            if thread is None or job.abandoned:
                return False
            job.abandoned = True
            self._threads.discard(thread)
            self._orphans += 1
            self._start_if_needed()
            return True

    def close(self) -> None:
        """End the threads that wait for work; those that run end after what they do."""
        with self._lock:
            for _ in self._threads:
                self._jobs.put(None)

    def _start_if_needed(self) -> RuntimeError | None:
        """Start a thread if jobs wait for one; what the system says if it has no more."""
        if self._queued <= self._idle or len(self._threads) >= self._max:
            return None
        self._numbers += 1
        self._idle += 1
        # No reference to the pool is kept while a thread waits: a forgotten pool can end.
        thread = threading.Thread(
            target=_work,
            args=(weakref.ref(self), self._jobs),
            name=f"{self._name}-{self._numbers}",
            daemon=True,
        )
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            self._threads.discard(thread)
            self._idle -= 1
            return error
        return None

    def run(self, job: PoolJob[Any], thread: threading.Thread) -> bool:
        """Run a job in its thread; whether the thread shall take another one."""
        with self._lock:
            self._idle -= 1
            self._queued -= 1
            self._busy[job] = thread
        try:
            job.run()
        finally:
            with self._lock:
                del self._busy[job]
                if job.abandoned:
                    self._orphans -= 1
                else:
                    self._idle += 1
        return not job.abandoned

    def leave(self, thread: threading.Thread, *, told: bool) -> bool:
        """Whether a thread may end: it was told to, or found nothing to do."""
        with self._lock:
            if not told and self._queued >= self._idle:
                return False  # a job is on its way to it
            self._idle -= 1
            self._threads.discard(thread)
            self._start_if_needed()  # for a job that came after it was told
            return True

    def stop(self, until: float) -> None:
        """End the threads and wait for them until a moment of `time.monotonic()`."""
        self.close()
        for thread in [*self._threads]:
            thread.join(max(until - time.monotonic(), 0.01))

    def after_fork(self) -> None:
        """Begin anew in a forked child, which has none of the threads."""
        self._fresh()


def _work(pool: weakref.ref[ThreadPool], jobs: SimpleQueue[PoolJob[Any] | None]) -> None:
    thread = threading.current_thread()
    while True:
        job, told = None, True
        try:
            job = jobs.get(timeout=_IDLE_S)
        except Empty:
            told = False
        owner = pool()
        if owner is None:
            return
        more = not owner.leave(thread, told=told) if job is None else owner.run(job, thread)
        if not more:
            return
        del owner, job


_pools: weakref.WeakSet[ThreadPool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.after_fork()


def _at_exit() -> None:
    until = time.monotonic() + _EXIT_WAIT_S
    for pool in list(_pools):
        pool.stop(until)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
