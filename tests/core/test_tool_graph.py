"""The graph of a plan: who waits for whom, in which groups, and which calls can never be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from plan_tools import drawn_plans

from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import Durations, PlannedCall, ToolGraph

WRITE = ToolPolicy(writes=["orders:{id}"])
READ = ToolPolicy(read_only=True, reads=["orders:{id}"])


def call(call_id: str, tool: str = "ping", *depends_on: str, **arguments: Any) -> PlannedCall:
    return PlannedCall(call_id, tool, arguments, depends_on)


def waits(graph: ToolGraph) -> dict[str, set[str]]:
    ids = [one.id for one in graph.calls]
    return {ids[n]: {ids[m] for m in places} for n, places in enumerate(graph.waits_for) if places}


def groups(graph: ToolGraph) -> list[list[str]]:
    return [[one.id for one in group] for group in graph.groups()]


def kinds(graph: ToolGraph) -> dict[int, str]:
    return {place: failure.kind for place, failure in graph.failures.items()}


def test_dependencies_are_named_or_follow_from_references():
    graph = ToolGraph(
        [
            call("a"),
            call("b", "ping", "a"),
            call("c", x={"deep": ["$a.id", "and ${b.name}"]}),
            call("d", x="$$a"),
        ]
    )
    assert waits(graph) == {"b": {"a"}, "c": {"a", "b"}}
    assert groups(graph) == [["a", "d"], ["b"], ["c"]]


def test_a_plan_need_not_be_sorted():
    graph = ToolGraph([call("c", x="$b"), call("b", x="$a"), call("a")])
    assert groups(graph) == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        pytest.param(
            [("a", "write", 1), ("b", "write", 2), ("c", "read", 1)],
            {"c": {"a"}},
            id="a read waits for the write before it",
        ),
        pytest.param(
            [("a", "read", 1), ("b", "write", 1), ("c", "read", 1)],
            {"b": {"a"}, "c": {"b"}},
            id="a write waits for the reads before it",
        ),
        pytest.param(
            [("a", "read", 1), ("b", "read", 1), ("c", "ping", 1)],
            {},
            id="reads wait for nobody",
        ),
        pytest.param(
            [("a", "step", 1), ("b", "ping", 1), ("c", "step", 2)],
            {"c": {"a"}},
            id="calls of an exclusive group keep their order",
        ),
    ],
)
def test_calls_that_disturb_each_other_keep_the_order_of_the_plan(
    calls: Sequence[tuple[str, str, int]], expected: Mapping[str, set[str]]
):
    policies = {"write": WRITE, "read": READ, "step": ToolPolicy(exclusive="files")}
    graph = ToolGraph([call(one, tool, id=n) for one, tool, n in calls], policies=policies)
    assert waits(graph) == expected
    assert graph.needs == (frozenset(),) * 3, "the order needs nobody's success"


def test_a_reference_may_be_any_resource_of_its_family():
    policies = {"write": WRITE, "read": READ}
    graph = ToolGraph(
        [call("x"), call("a", "write", id="$x"), call("b", "read", id=7)], policies=policies
    )
    assert waits(graph) == {"a": {"x"}, "b": {"a"}}


def test_dependencies_go_before_the_order_of_the_plan():
    """Two pairs that disturb each other, and dependencies against their order: no deadlock."""
    policies = {name: ToolPolicy(writes=[name]) for name in ("left", "right")}
    graph = ToolGraph(
        [
            call("a", "left", "d"),
            call("b", "left"),
            call("c", "right", "b"),
            call("d", "right"),
        ],
        policies=policies,
    )
    assert not graph.failures
    assert sorted(one for group in groups(graph) for one in group) == ["a", "b", "c", "d"]
    assert waits(graph)["a"] == {"b", "d"}


def test_an_id_that_does_not_exist_fails_its_call_and_what_depends_on_it():
    graph = ToolGraph(
        [call("a", x="$oops.id"), call("b", "ping", "a"), call("c", x="$b"), call("d")]
    )
    assert kinds(graph) == {0: "unknown", 1: "dependency", 2: "dependency"}
    assert groups(graph) == [["d"]]
    assert str(graph.failures[0]) == (
        "call 'a' of tool 'ping' was not made: its arguments refer to '$oops.id', and no call has "
        "the id 'oops'; write '$$oops.id' if it is text"
    )
    assert "depends on 'a', which gave no result (unknown)" in str(graph.failures[1])
    named = ToolGraph([call("a", "ping", "oops")])
    assert "it depends on 'oops', and no call has that id" in str(named.failures[0])


def test_an_id_that_several_calls_have_names_none_of_them():
    graph = ToolGraph([call("a"), call("b"), call("a"), call("c", x="$a")])
    assert kinds(graph) == {0: "unknown", 2: "unknown", 3: "dependency"}
    assert "several calls of the plan have its id 'a'" in str(graph.failures[0])


def test_a_tool_that_does_not_exist_fails_its_call():
    graph = ToolGraph([call("a", "pong"), call("b", "ping", "a"), call("c")], tools=["ping"])
    assert kinds(graph) == {0: "unknown", 1: "dependency"}
    assert "there is no such tool, only ['ping']" in str(graph.failures[0])


def test_a_cycle_fails_those_that_are_in_it_and_those_behind_it():
    graph = ToolGraph(
        [
            call("before"),
            call("a", "ping", "before", "c"),
            call("b", x="$a"),
            call("c", x="$b"),
            call("behind", "ping", "b"),
            call("self", x="$self.id"),
            call("free", "ping", "before"),
        ]
    )
    assert kinds(graph) == {1: "cycle", 2: "cycle", 3: "cycle", 4: "dependency", 5: "cycle"}
    assert groups(graph) == [["before"], ["free"]]
    assert "it waits for itself: a -> c -> b -> a" in str(graph.failures[1])
    assert "it waits for itself: self -> self" in str(graph.failures[5])


def test_a_call_between_two_cycles_is_in_neither():
    graph = ToolGraph(
        [
            *(call("a", "ping", "b"), call("b", "ping", "a")),
            call("between", "ping", "a"),
            *(call("c", "ping", "d", "between"), call("d", "ping", "c")),
        ]
    )
    assert kinds(graph) == {0: "cycle", 1: "cycle", 2: "dependency", 3: "cycle", 4: "cycle"}


def test_a_policy_for_a_tool_that_does_not_exist_is_a_mistake_of_the_program():
    with pytest.raises(ConfigError, match=r"policies must name tools, got \['pong'\]"):
        ToolGraph([call("a")], tools=["ping"], policies={"pong": READ})


def test_tails_are_the_longest_way_to_an_end():
    durations = Durations()
    for tool, seconds in (("short", 1.0), ("long", 10.0)):
        durations.learn(tool, seconds)
    graph = ToolGraph(
        [call("a", "short"), call("b", "long", "a"), call("c", "short", "b"), call("d", "short")]
    )
    assert graph.tails_s(durations) == [12.0, 11.0, 1.0, 1.0]


@given(drawn_plans())
def test_groups_hold_every_call_once_and_after_its_dependencies(
    drawn: tuple[list[PlannedCall], list[float]],
):
    calls, _ = drawn
    graph = ToolGraph(calls)
    assert not graph.failures
    level = {one.id: n for n, group in enumerate(graph.groups()) for one in group}
    assert sorted(level) == sorted(one.id for one in calls)
    for place, one in enumerate(calls):
        needed = [level[calls[other].id] for other in graph.waits_for[place]]
        assert level[one.id] == 1 + max(needed, default=-1)
