"""Work after the answer went out, in a thread that ends when there was none for a while.

A thread and not a task, also for async callers: an event loop ends with its last answer
(`asyncio.run`), and would take what is still to be learnt with it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from agentperf_core.cache.worker import Worker
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS, EventBus

__all__ = ["Background"]

_AFTER_YOU_S = 0.002
# To start a thread is to wait until it runs: 0.15 ms on the path of the call, and much more while
# others want the processor. A thread that still waits is only told.
_KEEP_S = 10.0
_BUSY = 20  # jobs that wait: then none of them waits longer


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
        self._where = where
        self._limit = limit
        self._bus = bus
        self._jobs: deque[Callable[[], object]] = deque()
        self._begun = 0
        self._ended = 0
        # Re-entrant: the garbage collector may end a stream in here, which submits what it learnt.
        self._changed = threading.Condition(threading.RLock())
        self._worker = Worker(
            name, self._step, where=where, keep_s=_KEEP_S, renew=self._renew, bus=bus
        )

    def submit(self, job: Callable[[], object]) -> None:
        """Run a job soon; never raises."""
        with self._changed:
            full = len(self._jobs) >= self._limit
            if not full:
                self._jobs.append(job)
                self._begun += 1
        if full:
            msg = f"at most {self._limit} jobs wait behind a cache; one more was dropped"
            self._bus.fault(self._where, ConfigError(msg))
            return
        try:
            self._worker.wake()
        except RuntimeError as error:  # the interpreter is going down
            self._bus.fault(self._where, error)

    def drain(self, timeout_s: float | None = None) -> None:
        """Wait until everything that was submitted so far has run, at most `timeout_s` seconds."""
        with self._changed:
            goal = self._begun
            self._changed.wait_for(lambda: self._ended >= goal, timeout_s)

    def _step(self) -> bool:
        with self._changed:
            if not self._jobs:
                return False
            job = self._jobs.popleft()
            in_a_hurry = len(self._jobs) > _BUSY
        if not in_a_hurry:
            # The call that submitted it is on its way back to its caller: started at once, this
            # thread would take the interpreter from it (0.6 ms of a semantic miss).
            time.sleep(_AFTER_YOU_S)
        try:
            job()
        except Exception as error:
            self._bus.fault(self._where, error)
        with self._changed:
            self._ended += 1
            self._changed.notify_all()
            return bool(self._jobs)

    def _renew(self) -> None:
        """After a fork: the parent does what it was given."""
        self._changed = threading.Condition(threading.RLock())
        self._jobs.clear()
        self._ended = self._begun
