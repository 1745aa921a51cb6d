"""Sync tools that wait 100 ms each, all of one message, for `tools_latency.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import _tools_langchain as lc
import _tools_llamaindex as li
from _tools_common import Arm, Groups, Row, alternate, walls
from langchain_core.messages import AIMessage
from langgraph.prebuilt import ToolNode
from llama_index.core.agent.workflow import FunctionAgent

from langchain_agentperf import ParallelToolsMiddleware, PerfToolNode, ToolExecutor
from llamaindex_agentperf import ParallelFunctionAgent

WAIT_S = 0.1
GOALS_MS = {8: 120.0, 32: 125.0}
ROUNDS = 11


def async_runs(count: int) -> Sequence[Arm]:
    tool, calls, goal = lc.sleeping(WAIT_S), lc.numbered("wait", count), GOALS_MS[count]
    other, asked = li.sleeping(WAIT_S), li.numbered("wait", count)
    message = AIMessage("", tool_calls=[*calls])  # pyright: ignore[reportArgumentType] - LangChain's own form
    executor = ToolExecutor([tool])
    node, perf = ToolNode([tool]), PerfToolNode([tool])
    parallel = ParallelToolsMiddleware()
    ours = "create_agent, ParallelToolsMiddleware"
    return [
        Arm("stock", "ToolNode in a graph", lc.awaited(lc.graph_with(node, calls))),
        Arm("stock", "create_agent", lc.awaited(lc.agent_with([tool], calls))),
        Arm("stock", "FunctionAgent", li.agent_run(FunctionAgent, [other], asked)),
        Arm("ours", "ToolExecutor, the runnable", lambda: executor.ainvoke(message), goal),
        Arm("ours", "PerfToolNode in a graph", lc.awaited(lc.graph_with(perf, calls)), goal),
        Arm("ours", ours, lc.awaited(lc.agent_with([tool], calls, [parallel])), goal),
        Arm(
            "ours",
            "ParallelFunctionAgent",
            li.agent_run(ParallelFunctionAgent, [other], asked),
            goal,
        ),
    ]


def sync_runs(count: int) -> Sequence[Arm]:
    """The same without an event loop: here LangGraph's own threads are the limit of agents."""
    tool, calls = lc.sleeping(WAIT_S), lc.numbered("wait", count)
    message = AIMessage("", tool_calls=[*calls])  # pyright: ignore[reportArgumentType] - same
    executor = ToolExecutor([tool])
    node, perf = ToolNode([tool]), PerfToolNode([tool])
    ours = "create_agent, ParallelToolsMiddleware"
    wide = {"max_concurrency": count}

    async def invoked() -> object:
        return executor.invoke(message)

    return [
        Arm("stock", "ToolNode in a graph", lc.in_sync(lc.graph_with(node, calls))),
        Arm("stock", "create_agent", lc.in_sync(lc.agent_with([tool], calls))),
        Arm("ours", "ToolExecutor, the runnable", invoked),
        Arm("ours", "PerfToolNode in a graph", lc.in_sync(lc.graph_with(perf, calls))),
        Arm(
            "ours",
            f"{ours}, max_concurrency={count}",
            lc.in_sync(lc.agent_with([tool], calls, [ParallelToolsMiddleware()]), wide),
        ),
        Arm(
            "stock",
            f"create_agent, max_concurrency={count}",
            lc.in_sync(lc.agent_with([tool], calls), wide),
        ),
    ]


async def measured() -> Groups:
    found: dict[str, Sequence[Row]] = {}
    for count in GOALS_MS:
        arms = async_runs(count)
        found[f"{count} tools, async run"] = walls(arms, await alternate(arms, rounds=ROUNDS))
    for count in GOALS_MS:
        arms = sync_runs(count)
        found[f"{count} tools, sync run"] = walls(arms, await alternate(arms, rounds=ROUNDS))
    return found


def figures() -> Groups:
    return asyncio.run(measured())
