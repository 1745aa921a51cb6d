"""An event loop of the pack's own, on which sync callers run several calls at once.

So there is one scheduler, the async one. The loop lives in a daemon thread that starts with the
first use: clients that belong to a loop (of a Redis store, say) are kept from one call to the next.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from agentperf_core.tools.begun import settle

__all__ = ["on_own_loop"]

T = TypeVar("T")

_EXIT_WAIT_S = 1.0


class _OwnLoop:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="agentperf-loop", daemon=True
                )
                self._thread.start()
            return self._loop

    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_EXIT_WAIT_S)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        while not _ran_until_told(loop):
            pass
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _ran_until_told(loop: asyncio.AbstractEventLoop) -> bool:
    """Run a loop; whether it was told to stop, not stopped by a tool that ends the program.

    asyncio keeps what such a tool raises for whoever waits for it, but lets it through, too.
    """
    try:
        loop.run_forever()
    except (SystemExit, KeyboardInterrupt):
        return False
    return True


_own = _OwnLoop()


def on_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on the pack's own loop, with the caller's context variables.

    For sync code only: it blocks the calling thread. An interrupt while it waits cancels the work.

    Raises:
        RuntimeError: if it is called on that loop, which would wait for itself.
        BaseException: what the coroutine raised.
    """
    if _own.is_current():
        work.close()
        msg = "a sync call on the pack's own event loop would wait for itself; await it instead"
        raise RuntimeError(msg)
    loop, context = _own.loop(), copy_context()
    done: Future[T] = Future()
    begun: list[asyncio.Task[T]] = []

    def begin() -> None:
        task = loop.create_task(work, context=context)
        begun.append(task)
        task.add_done_callback(partial(settle, done))

    loop.call_soon_threadsafe(begin)
    try:
        return done.result()
    except BaseException:
        if not done.done():
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in begun])
        raise


def _after_fork() -> None:
    global _own  # noqa: PLW0603 - a forked child has no thread for the loop of its parent
    _own = _OwnLoop()


def _stop() -> None:
    _own.stop()  # whichever it is by then


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_stop)
