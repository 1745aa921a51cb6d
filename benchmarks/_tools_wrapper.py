"""A sync-only `wrap_tool_call` in an async run, for `tools_latency.py`.

A ticker on the same loop notes the longest time between two ticks, less its own pause of 1 ms. How
long the loop's thread computed meanwhile tells a loop that stood still for its own work from one
that the machine did not run; "bare" is a loop with nothing to do, and shows the machine alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import _tools_langchain as lc
from _tools_common import Arm, Groups, Row, Who, alternate, middle, reached, spread, walls
from langchain.agents.middleware import AgentMiddleware
from langgraph.prebuilt import ToolNode

from langchain_agentperf import ParallelToolsMiddleware, PerfToolNode

COUNT = 8
WAIT_S = 0.1
PAUSE_S = 0.001
TOTAL_MS, STALL_MS = 125.0, 5.0
ROUNDS = 15


def sync_only(request: Any, execute: Callable[[Any], Any]) -> Any:
    """What a user writes who thinks of sync runs."""
    return execute(request)


async def async_one(request: Any, execute: Callable[[Any], Awaitable[Any]]) -> Any:
    """The same for async runs."""
    return await execute(request)


class SyncOnly(AgentMiddleware[Any, Any, Any]):
    """The same as a middleware of an agent."""

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(request)


class Ticking:
    """Runs something beside a ticker, and notes its longest stall each time."""

    def __init__(self, run: Callable[[], Awaitable[Any]]) -> None:
        self._run = run
        self.stalls: list[float] = []
        self.computed: list[float] = []

    async def __call__(self) -> None:
        gaps: list[tuple[float, float]] = []
        ticker = asyncio.create_task(tick(gaps))
        await asyncio.sleep(2 * PAUSE_S)
        await self._run()
        # If the loop stood still until now, the ticker says so at its next tick.
        await asyncio.sleep(2 * PAUSE_S)
        ticker.cancel()
        self.stalls.append(max(wall for wall, _ in gaps) - PAUSE_S)
        self.computed.append(max(cpu for _, cpu in gaps))


async def tick(gaps: list[tuple[float, float]]) -> None:
    last = time.perf_counter(), time.thread_time()
    while True:
        await asyncio.sleep(PAUSE_S)
        now = time.perf_counter(), time.thread_time()
        gaps.append((now[0] - last[0], now[1] - last[1]))
        last = now


async def nothing() -> None:
    await asyncio.sleep(WAIT_S)


def runs(*, is_async: bool) -> Sequence[tuple[Who, str, Callable[[], Awaitable[Any]]]]:
    tool, calls = lc.sleeping(WAIT_S, is_async=is_async), lc.numbered("wait", COUNT)

    def node(made: Any) -> Callable[[], Awaitable[Any]]:
        return lc.awaited(lc.graph_with(made, calls))

    ours = node(PerfToolNode([tool], wrap_tool_call=sync_only))
    if is_async:  # ToolNode would call the sync side, which such a tool has not
        right = node(ToolNode([tool], awrap_tool_call=async_one))
        return (
            ("bare", "a loop with nothing to do", nothing),
            ("stock", "ToolNode, an async wrapper", right),
            ("ours", "PerfToolNode, the sync wrapper", ours),
        )
    return (
        ("bare", "a loop with nothing to do", nothing),
        ("stock", "ToolNode, the sync wrapper", node(ToolNode([tool], wrap_tool_call=sync_only))),
        ("ours", "PerfToolNode, the sync wrapper", ours),
    )


async def beside_a_ticker(*, is_async: bool) -> Groups:
    found = runs(is_async=is_async)
    tickings = [Ticking(run) for _, _, run in found]
    arms = [
        Arm(who, what, ticking, TOTAL_MS if who == "ours" else None)
        for (who, what, _), ticking in zip(found, tickings, strict=True)
    ]
    whole = walls(arms, await alternate(arms, rounds=ROUNDS))
    stalls = [stalled(arm, ticking) for arm, ticking in zip(arms, tickings, strict=True)]
    name = f"{COUNT} {'async' if is_async else 'sync'} tools"
    return {f"{name}, whole run": whole, f"{name}, longest stall of the loop": stalls}


def stalled(arm: Arm, ticking: Ticking) -> Row:
    goal = STALL_MS if arm.who == "ours" else None
    return {
        "who": arm.who,
        "what": arm.what,
        **spread(ticking.stalls, 1e3, "ms"),
        "computed_ms": round(middle(ticking.computed) * 1e3, 1),
        **reached(goal, [stall * 1e3 for stall in ticking.stalls], "ms"),
    }


async def as_middleware() -> Sequence[Row]:
    """An agent cannot be awaited with it; what ours does about that."""
    tool, calls = lc.sleeping(WAIT_S), lc.numbered("wait", COUNT)
    arms = (
        ("stock", "create_agent, sync-only middleware", [SyncOnly()]),
        (
            "ours",
            "the same behind ParallelToolsMiddleware",
            [ParallelToolsMiddleware(), SyncOnly()],
        ),
    )
    found: list[Row] = []
    for who, what, middleware in arms:
        try:
            state = await lc.awaited(lc.agent_with([tool], calls, middleware))()
            ended = "{} results, {} errors".format(*lc.results_in(state))
        except NotImplementedError as error:
            ended = type(error).__name__
        found.append({"who": who, "what": what, "ended": ended})
    return found


async def measured() -> Groups:
    return {
        **await beside_a_ticker(is_async=False),
        **await beside_a_ticker(is_async=True),
        "as a middleware of an agent": await as_middleware(),
    }


def figures() -> Groups:
    return asyncio.run(measured())
