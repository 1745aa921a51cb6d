"""What tests of the executor share: jobs of plain functions, with texts as results."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentperf_core.flow import Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor, ToolFailure, ToolJob, ToolRun
from agentperf_core.types import ToolCall

__all__ = ["Pause", "Texts", "async_job", "job", "sync_job", "thread_name", "until"]


class Pause(Exception):  # noqa: N818 - as LangGraph calls such a signal
    """Steers the run; no failure."""


@dataclass
class Texts:
    """Results are texts; those that begin with "error:" say that the tool failed."""

    runs: list[ToolRun] = field(default_factory=list)

    def failed(self, result: str) -> bool:
        return result.startswith("error:")

    def passes(self, error: BaseException) -> bool:
        return isinstance(error, Pause)

    def of_failure(self, call: ToolCall, failure: ToolFailure) -> str:
        return f"error: {failure}"

    def of_value(self, call: ToolCall, value: Any) -> str:
        return str(value)

    def mark(self, result: str, run: ToolRun) -> str:
        self.runs.append(run)
        return result


def job(
    step: Step[str],
    *,
    tool: str = "tool",
    call_id: str = "c",
    arguments: Mapping[str, Any] | None = None,
    **fields: Any,
) -> ToolJob[str]:
    """A job of any step."""
    call = ToolCall(call_id, tool, arguments or {})
    return ToolJob(call=call, step=step, results=Texts(), **fields)


def sync_job(
    executor: ToolExecutor, function: Callable[[], str], policy: ToolPolicy | None = None, **f: Any
) -> ToolJob[str]:
    """A job of a sync function, which async callers off-load as adapters do."""

    async def off() -> str:
        return await executor.offload(function)

    return job(Step(function, off), policy=policy, **f)


def async_job(
    function: Callable[[], Awaitable[str]], policy: ToolPolicy | None = None, **f: Any
) -> ToolJob[str]:
    """A job of a coroutine function; sync callers run it on a loop of its own."""

    async def whole() -> str:
        return await function()

    return job(Step(lambda: asyncio.run(whole()), whole), policy=policy, **f)


async def until(holds: Callable[[], object]) -> None:
    """Let the other tasks go on until something holds; the test's time-out bounds it."""
    while not holds():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0)


def thread_name() -> str:
    """Name of the thread that asks."""
    return threading.current_thread().name
