"""What a call costs above the bare tool, in CPU time, for `tools_latency.py`.

The tools are async and do nothing. "Above" is the difference to what stands in "compared with", per
call: the bare tool, or the framework's own node or agent for what is put into it. Whole runs of
agents include two calls of a model that answers at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import _tools_langchain as lc
import _tools_llamaindex as li
from _prefetch import Results
from _tools_common import Arm, Groups, Row, Taken, alternate, middle, reached
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage
from langgraph.prebuilt import ToolNode
from llama_index.core.agent.workflow import FunctionAgent

from agentperf_core.flow import Step, arun
from agentperf_core.tools import ToolExecutor as CoreExecutor
from agentperf_core.tools import ToolJob
from agentperf_core.types import ToolCall
from langchain_agentperf import ParallelToolsMiddleware, PerfToolNode, ToolExecutor
from llamaindex_agentperf import ManagedTool, ParallelFunctionAgent

COUNTS = (1, 8, 64)
GOAL_US = 40
PLACES, DEFAULT = 64, 32  # calls at once: here none waits for another, but in the row that says so
ROUNDS = {1: 200, 8: 100, 64: 25}  # short samples: a long one is interrupted by other processes
NODE = "ToolNode in a graph, wrapper that does nothing"
AGENT = "create_agent, middleware that does nothing"
# Ways to run so many calls, and with what some are compared if not with the first.
Arms: TypeAlias = tuple[Sequence[Arm], Mapping[str, str]]
CORE_LOOPS = {1: 100, 8: 20, 64: 4}


async def nothing(request: Any, execute: Callable[[Any], Awaitable[Any]]) -> Any:
    return await execute(request)


class Nothing(AgentMiddleware[Any, Any, Any]):
    """What LangChain itself spends to have a middleware with tool calls."""

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        return await handler(request)


def langchain_calls(count: int) -> Arms:
    tool, calls = lc.trivial(), lc.numbered("ping", count)
    message = AIMessage("", tool_calls=[*calls])  # pyright: ignore[reportArgumentType] - LangChain's own form
    executor = ToolExecutor([tool], max_concurrency=PLACES)
    arms = [
        Arm("bare", "tool.ainvoke", li.gathered([lambda c=c: tool.ainvoke(c) for c in calls])),
        Arm("ours", "ToolExecutor, the runnable", lambda: executor.ainvoke(message)),
    ]
    if count > DEFAULT:
        few = ToolExecutor([tool], max_concurrency=DEFAULT)
        arms.append(Arm("ours", f"ToolExecutor, {DEFAULT} places", lambda: few.ainvoke(message)))
    return arms, {}


def langchain_agents(count: int) -> Arms:
    tool, calls = lc.trivial(), lc.numbered("ping", count)
    wrapped: Any = ToolNode([tool], awrap_tool_call=nothing)
    perf = PerfToolNode([tool], max_concurrency=PLACES)
    parallel = ParallelToolsMiddleware(max_concurrency=PLACES)
    node, agent = "PerfToolNode in a graph", "create_agent, ParallelToolsMiddleware"
    return [
        Arm("bare", "tool.ainvoke", li.gathered([lambda c=c: tool.ainvoke(c) for c in calls])),
        Arm("stock", "ToolNode in a graph", lc.awaited(lc.graph_with(ToolNode([tool]), calls))),
        Arm("stock", NODE, lc.awaited(lc.graph_with(wrapped, calls))),
        Arm("stock", "create_agent", lc.awaited(lc.agent_with([tool], calls))),
        Arm("stock", AGENT, lc.awaited(lc.agent_with([tool], calls, [Nothing()]))),
        Arm("ours", node, lc.awaited(lc.graph_with(perf, calls))),
        Arm("ours", agent, lc.awaited(lc.agent_with([tool], calls, [parallel]))),
    ], {node: NODE, agent: AGENT}


def llamaindex_calls(count: int) -> Arms:
    tool, calls = li.trivial(), li.numbered("ping", count)
    managed = ManagedTool(tool, executor=CoreExecutor(max_concurrency=PLACES))
    bare = li.gathered([lambda g=g: tool.acall(**g) for _, g in calls])
    ours = li.gathered([lambda g=g: managed.acall(**g) for _, g in calls])
    return [Arm("bare", "FunctionTool.acall", bare), Arm("ours", "ManagedTool.acall", ours)], {}


def llamaindex_agents(count: int) -> Arms:
    tool, calls = li.trivial(), li.numbered("ping", count)
    executor = CoreExecutor(max_concurrency=PLACES)
    bare = li.gathered([lambda g=g: tool.acall(**g) for _, g in calls])
    ours = li.agent_run(ParallelFunctionAgent, [tool], calls, executor=executor)
    return [
        Arm("bare", "FunctionTool.acall", bare),
        Arm("stock", "FunctionAgent", li.agent_run(FunctionAgent, [tool], calls)),
        Arm("ours", "ParallelFunctionAgent", ours),
    ], {"ParallelFunctionAgent": "FunctionAgent"}


async def ping(n: int) -> str:
    return "pong"


def core_calls(count: int) -> Arms:
    executor, results = CoreExecutor(max_concurrency=PLACES), Results()
    calls = [ToolCall(f"c{n}", "ping", {"n": n}) for n in range(count)]

    async def all_calls() -> Any:
        jobs: list[ToolJob[Any]] = [
            ToolJob(call=call, step=Step(str, ping, call.arguments["n"]), results=results)
            for call in calls
        ]
        return await arun(executor.call_all(jobs))

    bare = li.gathered([lambda n=n: ping(n) for n in range(count)])
    return [
        Arm("bare", "a coroutine function", bare),
        Arm("ours", "the core's ToolExecutor", all_calls),
    ], {}


MAKERS: Mapping[str, Callable[[int], Arms]] = {
    "core": core_calls,
    "LangChain": langchain_calls,
    "LlamaIndex": llamaindex_calls,
    "LangChain's agents": langchain_agents,
    "LlamaIndex's agents": llamaindex_agents,
}


def rows(
    arms: Sequence[Arm], taken: Sequence[Taken], count: int, compared: Mapping[str, str]
) -> list[Row]:
    places = {arm.what: place for place, arm in enumerate(arms)}
    found: list[Row] = []
    for arm, one in zip(arms, taken, strict=True):
        row: dict[str, Any] = {
            "who": arm.who,
            "what": arm.what,
            "whole_best_us": round(min(one.cpu) / count * 1e6, 1),
            "whole_median_us": round(middle(one.cpu) / count * 1e6, 1),
        }
        if arm.who != "bare":
            other = compared.get(arm.what, arms[0].what)
            base = taken[places[other]].cpu
            above = [(x - y) / count * 1e6 for x, y in zip(one.cpu, base, strict=True)]
            best = (min(one.cpu) - min(base)) / count * 1e6
            row |= {
                "compared_with": other,
                "above_best_us": round(best, 1),
                "above_median_us": round(middle(above), 1),
            }
            if arm.who == "ours":
                row |= reached(GOAL_US, [best, middle(above), middle(above)], "us")
        found.append(row)
    return found


async def measured() -> Groups:
    found: dict[str, Sequence[Row]] = {}
    for name, make in MAKERS.items():
        for count in COUNTS:
            arms, compared = make(count)
            loops = CORE_LOOPS[count] if make is core_calls else 1
            taken = await alternate(arms, rounds=ROUNDS[count], loops=loops, warm=True)
            group = f"{name}, {count} call{'s' if count > 1 else ''} in a message"
            found[group] = rows(arms, taken, count, compared)
    return found


def figures() -> Groups:
    return asyncio.run(measured())
