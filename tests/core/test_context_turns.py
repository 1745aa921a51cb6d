"""Turns: what belongs together, and what is put right in a broken sequence."""

from __future__ import annotations

from conversations import broken_histories, histories, objections, said
from hypothesis import given

from agentperf_core.context.turns import Repair, repaired, turns_of, units_of
from agentperf_core.types import Message, ToolCall


def call(*ids: str) -> Message:
    return said("assistant", 1, tool_calls=tuple(ToolCall(one, "look", {}) for one in ids))


def result(call_id: str, text: str = "seen") -> Message:
    return Message(role="tool", text=text, tool_call_id=call_id)


HI = Message(role="user", text="hi")


@given(histories())
def test_what_is_valid_comes_back_as_it_is(history: list[Message]):
    found = repaired(history)
    assert found.repairs == ()
    assert all(one is other for one, other in zip(found.messages, history, strict=True))


@given(broken_histories())
def test_what_is_repaired_is_valid_and_stays_so(history: list[Message]):
    found = repaired(history)
    problems = [one for one in objections(found.messages) if "begins with" not in one]
    assert problems == []
    again = repaired(found.messages)
    assert again.messages == found.messages
    assert again.repairs == () or found.messages[-1].text.strip() == ""


def test_each_kind_of_repair():
    history = [
        HI,
        result("x"),
        call("a", "b"),
        HI,
        result("b"),
        result("b", "again"),
        Message(role="assistant"),
        call("c"),
    ]
    found = repaired(history)
    assert found.repairs == (
        Repair("orphan_result", 1, "x"),
        Repair("missing_result", 2, "a"),
        Repair("moved_result", 4, "b"),
        Repair("duplicate_result", 5, "b"),
        Repair("empty_message", 6),
    )
    assert [one.text for one in found.messages[1:4]] == [
        "w0",
        "[no result: the call was interrupted]",
        "seen",
    ]


def test_an_id_that_is_used_again_belongs_to_the_latest_call():
    history = [HI, call("a"), result("a", "one"), HI, call("a"), result("a", "two")]
    assert repaired(history).repairs == ()


def test_calls_at_the_end_may_wait():
    history = [HI, call("a", "b"), result("b")]
    assert repaired(history).repairs == ()
    assert [unit.pending for unit in units_of(history)] == [False, True]


@given(histories())
def test_units_and_turns_are_the_whole_conversation_in_order(history: list[Message]):
    turns = turns_of(units_of(history))
    assert [message for turn in turns for message in turn.messages] == history
    assert all(turn.messages[0].role == "user" for turn in turns[1:])
