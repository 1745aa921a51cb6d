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
from agentperf_core.tools.begun import Begun, settle
from agentperf_core.tools.calling import Calling
from agentperf_core.tools.durations import Durations
from agentperf_core.tools.jobs import Done, ToolJob
from agentperf_core.tools.limits import Limits
from agentperf_core.tools.order import conflicts
from agentperf_core.tools.ownloop import on_own_loop
from agentperf_core.tools.parts import Parts
from agentperf_core.tools.pool import PoolJob, ThreadPool
from agentperf_core.tools.stats import ExecutorStats, Tally

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
        # A tool that calls tools holds a thread meanwhile, so there may be more threads than calls.
        pool = ThreadPool(max_threads=4 * max_concurrency)
        self._parts = Parts(limits=self.limits, pool=pool, clock=clock, bus=bus)
        self._tally = Tally()

    def call(self, job: ToolJob[T]) -> Flow[Done[T]]:
        """Make one call.

        Sync, a tool without a time-out runs in the calling thread.

        Raises:
            BaseException: what steers the run, see `ToolResults.passes`; a cancellation.
        """
        done = yield from Calling(job, self._parts).flow()
        ran = done.run
        self._tally.add(ran)
        if ran.attempts:
            self.durations.learn(ran.tool, ran.run_s)
        if self._bus.listening:
            self._bus.emit(
                DecisionMade(
                    room="tools", outcome=ran.outcome, reason=ran.reason, details=ran.record()
                )
            )
        return done

    def call_all(self, jobs: Sequence[ToolJob[T]]) -> Flow[list[Done[T]]]:
        """Make the calls of one message, at once but for those that would disturb each other.

        Two calls of which one writes what the other reads or writes keep their order.

        Raises:
            BaseException: what steers the run, after all calls have ended; a cancellation, which
                cancels them.
        """
        step: Step[list[Done[T]]] = Step(self._all, self._aall, jobs)
        return (yield from step)

    def begin(self, job: ToolJob[T]) -> Begun[Done[T]]:
        """Begin a call without waiting for it: on the running event loop, else in a thread."""
        done: Future[Done[T]] = Future()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            work: PoolJob[Done[T]] = self._parts.pool.submit(run, self.call(job))
            return Begun(work.future, work.abandon)
        task = loop.create_task(arun(self.call(job)))
        task.add_done_callback(partial(settle, done))
        return Begun(done, lambda: loop.call_soon_threadsafe(task.cancel))

    async def offload(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run a sync function in the executor's threads: the async side of a sync tool."""
        return await self._parts.offload(function, *args, **kwargs)

    def in_background(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Begin a sync function in the executor's threads, for who does not wait for it."""
        return self._parts.pool.submit(function, *args).future

    def stats(self) -> ExecutorStats:
        """What the executor has done so far, and what still runs."""
        orphans = self._parts.pool.orphans + len(self._parts.orphans)
        return self._tally.stats(
            running=self.limits.running,
            waiting=self.limits.waiting,
            orphans=orphans,
            threads=self._parts.pool.threads,
        )

    def close(self) -> None:
        """End the executor's threads; calls that run go on to their end."""
        self._parts.pool.close()

    def _all(self, jobs: Sequence[ToolJob[T]]) -> list[Done[T]]:
        if len(jobs) < 2:
            return [run(self.call(job)) for job in jobs]
        return on_own_loop(self._aall([self._threaded(job) for job in jobs]))

    def _threaded(self, job: ToolJob[T]) -> ToolJob[T]:
        """The job of a sync caller, as one for the own loop: its sync side, in a thread."""
        step = job.step
        off = partial(self.offload, step.sync)
        return replace(job, step=Step(step.sync, off, *step.args))

    async def _aall(self, jobs: Sequence[ToolJob[T]]) -> list[Done[T]]:
        if len(jobs) < 2:
            return [await arun(self.call(job)) for job in jobs]
        before = conflicts([(job.call, job.policy) for job in jobs])
        tasks: list[asyncio.Task[Done[T]]] = []
        for place, job in enumerate(jobs):
            earlier = [tasks[one] for one in before.get(place, ())]
            tasks.append(asyncio.create_task(self._after(earlier, job)))
        return await in_order(tasks)

    async def _after(self, earlier: Sequence[asyncio.Task[Any]], job: ToolJob[T]) -> Done[T]:
        if earlier:
            await asyncio.wait(earlier)
        return await arun(self.call(job))


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
    return [task.result() for task in tasks]
