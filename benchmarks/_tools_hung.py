"""Three tools of one message of which one hangs, for `tools_latency.py`.

Ours has a time-out of 0.3 s per tool. The stock ways have none, so they wait until the script lets
the tool go, after 2 s; beside them stands what each framework offers, a time-out of the whole node
or run.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import _tools_langchain as lc
import _tools_llamaindex as li
from _tools_common import Groups, Row, Who, reached, spread
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.prebuilt import ToolNode
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool

from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf import ParallelToolsMiddleware, PerfToolNode, ToolExecutor
from llamaindex_agentperf import ParallelFunctionAgent

COUNT, HANGS = 3, 1
LIMIT_S = 0.3
LET_GO_S = 2.0
GOAL_MS = 350.0
ROUNDS = 7
POLICIES = {"ask": ToolPolicy(timeout_s=LIMIT_S)}


class Hanging:
    """`ask(n)`: answers at once, but for one `n`, until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def ask(self, n: int) -> str:
        """Ask."""
        if n == HANGS:
            self.let_go.wait(LET_GO_S)
        return "answered"

    async def aask(self, n: int) -> str:
        """Ask."""
        if n == HANGS:
            await asyncio.sleep(LET_GO_S)
        return "answered"

    def langchain(self, *, is_async: bool) -> BaseTool:
        if is_async:
            return StructuredTool.from_function(coroutine=self.aask, name="ask")
        return StructuredTool.from_function(self.ask, name="ask")

    def llamaindex(self, *, is_async: bool) -> FunctionTool:
        if is_async:
            return FunctionTool.from_defaults(async_fn=self.aask, name="ask")
        return FunctionTool.from_defaults(self.ask, name="ask")


@dataclass(frozen=True)
class Way:
    """How to run the three calls, made anew for each run; `read` counts results and errors."""

    who: Who
    what: str
    make: Callable[[Hanging], Callable[[], Awaitable[Any]]]
    read: Callable[[Any], tuple[int, int]] = lc.results_in


def langchain(*, is_async: bool) -> Sequence[Way]:
    calls = lc.numbered("ask", COUNT)
    message = AIMessage("", tool_calls=[*calls])  # pyright: ignore[reportArgumentType] - LangChain's own form
    drive = lc.awaited if is_async else lc.in_sync

    def node(hanging: Hanging) -> Any:
        return drive(lc.graph_with(ToolNode([hanging.langchain(is_async=is_async)]), calls))

    def limited(hanging: Hanging) -> Any:
        made: Any = ToolNode([hanging.langchain(is_async=is_async)])
        return drive(lc.graph_with(made, calls, timeout=LIMIT_S))

    def agent(hanging: Hanging) -> Any:
        return drive(lc.agent_with([hanging.langchain(is_async=is_async)], calls))

    def perf_node(hanging: Hanging) -> Any:
        made = PerfToolNode([hanging.langchain(is_async=is_async)], policies=POLICIES)
        return drive(lc.graph_with(made, calls))

    def parallel(hanging: Hanging) -> Any:
        middleware = ParallelToolsMiddleware(policies=POLICIES)
        return drive(lc.agent_with([hanging.langchain(is_async=is_async)], calls, [middleware]))

    def runnable(hanging: Hanging) -> Any:
        made = ToolExecutor([hanging.langchain(is_async=is_async)], policies=POLICIES)
        return drive((made, message))

    return (
        Way("stock", "ToolNode in a graph", node),
        Way("stock", "ToolNode in a graph, timeout= of the node", limited),
        Way("stock", "create_agent", agent),
        Way("ours", "ToolExecutor, the runnable", runnable),
        Way("ours", "PerfToolNode in a graph", perf_node),
        Way("ours", "create_agent, ParallelToolsMiddleware", parallel),
    )


def llamaindex(*, is_async: bool) -> Sequence[Way]:
    calls = li.numbered("ask", COUNT)

    def way(who: Who, what: str, kind: Any, **options: Any) -> Way:
        def make(hanging: Hanging) -> Any:
            return li.agent_run(kind, [hanging.llamaindex(is_async=is_async)], calls, **options)

        return Way(who, what, make, li.results_in)

    return (
        way("stock", "FunctionAgent", FunctionAgent),
        way("stock", "FunctionAgent, timeout= of the run", FunctionAgent, timeout=LIMIT_S),
        way("ours", "ParallelFunctionAgent", ParallelFunctionAgent, policies=POLICIES),
    )


async def tried(way: Way) -> Row:
    taken: list[float] = []
    ended = ""
    results = errors = 0
    for _ in range(ROUNDS if way.who == "ours" else 1):
        hanging = Hanging()
        run = way.make(hanging)
        start = time.perf_counter()
        try:
            results, errors = way.read(await run())
            ended = "it went on"
        except Exception as error:  # whatever the framework makes of it
            results, errors, ended = 0, 0, f"the run fails: {type(error).__name__}"
        taken.append(time.perf_counter() - start)
        hanging.let_go.set()
    if taken[0] > LET_GO_S:
        ended = "it hung until it was let go"
    right = way.who != "ours" or (results, errors) == (COUNT - 1, 1)
    values = [second * 1e3 for second in taken] if right else [float("inf")]
    return {
        "who": way.who,
        "what": way.what,
        **spread(taken, 1e3, "ms"),
        "results": results,
        "errors": errors,
        "run": ended,
        **reached(GOAL_MS if way.who == "ours" else None, values, "ms"),
    }


async def measured() -> Groups:
    groups = {
        "LangChain, sync": langchain(is_async=False),
        "LangChain, async": langchain(is_async=True),
        "LlamaIndex, sync tools": llamaindex(is_async=False),
        "LlamaIndex, async tools": llamaindex(is_async=True),
    }
    return {name: [await tried(way) for way in ways] for name, ways in groups.items()}


def figures() -> Groups:
    return asyncio.run(measured())
