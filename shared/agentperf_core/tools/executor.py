"""The executor: calls of tools, each under its policy, several at once, in call order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive
from agentperf_core.events import BUS, DecisionMade, EventBus
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.tools._pooljob import PoolJob
from agentperf_core.tools.begun import Begun, settle
from agentperf_core.tools.calling import Calling
from agentperf_core.tools.dataflow import Dataflow, PlanTools
from agentperf_core.tools.durations import Durations
from agentperf_core.tools.graph import ToolGraph
from agentperf_core.tools.inside import depth
from agentperf_core.tools.jobs import Done, ToolJob, ToolResults
from agentperf_core.tools.limits import Limits
from agentperf_core.tools.order import conflicts
from agentperf_core.tools.ownloop import on_own_loop
from agentperf_core.tools.parts import Parts
from agentperf_core.tools.records import ToolFailure, ToolRun
from agentperf_core.tools.stats import ExecutorStats, Tally
from agentperf_core.types import ToolCall

__all__ = ["ToolExecutor"]

T = TypeVar("T")


class ToolExecutor:
    """Runs tool calls: as many at once as may be, each as its policy says.

    A call that fails or takes too long becomes an error result and costs its siblings nothing.
    Results come in the order of the calls. Sync tools run in threads of the executor's own, with
    their caller's context variables; async tools run on the caller's loop. One executor may serve
    all agents of an application, from threads and event loops at once.

    Args:
        max_concurrency: calls at once, of all tools; calls that tools make themselves not counted.
        clock: where the time comes from.
        bus: receives a `DecisionMade` of the room `"tools"` per call, and faults.

    Attributes:
        limits: who runs and who waits.
        durations: how long each tool takes, learnt from its calls.

    Raises:
        ConfigError: if `max_concurrency` is not above zero.

    Example:
        >>> executor = ToolExecutor(max_concurrency=8)
        >>> executor.stats().calls
        0
    """

    def __init__(
        self,
        *,
        max_concurrency: int = 32,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        require_positive(max_concurrency=max_concurrency)
        self.limits = Limits(max_concurrency=max_concurrency, clock=clock)
        self.durations = Durations()
        self._bus = bus
        # Calls that tools make take no place, so there may be more threads than places.
        threads = 4 * max_concurrency
        self._parts = Parts(limits=self.limits, max_threads=threads, clock=clock, bus=bus)
        self._tally = Tally()

    def call(self, job: ToolJob[T]) -> Flow[Done[T]]:
        """Make one call.

        Sync, a tool without a time-out runs in the calling thread.

        Raises:
            BaseException: what steers the run, see `ToolResults.passes`; a cancellation.
        """
        done = yield from Calling(job, self._parts).flow()
        if done.run.attempts:
            self.durations.learn(done.run.tool, done.run.run_s)
        self._note(done.run)
        return done

    def call_all(self, jobs: Sequence[ToolJob[T]]) -> Flow[list[Done[T]]]:
        """Make the calls of one message, at once but for those that would disturb each other.

        Two calls of which one writes what the other reads or writes keep their order.

        Raises:
            BaseException: what steers the run, after all calls have ended; a cancellation, which
                cancels them.
        """
        if not jobs:
            return []
        if len(jobs) == 1:
            return [(yield from self.call(jobs[0]))]
        step: Step[list[Done[T]]] = Step(self._all, self._aall, jobs)
        return (yield from step)

    def call_plan(self, graph: ToolGraph, tools: PlanTools[T]) -> Flow[list[Done[T]]]:
        """Make the calls of a plan, each as soon as what it needs is there; results in plan order.

        Where places are scarce, the call with the longest expected tail goes first, see
        `durations`; a policy's `priority` goes before that. A call that fails costs those that
        depend on it, which are not made.

        Args:
            graph: the plan.
            tools: what its calls are made with.

        Raises:
            BaseException: what steers the run, after all calls have ended that do not depend on the
                one that raised it; a cancellation, which cancels them.

        Example:
            See `agentperf_core.tools.dataflow`.
        """
        step: Step[list[Done[T]]] = Step(self._plan, self._aplan, graph, tools)
        return (yield from step)

    def refuse(self, call: ToolCall, results: ToolResults[T], failure: ToolFailure) -> Done[T]:
        """The error result of a call that is not made, which is counted and told like others."""
        reason = f"the call was not made ({failure.kind})"
        ran = ToolRun(tool=call.name, call_id=call.id, outcome=failure.kind, reason=reason)
        self._note(ran)
        return Done(results.mark(results.of_failure(call, failure), ran), ran)

    def begin(self, job: ToolJob[T]) -> Begun[Done[T]]:
        """Begin a call without waiting for it: on the running event loop, else in a thread."""
        done: Future[Done[T]] = Future()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            pool = self._parts.pool(depth(), aside=True)
            work: PoolJob[Done[T]] = pool.submit(run, self.call(job))
            return Begun(work.future, work.abandon)
        task = loop.create_task(arun(self.call(job)))
        task.add_done_callback(partial(settle, done))
        return Begun(done, lambda: loop.call_soon_threadsafe(task.cancel))

    async def offload(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run a sync function in the executor's threads: the async side of a sync tool."""
        return await self._parts.offload(function, *args, **kwargs)

    def in_background(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Begin a sync function in the executor's threads, for who does not wait for it."""
        return self._parts.pool(depth(), aside=True).submit(function, *args).future

    def stats(self) -> ExecutorStats:
        """What the executor has done so far, and what still runs."""
        pools = self._parts.pools
        return self._tally.stats(
            running=self.limits.running,
            waiting=self.limits.waiting,
            orphans=sum(pool.orphans for pool in pools) + len(self._parts.orphans),
            threads=sum(pool.threads for pool in pools),
        )

    def close(self) -> None:
        """End the executor's threads; calls that run go on to their end."""
        for pool in self._parts.pools:
            pool.close()

    def _note(self, ran: ToolRun) -> None:
        self._tally.add(ran)
        if self._bus.listening:
            self._bus.emit(
                DecisionMade(
                    room="tools", outcome=ran.outcome, reason=ran.reason, details=ran.record()
                )
            )

    def _plan(self, graph: ToolGraph, tools: PlanTools[T]) -> list[Done[T]]:
        def job(call: ToolCall) -> ToolJob[T]:
            return self._threaded(tools.job(call))

        return on_own_loop(self._aplan(graph, replace(tools, job=job)))

    async def _aplan(self, graph: ToolGraph, tools: PlanTools[T]) -> list[Done[T]]:
        return await Dataflow(graph, tools, self, self._parts.clock).run()

    def _all(self, jobs: Sequence[ToolJob[T]]) -> list[Done[T]]:
        return on_own_loop(self._aall([self._threaded(job) for job in jobs]))

    def _threaded(self, job: ToolJob[T]) -> ToolJob[T]:
        """The job of a sync caller, as one for the own loop: its sync side, in a thread."""
        step = job.step
        off = partial(self.offload, step.sync)
        return replace(job, step=Step(step.sync, off, *step.args))

    async def _aall(self, jobs: Sequence[ToolJob[T]]) -> list[Done[T]]:
        before = conflicts([(job.call, job.policy) for job in jobs])
        tasks: list[asyncio.Task[Done[T]]] = []
        for place, job in enumerate(jobs):
            earlier = [tasks[one] for one in before.get(place, ())]
            flow = self.call(job)
            tasks.append(asyncio.create_task(_after(earlier, flow) if earlier else arun(flow)))
        return await in_order(tasks)


async def _after(earlier: Sequence[asyncio.Task[Any]], flow: Flow[T]) -> T:
    await asyncio.wait(earlier)
    for task in earlier:
        task.result()  # a call that steers the run is not over: what follows it must wait
    return await arun(flow)


async def in_order(tasks: Sequence[asyncio.Task[T]]) -> list[T]:
    """The results of all tasks, in their order, once all have ended; the first error if any.

    A cancellation cancels them all, and waits for what they clean up.
    """
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
    finally:
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()  # asyncio logs the errors that nobody has looked at
    return [task.result() for task in tasks]
