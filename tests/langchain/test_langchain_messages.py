"""Messages of LangChain through the core and back: the same objects, or honest copies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentperf_core.context.turns import with_text
from agentperf_core.types import Message, ToolCall
from langchain_agentperf._messages import from_core, mark, to_core

IMAGE: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
THOUGHT: dict[str, Any] = {"type": "thinking", "thinking": "hm", "signature": "s"}
CALLING = AIMessage(
    [
        THOUGHT,
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c1", "name": "look"},
    ],
    tool_calls=[{"name": "look", "args": {"at": 1}, "id": "c1"}],
    invalid_tool_calls=[{"name": "dig", "args": "{", "id": "c2", "error": "no JSON"}],
    id="m1",
)
EVERY_KIND: list[BaseMessage] = [
    SystemMessage("Be kind."),
    HumanMessage(["See ", {"type": "text", "text": "this"}, IMAGE], name="Ana"),
    CALLING,
    ToolMessage("found", tool_call_id="c1", artifact={"rows": [1]}),
    AIMessage("", additional_kwargs={"function_call": {"name": "old", "arguments": '{"a": 1}'}}),
    FunctionMessage(name="old", content="result"),
    ChatMessage(role="developer", content="Be brief."),
    ChatMessage(role="critic", content="No."),
    AIMessageChunk(content="streamed", additional_kwargs={"reasoning_content": "because"}),
]


@pytest.mark.parametrize("message", EVERY_KIND, ids=lambda one: type(one).__name__)
def test_what_is_not_changed_comes_back_as_the_same_object(message: BaseMessage):
    assert from_core(to_core(message)) is message


def test_the_core_sees_roles_texts_blocks_and_calls():
    core = [to_core(message) for message in EVERY_KIND]
    roles = [one.role for one in core]
    assert roles[:6] == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert roles[6:] == ["system", "user", "assistant"]
    assert (core[1].text, core[1].name, core[1].blocks) == ("See this", "Ana", (IMAGE,))
    assert (core[2].text, core[2].blocks) == ("I look.", (THOUGHT,))
    assert core[2].tool_calls == (
        ToolCall("c1", "look", {"at": 1}),
        ToolCall("c2", "dig", {"": "{"}),
    )
    assert core[3].tool_call_id == "c1"
    assert core[4].tool_calls[0].id == core[5].tool_call_id
    assert core[8].blocks == ({"type": "reasoning", "reasoning": "because"},)


def test_a_changed_message_is_a_copy_with_the_new_text_and_the_rest_as_it_was():
    result = ToolMessage("long " * 50, tool_call_id="c1", artifact={"rows": [1]}, id="t1")
    short = from_core(with_text(to_core(result), "[cleared]"))
    assert short.text == "[cleared]"
    assert result.text.startswith("long")
    assert short.model_dump(exclude={"content"}) == result.model_dump(exclude={"content"})


def test_blocks_that_were_kept_stay_in_their_order():
    core = to_core(CALLING)
    kept = from_core(replace(with_text(core, "cut"), blocks=core.blocks))
    assert [block["type"] for block in kept.content if isinstance(block, dict)] == [
        "thinking",
        "text",
        "tool_use",
    ]
    assert kept.text == "cut"
    assert CALLING.text == "I look."
    assert from_core(with_text(core, "cut")).content == "cut"


def test_messages_of_the_core_become_messages_of_langchain():
    asked = Message(role="assistant", text="so", tool_calls=(ToolCall("c", "look", {"a": 1}),))
    made = [
        from_core(one)
        for one in (
            Message(role="system", text="s"),
            Message(role="user", text="u", name="Ana"),
            asked,
            Message(role="tool", text="r", tool_call_id="c"),
        )
    ]
    assert [type(one) for one in made] == [SystemMessage, HumanMessage, AIMessage, ToolMessage]
    assert [to_core(one) for one in made][2] == asked


@pytest.mark.parametrize("message", EVERY_KIND, ids=lambda one: type(one).__name__)
def test_a_mark_outlives_a_checkpoint(message: BaseMessage):
    serde = JsonPlusSerializer()
    loaded = serde.loads_typed(serde.dumps_typed(message))
    assert loaded is not message
    assert mark(loaded) == mark(message)
    assert hash(mark(loaded)) == hash(mark(message))


@pytest.mark.parametrize(
    "update",
    [
        {"content": "other"},
        {"id": "m2"},
        {"name": "other"},
        {"tool_calls": [{"name": "look", "args": {"at": 2}, "id": "c1"}]},
        {"invalid_tool_calls": []},
        {"additional_kwargs": {"reasoning_content": "other"}},
    ],
    ids=lambda update: next(iter(update)),
)
def test_a_mark_changes_with_what_is_said(update: dict[str, Any]):
    assert mark(CALLING.model_copy(update=update)) != mark(CALLING)


def test_a_mark_is_one_of_its_time():
    """Whoever appends to a message's content later has another message."""
    message = HumanMessage(["one"])
    before = mark(message)
    message.content.append("two")  # pyright: ignore[reportAttributeAccessIssue]
    assert mark(message) != before


def test_usage_and_metadata_are_no_part_of_a_mark():
    late = CALLING.model_copy(update={"response_metadata": {"agentperf": {}}})
    assert mark(late) == mark(CALLING)
