"""Tool results that are plain texts, for tests of the tools room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agentperf_core.flow import Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolFailure, ToolJob, ToolRun
from agentperf_core.types import ToolCall

__all__ = ["RESULTS", "Pause", "Said", "job", "step"]


@dataclass(frozen=True)
class Said:
    """A result: what the tool said, and how the call went."""

    text: str
    failed: bool = False
    run: ToolRun | None = None


class Pause(Exception):  # noqa: N818 - steers the run
    """A question to a person."""


class SaidResults:
    def failed(self, result: Said) -> bool:
        return result.failed

    def passes(self, error: BaseException) -> bool:
        return isinstance(error, Pause)

    def of_failure(self, call: ToolCall, failure: ToolFailure) -> Said:
        return Said(str(failure), failed=True)

    def of_value(self, call: ToolCall, value: Any) -> Said:
        return Said(str(value))

    def mark(self, result: Said, run: ToolRun) -> Said:
        return replace(result, run=run)


RESULTS = SaidResults()


def step(work: Callable[[], Any]) -> Step[Said]:
    """A tool that says what `work` returns."""

    def call() -> Said:
        return Said(str(work()))

    async def acall() -> Said:
        return call()

    return Step(call, acall)


def job(
    work: Callable[[], Any] = lambda: "done", policy: ToolPolicy | None = None, **options: Any
) -> ToolJob[Said]:
    name, call_id = options.pop("name", "tool"), options.pop("call_id", "1")
    call = ToolCall(call_id, name, options.pop("arguments", {}))
    return ToolJob(call=call, step=step(work), results=RESULTS, policy=policy, **options)
