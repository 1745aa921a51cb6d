"""Running a plan by its data: each call starts when what it needs is there, and no sooner.

No layers and no polling: the end of a call starts those that waited for it.

Example:
    >>> from agentperf_core.flow import Step, run
    >>> from agentperf_core.tools import PlanTools, ToolExecutor, ToolGraph, ToolJob
    >>> class Texts:  # an adapter reads and makes the results of its framework
    ...     def failed(self, result): return result.startswith("Error")
    ...     def passes(self, error): return False
    ...     def of_failure(self, call, failure): return f"Error: {failure}"
    ...     def of_value(self, call, value): return str(value)
    ...     def mark(self, result, run): return result
    >>> def job(call):
    ...     greet = lambda: f"Hello {call.arguments['name']}"
    ...     return ToolJob(call=call, step=Step(greet, None), results=Texts())
    >>> plan = [{"id": "a", "tool": "greet", "arguments": {"name": "Ada"}},
    ...         {"id": "b", "tool": "greet", "arguments": {"name": "$a"}}]
    >>> graph, tools = ToolGraph(plan), PlanTools(job=job, results=Texts(), plain=str)
    >>> [done.result for done in run(ToolExecutor().call_plan(graph, tools))]
    ['Hello Ada', 'Hello Hello Ada']
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from agentperf_core.clock import Clock
from agentperf_core.flow import Flow, arun
from agentperf_core.tools.durations import Durations
from agentperf_core.tools.graph import ToolGraph, needed_failed, not_made
from agentperf_core.tools.jobs import Done, ToolJob, ToolResults
from agentperf_core.tools.records import ToolFailure
from agentperf_core.tools.references import MissingPathError, resolved
from agentperf_core.types import ToolCall

__all__ = ["Dataflow", "PlanTools"]

T = TypeVar("T")

_SERVED = frozenset({"ok", "substituted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTools(Generic[T]):
    """What the calls of a plan are made with; adapters make one of their framework's tools.

    Attributes:
        job: makes the job of a call, whose arguments are final.
        results: how to read and make results.
        plain: a result as the plain JSON value that references read.
    """

    job: Callable[[ToolCall], ToolJob[T]]
    results: ToolResults[T]
    plain: Callable[[T], Any]


class Makes(Protocol):
    """What makes single calls, an executor."""

    durations: Durations

    def call(self, job: ToolJob[T]) -> Flow[Done[T]]:
        """Make one call."""
        ...

    def refuse(self, call: ToolCall, results: ToolResults[T], failure: ToolFailure) -> Done[T]:
        """The error result of a call that is not made."""
        ...


class Dataflow(Generic[T]):
    """One run of a plan, on the running event loop.

    Args:
        graph: the plan.
        tools: what its calls are made with.
        makes: what makes them.
        clock: the clock of `makes`.
    """

    def __init__(self, graph: ToolGraph, tools: PlanTools[T], makes: Makes, clock: Clock) -> None:
        self._graph = graph
        self._tools = tools
        self._makes = makes
        self._missing = [len(places) for places in graph.waits_for]
        self._followers: dict[int, list[int]] = defaultdict(list)
        for place, places in enumerate(graph.waits_for):
            for other in places:
                self._followers[other].append(place)
        now = clock.monotonic()
        # The longest tail first: as if it had been asked for that much earlier. So a call with
        # little behind it comes before one of a plan that is younger by the difference.
        self._asked_at = [now - tail_s for tail_s in graph.tails_s(makes.durations)]
        self._done: dict[int, Done[T]] = {}
        self._context = copy_context()
        self._tasks: dict[int, asyncio.Task[Done[T]]] = {}
        self._values: dict[str, Any] = {}
        self._under_way = 0
        self._over = asyncio.get_running_loop().create_future()

    async def run(self) -> list[Done[T]]:
        """Make the calls.

        Raises:
            BaseException: see `ToolExecutor.call_plan`.
        """
        self._start([place for place, missing in enumerate(self._missing) if not missing])
        if self._tasks:
            try:
                await self._over
            except asyncio.CancelledError:
                await self._stop()
                raise
        for place in sorted(self._tasks):
            self._tasks[place].result()  # what steers the run is raised here
        return [self._done[place] for place in range(len(self._graph.calls))]

    async def _stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def _start(self, ready: list[int]) -> None:
        """Start calls, those that matter most first: there may be places for the first ones."""
        loop = asyncio.get_running_loop()
        self._under_way += len(ready)
        for place in sorted(ready, key=self._rank):
            # Not the context of the call that it waited for, which tools may have changed.
            task = loop.create_task(self._made(place), context=self._context.copy())
            self._tasks[place] = task
            task.add_done_callback(partial(self._ended, place))

    def _rank(self, place: int) -> tuple[float, float, int]:
        return -self._graph.priority(place), self._asked_at[place], place

    def _ended(self, place: int, task: asyncio.Task[Done[T]]) -> None:
        self._under_way -= 1
        # One that steers the run, or was cancelled, is not over: what follows it must not start.
        if not task.cancelled() and task.exception() is None and not self._over.done():
            self._done[place] = task.result()
            for follower in self._followers[place]:
                self._missing[follower] -= 1
            self._start([one for one in self._followers[place] if not self._missing[one]])
        if not self._under_way and not self._over.done():
            self._over.set_result(None)

    async def _made(self, place: int) -> Done[T]:
        call = self._graph.calls[place]
        asked = ToolCall(call.id, call.tool, call.arguments)
        failure = self._graph.failures.get(place) or self._needed_failed(place)
        if failure is None:
            made = self._job(place)
            if isinstance(made, ToolJob):
                return await arun(self._makes.call(made))
            failure = made
        return self._makes.refuse(asked, self._tools.results, failure)

    def _needed_failed(self, place: int) -> ToolFailure | None:
        calls = self._graph.calls
        for other in sorted(self._graph.needs[place]):
            outcome = self._done[other].run.outcome
            if outcome not in _SERVED:
                return needed_failed(calls[place], calls[other], outcome)
        return None

    def _job(self, place: int) -> ToolJob[T] | ToolFailure:
        call = self._graph.calls[place]
        try:
            arguments = resolved(call.arguments, self._value_of)
        except MissingPathError as error:
            return not_made(call, "arguments", str(error))
        try:
            job = self._tools.job(ToolCall(call.id, call.tool, arguments))
        except Exception as error:
            return not_made(call, "arguments", f"{type(error).__name__}: {error}")
        if job.asked_at is None:
            job.asked_at = self._asked_at[place]
        return job

    def _value_of(self, call_id: str) -> Any:
        if call_id not in self._values:
            result = self._done[self._graph.place_of(call_id)].result
            try:
                self._values[call_id] = self._tools.plain(result)
            except Exception as error:
                msg = f"the result of {call_id!r} is no plain value ({type(error).__name__})"
                raise MissingPathError(msg) from error
        return self._values[call_id]
