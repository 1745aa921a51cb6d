"""What-if: the replay of an unchanged run is the run, and a change has the effect it must have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_tools import agent_like_langchain, agent_like_llamaindex, random_traces, span, trace

from agentperf_core.telemetry import Span, SpanKind, Trace, replay_s
from agentperf_core.telemetry.analysis import tool_groups
from agentperf_core.telemetry.whatif import Override, branches

LLM, TOOL = SpanKind.LLM, SpanKind.TOOL


def takes(**seconds: float) -> Override:
    return lambda s: round(seconds[s.id] * 1e9) if s.id in seconds else None


@given(random_traces())
def test_an_unchanged_run_takes_exactly_as_long_as_it_took(run: Trace):
    """Also where children outlive their parents: streams are read after their chain returned."""
    assert replay_s(run) == run.seconds


@given(random_traces())
def test_overriding_every_leaf_with_its_own_length_changes_nothing(run: Trace):
    parents = {s.parent_id for s in run.spans}
    assert run.seconds == replay_s(
        run, lambda s: s.end_ns - s.start_ns if s.id not in parents else None
    )


@given(random_traces(), st.data())
def test_shorter_spans_never_lengthen_the_run(run: Trace, data: st.DataObject):
    parts = {s.id: data.draw(st.none() | st.integers(0, 3), label=s.id) for s in run.spans}

    def shorter(s: Span) -> int | None:
        part = parts[s.id]
        return None if part is None else (s.end_ns - s.start_ns) * part // 3

    assert replay_s(run, shorter) <= run.seconds


@given(random_traces(), st.data())
def test_shortening_one_more_span_never_lengthens_the_run(run: Trace, data: st.DataObject):
    some = data.draw(st.sets(st.sampled_from([s.id for s in run.spans])))
    more = some | {data.draw(st.sampled_from([s.id for s in run.spans]))}
    assert replay_s(run, lambda s: 0 if s.id in more else None) <= replay_s(
        run, lambda s: 0 if s.id in some else None
    )


@given(random_traces(contained=True), st.data())
def test_starting_siblings_together_never_lengthens_the_run(run: Trace, data: st.DataObject):
    children = [s.id for s in run.spans[1:] if s.parent_id == run.root.id]
    group = data.draw(st.lists(st.sampled_from(children), unique=True)) if children else []
    assert replay_s(run, together=[group]) <= run.seconds


def test_a_span_that_is_shortened_takes_what_outlived_it_along():
    """The run was longer with both of them at no length than with one of them."""
    run = trace(
        span("r", None, 0, 2),
        span("a", "r", 0, 1),
        span("b", "a", 0, 2),  # a stream that is read after `a` has returned
        span("c", "r", 2, 2),
    )
    one = replay_s(run, lambda s: 0 if s.id == "b" else None)
    both = replay_s(run, lambda s: 0 if s.id in {"a", "b"} else None)
    assert (one, both) == (1.0, 0.0)


CHAIN_OF_THREE = trace(
    span("r", None, 0, 10),
    span("a", "r", 1, 3),
    span("b", "r", 4, 7),
    span("c", "r", 8, 9),
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"a": 0}, 8.0),
        ({"a": 4}, 12.0),
        ({"b": 1}, 8.0),
        ({"c": 0}, 9.0),
        ({"a": 0, "b": 0, "c": 0}, 4.0),  # the root's own four seconds stay
        ({"r": 3}, 3.0),
    ],
    ids=str,
)
def test_a_changed_length_moves_everything_after_it(seconds: dict[str, float], expected: float):
    assert replay_s(CHAIN_OF_THREE, takes(**seconds)) == expected


def test_a_branch_off_the_critical_path_saves_nothing():
    run = trace(
        span("r", None, 0, 6),
        span("long", "r", 0, 5, TOOL),
        span("short", "r", 0, 2, TOOL),
        span("after", "r", 5, 6, LLM),
    )
    assert replay_s(run, takes(short=0)) == 6.0


def test_what_followed_two_branches_waits_for_the_longer_one_that_remains():
    """Skipping the longest tool does not let the next turn start before the other tool is done."""
    run = trace(
        span("r", None, 0, 6),
        span("long", "r", 0, 5, TOOL),
        span("other", "r", 0, 4, TOOL),
        span("after", "r", 5, 6, LLM),
    )
    assert replay_s(run, takes(long=0)) == 5.0


def test_a_change_deep_in_the_tree_reaches_the_root():
    run = trace(span("r", None, 0, 10), span("c", "r", 2, 8), span("t", "c", 3, 7, TOOL))
    assert replay_s(run, takes(t=1)) == 7.0


def test_a_stream_that_outlives_its_chain_still_holds_up_the_run():
    """The chain returned a generator at once; the run lasted until the stream was read."""
    run = trace(
        span("r", None, 0, 6),
        span("c", "r", 0, 1),
        span("stream", "c", 0.5, 5, LLM),
    )
    assert replay_s(run, takes(stream=2.5)) == 4.0


def test_a_task_left_behind_does_not_hold_up_the_run():
    run = trace(span("r", None, 0, 3), span("background", "r", 1, 60))
    assert replay_s(run) == 3.0
    assert replay_s(run, takes(background=1)) == 3.0


@pytest.mark.parametrize("build", [agent_like_langchain, agent_like_llamaindex])
def test_serial_tools_together_take_as_long_as_the_longest(build):
    run = build(serial=True)
    (group,) = tool_groups(run)
    assert replay_s(run, together=[branches(run, group)]) == run.seconds - 1.0
    assert run.seconds - 1.0 == build(serial=False).seconds


def test_branches_are_the_nodes_under_the_common_ancestor():
    run = agent_like_llamaindex(serial=True)
    (group,) = tool_groups(run)
    assert branches(run, group) == ["call-tool-1", "call-tool-2"]


def test_together_works_in_any_order_of_the_group():
    run = agent_like_langchain(serial=True)
    assert replay_s(run, together=[["tools-2", "tools-1"]]) == 4.0


def test_three_serial_tools_in_two_groups():
    run = trace(
        span("r", None, 0, 12),
        span("a", "r", 0, 2, TOOL),
        span("b", "r", 2, 4, TOOL),
        span("c", "r", 4, 6, TOOL),
        span("d", "r", 6, 9, TOOL),
        span("e", "r", 9, 12, TOOL),
    )
    assert replay_s(run, together=[["a", "b", "c"], ["d", "e"]]) == 5.0


def test_together_and_a_shorter_span_combine():
    run = agent_like_langchain(serial=True)
    assert replay_s(run, takes(order=0.5), together=[["tools-1", "tools-2"]]) == 3.0


def test_a_group_of_unknown_or_lonely_spans_changes_nothing():
    assert replay_s(CHAIN_OF_THREE, together=[["nobody"], ["b"], []]) == 10.0


def test_zero_length_spans_do_not_wait_for_each_other():
    run = trace(
        span("r", None, 0, 4),
        span("a", "r", 2, 2),
        span("b", "r", 2, 2),
        span("c", "r", 2, 4),
    )
    assert replay_s(run) == 4.0
    assert replay_s(run, takes(a=1)) == 5.0


def test_many_siblings_are_handled():
    rows = [span("0", None, 0, 10_000)]
    rows += [span(str(n), "0", n - 1, n) for n in range(1, 10_001)]
    assert replay_s(trace(*rows), lambda s: 0 if s.id != "0" else None) == 0.0
