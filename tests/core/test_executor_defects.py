"""Defects that were found in the executor's room, each with its story."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from functools import partial
from typing import Any

import pytest
from plan_tools import Bench, answers_of, outcomes_of
from trace_tools import span, trace

from agentperf_core.flow import arun, run
from agentperf_core.telemetry import SpanKind
from agentperf_core.testing import FakeClock, VirtualTime
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import Durations, ToolExecutor, ToolJob
from agentperf_core.tools.limits import Limits
from agentperf_core.tools.pool import ThreadPool
from agentperf_core.types import ToolCall


def calls(*tools: str) -> list[ToolCall]:
    return [ToolCall(f"{n}", tool, {}) for n, tool in enumerate(tools)]


def ask() -> None:
    raise InterruptedError("May I?")


# Calls of one message


async def test_of_two_questions_in_one_message_none_is_left_unlooked_at(
    caplog: pytest.LogCaptureFixture,
):
    """The log had a complaint of asyncio about the second one, once that was collected."""
    bench = Bench({"ask": ask})
    with caplog.at_level(logging.ERROR, logger="asyncio"), pytest.raises(InterruptedError):
        await arun(ToolExecutor().call_all([bench.job(one) for one in calls("ask", "ask")]))
    gc.collect()
    assert not caplog.records


async def test_what_must_follow_a_call_does_not_run_while_that_one_asks_a_person():
    """The second write ran before the answer to the first one's question, and again after it."""
    write = ToolPolicy(writes=["orders"])
    bench = Bench(
        {"ask": ask, "write": lambda: "ok", "free": lambda: "ok"}, {"ask": write, "write": write}
    )
    jobs = [bench.job(one) for one in calls("ask", "write", "free")]
    with pytest.raises(InterruptedError):
        await arun(ToolExecutor().call_all(jobs))
    assert [one for what, one in bench.log if what == "start"] == ["0", "2"]


@pytest.mark.parametrize("timeout_s", [None, 60.0])
async def test_a_tool_that_awaits_something_cancelled_costs_its_siblings_nothing(
    timeout_s: float | None,
):
    """Without a time-out its `CancelledError` looked like a cancellation of the run."""

    async def lost() -> None:
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    bench = Bench({"lost": lost, "ping": lambda: 1}, {"lost": ToolPolicy(timeout_s=timeout_s)})
    done = await arun(ToolExecutor().call_all([bench.job(one) for one in calls("lost", "ping")]))
    assert outcomes_of(done) == ["error", "ok"]
    assert "it was cancelled from within" in done[0].result["error"]


async def test_a_cancellation_of_the_run_is_still_one():
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    bench = Bench({"hang": hang})
    task = asyncio.create_task(arun(ToolExecutor().call(bench.job(calls("hang")[0]))))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def leave() -> None:
    sys.exit(3)


def test_a_tool_that_exits_ends_its_caller_and_not_the_loop_of_all_others():
    """The own loop died of it: this caller waited for ever, and every later one got an error."""
    bench = Bench({"leave": leave, "ping": lambda: 1})
    executor, ended = ToolExecutor(), list[BaseException]()

    def caller() -> None:
        try:
            run(executor.call_all([bench.job(one) for one in calls("leave", "ping")]))
        except SystemExit as error:
            ended.append(error)

    thread = threading.Thread(target=caller, daemon=True)
    thread.start()
    thread.join(20)
    assert [error.code for error in ended if isinstance(error, SystemExit)] == [3]
    done = run(executor.call_all([bench.job(one) for one in calls("ping", "ping")]))
    assert outcomes_of(done) == ["ok", "ok"]


# Threads


def test_a_pool_that_was_closed_still_makes_calls():
    """A thread took the order to end, and the call that came after it waited for ever."""
    pool = ThreadPool(max_threads=2)
    assert pool.call(lambda: 1) == 1
    pool.close()
    assert pool.submit(lambda: 2).future.result(20) == 2


def test_when_the_system_has_no_thread_the_call_fails_and_the_next_one_may_work(
    monkeypatch: pytest.MonkeyPatch,
):
    """The thread that never started was counted on, and calls waited for it for ever."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = ThreadPool(max_threads=2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(print)
    assert pool.threads == 0
    assert pool.submit(lambda: 2).future.result(20) == 2


def test_when_the_system_has_no_more_threads_those_there_are_do_the_work(
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool, gate = ThreadPool(max_threads=2), threading.Event()
    first = pool.submit(gate.wait, 20)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        second = pool.submit(lambda: 2)
    gate.set()
    assert first.future.result(20)
    assert second.future.result(20) == 2


@pytest.mark.parametrize("several", [False, True])
def test_tools_that_call_tools_never_wait_for_each_others_threads(several: bool):
    """With one pool for all, five calls inside each other took its four threads and hung."""
    executor = ToolExecutor(max_concurrency=1)

    def dig(depth: int) -> int:
        if depth == 0:
            return 0
        jobs = [job(f"level {depth}", partial(dig, depth - 1)) for _ in range(1 + several)]
        done = run(executor.call_all(jobs))
        return 1 + max(one.result["value"] for one in done)

    def job(name: str, tool: Any) -> ToolJob[dict[str, Any]]:
        bench = Bench({name: tool}, {name: ToolPolicy(timeout_s=20)})
        return bench.job(ToolCall(name, name, {}))

    assert dig(6) == 6
    assert executor.stats().outcomes.keys() == {"ok"}


def test_calls_that_are_begun_never_take_the_threads_of_their_own_tools():
    """Four calls that were begun took the four threads, and their tools waited for one."""
    executor = ToolExecutor(max_concurrency=1)
    bench = Bench({"ping": lambda: 1}, {"ping": ToolPolicy(timeout_s=20)})
    begun = [executor.begin(bench.job(one)) for one in calls(*["ping"] * 8)]
    assert outcomes_of([run(one.done()) for one in begun]) == ["ok"] * 8


# Places


def test_a_tool_with_a_rate_below_one_per_second_is_called_at_once_when_it_was_idle():
    """The first call of `rate=0.1` waited nine seconds for nothing."""
    time = VirtualTime()
    bench = Bench({"search": 0.0}, {"search": ToolPolicy(rate=0.1)}, clock=time)
    executor = ToolExecutor(clock=time)
    time.run(arun(executor.call_all([bench.job(one) for one in calls("search", "search")])))
    assert [bench.at("start", one) for one in ("0", "1")] == pytest.approx([0.0, 10.0])


def test_calls_inside_of_tools_do_not_stand_behind_those_that_wait_for_a_place():
    """All calls that wait are no longer asked one by one, but these must still be."""
    time = VirtualTime()
    executor = ToolExecutor(max_concurrency=1, clock=time)

    async def outer() -> list[Any]:
        inner = [bench.job(one) for one in calls("inner", "inner")]
        return answers_of(await arun(executor.call_all(inner)))

    tools = {"outer": outer, "inner": 1.0}
    bench = Bench(tools, {"inner": ToolPolicy(max_concurrency=1)}, clock=time)
    done = time.run(arun(executor.call_all([bench.job(one) for one in calls(*["outer"] * 3)])))
    assert answers_of(done) == [["0", "1"]] * 3
    assert time.monotonic() == pytest.approx(6.0)


async def test_who_was_asked_for_earlier_comes_first_among_equals():
    limits, order = Limits(max_concurrency=1, clock=FakeClock(start=100.0)), list[str]()
    first = await arun(limits.enter("t"))

    async def wait(name: str, **of: Any) -> None:
        permit = await arun(limits.enter("t", **of))
        order.append(name)
        limits.leave(permit)

    tasks = [
        asyncio.create_task(wait(name, **of))
        for name, of in {
            "now": {},
            "young": {"asked_at": 101.0},
            "old": {"asked_at": 3.0},
            "urgent": {"asked_at": 999.0, "priority": 1},
        }.items()
    ]
    await asyncio.sleep(0)
    limits.leave(first)
    await asyncio.gather(*tasks)
    assert order == ["urgent", "old", "now", "young"]
    assert (limits.running, limits.waiting) == (0, 0)


async def test_a_place_goes_to_who_comes_first_when_it_is_used_not_when_it_was_given():
    """The calls that a call makes possible come just after it has left its place."""
    limits, order = Limits(max_concurrency=1, clock=FakeClock()), list[str]()
    permit = await arun(limits.enter("t"))

    async def wait(name: str, asked_at: float) -> None:
        found = await arun(limits.enter("t", asked_at=asked_at))
        order.append(name)
        limits.leave(found)

    tasks = [asyncio.create_task(wait("waits", 5.0))]
    await asyncio.sleep(0)
    limits.leave(permit)
    tasks.append(asyncio.create_task(wait("follows", 1.0)))
    await asyncio.gather(*tasks)
    assert order == ["follows", "waits"]
    assert (limits.running, limits.waiting) == (0, 0)


def test_threads_that_wait_for_a_place_yield_to_those_that_come_first():
    """The same for sync callers, many at once: nobody is lost and nobody runs twice."""
    limits, most = Limits(max_concurrency=2), threading.Barrier(8)
    running, peak, done = 0, 0, list[int]()
    lock = threading.Lock()

    def work(number: int) -> None:
        nonlocal running, peak
        most.wait(20)
        for turn in range(40):
            permit = run(limits.enter("t", asked_at=float((number * 7 + turn) % 5)))
            with lock:
                running += 1
                peak = max(peak, running)
            with lock:
                running -= 1
            limits.leave(permit)
            done.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 8 * 40
    assert peak <= 2
    assert (limits.running, limits.waiting) == (0, 0)


# Durations


def test_durations_are_learnt_from_the_spans_of_recorded_traces():
    """They asked spans for a field that none has; models, and what was cut short, teach nothing."""
    recorded = trace(
        span("agent", None, 0, 9, SpanKind.AGENT),
        span("llm", "agent", 0, 5, SpanKind.LLM),
        span("search", "agent", 5, 7, SpanKind.TOOL),
        span("mail", "agent", 5, 9, SpanKind.TOOL, status="error"),
        span("late", "agent", 5, 6, SpanKind.TOOL, status="cancelled"),
    )
    durations = Durations()
    durations.learn_spans(recorded.spans)
    assert [durations.expected_s(tool) for tool in ("search", "mail", "late")] == [2.0, 4.0, 3.0]
