"""A model call and a look-up at the same time: a miss then costs nothing on the path.

A hit has begun a call that nobody needs. Where calls are awaited it is cancelled; a call in a
thread cannot be, and runs to its end unread. So by default only awaited calls race.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step, arun, run

__all__ = ["Answered", "Race", "checked_race", "race"]

T = TypeVar("T")
H = TypeVar("H")


Look: TypeAlias = "Callable[[bool], Flow[H | None]]"
"""The look-up; is told whether the call has been begun, so that a hit gives it up."""

Race: TypeAlias = Literal["awaited", "always", "never"]
"""Which calls are begun while their question is still looked up."""


def checked_race(race: Race) -> Race:
    """The setting, if it is one.

    Raises:
        ConfigError: if it is not.
    """
    if race not in {"awaited", "always", "never"}:
        msg = f"race must be 'awaited', 'always' or 'never', got {race!r}; 'never' asks first"
        raise ConfigError(msg)
    return race


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """The model's own answer: it came first, or the look-up found nothing."""

    answer: T


def race(
    call: Step[T], look: Look[H], *, threads: bool, begin: Callable[[], Future[Any]]
) -> Step[Answered[T] | H]:
    """Make the call and look meanwhile; what `look` finds before the call has answered is taken.

    A call that fails at once has not answered: then the look-up goes on, and what it finds is given
    in place of the error.

    Args:
        call: the model call.
        look: the look-up; it must not raise, and must end.
        threads: also begin calls that are not awaited, in a thread.
        begin: for these: gets ready what `look` would wait for, and says when it is.

    Raises:
        BaseException: what the call raised.
    """
    if threads:
        return Step(partial(_race, begin), _arace, call, look)
    return Step(_in_turn, _arace, call, look)


def _in_turn(call: Step[T], look: Look[H]) -> Answered[T] | H:
    found = run(look(False))
    return Answered(call.sync(*call.args)) if found is None else found


def _race(begin: Callable[[], Future[Any]], call: Step[T], look: Look[H]) -> Answered[T] | H:
    ready = begin()
    calling = Future[T]()
    context = copy_context()

    def work() -> None:
        try:
            calling.set_result(context.run(call.sync, *call.args))
        except BaseException as error:
            calling.set_exception(error)

    threading.Thread(target=work, name="agentperf-raced-call", daemon=True).start()
    wait((calling, ready), return_when=FIRST_COMPLETED)
    if not _answered(calling):
        found = run(look(True))
        if found is not None:
            return found
    return Answered(calling.result())


async def _arace(call: Step[T], look: Look[H]) -> Answered[T] | H:
    calling = asyncio.ensure_future(call.async_(*call.args))
    looking = asyncio.ensure_future(arun(look(True)))
    try:
        await asyncio.wait((calling, looking), return_when=asyncio.FIRST_COMPLETED)
        if not _answered(calling):
            found = await looking
            if found is not None:
                return found
        return Answered(await calling)
    finally:
        for task in (calling, looking):
            if not task.done():
                task.cancel()
            task.add_done_callback(_seen)


def _answered(calling: Future[Any] | asyncio.Future[Any]) -> bool:
    """Whether the call has ended with an answer, or was cancelled, which is the caller's wish."""
    if not calling.done():
        return False
    return calling.cancelled() or not isinstance(calling.exception(), Exception)


def _seen(task: asyncio.Future[Any]) -> None:
    """An abandoned call may fail: nobody is left to tell."""
    if not task.cancelled():
        task.exception()
