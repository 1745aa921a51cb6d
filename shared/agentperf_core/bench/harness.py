"""Latency of whole agent runs, in process: warm-up apart, errors counted, comparisons interleaved.

Latency counts from the intended start of a run. With `interval_s` the intended starts follow a
timetable whether or not earlier runs are done, so one stall shows up in every run that it delayed
(a closed loop would hide it: "coordinated omission"). CPU time is that of this process, so a
scripted endpoint in the same process is part of it; compare two targets, do not read it alone.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeVar

from agentperf_core.bench.results import BenchResult, Comparison
from agentperf_core.bench.runs import (
    Plan,
    Sample,
    Target,
    Timetable,
    comparison_of,
    name_of,
    result_of,
    step_of,
    timed,
)
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step, arun, run

__all__ = ["AgentBenchmark", "Target"]

R = TypeVar("R")


@dataclass(kw_only=True, eq=False)
class AgentBenchmark:
    """Measures calls without arguments: an agent run, a model call, anything.

    Attributes:
        clock: where latencies come from.
        cpu_clock: CPU seconds of this process.
        sleep: waits for the next intended start in `run`.
        asleep: the same in `arun`.
        seed: of the bootstrap.

    Example:
        >>> result = AgentBenchmark().run(lambda: sum(range(1000)), runs=10)
        >>> len(result.latencies_s), result.failed, result.summary.p95
        (10, 0, None)
    """

    clock: Clock = SYSTEM_CLOCK
    cpu_clock: Callable[[], float] = time.process_time
    sleep: Callable[[float], None] = time.sleep
    asleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    seed: int = 0

    def run(
        self,
        target: Target,
        *,
        runs: int = 30,
        warmup: int = 1,
        concurrency: int = 1,
        interval_s: float = 0.0,
        name: str | None = None,
    ) -> BenchResult:
        """Run a target many times and say how long it takes.

        An `async def` gets an event loop of its own; from inside a loop use `arun`.

        Args:
            target: what to run.
            runs: measured runs.
            warmup: runs before them; the first of all is the cold run.
            concurrency: how many runs may be under way at once (threads, or tasks in `arun`).
            interval_s: seconds between intended starts; 0 starts when the one before has ended.
            name: for the table; default the target's own name.

        Raises:
            ConfigError: for counts out of range, or a target that needs `arun`.
        """
        plan = Plan(runs=runs, warmup=warmup, concurrency=concurrency, interval_s=interval_s)
        return _drive(self._measured(target, plan, name), target)

    async def arun(
        self,
        target: Target,
        *,
        runs: int = 30,
        warmup: int = 1,
        concurrency: int = 1,
        interval_s: float = 0.0,
        name: str | None = None,
    ) -> BenchResult:
        """The same as `run` inside an event loop; what the target returns is awaited if it can be.

        Raises:
            ConfigError: for counts out of range.
        """
        plan = Plan(runs=runs, warmup=warmup, concurrency=concurrency, interval_s=interval_s)
        return await arun(self._measured(target, plan, name))

    def compare(
        self,
        a: Target,
        b: Target,
        *,
        pairs: int = 30,
        warmup: int = 1,
        names: tuple[str, str] | None = None,
    ) -> Comparison:
        """Measure a baseline `a` and a candidate `b` in the order a b b a a b b a ...

        Interleaved, because on a machine that drifts "all of a, then all of b" measures the drift.

        Args:
            a: the baseline.
            b: the candidate.
            pairs: how many runs of each.
            warmup: runs of each before the first pair.
            names: for the table.

        Raises:
            ConfigError: for counts out of range, or a target that needs `acompare`.
        """
        return _drive(self._compared((a, b), Plan(runs=pairs, warmup=warmup), names), a, b)

    async def acompare(
        self,
        a: Target,
        b: Target,
        *,
        pairs: int = 30,
        warmup: int = 1,
        names: tuple[str, str] | None = None,
    ) -> Comparison:
        """The same as `compare` inside an event loop.

        Raises:
            ConfigError: for counts out of range.
        """
        return await arun(self._compared((a, b), Plan(runs=pairs, warmup=warmup), names))

    # Flows: the same steps for sync and async ---------------------------------------------------

    def _measured(self, target: Target, plan: Plan, name: str | None) -> Flow[BenchResult]:
        step = step_of(target)
        warm: list[Sample] = []
        while len(warm) < plan.warmup:
            warm.append((yield from self._once(step)))
        table, cpu = Timetable(plan, self.clock), self.cpu_clock()
        yield from Step(self._threads, self._tasks, table, step)
        return result_of(
            name or name_of(target),
            warm,
            table.samples,
            concurrency=plan.concurrency,
            totals=(table.wall_s, self.cpu_clock() - cpu),
            seed=self.seed,
        )

    def _compared(
        self, targets: tuple[Target, Target], plan: Plan, names: tuple[str, str] | None
    ) -> Flow[Comparison]:
        steps = (step_of(targets[0]), step_of(targets[1]))
        warm: tuple[list[Sample], list[Sample]] = ([], [])
        kept: tuple[list[Sample], list[Sample]] = ([], [])
        for index in range(plan.warmup + plan.runs):
            into = warm if index < plan.warmup else kept
            for side in (0, 1) if len(into[0]) % 2 == 0 else (1, 0):
                into[side].append((yield from self._once(steps[side])))
        results = [
            result_of(
                names[side] if names else name_of(targets[side]),
                warm[side],
                kept[side],
                concurrency=1,
                totals=(sum(s.latency_s for s in kept[side]), sum(s.cpu_s for s in kept[side])),
                seed=self.seed,
            )
            for side in (0, 1)
        ]
        return comparison_of(results[0], results[1], kept, seed=self.seed)

    def _once(self, step: Step[object]) -> Flow[Sample]:
        return timed(step, self.clock.monotonic(), self.clock, self.cpu_clock)

    def _worker(self, table: Timetable, step: Step[object]) -> Flow[None]:
        while (intended := table.take()) is not None:
            early_s = intended - self.clock.monotonic()
            if early_s > 0:
                yield from Step(self.sleep, self.asleep, early_s)
            table.samples.append((yield from timed(step, intended, self.clock, self.cpu_clock)))

    def _threads(self, table: Timetable, step: Step[object]) -> None:
        workers = table.plan.concurrency
        if workers == 1:
            # In the caller's own thread: an SQLite connection or a profiler may live there.
            return run(self._worker(table, step))
        with ThreadPoolExecutor(workers, thread_name_prefix="bench") as pool:
            jobs = [
                pool.submit(copy_context().run, run, self._worker(table, step))
                for _ in range(workers)
            ]
        for job in jobs:
            job.result()
        return None

    async def _tasks(self, table: Timetable, step: Step[object]) -> None:
        workers = range(table.plan.concurrency)
        await asyncio.gather(*(arun(self._worker(table, step)) for _ in workers))


def _drive(flow: Flow[R], *targets: Target) -> R:
    if not any(inspect.iscoroutinefunction(target) for target in targets):
        return run(flow)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(arun(flow))
    flow.close()
    msg = (
        f"{name_of(targets[0])!r} is async and an event loop is running here; "
        "await arun() or acompare() instead"
    )
    raise ConfigError(msg)
