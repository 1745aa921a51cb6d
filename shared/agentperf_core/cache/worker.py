"""A thread that exists while it has something to do, for work that must not be on a caller's path.

It is a daemon, so that nothing of ours keeps a program alive. It still ends in order: with its
owner, in `stop()`, and before the interpreter goes down, because a daemon thread that is inside a C
library at that moment can take the process with it. A forked child starts without it.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from agentperf_core.events import BUS, EventBus

__all__ = ["Worker"]

_EXIT_WAIT_S = 5.0


class Worker:
    """Calls `step` again and again while it says that there is more.

    Args:
        name: of the thread.
        step: does one piece of work, and says whether there may be more. A bound method, held
            weakly: the thread ends when its owner is gone.
        pause_s: seconds between two pieces, so that who waits for the owner's lock gets it.
        keep_s: seconds that the thread waits for more work before it ends; `None` for as long as
            its owner lives.
        renew: called in a forked child, where no thread is left to do the rest; held weakly.
        where: the component that an exception of `step` is counted for; it ends the work until the
            next `wake()`.
        bus: where faults go.

    Example:
        >>> import threading
        >>> class Owner:
        ...     def __init__(self):
        ...         self.todo, self.done = [1, 2, 3], threading.Event()
        ...         self.worker = Worker("example", self.step, where="example")
        ...     def step(self):
        ...         self.todo.pop()
        ...         if not self.todo:
        ...             self.done.set()
        ...         return bool(self.todo)
        >>> owner = Owner()
        >>> owner.worker.wake()
        >>> owner.done.wait(10), owner.todo
        (True, [])
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], bool],
        *,
        where: str,
        pause_s: float = 0.0,
        keep_s: float | None = 0.0,
        renew: Callable[[], None] | None = None,
        bus: EventBus = BUS,
    ) -> None:
        self._name = name
        self._where = where
        self._pause_s = pause_s
        self._keep_s = keep_s
        self._bus = bus
        self._step = weakref.WeakMethod(step, self._owner_is_gone)
        self._renew = weakref.WeakMethod(renew) if renew is not None else None
        # Re-entrant: the garbage collector may end the owner in a thread that is in here.
        self._changed = threading.Condition(threading.RLock())
        self._woken = False
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._endings: list[Callable[[], None]] = []
        _workers.add(self)

    @property
    def running(self) -> bool:
        """Whether there is a thread now."""
        return self._thread is not None

    def wake(self) -> None:
        """Say that there is work; starts the thread if there is none."""
        with self._changed:
            if self._stopped:
                return
            self._woken = True
            if self._thread is None:
                # No reference to `self._step()`'s owner in here: see `_loop`.
                self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
                self._thread.start()
            else:
                self._changed.notify_all()

    def stop(self, wait_s: float | None = None) -> None:
        """End the thread after the piece that it is at, for good.

        Args:
            wait_s: seconds to wait for that; zero for not at all, `None` for as long as it takes.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread() and wait_s != 0:
            thread.join(wait_s)

    def at_end(self, ending: Callable[[], None]) -> None:
        """Have something of the thread's own closed in the thread, when it ends.

        Args:
            ending: must not lead to the owner, which would then live as long as its thread.
        """
        self._endings.append(ending)

    def _loop(self) -> None:
        try:
            self._work_on()
        finally:
            while self._endings:
                self._endings.pop()()

    def _work_on(self) -> None:
        while self._next():
            more = self._work()
            with self._changed:
                self._woken |= more
                if more and self._pause_s:
                    self._changed.wait_for(self._is_stopped, self._pause_s)

    def _is_stopped(self) -> bool:
        return self._stopped

    def _next(self) -> bool:
        """Wait for work; false ends the thread."""
        with self._changed:
            patient = True
            while not self._stopped:
                if self._woken:
                    self._woken = False
                    return True
                if not patient:
                    break
                patient = self._changed.wait(self._keep_s)
            self._thread = None
            return False

    def _work(self) -> bool:
        # The owner lives for this piece only: between two of them it may be collected.
        step = self._step()
        if step is None:
            return False
        try:
            return step()
        except BaseException as error:
            self._bus.fault(self._where, error)
            return False

    def _owner_is_gone(self, _: object) -> None:
        self.stop(0)

    def after_fork(self) -> None:
        """Forget the thread, which the parent has and this process does not."""
        # Somebody may have held the lock at the moment of the fork: nobody here will let go of it.
        self._changed = threading.Condition(threading.RLock())
        self._thread = None
        self._woken = False
        # Not closed: an event loop would unhook its sockets from the parent's loop, too.
        _abandoned.append(self._endings)
        self._endings = []
        renew: Any = self._renew() if self._renew is not None else None
        if renew is not None:
            renew()


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_abandoned: list[object] = []


def _after_fork() -> None:
    for worker in list(_workers):
        worker.after_fork()


def _at_exit() -> None:
    workers = list(_workers)
    for worker in workers:
        worker.stop(0)
    until = time.monotonic() + _EXIT_WAIT_S
    for worker in workers:
        worker.stop(max(0.01, until - time.monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
