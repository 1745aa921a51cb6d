"""What tests of plans share: tools that wait in virtual time, and random plans."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import strategies as st

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.flow import Step, arun
from agentperf_core.telemetry import Span
from agentperf_core.testing import VirtualTime
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import (
    Done,
    PlannedCall,
    PlanTools,
    ToolExecutor,
    ToolFailure,
    ToolGraph,
    ToolJob,
    ToolRun,
)
from agentperf_core.types import ToolCall

__all__ = ["Answers", "Bench", "answers_of", "drawn_plans", "outcomes_of"]


class Answers:
    """Results are dictionaries; one with an `error` says that its tool failed."""

    def failed(self, result: dict[str, Any]) -> bool:
        return "error" in result

    def passes(self, error: BaseException) -> bool:
        """An `InterruptedError` steers the run, as a question to a person does."""
        return isinstance(error, InterruptedError)

    def of_failure(self, call: ToolCall, failure: ToolFailure) -> dict[str, Any]:
        return {"error": str(failure), "kind": failure.kind}

    def of_value(self, call: ToolCall, value: Any) -> dict[str, Any]:
        return {"value": value}

    def mark(self, result: dict[str, Any], run: ToolRun) -> dict[str, Any]:
        return result


Answer = dict[str, Any]
Tool = Callable[..., Any]


@dataclass
class Bench:
    """Tools by name, and a log of what happened to them: `("start", id)` and `("end", id)`.

    A tool is a function, a coroutine function, or a number of seconds to wait.
    """

    tools: Mapping[str, Tool | float]
    policies: Mapping[str, ToolPolicy] = field(default_factory=dict[str, ToolPolicy])
    log: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    times: list[float] = field(default_factory=list[float])
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    clock: Clock = SYSTEM_CLOCK

    def job(self, call: ToolCall) -> ToolJob[Answer]:
        return ToolJob(
            call=call,
            step=Step(partial(self._call, call), partial(self._acall, call)),
            results=Answers(),
            policy=self.policies.get(call.name),
        )

    def plan_tools(self) -> PlanTools[Answer]:
        return PlanTools(job=self.job, results=Answers(), plain=lambda result: result["value"])

    def graph(self, plan: Sequence[Any]) -> ToolGraph:
        return ToolGraph(plan, tools=self.tools, policies=self.policies)

    def note(self, what: str, call: ToolCall) -> None:
        self.log.append((what, call.id))
        self.times.append(self.clock.monotonic())

    def at(self, what: str, call_id: str) -> float:
        return self.times[self.log.index((what, call_id))]

    def place(self, what: str, call_id: str) -> int:
        return self.log.index((what, call_id))

    def _call(self, call: ToolCall) -> Answer:
        tool = self.tools[call.name]
        assert callable(tool)
        self.note("start", call)
        self.arguments[call.id] = call.arguments
        try:
            return {"value": tool(**call.arguments)}
        finally:
            self.note("end", call)

    async def _acall(self, call: ToolCall) -> Answer:
        tool = self.tools[call.name]
        self.note("start", call)
        self.arguments[call.id] = call.arguments
        try:
            if not callable(tool):
                await asyncio.sleep(tool)
                return {"value": call.id}
            made = tool(**call.arguments)
            return {"value": await made if asyncio.iscoroutine(made) else made}
        finally:
            self.note("end", call)

    def virtually(
        self, plan: Sequence[Any], *, places: int = 32, spans: Sequence[Span] = ()
    ) -> list[Done[Answer]]:
        """Run a plan in virtual time, with what is known from spans."""
        time = VirtualTime()
        self.clock = time
        executor = ToolExecutor(max_concurrency=places, clock=time)
        executor.durations.learn_spans(spans)
        return time.run(arun(executor.call_plan(self.graph(plan), self.plan_tools())))

    def in_layers(self, plan: Sequence[Any], *, places: int = 32) -> None:
        """Run a plan group by group, with a barrier after each."""
        time = VirtualTime()
        self.clock = time
        executor = ToolExecutor(max_concurrency=places, clock=time)

        async def work() -> None:
            for group in self.graph(plan).groups():
                calls = [ToolCall(call.id, call.tool, {}) for call in group]
                await arun(executor.call_all([self.job(call) for call in calls]))

        time.run(work())

    @property
    def makespan_s(self) -> float:
        """When the last call had ended."""
        return max(self.times, default=0.0)


def answers_of(done: Sequence[Done[Answer]]) -> list[Any]:
    return [one.result.get("value") for one in done]


def outcomes_of(done: Sequence[Done[Answer]]) -> list[str]:
    return [one.run.outcome for one in done]


@st.composite
def drawn_plans(draw: st.DrawFn, max_calls: int = 12) -> tuple[list[PlannedCall], list[float]]:
    """A plan without mistakes in any order of its calls, and how long each call takes."""
    size = draw(st.integers(1, max_calls))
    seconds = draw(
        st.lists(st.sampled_from([0.0, 1, 2, 3, 5, 8, 13]), min_size=size, max_size=size)
    )
    order = draw(st.permutations(range(size)))
    calls: dict[int, PlannedCall] = {}
    for rank, place in enumerate(order):
        earlier = [str(one) for one in order[:rank]]
        needed = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if rank else []
        named = draw(st.integers(0, len(needed)))
        arguments = {f"x{one}": f"${one}" for one in needed[named:]}
        calls[place] = PlannedCall(str(place), f"t{place}", arguments, needed[:named])
    return [calls[place] for place in range(size)], seconds
