"""Plans under way: who starts when, what a failure costs, and what is left when it is over."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_tools import Answers, Bench, answers_of, drawn_plans, outcomes_of

from agentperf_core.accounting.deadline import deadline
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.flow import arun, run
from agentperf_core.telemetry import Span, SpanKind
from agentperf_core.testing import VirtualTime
from agentperf_core.toolpolicy import Substitute, ToolPolicy
from agentperf_core.tools import Done, PlannedCall, PlanTools, ToolExecutor, ToolGraph

OVERHEAD_S = 1e-6  # virtual time has none; this is for the rounding of sums


def call(call_id: str, tool: str, *depends_on: str, **arguments: Any) -> PlannedCall:
    return PlannedCall(call_id, tool, arguments, depends_on)


def longest_way_s(graph: ToolGraph, seconds: list[float]) -> float:
    ends: dict[int, float] = {}
    ids = {one.id: place for place, one in enumerate(graph.calls)}
    for one in (one for group in graph.groups() for one in group):
        place = ids[one.id]
        ends[place] = seconds[place] + max((ends[p] for p in graph.waits_for[place]), default=0.0)
    return max(ends.values())


# What is passed on


def get_user(name: str) -> dict[str, Any]:
    return {"name": name, "orders": [7, 9]}


def get_order(order_id: int) -> dict[str, Any]:
    return {"id": order_id, "total": order_id * 1.5}


def mail(text: str) -> str:
    return text


PURCHASES = [
    {"id": "mail", "tool": "mail", "arguments": {"text": "${u.name}: ${o.total}"}},
    {"id": "o", "tool": "get_order", "arguments": {"order_id": "$u.orders[-1]"}},
    {"id": "u", "tool": "get_user", "arguments": {"name": "Ada"}},
]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_results_flow_into_arguments_and_come_in_the_order_of_the_plan(how: str):
    bench = Bench({"get_user": get_user, "get_order": get_order, "mail": mail})
    flow = ToolExecutor().call_plan(bench.graph(PURCHASES), bench.plan_tools())
    done = run(flow) if how == "sync" else asyncio.run(arun(flow))
    assert answers_of(done)[::2] == ["Ada: 13.5", {"name": "Ada", "orders": [7, 9]}]
    assert [(one.run.tool, one.run.call_id, one.run.attempts) for one in done] == [
        ("mail", "mail", 1),
        ("get_order", "o", 1),
        ("get_user", "u", 1),
    ]


def test_a_plan_of_nothing_gives_nothing():
    assert Bench({}).virtually([]) == []


# When calls start


def test_a_call_starts_when_its_own_inputs_are_ready():
    """The chain of fast calls is through while a call of its first layer still runs."""
    bench = Bench({"slow": 100.0, "fast": 1.0})
    bench.virtually(
        [
            call("s", "slow"),
            call("a", "fast"),
            call("b", "fast", "a"),
            call("c", "fast", "b"),
            call("join", "fast", "c", "s"),
        ]
    )
    assert [bench.at("start", one) for one in ("a", "b", "c", "join")] == [0, 1, 2, 100]


@given(drawn_plans())
def test_with_places_for_all_a_plan_takes_its_longest_way_and_never_more_than_in_layers(
    drawn: tuple[list[PlannedCall], list[float]],
):
    """Every call once, after all that it depends on, and no later than it must."""
    calls, seconds = drawn
    by_data = Bench({f"t{n}": s for n, s in enumerate(seconds)})
    in_layers = Bench(by_data.tools)
    done = by_data.virtually(calls)
    in_layers.in_layers(calls)
    assert [one.run.call_id for one in done] == [one.id for one in calls]
    assert Counter(by_data.log) == {(w, one.id): 1 for w in ("start", "end") for one in calls}
    graph = by_data.graph(calls)
    for place, one in enumerate(calls):
        for other in graph.waits_for[place]:
            ended = by_data.place("end", calls[other].id)
            assert ended < by_data.place("start", one.id)
    assert by_data.makespan_s == pytest.approx(longest_way_s(graph, seconds), abs=OVERHEAD_S)
    assert by_data.makespan_s <= in_layers.makespan_s + OVERHEAD_S


@given(drawn_plans(), st.integers(1, 4))
def test_with_few_places_a_plan_keeps_the_bound_of_list_scheduling(
    drawn: tuple[list[PlannedCall], list[float]], places: int
):
    """Graham's bound: all work on all places, plus the longest way on the others.

    So it never takes more than `2 - 1 / places` times the best order, nor than layers; that it may
    take more than layers at all, the next test shows.
    """
    calls, seconds = drawn
    by_data = Bench({f"t{n}": s for n, s in enumerate(seconds)})
    in_layers = Bench(by_data.tools)
    done = by_data.virtually(calls, places=places)
    in_layers.in_layers(calls, places=places)
    assert outcomes_of(done) == ["ok"] * len(calls)
    graph = by_data.graph(calls)
    bound = sum(seconds) / places + (1 - 1 / places) * longest_way_s(graph, seconds)
    assert by_data.makespan_s <= bound + OVERHEAD_S
    assert by_data.makespan_s <= (2 - 1 / places) * in_layers.makespan_s + OVERHEAD_S


TWO_PLACES = {"a": 3.0, "b": 3.0, "c": 2.0, "d": 6.0, "e": 4.0}
TWO_PLACES_PLAN = [
    call("a", "a"),
    call("b", "b"),
    call("c", "c", "b"),
    call("d", "d", "b"),
    call("e", "e", "a"),
]


def test_with_few_places_layers_may_be_luckier_until_durations_are_known():
    """Graham's anomaly, for two places: 11 s against 9 s, and 9 s once the executor knows."""
    by_data, in_layers = Bench(TWO_PLACES), Bench(TWO_PLACES)
    by_data.virtually(TWO_PLACES_PLAN, places=2)
    in_layers.in_layers(TWO_PLACES_PLAN, places=2)
    assert (by_data.makespan_s, in_layers.makespan_s) == (11.0, 9.0)
    knowing = Bench(TWO_PLACES)
    knowing.virtually(TWO_PLACES_PLAN, places=2, spans=spans(TWO_PLACES))
    assert knowing.makespan_s == 9.0


def spans(seconds: dict[str, float]) -> list[Span]:
    return [
        Span(id=name, parent_id=None, kind=kind, name=name, start_ns=0, end_ns=round(s * 1e9))
        for name, s in seconds.items()
        for kind in (SpanKind.TOOL, SpanKind.CHAIN)
    ]


# Who goes first


def started(bench: Bench) -> list[str]:
    return [one for what, one in bench.log if what == "start"]


def test_where_places_are_scarce_the_longest_expected_tail_goes_first():
    seconds = {"short": 1.0, "long": 5.0, "end": 3.0}
    bench = Bench(seconds)
    plan = [
        call("s", "short"),
        call("l", "long"),
        call("head", "short"),
        call("tail", "end", "head"),
        call("tail2", "end", "tail"),
    ]
    bench.virtually(plan, places=1, spans=spans(seconds))
    assert started(bench) == ["head", "tail", "l", "tail2", "s"]


def test_a_declared_priority_goes_before_the_tail():
    seconds = {"first": 1.0, "short": 1.0, "long": 9.0}
    bench = Bench(seconds, {"short": ToolPolicy(priority=1)})
    plan = [call("f", "first"), call("l", "long"), call("s", "short"), call("s2", "short", "f")]
    bench.virtually(plan, places=1, spans=spans(seconds))
    assert started(bench) == ["s", "l", "f", "s2"]


def test_long_tails_starve_nobody():
    """A tail counts as so much waiting: a call of an older run comes before a younger plan's."""
    time = VirtualTime()
    bench = Bench({"t": 10.0}, clock=time)
    executor = ToolExecutor(max_concurrency=1, clock=time)
    executor.durations.learn("t", 10.0)

    def begin(name: str, steps: int) -> asyncio.Task[list[Done[dict[str, Any]]]]:
        plan = [call(f"{name}{n}", "t", *([f"{name}{n - 1}"] if n else [])) for n in range(steps)]
        return asyncio.create_task(arun(executor.call_plan(bench.graph(plan), bench.plan_tools())))

    async def work() -> None:
        runs = [begin("a", 3), begin("b", 1)]  # at 0 s, with tails of 30 s and 10 s
        await asyncio.sleep(15)
        runs.append(begin("c", 3))  # a tail of 30 s at 15 s goes before 10 s at 0 s
        await asyncio.sleep(10)
        runs.append(begin("d", 3))  # the same at 25 s does not
        await asyncio.gather(*runs)

    time.run(work())
    assert started(bench)[:5] == ["a0", "a1", "c0", "b0", "a2"]


# What a failure costs


def broken() -> None:
    raise ValueError("out of order")


def test_a_failure_costs_those_that_depend_on_it_and_nobody_else():
    bench = Bench({"broken": broken, "ping": 1.0})
    done = bench.virtually(
        [call("a", "broken"), call("b", "ping", "a"), call("c", "ping", "b"), call("d", "ping")]
    )
    assert outcomes_of(done) == ["error", "dependency", "dependency", "ok"]
    assert done[1].result == {
        "error": "call 'b' of tool 'ping' was not made: it depends on 'a', which gave no result "
        "(error)",
        "kind": "dependency",
    }
    assert done[1].run.attempts == 0
    assert [one for what, one in bench.log if what == "start"] == ["a", "d"]


def test_a_result_that_says_it_failed_is_a_failure_too():
    class Telling(Bench):
        async def _acall(self, call: Any) -> dict[str, Any]:
            return (
                {"error": "no such order"} if call.name == "broken" else await super()._acall(call)
            )

    bench = Telling({"broken": broken, "ping": 1.0})
    assert outcomes_of(bench.virtually([call("a", "broken"), call("b", "ping", "a")])) == [
        "failed",
        "dependency",
    ]


def test_what_a_substitute_says_is_as_good_as_a_result():
    policies = {"broken": ToolPolicy(substitute=Substitute(lambda: 42))}
    bench = Bench({"broken": broken, "mail": mail}, policies)
    done = bench.virtually([call("a", "broken"), call("b", "mail", text="${a}!")])
    assert outcomes_of(done) == ["substituted", "ok"]
    assert answers_of(done) == [42, "42!"]


def test_the_order_of_calls_that_disturb_each_other_needs_no_success():
    bench = Bench(
        {"broken": broken, "ping": 1.0},
        {"broken": ToolPolicy(writes=["x"]), "ping": ToolPolicy(reads=["x"])},
    )
    done = bench.virtually([call("a", "broken"), call("b", "ping")])
    assert outcomes_of(done) == ["error", "ok"]
    assert bench.place("end", "a") < bench.place("start", "b")


def test_mistakes_of_a_plan_become_results_and_the_rest_runs():
    bench = Bench({"ping": 1.0, "get_user": get_user, "mail": mail})
    done = bench.virtually(
        [
            call("a", "pong"),
            call("b", "ping", "nobody"),
            call("c", "ping", "d"),
            call("d", "ping", "c"),
            call("u", "get_user", name="Ada"),
            call("e", "mail", text="$u.nmae"),
            call("f", "mail", text="$u.name"),
            call("g", "ping", "e"),
        ]
    )
    assert outcomes_of(done) == [
        *("unknown", "unknown", "cycle", "cycle", "ok", "arguments", "ok", "dependency"),
    ]
    said = done[5].result["error"]
    assert "'$u.nmae' leads to nothing: the result has the keys ['name', 'orders']" in said
    assert all(one.run.attempts == 0 for one in done[:4])


def test_a_result_without_a_plain_value_fails_those_that_read_it():
    bench = Bench({"mail": mail, "ping": 1.0})

    def plain(result: object) -> object:
        raise TypeError("no JSON")

    tools = PlanTools(job=bench.job, results=Answers(), plain=plain)
    graph = bench.graph([call("a", "ping"), call("b", "mail", text="$a"), call("c", "ping", "a")])
    time = VirtualTime()
    done = time.run(arun(ToolExecutor(clock=time).call_plan(graph, tools)))
    assert outcomes_of(done) == ["ok", "arguments", "ok"]
    assert "the result of 'a' is no plain value (TypeError)" in done[1].result["error"]


def test_arguments_that_an_adapter_refuses_fail_their_call():
    bench = Bench({"ping": 1.0})

    def job(call: Any) -> Any:
        raise ValueError("no argument x")

    graph = bench.graph([call("a", "ping", x=1), call("b", "ping", "a")])
    tools = PlanTools(job=job, results=Answers(), plain=str)
    done = asyncio.run(arun(ToolExecutor().call_plan(graph, tools)))
    assert outcomes_of(done) == ["arguments", "dependency"]
    assert done[0].result["error"].endswith("was not made: ValueError: no argument x")


def test_calls_that_are_not_made_are_counted_and_told_like_others():
    bus, told = EventBus(), list[tuple[str, str]]()

    def hook(event: object) -> None:
        assert isinstance(event, DecisionMade)
        told.append((event.outcome, event.details["call_id"]))

    bus.subscribe(hook)
    executor, bench = ToolExecutor(bus=bus), Bench({"mail": mail})
    graph = bench.graph([call("a", "mail", text="hi"), call("b", "pong"), call("c", "mail", "b")])
    run(executor.call_plan(graph, bench.plan_tools()))
    assert sorted(told) == [("dependency", "c"), ("ok", "a"), ("unknown", "b")]
    assert executor.stats().outcomes == {"ok": 1, "unknown": 1, "dependency": 1}


def test_the_deadline_of_the_run_ends_what_is_under_way_and_lets_nothing_start():
    time = VirtualTime()
    bench = Bench({"slow": 10.0, "ping": 1.0}, clock=time)
    executor = ToolExecutor(clock=time)

    async def work() -> list[Done[dict[str, Any]]]:
        with deadline(5.0, clock=time):
            plan = [
                call("a", "slow"),
                call("b", "ping"),
                call("c", "ping", "b"),
                call("d", "ping", "a"),
            ]
            return await arun(executor.call_plan(bench.graph(plan), bench.plan_tools()))

    assert outcomes_of(time.run(work())) == ["deadline", "ok", "ok", "dependency"]
    assert time.monotonic() < 5.1


# What passes through


def ask() -> None:
    raise InterruptedError("May I?")


def test_what_steers_the_run_is_raised_after_all_that_does_not_depend_on_it():
    """Nothing that waits for the call in question starts, whether it needs its success or not."""
    bench = Bench(
        {"ask": ask, "slow": 5.0, "ping": 1.0, "look": 1.0},
        {"ask": ToolPolicy(writes=["x"]), "look": ToolPolicy(reads=["x"])},
    )
    plan = [
        call("a", "ask"),
        call("b", "ping", "a"),
        call("look", "look"),
        call("c", "slow"),
        call("d", "ping", "c"),
    ]
    with pytest.raises(InterruptedError, match=r"May I\?"):
        bench.virtually(plan)
    assert started(bench) == ["a", "c", "d"]
    assert bench.log[-1] == ("end", "d")


async def test_a_cancelled_run_leaves_nothing_behind():
    begun, gone = asyncio.Event(), list[str]()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.append("cleaned up")

    bench = Bench({"hang": hang, "mail": mail})
    executor = ToolExecutor(max_concurrency=2)
    plan = [call("a", "hang"), call("b", "hang"), call("waits", "hang"), call("c", "mail", "a")]
    work = asyncio.create_task(arun(executor.call_plan(bench.graph(plan), bench.plan_tools())))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert gone == ["cleaned up"] * 2
    assert asyncio.all_tasks() == {asyncio.current_task()}
    stats = executor.stats()
    assert (stats.running, stats.waiting, stats.orphans) == (0, 0, 0)
    assert started(bench) == ["a", "b"]


def test_a_tool_that_ends_in_spite_of_a_cancellation_starts_nothing():
    begun = asyncio.Event()

    async def stubborn() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done anyway"
        raise AssertionError

    bench = Bench({"stubborn": stubborn, "mail": mail})

    async def work() -> None:
        graph = bench.graph([call("a", "stubborn"), call("b", "mail", "a", text="hi")])
        task = asyncio.create_task(arun(ToolExecutor().call_plan(graph, bench.plan_tools())))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert started(bench) == ["a"]


# Where calls run


def test_sync_tools_of_a_plan_run_at_once_in_threads_of_the_executor():
    """Two calls that wait for each other are through; a third gets what both gave."""
    both = threading.Barrier(2)

    def meet() -> str:
        both.wait(timeout=10)
        return threading.current_thread().name

    bench = Bench({"meet": meet, "mail": mail})
    plan = [call("a", "meet"), call("b", "meet"), call("c", "mail", text="${a} ${b}")]
    done = run(ToolExecutor().call_plan(bench.graph(plan), bench.plan_tools()))
    names = set(answers_of(done)[2].split())
    assert len(names) == 2
    assert all(name.startswith("agentperf-tool") for name in names)


_ASKED_BY: ContextVar[str] = ContextVar("asked_by", default="nobody")


@pytest.mark.parametrize("how", ["sync", "async"])
def test_calls_see_the_context_of_the_plan_and_not_each_others(how: str):
    def who() -> str:
        before = _ASKED_BY.get()
        _ASKED_BY.set("a tool")
        return before

    async def awho() -> str:
        return who()

    bench = Bench({"who": who if how == "sync" else awho})
    flow = ToolExecutor().call_plan(
        bench.graph([call("a", "who"), call("b", "who", "a")]), bench.plan_tools()
    )
    _ASKED_BY.set("the run")
    done = run(flow) if how == "sync" else asyncio.run(arun(flow))
    assert answers_of(done) == ["the run", "the run"]
    assert _ASKED_BY.get() == "the run"
