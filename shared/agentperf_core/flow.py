"""Flows: I/O logic written once, driven sync or async.

A flow is a generator that yields `Step`s and receives their results. `run()` drives it with the
step's sync callable, `arun()` with its async one. An exception of a step is thrown back into the
flow, so `try`/`except`/`finally` inside it works in both worlds. The pattern is the one of
`httpx.Auth.auth_flow`; a step costs about a microsecond, a model call costs 10^5 times that.

Example:
    >>> from collections.abc import Callable
    >>> def double(load: Step[int]) -> Flow[int]:
    ...     value = yield from load
    ...     return 2 * value
    >>> async def load_async() -> int:
    ...     return 21
    >>> run(double(Step(lambda: 21, load_async)))
    42
    >>> import asyncio
    >>> asyncio.run(arun(double(Step(lambda: 21, load_async))))
    42
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

__all__ = ["Flow", "Step", "arun", "both", "run"]

P = ParamSpec("P")
T = TypeVar("T")


class Step(Generic[T]):
    """One piece of I/O: what to call from sync code, what to await from async code.

    `yield from step` inside a flow gives the result with its type. Not a frozen dataclass: building
    one would cost more than driving it.

    Args:
        sync: called with `args` by `run()`.
        async_: called with `args` and awaited by `arun()`.
        *args: passed to whichever is used.
    """

    __slots__ = ("args", "async_", "sync")

    def __init__(
        self, sync: Callable[..., T], async_: Callable[..., Awaitable[T]], *args: Any
    ) -> None:
        self.sync = sync
        self.async_ = async_
        self.args = args

    def __iter__(self) -> Generator[Step[Any], Any, T]:
        return (yield self)


Flow: TypeAlias = Generator[Step[Any], Any, T]


def run(flow: Flow[T]) -> T:
    """Drive a flow with the sync side of its steps and return the flow's result."""
    try:
        step = next(flow)
        while True:
            try:
                result = step.sync(*step.args)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as stop:
        return stop.value


async def arun(flow: Flow[T]) -> T:
    """Drive a flow with the async side of its steps; a cancellation is thrown into the flow too."""
    try:
        step = next(flow)
        while True:
            try:
                result = await step.async_(*step.args)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as stop:
        return stop.value


def both(
    make: Callable[P, Flow[T]],
) -> tuple[Callable[P, T], Callable[P, Coroutine[Any, Any, T]]]:
    """The sync and the async function of a function that makes a flow, with its signature.

    The async one has the name of the sync one behind an `a`; an underscore before the name of the
    function is left out, so that a class can do this with its methods.

    Example:
        >>> import asyncio
        >>> def answer(word: str) -> Flow[str]:
        ...     return (yield from Step(word.upper, asyncio.sleep))
        >>> shout, ashout = both(answer)
        >>> shout("hi"), ashout.__name__
        ('HI', 'aanswer')
    """

    @wraps(make)
    def sync(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(make(*args, **kwargs))

    @wraps(make)
    async def async_(*args: P.args, **kwargs: P.kwargs) -> T:
        return await arun(make(*args, **kwargs))

    name = make.__name__.removeprefix("_")
    sync.__name__ = sync.__qualname__ = name
    async_.__name__ = async_.__qualname__ = f"a{name}"
    async_.__doc__ = f"Like `{name}`, awaited."
    return sync, async_
