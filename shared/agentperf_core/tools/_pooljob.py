"""One call in a thread of a pool, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["PoolJob"]

T = TypeVar("T")


class PoolJob(Generic[T]):
    """One call in a thread of a pool.

    Args:
        call: makes it.
        write_off: takes its thread out of the pool's count; whether it was still running.

    Attributes:
        future: what comes of it.
        abandoned: whether nobody waits for it any more while it runs.
    """

    __slots__ = ("_call", "_write_off", "abandoned", "future")

    def __init__(self, call: Callable[[], T], write_off: Callable[[PoolJob[T]], bool]) -> None:
        self._call = call
        self._write_off = write_off
        self.future: Future[T] = Future()
        self.abandoned = False

    def run(self) -> None:
        """Make the call, in the thread that runs this."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._call()
        except StopIteration as error:
            # A future of asyncio refuses it, and would then never be done.
            failure = RuntimeError("a tool raised StopIteration")
            failure.__cause__ = error
            self.future.set_exception(failure)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def abandon(self) -> bool:
        """Stop caring; whether it still runs, as an orphan in a thread that is written off."""
        return not self.future.cancel() and self._write_off(self)
