"""A model call and a look-up at the same time: a miss then costs nothing on the path.

A hit has begun a call that nobody needs. Where calls are awaited it is cancelled; a call in a
thread cannot be, and runs to its end unread. So by default only awaited calls race.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from agentperf_core.cache.semantic.looked import Looking, worth_telling
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step, arun, run

__all__ = ["Answered", "Race", "Rival", "checked_race", "race"]

T = TypeVar("T")
H = TypeVar("H")

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


@dataclass(frozen=True, slots=True)
class Rival(Generic[H]):
    """A look-up beside a call.

    Attributes:
        begin: begins to look; not called before the call is out.
        serve: gives what was found, or waits for it if that is not known yet; must not raise, and
            must end.
        patience_s: seconds after which a look-up that has not ended is left to `serve`.
    """

    begin: Callable[[], Looking]
    serve: Callable[[Looking], Flow[H | None]]
    patience_s: float


def race(
    call: Step[T], rival: Rival[H], *, look: Callable[[], Flow[H | None]], threads: bool
) -> Step[Answered[T] | H]:
    """Make the call and look meanwhile; what is found before the call has answered is taken.

    A call that fails at once has not answered: then the look-up goes on, and what it finds is given
    in place of the error.

    Args:
        call: the model call.
        rival: the look-up beside it.
        look: looks and serves before the call, where that is not awaited; must not raise.
        threads: also begin calls that are not awaited, in a thread.

    Raises:
        BaseException: what the call raised.
    """
    return Step(_race if threads else partial(_in_turn, look), _arace, call, rival)


def _in_turn(look: Callable[[], Flow[H | None]], call: Step[T], _: Rival[H]) -> Answered[T] | H:
    found = run(look())
    return Answered(call.sync(*call.args)) if found is None else found


def _race(call: Step[T], rival: Rival[H]) -> Answered[T] | H:
    looking = rival.begin()
    calling = Future[T]()
    context = copy_context()

    def work() -> None:
        try:
            calling.set_result(context.run(call.sync, *call.args))
        except BaseException as error:
            calling.set_exception(error)

    threading.Thread(target=work, name="agentperf-raced-call", daemon=True).start()
    both: list[Future[Any]] = [calling, looking]
    wait(both, return_when=FIRST_COMPLETED)
    if not _answered(calling):
        found = run(rival.serve(looking))
        if found is not None:
            return found
    looking.cancel()
    return Answered(calling.result())


async def _arace(call: Step[T], rival: Rival[H]) -> Answered[T] | H:
    calling = asyncio.ensure_future(call.async_(*call.args))
    try:
        await asyncio.sleep(0)  # the call goes out first
        looking = rival.begin()
        try:
            found = await _found(calling, looking, rival)
        finally:
            looking.cancel()
        return Answered(await calling) if found is None else found
    finally:
        _give_up(calling)


async def _found(calling: asyncio.Future[Any], looking: Looking, rival: Rival[H]) -> H | None:
    """What is found before the call has answered."""
    loop = asyncio.get_running_loop()
    worth_it = loop.create_future()
    looking.add_done_callback(partial(_tell, loop, worth_it))
    serving = asyncio.ensure_future(_served(looking, rival, worth_it))
    try:
        await asyncio.wait((calling, serving), return_when=asyncio.FIRST_COMPLETED)
        if _answered(calling):
            return None
        _set(worth_it)  # the call may have failed: now the look-up is waited for
        return await serving
    finally:
        _give_up(serving)


async def _served(looking: Looking, rival: Rival[H], worth_it: asyncio.Future[None]) -> H | None:
    await asyncio.wait((worth_it,), timeout=rival.patience_s)
    return await arun(rival.serve(looking))


def _tell(
    loop: asyncio.AbstractEventLoop,
    worth_it: asyncio.Future[None],
    looking: Looking,
) -> None:
    """Wake the event loop for something to serve; a miss leaves it in peace."""
    if not looking.cancelled() and worth_telling(looking.result()):
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_set, worth_it)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _answered(calling: Future[Any] | asyncio.Future[Any]) -> bool:
    """Whether the call has ended with an answer, or was cancelled, which is the caller's wish."""
    if not calling.done():
        return False
    return calling.cancelled() or not isinstance(calling.exception(), Exception)


def _give_up(task: asyncio.Future[Any]) -> None:
    if not task.done():
        task.cancel()
    task.add_done_callback(_seen)


def _seen(task: asyncio.Future[Any]) -> None:
    """An abandoned call may fail: nobody is left to tell."""
    if not task.cancelled():
        task.exception()
