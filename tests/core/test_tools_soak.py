"""Ten thousand calls that succeed, fail, hang and are cancelled leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections import Counter
from functools import partial
from random import Random
from typing import Any

from plan_tools import Answers

from agentperf_core.flow import Step, arun, run
from agentperf_core.testing import VirtualTime
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import PlannedCall, PlanTools, ToolExecutor, ToolGraph, ToolJob
from agentperf_core.types import ToolCall

CALLS_PER_RUN = 20
POLICIES = {
    "fine": ToolPolicy(),
    "fails": ToolPolicy(),
    "says so": ToolPolicy(),
    "hangs": ToolPolicy(timeout_s=3.0),
    "stubborn": ToolPolicy(timeout_s=2.0),
    "one by one": ToolPolicy(exclusive="files", timeout_s=5.0),
    "few": ToolPolicy(max_concurrency=2),
    "again": ToolPolicy(idempotent=True, retries=2, retry_wait_s=0.5),
    "breaks": ToolPolicy(breaker=3, breaker_s=20.0),
    "nested": ToolPolicy(timeout_s=10.0),
}


class Soak:
    """Tools of all kinds, under one executor."""

    def __init__(self, executor: ToolExecutor, seed: int) -> None:
        self.executor = executor
        self.rng = Random(seed)
        self.released = asyncio.Event()
        self.made = 0

    def job(self, call: ToolCall) -> ToolJob[dict[str, Any]]:
        self.made += 1
        step: Step[dict[str, Any]] = Step(self._sync, partial(self.tool, call.name))
        return ToolJob(call=call, step=step, results=Answers(), policy=POLICIES[call.name])

    def _sync(self) -> dict[str, Any]:
        raise AssertionError

    async def tool(self, name: str) -> dict[str, Any]:
        await asyncio.sleep(self.rng.choice([0.0, 0.0, 0.1, 1.0]))
        if name == "fails" or (name in {"again", "breaks"} and self.rng.random() < 0.5):
            raise ValueError(name)
        if name == "says so":
            return {"error": "no"}
        if name == "hangs":
            await asyncio.Event().wait()
        if name == "stubborn":
            await self._stay()
        if name == "nested":
            inner = [self.job(ToolCall(f"inner {n}", "few", {})) for n in range(2)]
            await arun(self.executor.call_all(inner))
        return {"value": name}

    async def _stay(self) -> None:
        """Hang in spite of being cancelled, until all are released."""
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                continue

    def plan(self) -> ToolGraph:
        names = [name for name in POLICIES if name != "stubborn" or self.rng.random() < 0.1]
        calls: list[PlannedCall] = []
        for n in range(CALLS_PER_RUN):
            needs = [str(m) for m in range(n) if self.rng.random() < 1 / (n + 1)]
            arguments = {"x": f"${needs[0]}"} if needs else {}
            calls.append(PlannedCall(str(n), self.rng.choice(names), arguments, needs[1:]))
        return ToolGraph(calls, tools=POLICIES, policies=POLICIES)

    async def one_run(self, outcomes: Counter[str]) -> None:
        graph = self.plan()
        tools = PlanTools(job=self.job, results=Answers(), plain=lambda result: result["value"])
        if self.rng.random() < 0.3:
            jobs = [self.job(ToolCall(c.id, c.tool, {})) for c in graph.calls]
            flow = self.executor.call_all(jobs)
        else:
            flow = self.executor.call_plan(graph, tools)
        task = asyncio.create_task(arun(flow))
        if self.rng.random() < 0.25:
            await asyncio.sleep(self.rng.choice([0.0, 0.1, 1.5, 4.0]))
            task.cancel()
        try:
            outcomes.update(done.run.outcome for done in await task)
        except asyncio.CancelledError:
            outcomes["cancelled"] += 1

    async def runs(self, number: int) -> Counter[str]:
        """So many runs, up to 8 at once."""
        outcomes, at_once = Counter[str](), asyncio.Semaphore(8)

        async def one() -> None:
            async with at_once:
                await self.one_run(outcomes)

        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(one())
        self.released.set()
        for _ in range(10):
            await asyncio.sleep(0)
        self.released.clear()
        return outcomes


def test_ten_thousand_calls_leave_no_task_no_place_and_no_memory_behind():
    time = VirtualTime()
    executor = ToolExecutor(max_concurrency=16, clock=time)
    soak = Soak(executor, seed=1)
    kept: list[int] = []

    async def work() -> Counter[str]:
        outcomes = Counter[str]()
        for _ in range(4):
            outcomes += await soak.runs(180)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            gc.collect()
            kept.append(sys.getallocatedblocks())
        return outcomes

    outcomes = time.run(work())
    assert soak.made >= 10_000
    assert {"ok", "failed", "error", "timeout", "dependency", "cancelled", "turned_away"} <= set(
        outcomes
    )
    stats = executor.stats()
    assert (stats.running, stats.waiting, stats.orphans) == (0, 0, 0)
    assert kept[-1] - kept[0] < 1_000, kept


class Threads:
    """The same in threads: sync tools that return, fail, or hang until all are released."""

    def __init__(self, executor: ToolExecutor, seed: int) -> None:
        self.executor = executor
        self.rng = Random(seed)
        self.released = threading.Event()
        self.hanging = threading.Semaphore(0)

    def job(self, call: ToolCall) -> ToolJob[dict[str, Any]]:
        tool = partial(self.tool, call.name)
        step = Step(tool, partial(self.executor.offload, tool))
        timeout_s = 0.01 if call.name == "hangs late" else None
        policy = ToolPolicy(timeout_s=timeout_s)
        return ToolJob(call=call, step=step, results=Answers(), policy=policy)

    def tool(self, name: str) -> dict[str, Any]:
        if name == "fails":
            raise ValueError(name)
        if name.startswith("hangs"):
            self.hanging.release()
            self.released.wait(60)
        return {"value": name}

    def graph(self, names: list[str]) -> ToolGraph:
        return ToolGraph(
            [
                PlannedCall(str(n), name, {}, [str(n // 2)] if n > 7 else [])
                for n, name in enumerate(names)
            ]
        )

    def names(self, *others: str) -> list[str]:
        names = [self.rng.choice(["fine", "fine", "fine", "fails"]) for _ in range(CALLS_PER_RUN)]
        for other in others:
            names[self.rng.randrange(8)] = other
        return names

    def tools(self) -> PlanTools[dict[str, Any]]:
        return PlanTools(job=self.job, results=Answers(), plain=lambda result: result["value"])

    def sync_run(self, number: int) -> None:
        late = ["hangs late"] if number % 20 == 0 else []
        graph = self.graph(self.names(*late))
        done = run(self.executor.call_plan(graph, self.tools()))
        assert len(done) == CALLS_PER_RUN

    async def cancelled_run(self) -> None:
        """A run that is cancelled while one of its tools hangs in a thread."""
        graph = self.graph(self.names("hangs"))
        task = asyncio.create_task(arun(self.executor.call_plan(graph, self.tools())))
        await asyncio.to_thread(self.hanging.acquire, timeout=30)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


def test_calls_in_threads_leave_no_thread_beyond_the_pool():
    """Two thousand calls of sync and async callers; what hung ends when it is released."""
    before = set(threading.enumerate())
    executor = ToolExecutor(max_concurrency=8)
    soak = Threads(executor, seed=1)

    def caller(first: int) -> None:
        for number in range(first, first + 20):
            soak.sync_run(number)

    async def cancelled() -> None:
        for _ in range(20):
            await soak.cancelled_run()

    callers = [threading.Thread(target=caller, args=(20 * n,)) for n in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(60)
    while soak.hanging.acquire(blocking=False):
        pass
    asyncio.run(cancelled())
    stats = executor.stats()
    assert (stats.running, stats.waiting) == (0, 0)
    assert 20 <= stats.orphans <= 24, "those of cancelled runs, and those that began and were late"
    assert stats.threads <= 4 * 8
    ours = [one for one in set(threading.enumerate()) - before if "tool" in one.name]
    assert len(ours) <= stats.threads + stats.orphans
    soak.released.set()
    executor.close()
    for thread in ours:
        thread.join(30)
    assert not any(thread.is_alive() for thread in ours)
    assert executor.stats().orphans == 0
