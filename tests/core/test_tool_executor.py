"""The executor: order, isolation, threads, deadlines, what steers a run, and what is reported."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest
from tool_jobs import Pause, Texts, async_job, job, sync_job, thread_name, until

from agentperf_core.accounting.deadline import deadline
from agentperf_core.errors import ConfigError
from agentperf_core.events import DecisionMade, Event, EventBus
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import Done, ToolExecutor, ToolJob, ToolRun
from agentperf_core.types import ToolCall

TIMED = ToolPolicy(timeout_s=0.05)


def results(done: list[Done[str]]) -> list[str]:
    return [one.result for one in done]


def both(executor: ToolExecutor, make: Callable[[], list[ToolJob[str]]]) -> list[list[Done[str]]]:
    """The same jobs from sync and from async code."""
    return [run(executor.call_all(make())), asyncio.run(arun(executor.call_all(make())))]


async def test_results_come_in_call_order_whatever_ends_first():
    executor, gates = ToolExecutor(), [asyncio.Event() for _ in range(4)]
    ended: list[int] = []

    def one(place: int) -> ToolJob[str]:
        async def call() -> str:
            await gates[place].wait()
            ended.append(place)
            if place:
                gates[place - 1].set()
            return str(place)

        return async_job(call)

    gates[3].set()
    done = await arun(executor.call_all([one(place) for place in range(4)]))
    assert ended == [3, 2, 1, 0]
    assert results(done) == ["0", "1", "2", "3"]


def test_a_call_that_fails_costs_its_siblings_nothing():
    executor = ToolExecutor()

    def fails() -> str:
        raise ValueError("no such order")

    def jobs() -> list[ToolJob[str]]:
        return [
            sync_job(executor, lambda: "a"),
            sync_job(executor, fails, tool="get_order"),
            sync_job(executor, lambda: "c"),
        ]

    for done in both(executor, jobs):
        assert results(done)[::2] == ["a", "c"]
        assert done[1].result.startswith("error: tool 'get_order' gave no result after 0.")
        assert done[1].result.endswith("ValueError: no such order")
        assert (done[1].run.outcome, done[1].run.attempts) == ("error", 1)
        assert "no such order" not in done[1].run.reason  # may quote what nobody is to log


def test_a_hung_sync_tool_is_an_error_result_and_its_thread_is_left():
    executor, gate = ToolExecutor(), threading.Event()

    def hang() -> str:
        gate.wait()
        return "late"

    def jobs() -> list[ToolJob[str]]:
        return [
            sync_job(executor, lambda: "a"),
            sync_job(executor, hang, TIMED),
            sync_job(executor, lambda: "c"),
        ]

    try:
        for done in both(executor, jobs):
            assert results(done)[::2] == ["a", "c"]
            assert "took longer than timeout_s=0.05" in done[1].result
            assert (done[1].run.outcome, done[1].run.orphaned) == ("timeout", True)
        assert executor.stats().orphans == 2
    finally:
        gate.set()


async def test_an_async_tool_that_swallows_its_cancellation_holds_nobody_up():
    """Inside `asyncio.timeout` it would: that waits until the cancelled code has ended."""
    executor, gate = ToolExecutor(), asyncio.Event()

    async def stubborn() -> str:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    done = await arun(executor.call(async_job(stubborn, TIMED)))
    assert (done.run.outcome, done.run.orphaned) == ("timeout", True)
    assert executor.stats().orphans == 1
    gate.set()
    await until(lambda: not executor.stats().orphans)


async def test_an_async_tool_that_ends_when_cancelled_is_no_orphan():
    executor, cleaned = ToolExecutor(), asyncio.Event()

    async def polite() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()
        return "never"

    done = await arun(executor.call(async_job(polite, TIMED)))
    assert (done.run.outcome, done.run.orphaned) == ("timeout", False)
    assert cleaned.is_set()


async def test_sync_tools_run_in_the_executors_own_threads_all_at_once():
    """The event loop's own pool has six threads here, and others use it."""
    executor, meet = ToolExecutor(), threading.Barrier(20)

    def wait_for_the_others() -> str:
        meet.wait(30)
        return thread_name()

    jobs = [sync_job(executor, wait_for_the_others) for _ in range(20)]
    names = results(await arun(executor.call_all(jobs)))
    assert len(set(names)) == 20
    assert all(name.startswith("agentperf-tool-") for name in names)


def test_sync_callers_have_their_tools_run_at_once_too():
    executor, meet = ToolExecutor(), threading.Barrier(20)

    def wait_for_the_others() -> str:
        return str(meet.wait(30))

    done = run(executor.call_all([sync_job(executor, wait_for_the_others) for _ in range(20)]))
    assert sorted(map(int, results(done))) == list(range(20))


WHO = ContextVar("who", default="nobody")


def test_tools_see_their_callers_context():
    executor = ToolExecutor()
    token = WHO.set("ana")
    try:
        for done in both(executor, lambda: [sync_job(executor, WHO.get) for _ in range(2)]):
            assert results(done) == ["ana", "ana"]
    finally:
        WHO.reset(token)


def test_one_call_without_a_time_out_runs_where_it_is_made():
    executor = ToolExecutor()
    done = run(executor.call(sync_job(executor, thread_name)))
    assert done.result == threading.current_thread().name


async def test_who_cancels_the_run_cancels_its_calls():
    executor, begun, ended = ToolExecutor(), asyncio.Event(), list[str]()

    async def call() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "never"

    jobs = [async_job(call) for _ in range(3)]
    whole = asyncio.create_task(arun(executor.call_all(jobs)))
    await begun.wait()
    whole.cancel()
    with pytest.raises(asyncio.CancelledError):
        await whole
    assert ended == ["cancelled"] * 3
    assert executor.limits.running == 0


async def test_a_question_to_a_person_passes_after_the_siblings_have_ended():
    executor, gate = ToolExecutor(), asyncio.Event()
    ended: list[str] = []

    async def asks() -> str:
        gate.set()
        raise Pause

    async def works() -> str:
        await gate.wait()
        await asyncio.sleep(0)
        ended.append("worked")
        return "done"

    with pytest.raises(Pause):
        await arun(executor.call_all([async_job(asks), async_job(works)]))
    assert ended == ["worked"]


def test_the_deadline_of_the_run_shortens_every_time_out():
    executor, gate = ToolExecutor(), threading.Event()
    patient = ToolPolicy(timeout_s=600)
    with deadline(0.05):
        done = run(executor.call(sync_job(executor, lambda: str(gate.wait()), patient)))
    gate.set()
    assert done.run.outcome == "deadline"
    assert "the run's deadline" in done.result


def test_who_waits_for_a_place_past_the_deadline_gets_an_error():
    executor = ToolExecutor(max_concurrency=1)
    permit = run(executor.limits.enter("other"))
    with deadline(0.05):
        done = run(executor.call(sync_job(executor, lambda: "x")))
    executor.limits.leave(permit)
    assert (done.run.outcome, done.run.attempts) == ("deadline", 0)
    assert "it waited for a place" in done.result


def test_a_tool_that_calls_tools_does_not_wait_for_its_own_place():
    executor = ToolExecutor(max_concurrency=1)
    alone = ToolPolicy(max_concurrency=1, exclusive="g")

    def outer() -> str:
        jobs = [sync_job(executor, lambda: "inner", alone, tool="outer") for _ in range(2)]
        return "+".join(results(run(executor.call_all(jobs))))

    done = run(executor.call(sync_job(executor, outer, alone, tool="outer")))
    assert done.result == "inner+inner"
    assert executor.limits.running == 0


async def test_a_call_waits_for_earlier_ones_that_write_what_it_touches():
    executor, order = ToolExecutor(), list[str]()
    write, read = ToolPolicy(writes=["orders:{id}"]), ToolPolicy(read_only=True, reads=["orders:*"])

    def one(name: str, policy: ToolPolicy | None, number: int, rounds: int) -> ToolJob[str]:
        async def call() -> str:
            for _ in range(rounds):
                await asyncio.sleep(0)
            order.append(name)
            return name

        return async_job(call, policy, arguments={"id": number})

    jobs = [
        one("write 1", write, 1, 30),
        one("write 2", write, 2, 20),
        one("read all", read, 0, 10),
        one("write 1 again", write, 1, 1),
        one("undeclared", None, 1, 1),
    ]
    done = await arun(executor.call_all(jobs))
    assert order == ["undeclared", "write 2", "write 1", "read all", "write 1 again"]
    assert results(done)[0] == "write 1"


def test_what_a_cache_answers_needs_no_place_and_no_run():
    executor = ToolExecutor(max_concurrency=1)
    permit = run(executor.limits.enter("other"))

    def kept(_: Step[str]) -> Flow[str]:
        return "kept"
        yield

    done = run(executor.call(sync_job(executor, lambda: "fresh", through=kept)))
    executor.limits.leave(permit)
    assert done.result == "kept"
    assert done.run.cached
    assert executor.stats().cached == 1


def test_what_goes_through_a_cache_runs_under_the_policy():
    executor = ToolExecutor()
    asked: list[str] = []

    def through(step: Step[str]) -> Flow[str]:
        asked.append("asked")
        return (yield from step)

    tries = iter([ValueError("once"), None])

    def flaky() -> str:
        if (error := next(tries)) is not None:
            raise error
        return "fresh"

    policy = ToolPolicy(idempotent=True, retries=1, retry_wait_s=1e-6)
    done = run(executor.call(sync_job(executor, flaky, policy, through=through)))
    assert (done.result, done.run.attempts, asked) == ("fresh", 2, ["asked"])


def test_a_result_that_says_that_the_tool_failed_is_given_as_it_is():
    executor = ToolExecutor()
    done = run(executor.call(sync_job(executor, lambda: "error: not found")))
    assert (done.result, done.run.outcome) == ("error: not found", "failed")


def test_every_call_is_a_decision_with_its_times():
    seen: list[Event] = []
    bus = EventBus()
    bus.subscribe(seen.append)
    executor = ToolExecutor(bus=bus)
    run(executor.call(sync_job(executor, lambda: "x", tool="ping", call_id="c7")))
    (event,) = seen
    assert isinstance(event, DecisionMade)
    assert (event.room, event.outcome) == ("tools", "ok")
    assert event.details["tool"] == "ping"
    assert event.details["call_id"] == "c7"
    assert event.details["total_s"] >= event.details["run_s"] >= 0
    assert executor.durations.expected_s("ping") == event.details["run_s"]


def test_the_mark_of_a_result_is_the_run():
    executor, texts = ToolExecutor(), Texts()
    call = ToolCall("c", "t", {})
    made: Step[str] = Step(lambda: "x", lambda: _text("x"))
    done = run(executor.call(ToolJob(call=call, step=made, results=texts)))
    assert texts.runs == [done.run]
    assert "x" not in done.run.record().values()


async def _text(text: str) -> str:
    return text


async def test_a_call_that_was_begun_can_be_fetched_or_given_up():
    executor, gate, ended = ToolExecutor(), asyncio.Event(), list[str]()

    async def call() -> str:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "x"

    first, second = executor.begin(async_job(call)), executor.begin(async_job(call))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    assert (await arun(first.done())).result == "x"
    assert ended == ["cancelled"]
    assert first.ended


def test_a_call_begun_from_sync_code_runs_in_a_thread():
    executor = ToolExecutor()
    begun = executor.begin(sync_job(executor, thread_name))
    assert run(begun.done()).result.startswith("agentperf-tool-")


def test_no_calls_no_results():
    executor = ToolExecutor()
    assert both(executor, list) == [[], []]


@pytest.mark.parametrize("most", [0, -1, float("nan")])
def test_a_bound_that_means_nothing(most: Any):
    with pytest.raises(ConfigError, match="max_concurrency"):
        ToolExecutor(max_concurrency=most)


def test_the_record_of_a_run_is_plain():
    record = ToolRun(tool="t", call_id="c", outcome="timeout", orphaned=True).record()
    assert record["orphaned"] is True
    assert "substitute" not in record
    assert job(Step(lambda: "x", lambda: _text("x"))).call.name == "tool"
