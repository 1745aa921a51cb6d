"""The parts of a single flight: its slots, how it ends, and how to wait for that."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from agentperf_core.flow import Step

__all__ = ["Failed", "Landed", "Result", "Retry", "Slot", "new_future", "waiting_for"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """The leader's answer; `None` if it may not be shared, so that each caller makes its own."""

    value: T | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The error of the second leader in a row."""

    error: BaseException


class Retry:
    """Wakes the followers of a failed leader."""


Result: TypeAlias = "Landed[T] | Failed | Retry"


def new_future() -> Future[Any]:
    """What followers wait for."""
    future = Future[Any]()
    # A running future cannot be cancelled: a follower that gives up leaves it to all the others,
    # and one whose event loop has closed is passed over without a word.
    future.set_running_or_notify_cancel()
    return future


@dataclass(slots=True)
class Slot(Generic[T]):
    """The flight of one key: what is waited for, by how many, and whether somebody leads."""

    future: Future[Result[T]] = field(default_factory=new_future)
    waiting: int = 0
    failures: int = 0
    led: bool = True


def waiting_for(future: Future[Result[T]], max_wait_s: float | None) -> Step[Result[T] | None]:
    """Wait for the end of a flight; `None` for whoever waited long enough or cannot wait."""
    return Step(_wait, _await, future, max_wait_s)


def _wait(future: Future[Any], max_wait_s: float | None) -> Any:
    if future.done():
        return future.result()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with suppress(TimeoutError):  # no result is an exception, so this can only be the wait's
            return future.result(max_wait_s)
    return None


async def _await(future: Future[Any], max_wait_s: float | None) -> Any:
    with suppress(TimeoutError):
        async with asyncio.timeout(max_wait_s):
            return await asyncio.wrap_future(future)
    return None
