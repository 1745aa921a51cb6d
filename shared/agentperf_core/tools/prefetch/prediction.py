"""Somebody who is asked for the likely next calls: any function, or a light model."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Any, TypeAlias, cast

import orjson

from agentperf_core.accounting.deadline import clamped
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.flow import Flow, Step
from agentperf_core.tools.executor import ToolExecutor
from agentperf_core.tools.ownloop import on_own_loop
from agentperf_core.tools.prefetch.learning.runs import Called

__all__ = ["Guess", "Predictor", "Seats", "model_predictor"]

Likely: TypeAlias = Iterable[tuple[str, Mapping[str, Any]]]
Guess: TypeAlias = Callable[[Sequence[Called | str]], Likely | Awaitable[Likely]]

_JSON = JSONDecoder()
_PROMPT = """An agent works with these tools, given as JSON:
{tools}

What happened so far, the newest last:
{happened}

Which calls of these tools will it make next? Answer with a JSON list, the likeliest call first, \
such as [{{"tool": "get_order", "arguments": {{"order_id": 7}}}}]. Only take arguments that were \
mentioned above. Answer [] if you cannot tell."""
_LONGEST = 2000  # characters of one result


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """Is asked after a call for the ones that are likely next, off the path of the run.

    Attributes:
        function: gets what happened so far, calls as (tool, arguments, result) and texts of the
            user, the newest last; gives likely calls as (tool, arguments). Sync or async.
        timeout_s: seconds that it may take; then its answer is not waited for.
        max_asks: how often it is asked in one run.
        max_calls: how many of its calls are made at most, each time.
        max_concurrency: how often it is asked at once, in all runs; more are not asked.
        name: of its row in the statistics.

    Raises:
        ConfigError: if it is no function, or a number cannot mean anything.

    Example:
        >>> Predictor(function=lambda happened: [("get_order", {"order_id": 7})]).timeout_s
        2.0
    """

    function: Guess
    timeout_s: float = 2.0
    max_asks: int = 10
    max_calls: int = 3
    max_concurrency: int = 2
    name: str = "predictor"

    def __post_init__(self) -> None:
        require_positive(
            timeout_s=self.timeout_s,
            max_asks=self.max_asks,
            max_calls=self.max_calls,
            max_concurrency=self.max_concurrency,
        )
        if not callable(self.function):
            msg = f"a predictor asks a function, got {self.function!r}; give a callable"
            raise ConfigError(msg)

    def ask(
        self, happened: Sequence[Called | str], executor: ToolExecutor
    ) -> Flow[list[tuple[str, Mapping[str, Any]]]]:
        """The likely next calls.

        Raises:
            TimeoutError: if they took too long.
            Exception: what the function raised; `ConfigError` if it gave something else.
        """
        likely = yield from Step(self._ask, self._aask, happened, executor)
        return [_checked(one) for _, one in zip(range(self.max_calls), likely, strict=False)]

    def _ask(self, happened: Sequence[Called | str], executor: ToolExecutor) -> Likely:
        return on_own_loop(self._aask(happened, executor))

    async def _aask(self, happened: Sequence[Called | str], executor: ToolExecutor) -> Likely:
        function = cast("Callable[..., Any]", self.function)
        async with asyncio.timeout(clamped(self.timeout_s)):
            if _is_async(function):
                return await function(happened)
            found = await executor.offload(function, happened)
            return await found if inspect.isawaitable(found) else found


class Seats:
    """How often a predictor may be asked at once."""

    def __init__(self, most: int) -> None:
        self._free = threading.Semaphore(most)

    def enter(self) -> bool:
        """Take a seat, if there is one."""
        return self._free.acquire(blocking=False)

    def leave(self) -> None:
        """Give it back."""
        self._free.release()


def _is_async(function: Callable[..., Any]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - its own function is wanted
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _checked(one: object) -> tuple[str, Mapping[str, Any]]:
    pair = cast("Sequence[Any]", one) if isinstance(one, list | tuple) else ()
    if len(pair) != 2 or not isinstance(pair[0], str) or not isinstance(pair[1], Mapping):
        msg = f"a predictor gives (tool, arguments) pairs, got {one!r}; give such pairs"
        raise ConfigError(msg)
    return pair[0], cast("Mapping[str, Any]", pair[1])


def model_predictor(ask: Callable[[str], str | Awaitable[str]], tools: Mapping[str, Any]) -> Guess:
    """A function for `Predictor` that asks a light model.

    Args:
        ask: gives a text to a model, and its answer back; sync or async.
        tools: what the model may propose: schema of the arguments, or a description, by name.

    Example:
        >>> guess = model_predictor(
        ...     lambda prompt: '[{"tool": "get_order", "arguments": {"id": 7}}]', {"get_order": {}})
        >>> guess(["where is order 7?"])
        [('get_order', {'id': 7})]
    """
    described = orjson.dumps(dict(tools), default=str).decode()

    def guess(happened: Sequence[Called | str]) -> Likely | Awaitable[Likely]:
        lines = "\n".join(map(_told, happened))
        answer = ask(_PROMPT.format(tools=described, happened=lines))
        return _read(answer, tools) if isinstance(answer, str) else _read_later(answer, tools)

    return guess


async def _read_later(answer: Awaitable[str], tools: Mapping[str, Any]) -> Likely:
    return _read(await answer, tools)


def _read(answer: str, tools: Mapping[str, Any]) -> Likely:
    """The calls in an answer; models like to write something around it."""
    at = answer.find("[")
    try:
        found: object = _JSON.raw_decode(answer, at)[0] if at >= 0 else []
    except JSONDecodeError:
        return []
    likely: list[tuple[str, Mapping[str, Any]]] = []
    for one in cast("list[object]", found) if isinstance(found, list) else []:
        said = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        tool, arguments = said.get("tool"), said.get("arguments")
        if tool in tools and isinstance(arguments, dict):
            likely.append((str(tool), cast("dict[str, Any]", arguments)))
    return likely


def _told(event: Called | str) -> str:
    if isinstance(event, str):
        return f"user: {event[:_LONGEST]}"
    tool, arguments, result = event
    return (
        f"{tool}({orjson.dumps(arguments).decode()}) -> {orjson.dumps(result).decode()[:_LONGEST]}"
    )
