"""LangChain values to core values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from agentperf_core.cache import CacheDecision, Unkeyable, request_key
from agentperf_core.types import Usage
from langchain_agentperf._answers import decode_message, encode_message
from langchain_agentperf._convert import message_parts, parts_of_fields
from langchain_agentperf._facts import facts_of, usage_from
from langchain_agentperf._identity import model_identity, temperature_of
from tests.langchain.scripted_models import ScriptedChat, call, say


def test_usage_splits_totals_that_include_cached_tokens() -> None:
    message = AIMessage(
        "x",
        usage_metadata={
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "input_token_details": {"cache_read": 60, "cache_creation": 10},
            "output_token_details": {"reasoning": 5},
        },
    )
    assert usage_from(message) == Usage(
        uncached_input_tokens=30,
        cached_input_tokens=60,
        cache_write_tokens=10,
        output_tokens=20,
        reasoning_tokens=5,
    )


def test_a_message_without_counts_has_no_usage() -> None:
    assert usage_from(AIMessage("x")) is None
    assert usage_from(HumanMessage("x")) is None
    marked = AIMessage("x").model_copy(update={"usage_metadata": {"total_cost": 0}})
    assert usage_from(marked) is None


EQUAL: dict[str, tuple[BaseMessage, BaseMessage]] = {
    "ids": (HumanMessage("a", id="1"), HumanMessage("a", id="2")),
    "metadata": (AIMessage("a", response_metadata={"x": 1}), AIMessage("a")),
    "usage": (say("a"), AIMessage("a")),
    "chunk": (AIMessageChunk(content="a", chunk_position="last"), AIMessage("a")),
    "marks": (AIMessage("a", additional_kwargs={"agentperf": {}, "cached": True}), AIMessage("a")),
    "null refusal": (AIMessage("a", additional_kwargs={"refusal": None}), AIMessage("a")),
    "block ids": (
        AIMessage([{"type": "text", "text": "a", "id": "1", "index": 0}]),
        AIMessage([{"type": "text", "text": "a", "id": "2", "index": 1}]),
    ),
    "call ids": (
        AIMessage("", tool_calls=[call("f", "1", a=1, b=2)]),
        AIMessage("", tool_calls=[call("f", "2", b=2, a=1)]),
    ),
    "calls twice": (
        AIMessage("", tool_calls=[call("f", a=1)], additional_kwargs={"tool_calls": [{"id": "1"}]}),
        AIMessage("", tool_calls=[call("f", a=1)]),
    ),
    "artifact": (
        ToolMessage("r", tool_call_id="1", artifact=object()),
        ToolMessage("r", tool_call_id="1"),
    ),
}

DIFFERENT: dict[str, tuple[BaseMessage, BaseMessage]] = {
    "text": (HumanMessage("a"), HumanMessage("b")),
    "role": (HumanMessage("a"), SystemMessage("a")),
    "name": (HumanMessage("a", name="x"), HumanMessage("a")),
    "own role": (ChatMessage(content="a", role="x"), ChatMessage(content="a", role="y")),
    "arguments": (
        AIMessage("", tool_calls=[call("f", a=1)]),
        AIMessage("", tool_calls=[call("f", a=2)]),
    ),
    "status": (
        ToolMessage("r", tool_call_id="1", status="error"),
        ToolMessage("r", tool_call_id="1"),
    ),
    "broken arguments": (
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": None}]),  # pyright: ignore[reportArgumentType] - type is filled in
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": "[", "id": "1", "error": None}]),  # pyright: ignore[reportArgumentType] - type is filled in
    ),
    "other kwargs": (
        AIMessage("a", additional_kwargs={"reasoning_content": "x"}),
        AIMessage("a"),
    ),
    "block": (
        HumanMessage([{"type": "image", "url": "http://x/1"}]),
        HumanMessage([{"type": "image", "url": "http://x/2"}]),
    ),
    "stored file": (
        HumanMessage([{"type": "file", "source_type": "id", "id": "file-1"}]),
        HumanMessage([{"type": "file", "source_type": "id", "id": "file-2"}]),
    ),
    "reference": (
        AIMessage([{"type": "item_reference", "id": "1"}]),
        AIMessage([{"type": "item_reference", "id": "2"}]),
    ),
    "text and blocks": (HumanMessage('["a"]'), HumanMessage(["a"])),
}


def key(message: BaseMessage) -> str:
    return request_key(model={}, messages=[message_parts(message)])


@pytest.mark.parametrize("pair", EQUAL.values(), ids=EQUAL.keys())
def test_what_the_model_never_sees_does_not_count(pair: tuple[BaseMessage, BaseMessage]) -> None:
    assert key(pair[0]) == key(pair[1])


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_the_model_sees_counts(pair: tuple[BaseMessage, BaseMessage]) -> None:
    assert key(pair[0]) != key(pair[1])


@given(text=st.text(), name=st.none() | st.text(min_size=1))
def test_the_short_way_and_the_long_way_agree(text: str, name: str | None) -> None:
    """The common kinds of messages take a shortcut; it must not make another key."""
    for message in (
        HumanMessage(text, name=name),
        SystemMessage(text, name=name),
        AIMessage(text, name=name),
        AIMessage(text, name=name, tool_calls=[call("f", "c", x=text)]),
        ToolMessage(text, name=name, tool_call_id="c"),
    ):
        assert message_parts(message) == parts_of_fields(message.__dict__)


def test_identity_is_read_live() -> None:
    model = ScriptedChat(temperature=0.1)
    before = model_identity(model)
    model.temperature = 0.9
    assert model_identity(model) != before
    assert model_identity(model.model_copy(update={"temperature": 0.1})) == before


def openai(**fields: Any) -> ChatOpenAI:
    given: dict[str, Any] = {"model": "gpt-4o-mini", "api_key": SecretStr("k"), **fields}
    return ChatOpenAI(**given)


SAME_MODEL = [
    {"api_key": SecretStr("other")},
    {"timeout": 3},
    {"max_retries": 9},
    {"tags": ["x"], "metadata": {"a": 1}, "verbose": True},
    {"streaming": True, "stream_usage": True},
    {"cache": False},
]
OTHER_MODEL = [
    {"model": "gpt-4o"},
    {"base_url": "http://localhost:1/v1"},
    {"organization": "org"},
    {"temperature": 0.5},
    {"max_tokens": 5},
    {"seed": 1},
    {"model_kwargs": {"top_k": 1}},
    {"extra_body": {"x": 1}},
]


@pytest.mark.parametrize("fields", SAME_MODEL, ids=",".join)
def test_how_a_model_is_reached_is_not_who_it_is(fields: dict[str, Any]) -> None:
    assert model_identity(openai(**fields)) == model_identity(openai())


@pytest.mark.parametrize("fields", OTHER_MODEL, ids=",".join)
def test_what_shapes_answers_is_who_it_is(fields: dict[str, Any]) -> None:
    assert model_identity(openai(**fields)) != model_identity(openai())


def test_no_secret_is_in_an_identity() -> None:
    assert "secret-value" not in str(model_identity(openai(api_key=SecretStr("secret-value"))))


def test_bound_parameters_count_however_they_were_bound() -> None:
    model = openai()
    once = model.bind(stop=["x"], seed=1)
    twice = model.bind(stop=["x"], seed=2).bind(seed=1)
    assert model_identity(once) == model_identity(twice)
    assert model_identity(once) != model_identity(model)
    assert model_identity(model.bind(timeout=1)) == model_identity(model.bind(timeout=2))


def test_what_is_no_model_has_no_identity() -> None:
    with pytest.raises(Unkeyable, match="RunnableWithFallbacks"):
        model_identity(openai().with_fallbacks([openai()]))


def test_a_model_inside_a_model_is_read_as_a_model() -> None:
    class Wrapper(FakeListChatModel):
        inner: BaseChatModel

    one = Wrapper(responses=["x"], inner=openai())
    other = Wrapper(responses=["x"], inner=openai(temperature=0.5))
    again = Wrapper(responses=["x"], inner=openai(api_key=SecretStr("other")))
    assert model_identity(one) == model_identity(again) != model_identity(other)


def test_the_temperature_of_the_call_beats_the_models() -> None:
    model = ScriptedChat(temperature=0.1)
    assert temperature_of(model, {}) == 0.1
    assert temperature_of(model, {"temperature": 0.9}) == 0.9
    assert temperature_of(model.bind(temperature=0.5), {}) == 0.5
    assert temperature_of(ScriptedChat(), {}) is None


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "STOP"}, "stop"),
        ({"stop_reason": "end_turn"}, "end_turn"),
        ({"status": "completed"}, "stop"),
        ({"status": "incomplete"}, "incomplete"),
        ({"finish_reason": "COMPLETE"}, "stop"),
        ({"finish_reason": None}, None),
    ],
)
def test_finish_reasons_have_one_form(metadata: dict[str, Any], reason: str | None) -> None:
    assert facts_of(AIMessage("a", response_metadata=metadata)).finish_reason == reason


HIT = CacheDecision(outcome="hit", reason="r", key="k", age_s=1.0)


@given(text=st.text(), arguments=st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_an_answer_survives_storing(text: str, arguments: dict[str, Any]) -> None:
    message = AIMessage(text, tool_calls=[call("f", "c", x=arguments)])
    again = decode_message(encode_message(message), HIT)
    assert (again.content, again.tool_calls) == (message.content, message.tool_calls)
    assert again.id != message.id
    assert again.response_metadata["agentperf"]["cache"]["outcome"] == "hit"
