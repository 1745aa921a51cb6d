"""Messages of LlamaIndex through the core and back: the same objects, or honest copies."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from agentperf_core.context.turns import with_text
from agentperf_core.types import Message, ToolCall
from llamaindex_agentperf._messages import from_core, mark, to_core

CALLING = ChatMessage(
    role="assistant",
    blocks=[
        ThinkingBlock(content="hm", additional_information={"signature": "s"}),
        TextBlock(text="I look."),
        ImageBlock(image=b"AAAA", image_mimetype="image/png"),
        TextBlock(text="Twice."),
        ToolCallBlock(tool_call_id="c1", tool_name="look", tool_kwargs={"at": 1}),
        ToolCallBlock(tool_call_id="c2", tool_name="dig", tool_kwargs='{"at": 2}'),
    ],
)
RESULT = ChatMessage(role="tool", content="found", additional_kwargs={"tool_call_id": "c1"})
OPENAI_CALL = SimpleNamespace(
    id="c3", function=SimpleNamespace(name="look", arguments='{"at": 3}'), type="function"
)
LEGACY = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [OPENAI_CALL]})
EVERY_KIND = [
    ChatMessage(role="system", content="Be kind."),
    ChatMessage(role="developer", content="Be brief."),
    ChatMessage(role="user", content="Hello."),
    CALLING,
    RESULT,
    LEGACY,
    ChatMessage(role="chatbot", content="Hi."),
    ChatMessage(role="function", content="r", additional_kwargs={"tool_call_id": "c9"}),
]


@pytest.mark.parametrize("message", EVERY_KIND, ids=lambda one: one.role.value)
def test_what_is_not_changed_comes_back_as_the_same_object(message: ChatMessage):
    assert from_core(to_core(message)) is message


def test_the_core_sees_roles_texts_blocks_and_calls():
    core = [to_core(message) for message in EVERY_KIND]
    assert [one.role for one in core] == [
        *("system", "system", "user", "assistant", "tool", "assistant", "assistant", "tool")
    ]
    assert core[3].text == "I look.\nTwice."
    assert core[3].blocks == ({"type": "thinking", "thinking": "hm"}, {"type": "image"})
    assert core[3].tool_calls == (
        ToolCall("c1", "look", {"at": 1}),
        ToolCall("c2", "dig", {"at": 2}),
    )
    assert core[4].tool_call_id == "c1"
    assert core[5].tool_calls == (ToolCall("c3", "look", {"at": 3}),)


@pytest.mark.parametrize(
    ("given", "arguments"),
    [("", {}), ("{", {"": "{"}), ("[1]", {"": [1]}), ({}, {})],
    ids=["none", "broken", "list", "empty"],
)
def test_arguments_that_are_no_mapping_are_still_counted(given: Any, arguments: dict[str, Any]):
    message = ChatMessage(
        role="assistant", blocks=[ToolCallBlock(tool_name="look", tool_kwargs=given)]
    )
    assert to_core(message).tool_calls == (ToolCall("", "look", arguments),)


def test_words_of_cited_documents_count_and_cache_points_do_not():
    cited = CitableBlock(
        title="Manual", source="m.pdf", content=[TextBlock(text="Press the button.")]
    )
    quote = CitationBlock(
        cited_content=TextBlock(text="Press it."),
        source="m.pdf",
        title="Manual",
        additional_location_info={},
    )
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    blocks = to_core(ChatMessage(role="user", blocks=[cited, quote, point])).blocks
    assert len(blocks) == 2
    assert "Press the button." in blocks[0]["text"]
    assert "Press it." in blocks[1]["text"]


def test_a_changed_message_is_a_copy_with_the_new_text_and_the_rest_as_it_was():
    short = from_core(with_text(to_core(RESULT), "[cleared]"))
    assert (short.content, short.role) == ("[cleared]", RESULT.role)
    assert short.additional_kwargs == RESULT.additional_kwargs
    assert RESULT.content == "found"


def test_blocks_that_were_kept_stay_in_their_order():
    core = to_core(CALLING)
    kept = from_core(replace(with_text(core, "cut"), blocks=core.blocks))
    kinds = [block.block_type for block in kept.blocks]
    assert kinds == ["thinking", "text", "image", "tool_call", "tool_call"]
    assert kept.content == "cut"
    bare = from_core(with_text(core, "cut"))
    assert [block.block_type for block in bare.blocks] == ["text", "tool_call", "tool_call"]
    assert len(CALLING.blocks) == 6


def test_messages_of_the_core_become_messages_of_llamaindex():
    messages = (
        Message(role="system", text="s"),
        Message(role="user", text="u", name="Ana"),
        Message(role="assistant", text="so", tool_calls=(ToolCall("c", "look", {"a": 1}),)),
        Message(role="tool", text="r", tool_call_id="c"),
    )
    assert tuple(to_core(from_core(message)) for message in messages) == messages


@pytest.mark.parametrize("message", EVERY_KIND, ids=lambda one: one.role.value)
def test_a_mark_outlives_a_copy(message: ChatMessage):
    copy = message.model_copy(deep=True)
    assert mark(copy) == mark(message)
    assert hash(mark(copy)) == hash(mark(message))


def test_a_mark_changes_with_what_is_said():
    other = RESULT.model_copy(update={"additional_kwargs": {"tool_call_id": "c2"}})
    assert mark(other) != mark(RESULT)
    assert mark(ChatMessage(role="user", content="a")) != mark(
        ChatMessage(role="user", content="b")
    )
    shorter = CALLING.model_copy(update={"blocks": CALLING.blocks[:-1]})
    assert mark(shorter) != mark(CALLING)


def test_a_mark_is_one_of_its_time():
    """Agents append blocks to a message that they have shown before."""
    message = CALLING.model_copy(deep=True)
    before = mark(message)
    message.blocks.append(TextBlock(text="more"))
    assert mark(message) != before
