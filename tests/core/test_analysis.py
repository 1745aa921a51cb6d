"""The analysis: every nanosecond of a run belongs to exactly one span."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_tools import agent_like_langchain, agent_like_llamaindex, random_traces, span, trace

from agentperf_core.telemetry import LatencyReport, Span, SpanKind, Trace, breakdown, critical_path
from agentperf_core.telemetry.analysis import (
    parallelism_lost_s,
    self_ns,
    steps,
    tool_groups,
)

AGENT, CHAIN, LLM, TOOL = SpanKind.AGENT, SpanKind.CHAIN, SpanKind.LLM, SpanKind.TOOL


def path(run: Trace) -> list[tuple[str, float, float]]:
    return [(s.span.id, s.start_ns / 1e9, s.end_ns / 1e9) for s in critical_path(run)]


def totals_of_prototype(run: Trace) -> dict[str, int]:
    """The recursive backward walk that the method was tried out with; nanoseconds per span."""
    children: dict[str | None, list[Span]] = {}
    for one in run.spans:
        children.setdefault(one.parent_id, []).append(one)
    totals: dict[str, int] = {}

    def walk(one: Span, start: int, end: int) -> None:
        cursor = end
        for child in sorted(children.get(one.id, ()), key=lambda c: -c.end_ns):
            child_end = min(child.end_ns, cursor)
            if child_end <= start or child.start_ns >= cursor:
                continue
            totals[one.id] = totals.get(one.id, 0) + cursor - child_end
            child_start = max(child.start_ns, start)
            walk(child, child_start, child_end)
            cursor = child_start
            if cursor <= start:
                break
        totals[one.id] = totals.get(one.id, 0) + max(cursor - start, 0)

    walk(run.root, run.root.start_ns, run.root.end_ns)
    return {name: total for name, total in totals.items() if total}


# The critical path


def test_the_example_of_the_prototype():
    """One turn, four tools at once, one turn: only the longest tool is on the path."""
    run = trace(
        span("run", None, 0, 2.8, AGENT),
        span("llm1", "run", 0.01, 1.21, LLM),
        span("t0", "run", 1.25, 2.25, TOOL),
        span("t1", "run", 1.25, 1.85, TOOL),
        span("t2", "run", 1.25, 1.55, TOOL),
        span("t3", "run", 1.25, 1.35, TOOL),
        span("llm2", "run", 2.28, 2.78, LLM),
    )
    assert path(run) == [
        ("run", 0.0, 0.01),
        ("llm1", 0.01, 1.21),
        ("run", 1.21, 1.25),
        ("t0", 1.25, 2.25),
        ("run", 2.25, 2.28),
        ("llm2", 2.28, 2.78),
        ("run", 2.78, 2.8),
    ]


@given(random_traces())
def test_the_path_covers_the_run_without_gap_or_overlap(run: Trace):
    segments = critical_path(run)
    assert sum(s.end_ns - s.start_ns for s in segments) == run.root.end_ns - run.root.start_ns
    cursor = run.root.start_ns
    for segment in segments:
        assert segment.start_ns == cursor
        assert segment.start_ns < segment.end_ns
        cursor = segment.end_ns
    if segments:
        assert cursor == run.root.end_ns


@given(random_traces())
def test_every_segment_lies_in_its_span(run: Trace):
    for segment in critical_path(run):
        assert segment.span.start_ns <= segment.start_ns
        assert segment.end_ns <= segment.span.end_ns


@given(random_traces())
def test_the_path_is_that_of_the_prototype(run: Trace):
    totals: dict[str, int] = {}
    for s in critical_path(run):
        totals[s.span.id] = totals.get(s.span.id, 0) + s.end_ns - s.start_ns
    assert totals == totals_of_prototype(run)


def test_a_run_of_zero_length_has_no_path():
    assert critical_path(trace(span("r", None, 1, 1), span("a", "r", 1, 1))) == ()


def test_what_outlives_the_run_counts_only_while_the_run_lasts():
    run = trace(span("r", None, 0, 2), span("stream", "r", 1, 9, LLM))
    assert path(run) == [("r", 0.0, 1.0), ("stream", 1.0, 2.0)]


def test_the_path_does_not_depend_on_the_unit_of_time():
    run = trace(span("r", None, 0, 4), span("a", "r", 1, 2), span("b", "a", 1.5, 3))
    later = trace(
        *(replace(s, start_ns=s.start_ns + 10**15, end_ns=s.end_ns + 10**15) for s in run.spans)
    )
    assert [s.seconds for s in critical_path(run)] == [s.seconds for s in critical_path(later)]


# Self time and shares


def test_self_time_is_where_no_child_ran():
    run = trace(
        span("r", None, 0, 10),
        span("a", "r", 1, 4),
        span("b", "r", 3, 5),  # overlaps a: counted once
        span("c", "r", 9, 12),  # outlives the parent: counted up to its end
        span("a1", "a", 1, 4),
    )
    assert {name: ns / 1e9 for name, ns in self_ns(run).items()} == {
        "r": 5.0,
        "a": 0.0,
        "b": 2.0,
        "c": 3.0,
        "a1": 3.0,
    }


@given(random_traces())
def test_self_time_is_between_zero_and_the_span(run: Trace):
    own = self_ns(run)
    for one in run.spans:
        assert 0 <= own[one.id] <= one.end_ns - one.start_ns


@given(st.lists(random_traces(), max_size=3))
def test_shares_sum_to_one(runs: list[Trace]):
    shares = breakdown(runs)
    wall = sum(run.seconds for run in runs)
    assert sum(s.critical_s for s in shares) == pytest.approx(wall)
    assert sum(s.share for s in shares) == pytest.approx(1.0 if wall else 0.0)
    assert sum(s.spans for s in shares) == sum(len(run.spans) for run in runs)


def test_the_breakdown_of_an_agent():
    shares = {s.kind: s for s in breakdown([agent_like_langchain(serial=True)])}
    assert (shares[LLM].spans, shares[LLM].critical_s, shares[LLM].share) == (2, 2.0, 0.4)
    assert (shares[TOOL].busy_s, shares[TOOL].critical_s) == (3.0, 3.0)
    assert (shares[CHAIN].self_s, shares[CHAIN].critical_s) == (0.0, 0.0)


def test_the_largest_share_comes_first():
    assert [s.kind for s in breakdown([agent_like_langchain(serial=True)])][:2] == [TOOL, LLM]


def test_nothing_recorded_is_no_breakdown():
    assert breakdown([]) == ()


def test_a_report_adds_up_its_runs():
    report = LatencyReport((agent_like_langchain(serial=True), agent_like_llamaindex(serial=True)))
    assert (report.wall_s, report.steps, report.parallelism_lost_s) == (10.0, (2, 2), 2.0)
    assert report.framework_s == pytest.approx(0.0)


# Turns and tools


@pytest.mark.parametrize("build", [agent_like_langchain, agent_like_llamaindex])
def test_tools_of_one_turn_are_a_group_wherever_the_framework_hangs_them(build):
    groups = tool_groups(build(serial=True))
    assert [[s.name for s in group] for group in groups] == [["order", "stock"]]


@pytest.mark.parametrize("build", [agent_like_langchain, agent_like_llamaindex])
def test_parallelism_is_lost_by_the_shorter_of_two_serial_tools(build):
    assert parallelism_lost_s(tool_groups(build(serial=True))) == 1.0


@pytest.mark.parametrize("build", [agent_like_langchain, agent_like_llamaindex])
def test_tools_that_ran_together_lost_nothing(build):
    assert parallelism_lost_s(tool_groups(build(serial=False))) == 0.0


def test_tools_of_different_turns_are_different_groups():
    run = trace(
        span("a", None, 0, 6, AGENT),
        span("l1", "a", 0, 1, LLM),
        span("t1", "a", 1, 2, TOOL),
        span("l2", "a", 2, 3, LLM),
        span("t2", "a", 3, 4, TOOL),
        span("t3", "a", 4, 5, TOOL),
    )
    assert [[s.id for s in g] for g in tool_groups(run)] == [["t1"], ["t2", "t3"]]


def test_a_model_that_a_tool_calls_is_no_turn_of_the_agent():
    """A tool that summarises with a model must not split the group that it belongs to."""
    run = trace(
        span("a", None, 0, 6, AGENT),
        span("l1", "a", 0, 1, LLM),
        span("t1", "a", 1, 3, TOOL),
        span("inner", "t1", 1.5, 2.5, LLM),
        span("t2", "a", 3, 4, TOOL),
    )
    assert [[s.id for s in g] for g in tool_groups(run)] == [["t1", "t2"]]


def test_tools_that_a_tool_calls_belong_to_it():
    run = trace(
        span("a", None, 0, 6, AGENT),
        span("l1", "a", 0, 1, LLM),
        span("t1", "a", 1, 5, TOOL),
        span("c", "t1", 1, 5),
        span("t1.1", "c", 1, 3, TOOL),
        span("t1.2", "c", 3, 5, TOOL),
    )
    assert [[s.id for s in g] for g in tool_groups(run)] == [["t1"]]


def test_a_sub_agent_has_groups_of_its_own():
    run = trace(
        span("a", None, 0, 9, AGENT),
        span("l1", "a", 0, 1, LLM),
        span("handoff", "a", 1, 8, TOOL),
        span("sub", "handoff", 1, 8, AGENT),
        span("l2", "sub", 1, 2, LLM),
        span("t1", "sub", 2, 4, TOOL),
        span("t2", "sub", 4, 5, TOOL),
    )
    groups = sorted([s.id for s in g] for g in tool_groups(run))
    assert groups == [["handoff"], ["t1", "t2"]]
    assert parallelism_lost_s(tool_groups(run)) == 1.0


def test_a_cached_turn_is_a_turn_and_a_cached_tool_is_a_tool():
    run = trace(
        span("a", None, 0, 6, AGENT),
        span("hit", "a", 0, 0, SpanKind.CACHE, cache={"of": "llm"}),
        span("t1", "a", 1, 2, TOOL),
        span("t2", "a", 2, 2, SpanKind.CACHE, cache={"of": "tool"}),
        span("l2", "a", 3, 4, LLM),
    )
    assert steps(run) == 2
    assert [[s.id for s in g] for g in tool_groups(run)] == [["t1", "t2"]]


@given(random_traces())
def test_groups_hold_each_tool_once_and_lost_time_is_not_negative(run: Trace):
    members = [s.id for group in tool_groups(run) for s in group]
    assert len(set(members)) == len(members)
    assert parallelism_lost_s(tool_groups(run)) >= 0


def test_a_torn_trace_without_its_root_can_be_analysed():
    """A log file that was rotated inside a run begins with spans whose parent is missing."""
    run = trace(
        span("a", "missing", 0, 2, TOOL),
        span("b", "gone", 1, 3, LLM),
        span("c", "b", 2, 3, TOOL),
    )
    assert [[s.id for s in g] for g in tool_groups(run)] == [["a"], ["c"]]
    assert LatencyReport((run,)).breakdown
    assert LatencyReport((run,)).diagnose() is not None


# Size


@pytest.mark.parametrize("form", ["deep", "wide"])
def test_ten_thousand_spans_are_handled(form: str):
    """A chain of 10,000 nested spans overflows no stack, as many siblings cost no square."""
    count = 10_000
    kinds = (LLM, TOOL)
    rows = [span("0", None, 0, 3 * count, AGENT)]
    for n in range(1, count + 1):
        if form == "deep":
            rows.append(span(str(n), str(n - 1), n, 3 * count - n, kinds[n % 2]))
        else:
            rows.append(span(str(n), "0", 2 * n, 2 * n + 1, kinds[n % 2]))
    run = trace(*rows)
    report = LatencyReport((run,))
    assert sum(s.seconds for s in critical_path(run)) == pytest.approx(3 * count)
    assert sum(s.share for s in report.breakdown) == pytest.approx(1.0)
    assert report.steps == (count // 2,)
    assert report.parallelism_lost_s >= 0
    assert report.diagnose()
