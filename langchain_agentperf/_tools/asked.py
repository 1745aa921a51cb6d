"""What a runnable is asked for: the calls in its input, and the tools that they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, cast

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as make_tool
from pydantic import ValidationError

from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step
from agentperf_core.tools import ToolExecutor, ToolFailure
from langchain_agentperf._tools.bound import async_side, wrong_arguments
from langchain_agentperf._tools.prepared import prepared
from langchain_agentperf._tools.results import Result

__all__ = ["NOWHERE", "ToolCalls", "call_of", "calls_in", "refused", "tools_by_name"]


class ToolCalls:
    """How one tool is called.

    Args:
        tool: the tool.
        executor: where it runs when it is sync and awaited.
    """

    __slots__ = ("_executor", "tool")

    def __init__(self, tool: BaseTool, executor: ToolExecutor) -> None:
        self.tool = tool
        self._executor = executor

    def invoke(self, call: Mapping[str, Any], config: Any) -> Result:
        """Call it.

        Raises:
            ToolFailure: if its schema refuses the arguments.
            BaseException: what it raises.
        """
        try:
            return prepared(self.tool).invoke(cast("Any", call), config)
        except ValidationError as error:
            raise wrong_arguments(self.tool, error) or error from error.__cause__

    async def ainvoke(self, call: Mapping[str, Any], config: Any) -> Result:
        """Like `invoke`."""
        try:
            return await async_side(prepared(self.tool), self._executor)(call, config)
        except ValidationError as error:
            raise wrong_arguments(self.tool, error) or error from error.__cause__


def call_of(tool: BaseTool, given: Any) -> dict[str, Any]:
    """What a tool was asked for as LangChain's form of a call, without an id if it had none."""
    if not isinstance(given, dict):
        return {"name": tool.name, "args": {"": given}, "id": None}
    asked = cast("dict[str, Any]", given)
    if asked.get("type") == "tool_call":
        return {"name": tool.name, "args": asked["args"], "id": asked["id"]}
    return {"name": tool.name, "args": asked, "id": None}


def tools_by_name(tools: Sequence[BaseTool | Callable[..., Any]]) -> dict[str, BaseTool]:
    """Tools by name; functions become tools.

    Raises:
        ConfigError: if two have one name, or one is no tool.
    """
    found: dict[str, BaseTool] = {}
    for given in tools:
        if not isinstance(given, BaseTool) and not callable(given):  # pyright: ignore[reportUnnecessaryIsInstance] - from users
            msg = f"a tool is a LangChain tool or a function, got {given!r}; give one of these"
            raise ConfigError(msg)
        tool = given if isinstance(given, BaseTool) else make_tool(given)
        if found.setdefault(tool.name, tool) is not tool:
            msg = f"tools are called by name, got two of the name {tool.name!r}; rename one"
            raise ConfigError(msg)
    return found


def calls_in(given: Any, messages_key: str) -> Sequence[Mapping[str, Any]]:
    """The calls that are asked for, also those whose arguments could not be read.

    Args:
        given: an `AIMessage`, messages, a state with messages, or calls in LangChain's form.
        messages_key: where messages are in a state.

    Raises:
        ConfigError: if there is no `AIMessage`.
    """
    found: Any = given
    if isinstance(given, Mapping):
        state = cast("Mapping[str, Any]", given)
        found = [state] if state.get("type") == "tool_call" else state.get(messages_key)
    elif not isinstance(given, (AIMessage, list)):
        found = getattr(given, messages_key, None)
    messages = cast("list[Any]", found if isinstance(found, list) else [found])
    last: Any = messages[-1] if messages else None
    if isinstance(last, dict) and cast("dict[str, Any]", last).get("type") == "tool_call":
        return [_whole(call) for call in messages]
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            broken = [call for call in message.invalid_tool_calls if call["id"]]
            return cast("Sequence[Mapping[str, Any]]", [*message.tool_calls, *broken])
    kind = type(cast("object", given)).__name__
    msg = (
        f"the executor wants the AIMessage with the calls, got a {kind} without; "
        "give the message, a list that it ends, or a state with them"
    )
    raise ConfigError(msg)


def _whole(call: Any) -> Mapping[str, Any]:
    lacks = [name for name in ("name", "args", "id") if name not in call]
    if lacks:
        msg = f"a tool call has 'name', 'args' and 'id', got one that lacks {lacks!r}: {call!r}"
        raise ConfigError(f"{msg}; add them")
    return cast("Mapping[str, Any]", call)


def refused(call: Mapping[str, Any], names: Sequence[str]) -> Callable[[Step[Any]], Flow[NoReturn]]:
    """The way of a call with which nothing can be done; it ends before any tool."""
    name = str(call["name"])
    kind: Literal["arguments", "unknown"] = "arguments" if name in names else "unknown"
    msg = (
        f"tool {name!r} got arguments that are no JSON object"
        if name in names
        else f"there is no tool {name!r}, try one of {', '.join(names)}"
    )

    def refuse(_: Step[Any]) -> Flow[NoReturn]:
        raise ToolFailure(msg, tool=name, kind=kind, elapsed_s=0.0)

    return refuse


async def _nowhere() -> NoReturn:
    raise NotImplementedError


NOWHERE: Step[Any] = Step(lambda: None, _nowhere)
"""The step of a call that gets nowhere."""
