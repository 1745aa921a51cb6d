"""One job at a time, beside its caller: in a daemon thread, or in a task of the running loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, wait
from typing import TypeAlias

from agentperf_core.context.summaries.bounded import aside_task, in_thread
from agentperf_core.flow import Flow, arun, run

__all__ = ["Aside"]

_Job: TypeAlias = "Future[bool] | asyncio.Task[bool]"


class Aside:
    """Whose turn it is, and what is running. Safe under threads.

    A turn is a number: one that was abandoned does not count any more when its job ends.

    Attributes:
        loop_ended: whether an event loop has ended before its task had.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns = 0
        self._current: int | None = None
        self._job: _Job | None = None
        self.loop_ended = False

    @property
    def busy(self) -> bool:
        """Whether somebody has a turn."""
        return self._current is not None

    def take(self) -> int | None:
        """The next turn; `None` if somebody has one."""
        with self._lock:
            job = self._job
            # A task whose loop was closed over it will never say so.
            if isinstance(job, asyncio.Task) and self._current and job.get_loop().is_closed():
                self.loop_ended, self._current = True, None
            if self._current is not None:
                return None
            self._turns += 1
            self._current, self._job = self._turns, None
            return self._current

    def free(self, turn: int) -> bool:
        """Give a turn back; whether it still counted."""
        with self._lock:
            counted = self._current == turn
            if counted:
                self._current = None
            return counted

    def abandon(self) -> None:
        """What is running does not count any more."""
        with self._lock:
            self._current = self._job = None

    def begin(self, flow: Flow[bool]) -> None:
        """Run a flow in a thread.

        Raises:
            RuntimeError: if there are no more threads, or the interpreter ends.
        """
        self._job = in_thread(lambda: run(flow))

    def begin_task(self, flow: Flow[bool], turn: int) -> None:
        """Run a flow in a task of the running loop; its turn ends if the task is cancelled."""

        def ended(job: asyncio.Task[bool]) -> None:
            if job.cancelled():  # it may not even have begun
                self.loop_ended = True
                self.free(turn)

        self._job = aside_task(lambda: arun(flow))
        self._job.add_done_callback(ended)

    def settle(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread that runs; whether nothing runs now."""
        job = self._job
        if isinstance(job, Future):
            wait({job}, timeout_s)
        return not self.busy

    async def asettle(self, timeout_s: float | None = None) -> bool:
        """Wait for the task or the thread that runs; whether nothing runs now."""
        job = self._job
        if job is not None:
            waited = asyncio.wrap_future(job) if isinstance(job, Future) else job
            await asyncio.wait({waited}, timeout=timeout_s)
        return not self.busy
