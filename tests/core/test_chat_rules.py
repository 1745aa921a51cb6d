"""The strict check of chat messages objects to everything that the API refuses."""

from __future__ import annotations

from typing import Any

import pytest

from agentperf_core.testing.chat_rules import chat_objections

USER = {"role": "user", "content": "hi"}
DONE = {"role": "tool", "content": "4", "tool_call_id": "c1"}


def calling(*ids: str, arguments: Any = "{}", name: str = "add", role: str = "assistant") -> Any:
    calls = [
        {"id": one, "type": "function", "function": {"name": name, "arguments": arguments}}
        for one in ids
    ]
    return {"role": role, "content": None, "tool_calls": calls}


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [{"role": "system", "content": "s"}, USER, calling("c1"), DONE],
        [USER, calling("c1", "c2"), {**DONE, "tool_call_id": "c2"}, DONE, USER],
    ],
)
def test_what_is_right_is_let_pass(messages: Any):
    assert chat_objections(messages) == []


@pytest.mark.parametrize(
    ("messages", "objection"),
    [
        ([], "the first speaker is None"),
        ([{"role": "assistant", "content": "hi"}], "first speaker is assistant"),
        ([USER, DONE], "without a call before it"),
        ([USER, calling("c1"), DONE, DONE], "without a call before it"),
        ([USER, calling("c1"), USER], "1 calls before it have no results"),
        ([USER, calling("c1")], "at the end have no results"),
        ([USER, calling("c1", "c1"), DONE, DONE], "two calls with one id"),
        ([USER, calling("c1", arguments="{"), DONE], "no JSON text"),
        ([USER, calling("c1", arguments={}), DONE], "no JSON text"),
        ([USER, calling("c1", name="a b"), DONE], "a call of 'a b'"),
        ([calling("c1", role="user"), DONE], "calls by user"),
        ([USER, {"role": "assistant", "content": ""}], "says nothing"),
        ([USER, calling("c1"), {**DONE, "content": None}], "without content"),
        ([USER, {"role": "critic", "content": "no"}], "no role of the API"),
    ],
)
def test_what_is_wrong_is_named(messages: Any, objection: str):
    assert any(objection in one for one in chat_objections(messages))


def test_an_agent_that_waits_for_a_tool_may_be_looked_at():
    assert chat_objections([USER, calling("c1")], ends_open=True) == []
    assert chat_objections([{"role": "assistant", "content": "hi"}], user_first=False) == []
