"""Plans and tools with which `run_plan` of both frameworks is tested."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from agentperf_core.tools import PlannedCall

__all__ = [
    "BROKEN_OUTCOMES",
    "BROKEN_PLAN",
    "HOW",
    "MISTAKES",
    "PLAN",
    "broken",
    "cancelled",
    "meeting",
    "outcomes",
    "send",
    "writers",
]

HOW = pytest.mark.parametrize("how", ["sync", "async"])

# Of tools `get_user`, which gives a name and orders 7 and 9, `get_total` and `send`.
PLAN: list[dict[str, Any]] = [
    {"id": "mail", "tool": "send", "arguments": {"text": "${user.name} owes ${total} of $$5"}},
    {"id": "total", "tool": "get_total", "arguments": {"order_id": "$user.orders[-1]"}},
    {"id": "user", "tool": "get_user", "arguments": {"name": "Ada"}},
]

BROKEN_PLAN = [
    {"id": "a", "tool": "broken"},
    {"id": "b", "tool": "send", "arguments": {"text": "$a"}},
    {"id": "c", "tool": "pong"},
    {"id": "d", "tool": "send", "arguments": {"words": "hi"}},
    {"id": "e", "tool": "send", "arguments": {"text": "$user.nmae"}},
    {"id": "user", "tool": "get_user", "arguments": {"name": "Ada"}},
]
BROKEN_OUTCOMES = ["error", "dependency", "unknown", "arguments", "arguments", "ok"]

MISTAKES = pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"policies": {"pong": ToolPolicy()}}, r"policies must name tools, got \['pong'\]"),
        ({"executor": "mine"}, "executor must be a ToolExecutor"),
        ({"plan": "send"}, "a plan must be a list of calls"),
        ({"plan": [{"id": "a"}]}, r"lacks \['tool'\]"),
    ],
)


def outcomes(done: list[Any]) -> list[str]:
    return [one.run.outcome for one in done]


def send(text: str) -> str:
    """Send."""
    return f"sent: {text}"


def broken() -> str:
    """Break."""
    raise LookupError("no such order")


def meeting() -> tuple[list[PlannedCall], Callable[[], str]]:
    """Two calls that end only together, and their tool."""
    both = threading.Barrier(2)

    def meet() -> str:
        """Wait for the other one."""
        both.wait(timeout=20)
        return "met"

    return [PlannedCall("a", "meet"), PlannedCall("b", "meet")], meet


def writers(began: list[str]) -> tuple[list[PlannedCall], list[Any], dict[str, ToolPolicy]]:
    """Calls that must keep their order, their tools, and what is declared beside them."""

    @tool_policy(writes=["orders"])
    def change(name: str) -> str:
        """Change an order."""
        began.append(name)
        return name

    def look(name: str) -> str:
        """Look at orders."""
        began.append(name)
        return name

    plan = [
        PlannedCall("a", "change", {"name": "first"}),
        PlannedCall("b", "look", {"name": "second"}),
        PlannedCall("c", "change", {"name": "third"}),
    ]
    return plan, [change, look], {"look": ToolPolicy(reads=["orders"])}


async def cancelled(arun_plan: Callable[..., Awaitable[Any]], as_tool: Callable[..., Any]) -> bool:
    """Cancel a plan while its first call hangs; whether that call was cancelled."""
    begun, gone = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        """Hang."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return ""

    plan = [PlannedCall("a", "hang"), PlannedCall("b", "send", {"text": "$a"})]
    task = asyncio.ensure_future(arun_plan(plan, [as_tool(hang), send]))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return gone.is_set()
