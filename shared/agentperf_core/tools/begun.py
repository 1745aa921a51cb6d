"""A call that goes on while its caller does something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from agentperf_core.flow import Flow, Step

__all__ = ["Begun", "settle"]

T = TypeVar("T")


class Begun(Generic[T]):
    """What comes of a call that was begun; may be waited for in any thread and on any event loop.

    Args:
        future: what comes of it.
        cancel: gives it up.
    """

    __slots__ = ("_cancel", "_future")

    def __init__(self, future: Future[T], cancel: Callable[[], object]) -> None:
        self._future = future
        self._cancel = cancel

    def done(self) -> Flow[T]:
        """Wait for what comes of it; an async caller that is cancelled meanwhile gives it up.

        Raises:
            BaseException: what the call raised.
        """
        step: Step[T] = Step(self._future.result, self._await)
        return (yield from step)

    @property
    def ended(self) -> bool:
        """Whether there is anything to have."""
        return self._future.done()

    def cancel(self) -> None:
        """Give the call up; a sync tool that runs goes on as an orphan."""
        if not self._future.done():
            self._cancel()

    async def _await(self) -> T:
        try:
            return await asyncio.shield(asyncio.wrap_future(self._future))
        except asyncio.CancelledError:
            self.cancel()
            raise


def settle(future: Future[T], task: asyncio.Task[T]) -> None:
    """Hand on what came of a task."""
    if task.cancelled():
        future.set_exception(asyncio.CancelledError())
        return
    error = task.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())
