"""How a wrapped tool is run under an executor: a sync function never in the loop's own threads.

LlamaIndex gives a sync function of an async run to the default executor of the event loop, which
has a few threads (six on two cores) that everything in the process shares.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from llama_index.core.tools import AsyncBaseTool, FunctionTool, ToolOutput
from llama_index.core.tools.types import BaseToolAsyncAdapter

from agentperf_core.flow import Step
from agentperf_core.tools import ToolExecutor, ToolFailure
from llamaindex_agentperf.tools._arguments import Arguments
from llamaindex_agentperf.tools._functions import made_here

__all__ = ["Running"]

Acall = Callable[..., Awaitable[Any]]


def _bare(method: Any) -> Callable[..., Any]:
    """A method without its span; the call already has the one of the tool around it."""
    return getattr(method, "__wrapped__", method)


_CALL, _ACALL = _bare(FunctionTool.call), _bare(FunctionTool.acall)


class Running:
    """Runs one tool.

    Args:
        inner: the tool.
        executor: has the threads for a sync function.
        arguments: how its arguments are read.
    """

    def __init__(self, inner: AsyncBaseTool, executor: ToolExecutor, arguments: Arguments) -> None:
        self._name = inner.metadata.get_name()
        self._arguments = arguments
        self._call: Callable[..., ToolOutput] = inner.call
        self._acall: Acall = inner.acall
        # What makes the same calls with a span around each.
        self._alone: tuple[Callable[..., ToolOutput], Acall] = (self._call, self._acall)
        if isinstance(inner, BaseToolAsyncAdapter):
            self._acall = partial(executor.offload, inner.call)
            self._alone = self._call, self._acall
        elif isinstance(inner, FunctionTool) and _is_stock(inner, "acall"):
            tool = _off_the_loop(inner, executor)
            self._acall = partial(_ACALL, tool)
            self._alone = self._call, tool.acall
            if _is_stock(inner, "call"):
                self._call = partial(_CALL, tool)

    def step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step[ToolOutput]:
        """One call, inside the span of its wrapper; see `ToolFailure` for wrong arguments."""
        return self._step(self._call, self._acall, args, kwargs)

    def alone(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step[ToolOutput]:
        """One call with a span of its own."""
        return self._step(*self._alone, args, kwargs)

    def _step(
        self,
        call: Callable[..., ToolOutput],
        acall: Acall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Step[ToolOutput]:
        return Step(partial(self._in_thread, call), partial(self._on_loop, acall), args, kwargs)

    def _in_thread(
        self, call: Callable[..., ToolOutput], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ToolOutput:
        try:
            return call(*args, **kwargs)
        except TypeError as error:
            self._check(args, kwargs, error)
            raise

    async def _on_loop(
        self, acall: Acall, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ToolOutput:
        try:
            return await acall(*args, **kwargs)
        except TypeError as error:
            self._check(args, kwargs, error)
            raise

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any], error: TypeError) -> None:
        """Tell arguments that a function does not take from an error inside of it."""
        wrong = self._arguments.wrong(args, kwargs)
        if wrong is not None:
            msg = f"tool {self._name!r} takes {wrong}; call it with those"
            raise ToolFailure(msg, tool=self._name, kind="arguments", elapsed_s=0.0) from error


def _off_the_loop(inner: FunctionTool, executor: ToolExecutor) -> FunctionTool:
    """The tool with the executor's threads behind what LlamaIndex has made async of sync."""
    tool: FunctionTool = object.__new__(type(inner))
    vars(tool).update(vars(inner))
    for sync, async_ in (("_fn", "_async_fn"), ("_callback", "_async_callback")):
        function = vars(inner).get(async_)
        if function is not None and made_here(function):
            vars(tool)[async_] = partial(executor.offload, vars(inner)[sync])
    return tool


def _is_stock(tool: FunctionTool, method: str) -> bool:
    """Whether a method is LlamaIndex's own, and not that of a user's class."""
    return next(kind for kind in type(tool).__mro__ if method in vars(kind)) is FunctionTool
