"""Tools that look like others and are called in another way.

ToolNode, middleware and users call the tool that they hold. A stand-in is of the tool's class, has
its fields and shares its private state; only `invoke` and `ainvoke` are its own. What runs in the
end is the tool itself, so its schema, callbacks, injected arguments and return values stay as they
are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from langchain_core.tools import BaseTool, StructuredTool, Tool
from pydantic import ValidationError

from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.tools import Done, ToolExecutor, ToolFailure
from agentperf_core.tools.inside import inside
from agentperf_core.types import ToolCall
from langchain_agentperf._tools.prepared import copied, prepared
from langchain_agentperf._tools.results import Result, passes

__all__ = [
    "Early",
    "Passage",
    "async_side",
    "needs_thread",
    "original",
    "standing_in",
    "wrong_arguments",
]

B = TypeVar("B", bound=BaseTool)
Early: TypeAlias = Callable[[ToolCall], Flow[Done[Result]] | None]

_PASSAGE, _ORIGINAL = "_agentperf_passage", "_agentperf_original"


def standing_in(
    tool: B, invoke: Callable[..., Any], ainvoke: Callable[..., Awaitable[Any]], **more: Any
) -> B:
    """A tool that looks like another one.

    Args:
        tool: the other one.
        invoke: called in place of its `invoke`.
        ainvoke: called in place of its `ainvoke`.
        **more: further attributes.
    """
    return copied(tool, invoke=invoke, ainvoke=ainvoke, **more)


def needs_thread(tool: BaseTool) -> bool:
    """Whether LangChain would run this tool in the event loop's default threads when awaited."""
    kind = type(tool)
    if "ainvoke" in tool.__dict__:
        return False
    if kind.ainvoke in {StructuredTool.ainvoke, Tool.ainvoke}:
        return getattr(tool, "coroutine", None) is None
    return (
        kind.ainvoke is BaseTool.ainvoke
        and kind.arun is BaseTool.arun
        and kind._arun is BaseTool._arun  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - what a tool overrides to be async
    )


def async_side(tool: BaseTool, executor: ToolExecutor) -> Callable[..., Awaitable[Any]]:
    """How to await a tool without the event loop's default threads, of which there are few."""
    if not needs_thread(tool):
        return tool.ainvoke

    async def threaded(*args: Any, **kwargs: Any) -> Any:
        return await executor.offload(tool.invoke, *args, **kwargs)

    return threaded


def original(tool: B) -> B:
    """The tool behind the stand-in of a passage, or the tool itself."""
    return cast("B", tool.__dict__.get(_ORIGINAL, tool))


class _Refused(ToolFailure):
    """The tool's schema refuses the arguments; LangGraph wants to tell the model by itself."""

    def __init__(self, tool: BaseTool, error: ValidationError) -> None:
        super().__init__(str(error), tool=tool.name, kind="arguments", elapsed_s=0.0)
        self.error = error


class _Asked(NamedTuple):
    tool: BaseTool
    input: Any
    config: Any
    kwargs: dict[str, Any]


# What the innermost passage was asked for; in the context, as one may be taken twice at once.
_asked: ContextVar[_Asked] = ContextVar("agentperf_tool_asked")


class Passage:
    """The way of one call to its tool, which leads through the executor.

    The tool gets its place and its time-out where ToolNode calls it in the end, inside of all
    middleware: what answers before needs neither.

    Args:
        executor: where sync tools run in async code.
        early: what was made of the call before it was asked for; `None` if nothing was.

    Attributes:
        inner: runs the tool in its place; the executor gives it.
        known: whether there is a tool of the name; middleware may put one in.
        refused: whether its schema refused the arguments.
    """

    __slots__ = ("_early", "_executor", "inner", "known", "refused")

    def __init__(self, executor: ToolExecutor, early: Early | None = None) -> None:
        self._executor = executor
        self._early = early
        self.inner: Step[Result] | None = None
        self.known = False
        self.refused = False

    def bound(self, tool: B) -> B:
        """The tool, to be called through here."""
        self.known = True
        if tool.__dict__.get(_PASSAGE) is self:
            return tool

        def invoke(input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002 - LangChain's name
            token = _asked.set(_Asked(tool, input, config, kwargs))
            try:
                return self._step().sync()
            except _Refused as refusal:
                raise self._refusal(refusal) from None
            finally:
                _asked.reset(token)

        async def ainvoke(input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002 - LangChain's name
            token = _asked.set(_Asked(tool, input, config, kwargs))
            try:
                return await self._step().async_()
            except _Refused as refusal:
                raise self._refusal(refusal) from None
            finally:
                _asked.reset(token)

        return standing_in(tool, invoke, ainvoke, **{_PASSAGE: self, _ORIGINAL: original(tool)})

    def leave(self) -> None:
        """The call has ended; else it would hold itself, and be work for the garbage collector.

        Whoever kept its tool, and calls it later, calls it without the executor.
        """
        self.inner = None

    def step(self) -> Step[Result]:
        """Runs the tool with what was asked for, without asking the executor."""
        return Step(self._run, self._arun)

    def _step(self) -> Step[Result]:
        return self.inner if self.inner is not None else self.step()

    def _claimed(self, given: Any) -> Flow[Done[Result]] | None:
        """What was made of this call early; nothing, if middleware has changed it since."""
        if self._early is None or not isinstance(given, dict):
            return None
        call = cast("dict[str, Any]", given)
        early = self._early(ToolCall(call["id"] or "", call["name"], call["args"]))
        under_way = inside()
        if early is not None and under_way is not None:
            under_way.run.reason = "begun while the model was writing"
        return early

    def _refusal(self, refusal: _Refused) -> ValidationError:
        self.refused = True
        return refusal.error

    def _run(self) -> Result:
        tool, given, config, kwargs = _asked.get()
        early = self._claimed(given)
        if early is not None:
            return run(early).result
        try:
            return prepared(tool).invoke(given, config, **kwargs)
        except ValidationError as error:
            if passes(error):
                raise
            raise _Refused(tool, error) from error

    async def _arun(self) -> Result:
        tool, given, config, kwargs = _asked.get()
        early = self._claimed(given)
        if early is not None:
            return (await arun(early)).result
        try:
            return await async_side(prepared(tool), self._executor)(given, config, **kwargs)
        except ValidationError as error:
            if passes(error):
                raise
            raise _Refused(tool, error) from error


def wrong_arguments(tool: BaseTool, error: ValidationError) -> ToolFailure | None:
    """The failure that tells a model which arguments are wrong; `None` if the error is another.

    A tool may check something of its own, such as what a service answered.
    """
    if passes(error) or error.title != getattr(tool.args_schema, "__name__", None):
        return None
    wrong = "; ".join(
        f"{'.'.join(map(str, found['loc'])) or 'value'}: {found['msg']}" for found in error.errors()
    )
    msg = f"tool {tool.name!r} got arguments that its schema refuses: {wrong}"
    return ToolFailure(msg, tool=tool.name, kind="arguments", elapsed_s=0.0)
