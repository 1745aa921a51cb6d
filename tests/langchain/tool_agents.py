"""Agents that ask for tools in one message, and every way to run them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool

from tests.langchain.scripted_models import ScriptedChat, call, say

__all__ = [
    "EVERY",
    "GO",
    "Run",
    "agent",
    "ask",
    "counted_work",
    "each_way",
    "gone_through",
    "invoke",
    "results",
    "tool_mark",
    "until",
]

GO: Any = {"messages": [HumanMessage("go")]}
Run: TypeAlias = Callable[..., list[BaseMessage]]


@tool
def look(at: int) -> str:
    """Look somewhere."""
    return f"seen {at}"


@tool
async def alook(at: int) -> str:
    """Look somewhere."""
    await asyncio.sleep(0)
    return f"seen {at}"


def asking(*named: tuple[str, dict[str, Any]]) -> AIMessage:
    """A message that asks for all of these."""
    return say("", *[call(name, f"c{n}", **arguments) for n, (name, arguments) in enumerate(named)])


def ask(*named: tuple[str, dict[str, Any]]) -> ScriptedChat:
    """A model that asks for all of these in one message, and is done when it has the results."""

    def answer(number: int, messages: list[BaseMessage]) -> AIMessage:
        return asking(*named) if isinstance(messages[-1], HumanMessage) else say("done")

    return ScriptedChat(answer=answer)


def agent(model: ScriptedChat, tools: Sequence[Any], *middleware: Any, **options: Any) -> Any:
    return create_agent(model, tools, middleware=middleware, **options)


def invoke(runner: Any, given: Any = GO, config: Any = None) -> list[BaseMessage]:
    return runner.invoke(given, config)["messages"]


def ainvoke(runner: Any, given: Any = GO, config: Any = None) -> list[BaseMessage]:
    return asyncio.run(runner.ainvoke(given, config))["messages"]


def stream(runner: Any, given: Any = GO, config: Any = None) -> list[BaseMessage]:
    return list(runner.stream(given, config, stream_mode="values"))[-1]["messages"]


def astream(runner: Any, given: Any = GO, config: Any = None) -> list[BaseMessage]:
    async def drain() -> list[Any]:
        return [state async for state in runner.astream(given, config, stream_mode="values")]

    return asyncio.run(drain())[-1]["messages"]


def gone_through(runner: Any, given: Any = GO, config: Any = None) -> list[dict[str, Any]]:
    """All events of a run, as `astream_events` gives them."""

    async def drain() -> list[Any]:
        return [event async for event in runner.astream_events(given, config, version="v2")]

    return asyncio.run(drain())


def astream_events(runner: Any, given: Any = GO, config: Any = None) -> list[BaseMessage]:
    return gone_through(runner, given, config)[-1]["data"]["output"]["messages"]


EVERY: Sequence[Run] = [invoke, ainvoke, stream, astream, astream_events]
each_way = pytest.mark.parametrize("run", EVERY, ids=lambda run: run.__name__)


def results(messages: Sequence[BaseMessage]) -> list[ToolMessage]:
    return [message for message in messages if isinstance(message, ToolMessage)]


def counted_work() -> tuple[BaseTool, list[int]]:
    """A tool, and in a list the most calls of it that ran at once."""
    running, most = [0], [0]
    lock = threading.Lock()

    @tool
    def work(at: int) -> str:
        """Work."""
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        with lock:
            running[0] -= 1
        return "done"

    return work, most


def until(holds: Callable[[], object]) -> None:
    """Let other threads go on until something holds that nobody announces.

    Bounded, since a thread that waits for ever would keep a failing test from ending; and without
    spinning, which would keep the others from running.
    """
    patience, moment = 30_000, threading.Event()
    while not holds():
        patience -= 1
        assert patience, "it never came to hold"
        moment.wait(0.001)


def tool_mark(message: BaseMessage) -> dict[str, Any]:
    """How the call of a tool message went."""
    return message.response_metadata["agentperf"]["tool"]
