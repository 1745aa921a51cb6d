"""One protocol for everything that makes a text shorter, and the wrapper for plain callables."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from agentperf_core.context.compress._checks import checked_list
from agentperf_core.context.compress.records import Reduced, Task
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step

__all__ = ["Function", "JointStrategy", "Strategy", "as_strategies", "as_strategy", "computed"]

T = TypeVar("T")

_LONG = 4_000  # characters that take 10 ms or more, which would hold an event loop up


@runtime_checkable
class Strategy(Protocol):
    """Makes a text shorter, with a target and perhaps a query, and says what it left out.

    A flow, so that it is written once for sync and async callers. It returns the text as it is
    where it has nothing to do; what it raises costs the caller nothing but the saving.
    """

    @property
    def name(self) -> str:
        """How it is called in results and reports."""
        ...

    def compress(self, task: Task) -> Flow[Reduced]:
        """The shorter text, as near to `task.tokens` as it can come from above or below."""
        ...


@runtime_checkable
class JointStrategy(Protocol):
    """A strategy that can weigh several texts against one another, and give each its share."""

    def compress_all(self, tasks: Sequence[Task], tokens: int) -> Flow[list[Reduced]]:
        """One result per task, which cost `tokens` together; an empty text for what is left out."""
        ...


class Function:
    """Any callable as a strategy.

    Args:
        function: called with the text, the tokens that it may cost, and the query; returns the
            shorter text. A coroutine function serves async callers only.
        name: how it is called in results; default its own name.

    Raises:
        ConfigError: if it cannot be called.

    Example:
        >>> from agentperf_core.accounting.tokens import TokenCounter
        >>> from agentperf_core.flow import run
        >>> first = Function(lambda text, tokens, query: text.split(".")[0] + ".", name="first")
        >>> run(first.compress(Task(text="One. Two.", tokens=1, counter=TokenCounter()))).text
        'One.'
    """

    def __init__(self, function: Callable[[str, int, str], Any], *, name: str = "") -> None:
        if not callable(function):  # None would fail at the first text, and cost its saving
            msg = (
                f"a compressor is a function of text, tokens and query, got {function!r}; give one"
            )
            raise ConfigError(msg)
        self._function = function
        self._name = name or getattr(function, "__name__", type(function).__name__)

    @property
    def name(self) -> str:
        """How it is called in results."""
        return self._name

    def compress(self, task: Task) -> Flow[Reduced]:
        """What the function makes of it."""
        text: Any = yield from Step(self._call, self._acall, task)
        if not isinstance(text, str):
            msg = f"a compressor returns the shorter text, got {type(text).__name__!r}"
            raise TypeError(msg)
        return Reduced(text)

    def _call(self, task: Task) -> Any:
        found = self._function(task.text, task.tokens, task.query)
        if inspect.iscoroutine(found):
            found.close()
            msg = f"compressor {self._name!r} is async; use acompress()"
            raise TypeError(msg)
        return found

    async def _acall(self, task: Task) -> Any:
        if inspect.iscoroutinefunction(self._function):
            return await cast("Awaitable[str]", self._function(task.text, task.tokens, task.query))
        # Nobody knows how long a stranger's function takes.
        found = await asyncio.to_thread(self._function, task.text, task.tokens, task.query)
        return await found if inspect.isawaitable(found) else found


def as_strategy(given: Strategy | Callable[[str, int, str], Any]) -> Strategy:
    """A strategy as it is, any other callable in a `Function`.

    Raises:
        ConfigError: if it is neither.
    """
    if isinstance(given, Strategy) and not inspect.isclass(given):
        return given
    if callable(given) and not inspect.isclass(given):
        return Function(given)
    msg = (
        f"a strategy has compress(task) or is a function of text, tokens and query, got {given!r}; "
        "write for instance Extractive()"
    )
    raise ConfigError(msg)


def as_strategies(given: Iterable[Strategy | Callable[[str, int, str], Any]]) -> list[Strategy]:
    """The strategies of a list, functions in their wrapper.

    Raises:
        ConfigError: if it is no list, is empty, or holds something else.
    """
    found = [as_strategy(one) for one in checked_list(given, "strategies are a list")]
    if not found:
        msg = f"a compressor needs a strategy, got {given!r}; leave it out for the usual"
        raise ConfigError(msg)
    return found


def computed(function: Callable[..., T], size: int, *args: Any) -> Step[T]:
    """A step of pure computation, which leaves the event loop for a thread where it is long.

    Args:
        function: what to compute.
        size: characters that it works on.
        *args: its arguments.
    """

    async def aside(*given: Any) -> T:
        if size > _LONG:
            return await asyncio.to_thread(function, *given)
        return function(*given)

    return Step(function, aside, *args)
