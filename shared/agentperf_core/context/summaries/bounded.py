"""Calls of summarisers, each in a time, and away from what its caller has in its context.

In the caller's context, a framework would take the summariser's call for a part of the agent's run:
its tokens would come out of the agent's stream.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeVar

from agentperf_core.accounting.deadline import clamped
from agentperf_core.context.summaries.settings import Answer, Summarize
from agentperf_core.flow import Step
from agentperf_core.types import Message

__all__ = ["call", "in_thread"]

T = TypeVar("T")


def call(
    summarize: Summarize,
    messages: Sequence[Message],
    previous: str | None,
    max_tokens: int,
    timeout_s: float,
) -> Step[Answer]:
    """One call of a summariser as a step; raises `TimeoutError` when its time is over."""

    def sync() -> Answer:
        waited = clamped(timeout_s)
        future = in_thread(lambda: _answer(summarize(messages, previous, max_tokens)))
        try:
            return future.result(waited)
        except TimeoutError as error:
            raise _late(error, future, waited) from error

    async def async_() -> Answer:
        waited = clamped(timeout_s)
        aside = _awaited_side(summarize)
        future: asyncio.Future[Answer]
        if aside is None:
            future = asyncio.wrap_future(
                in_thread(lambda: _answer(summarize(messages, previous, max_tokens)))
            )
        else:
            future = aside_task(lambda: aside(messages, previous, max_tokens))
        try:
            await asyncio.wait({future}, timeout=waited)
            if not future.done():
                raise TimeoutError(_LATE.format(waited))
            return future.result()
        finally:
            future.cancel()  # nothing, if it is done

    return Step(sync, async_)


def in_thread(function: Callable[[], T]) -> Future[T]:
    """Run a function in a daemon thread of its own, in an empty context."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            found = function()
        except BaseException as error:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(found)

    # Own thread: a pool's would keep the program alive while a summariser hangs.
    threading.Thread(target=work, name="agentperf-summary", daemon=True).start()
    return future


def aside_task(function: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
    """Await what a function gives in a task of its own, in an empty context."""

    async def work() -> T:
        return await function()

    task = asyncio.get_running_loop().create_task(work(), context=Context())
    # Of one that nobody waits for any more, nobody wants to hear what it raised.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


_LATE = "the summariser took longer than {} s"


def _late(error: TimeoutError, future: Future[Any], waited: float) -> TimeoutError:
    """The summariser's own time-out, or that it is late."""
    return error if future.done() else TimeoutError(_LATE.format(waited))


def _answer(found: Answer | Awaitable[Answer]) -> Answer:
    """What an awaited summariser says, asked from a thread."""
    if not inspect.isawaitable(found):
        return found

    async def waited() -> Answer:
        return await found

    return asyncio.run(waited())


def _awaited_side(summarize: Summarize) -> Callable[..., Coroutine[Any, Any, Answer]] | None:
    aside = getattr(summarize, "acall", None)
    if aside is not None:
        return aside
    plain = inspect.unwrap(summarize)
    if inspect.iscoroutinefunction(plain) or inspect.iscoroutinefunction(
        getattr(plain, "__call__", None)  # noqa: B004 - asked what it is, not whether
    ):
        return summarize  # pyright: ignore[reportReturnType] - as was just asked
    return None
