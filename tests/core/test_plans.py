"""Plans as a program or a model writes them down, and the errors for those that are none."""

from __future__ import annotations

from typing import Any

import pytest

from agentperf_core.errors import ConfigError
from agentperf_core.tools import PlannedCall
from agentperf_core.tools.plan import read_plan


def test_plain_json_and_values_are_the_same_plan():
    plan = [
        {"id": "a", "tool": "search", "arguments": {"query": "Ada"}},
        {"id": 2, "tool": "mail", "arguments": {"to": "$a.mail"}, "depends_on": ["a", 1]},
        PlannedCall("c", "ping"),
    ]
    assert read_plan(plan) == (
        PlannedCall("a", "search", {"query": "Ada"}),
        PlannedCall("2", "mail", {"to": "$a.mail"}, ("a", "1")),
        PlannedCall("c", "ping", {}, ()),
    )


def test_tool_calls_of_a_message_are_a_plan():
    call = {"name": "search", "args": {"query": "Ada"}, "id": "call_1", "type": "tool_call"}
    assert read_plan([call]) == (PlannedCall("call_1", "search", {"query": "Ada"}),)


def test_what_a_model_left_empty_is_the_default():
    call = {"id": "a", "tool": "ping", "arguments": None, "depends_on": None}
    assert read_plan([call]) == (PlannedCall("a", "ping"),)
    assert read_plan([]) == ()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("search", "a plan must be a list of calls, got str"),
        ({"id": "a"}, "a plan must be a list of calls, got dict"),
        (["search"], "a planned call must be an object, got 'search'"),
        ([{1: "a"}], "a planned call must be an object"),
        ([{"id": "a"}], r"lacks \['tool'\]"),
        ([{"tool": "ping"}], r"lacks \['id'\]"),
        ([{"id": None, "tool": "ping"}], r"lacks \['id'\]"),
        (
            [{"id": "a", "tool": "ping", "dependsOn": []}],
            r"has \['dependsOn'\], which mean nothing",
        ),
        ([{"id": "a", "tool": "p", "args": {}, "arguments": {}}], r"has \['args'\]"),
        ([{"id": "", "tool": "ping"}], "id of a planned call must be a name, got ''"),
        ([{"id": True, "tool": "ping"}], "id of a planned call must be a name, got True"),
        ([{"id": "a", "tool": 7}], "tool of a planned call must be a name, got 7"),
        ([{"id": "a", "tool": "p", "arguments": "{}"}], "arguments of call 'a' must be an object"),
        ([{"id": "a", "tool": "p", "arguments": {1: 2}}], "with names as keys"),
        ([{"id": "a", "tool": "p", "depends_on": "b"}], "must be a list of ids, got 'b'"),
        ([{"id": "a", "tool": "p", "depends_on": [None]}], r"must be a list of ids, got \[None\]"),
    ],
)
def test_what_is_no_plan_says_what_is_wrong_and_how_to_write_it(plan: Any, said: str):
    with pytest.raises(ConfigError, match=said) as found:
        read_plan(plan)
    assert '"depends_on": ["a"]}' in str(found.value)
