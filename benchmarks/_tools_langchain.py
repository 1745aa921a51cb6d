"""LangChain's ways to run the tool calls of one message, for `tools_latency.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from _models import Scripted
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.graph import START, MessagesState, StateGraph

Call: TypeAlias = dict[str, Any]
Run: TypeAlias = Callable[[], Awaitable[Any]]


def calls_of(name: str, arguments: Sequence[Mapping[str, Any]]) -> list[Call]:
    return [
        {"name": name, "args": dict(given), "id": f"c{place}", "type": "tool_call"}
        for place, given in enumerate(arguments)
    ]


def numbered(name: str, count: int) -> list[Call]:
    """So many calls that differ in one argument."""
    return calls_of(name, [{"n": number} for number in range(count)])


def asks(calls: Sequence[Call]) -> Callable[[Sequence[BaseMessage]], AIMessage]:
    """A model's answers: first the calls, and once there are results, nothing more."""

    def answer(messages: Sequence[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage("done")
        return AIMessage("", tool_calls=[*calls])  # pyright: ignore[reportArgumentType] - LangChain's own form

    return answer


def trivial() -> BaseTool:
    """An async tool that does nothing."""

    @tool
    async def ping(n: int) -> str:
        """Ping."""
        return "pong"

    return ping


def sleeping(seconds: float, *, is_async: bool = False) -> BaseTool:
    """A tool that waits, as for an answer from the network."""

    async def await_it(n: int) -> str:
        """Wait."""
        await asyncio.sleep(seconds)
        return "waited"

    def wait(n: int) -> str:
        """Wait."""
        time.sleep(seconds)
        return "waited"

    if is_async:
        return StructuredTool.from_function(coroutine=await_it, name="wait")
    return StructuredTool.from_function(wait, name="wait")


def graph_with(node: Any, calls: Sequence[Call], **node_options: Any) -> tuple[Any, Any]:
    """A graph of one node, and the state to begin it with."""
    builder: Any = StateGraph(MessagesState)
    builder.add_node("tools", node, **node_options).add_edge(START, "tools")
    message: Any = AIMessage("", tool_calls=[*calls])  # pyright: ignore[reportArgumentType] - same
    return builder.compile(), {"messages": [message]}


def agent_with(
    tools: Sequence[Any], calls: Sequence[Call], middleware: Sequence[Any] = (), **options: Any
) -> tuple[Any, Any]:
    """An agent whose model asks for the calls, and the state to begin it with."""
    agent: Any = create_agent(Scripted(asks(calls)), [*tools], middleware=[*middleware], **options)
    return agent, {"messages": [("user", "go")]}


def awaited(made: tuple[Any, Any]) -> Run:
    runnable, state = made
    return lambda: runnable.ainvoke(state)


def in_sync(made: tuple[Any, Any], config: Any = None) -> Run:
    """The same run from sync code: it has the thread, and its loop, for itself."""
    runnable, state = made

    async def run() -> Any:
        return runnable.invoke(state, config)

    return run


def results_in(state: Any) -> tuple[int, int]:
    """How many results and how many errors of tools there are."""
    messages = state["messages"] if isinstance(state, dict) else state
    tools = [message for message in messages if isinstance(message, ToolMessage)]
    errors = sum(message.status == "error" for message in tools)
    return len(tools) - errors, errors
