"""A hundred identical calls at the same time, counted, for `tools_latency.py`.

The tool is declared read-only. It takes 0.3 s, so that all callers are there before it answers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import _tools_langchain as lc
import _tools_llamaindex as li
from _cache_common import HELD_S, at_once
from _tools_common import Groups, Row, Who, counted
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.prebuilt import ToolNode
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool

from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf import ParallelToolsMiddleware, PerfToolNode, ToolExecutor, cached_tool
from llamaindex_agentperf import ManagedTool, ParallelFunctionAgent

CALLERS = 100
READ = ToolPolicy(read_only=True)
KEPT = ToolPolicy(read_only=True, ttl_s=300)


class Counted:
    """`look(n)`, which counts how often it runs."""

    def __init__(self) -> None:
        self.ran = 0
        self._lock = threading.Lock()

    def look(self, n: int) -> str:
        """Look."""
        with self._lock:
            self.ran += 1
        time.sleep(HELD_S)
        return "seen"

    async def alook(self, n: int) -> str:
        """Look."""
        self.ran += 1
        await asyncio.sleep(HELD_S)
        return "seen"

    def langchain(self) -> BaseTool:
        return StructuredTool.from_function(self.look, coroutine=self.alook, name="look")

    def llamaindex(self) -> FunctionTool:
        return FunctionTool.from_defaults(self.look, async_fn=self.alook, name="look")


Ask = Callable[[], Any]


def of_callers(make: Callable[[Counted], tuple[Ask, Callable[[], Awaitable[Any]]]]) -> Row:
    """Executions if so many threads, and if so many tasks, call the same tool."""
    found: dict[str, int] = {}
    for name, is_async in (("threads", False), ("tasks", True)):
        tool = Counted()
        sync, awaiting = make(tool)
        at_once(awaiting if is_async else sync, CALLERS, is_async=is_async)
        found[name] = tool.ran
    return found


def callers() -> list[Row]:
    def langchain(tool: Any) -> Any:
        return lambda: tool.invoke({"n": 1}), lambda: tool.ainvoke({"n": 1})

    def llamaindex(tool: Any) -> Any:
        return lambda: tool.call(n=1), lambda: tool.acall(n=1)

    return [
        row("stock", "LangChain tool", of_callers(lambda one: langchain(one.langchain()))),
        row(
            "ours",
            "cached_tool",
            of_callers(lambda one: langchain(cached_tool(one.langchain(), policy=KEPT))),
        ),
        row("stock", "FunctionTool", of_callers(lambda one: llamaindex(one.llamaindex()))),
        row(
            "ours",
            "ManagedTool",
            of_callers(lambda one: llamaindex(ManagedTool(one.llamaindex(), policy=KEPT))),
        ),
    ]


def of_message(make: Callable[[Counted], tuple[Any, Any]]) -> Row:
    """Executions if one message asks for so many."""
    found: dict[str, int] = {}
    for name, drive in (("sync_run", lc.in_sync), ("async_run", lc.awaited)):
        tool = Counted()
        asyncio.run(awaited(drive(make(tool))))
        found[name] = tool.ran
    return found


async def awaited(run: Callable[[], Awaitable[Any]]) -> Any:
    return await run()


def messages() -> list[Row]:
    calls = lc.calls_of("look", [{"n": 1}] * CALLERS)
    message = AIMessage("", tool_calls=[*calls])  # pyright: ignore[reportArgumentType] - LangChain's own form
    policies = {"look": READ}

    def parallel(one: Counted) -> Any:
        return lc.agent_with([one.langchain()], calls, [ParallelToolsMiddleware(policies=policies)])

    def node(one: Counted) -> Any:
        return lc.graph_with(PerfToolNode([one.langchain()], policies=policies), calls)

    return [
        row(
            "stock",
            "ToolNode",
            of_message(lambda o: lc.graph_with(ToolNode([o.langchain()]), calls)),
        ),
        row("stock", "create_agent", of_message(lambda o: lc.agent_with([o.langchain()], calls))),
        row(
            "ours",
            "ToolExecutor, the runnable",
            of_message(lambda o: (ToolExecutor([o.langchain()], policies=policies), message)),
        ),
        row("ours", "PerfToolNode", of_message(node)),
        row("ours", "create_agent, ParallelToolsMiddleware", of_message(parallel)),
        row("stock", "FunctionAgent", {"async_run": of_agent(FunctionAgent)}),
        row(
            "ours",
            "ParallelFunctionAgent",
            {"async_run": of_agent(ParallelFunctionAgent, policies=policies)},
        ),
    ]


def of_agent(kind: Any, **options: Any) -> int:
    tool = Counted()
    run = li.agent_run(kind, [tool.llamaindex()], [("look", {"n": 1})] * CALLERS, **options)
    asyncio.run(awaited(run))
    return tool.ran


def row(who: Who, what: str, ran: Row) -> Row:
    goal = counted(1, max(ran.values())) if who == "ours" else {}
    return {"who": who, "what": what, **ran, **goal}


def figures() -> Groups:
    return {
        f"executions for {CALLERS} callers of one tool": callers(),
        f"executions for {CALLERS} equal calls in one message": messages(),
    }
