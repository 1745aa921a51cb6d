"""Usage, finish reasons, message parts and model identity of LlamaIndex objects."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    ChatResponse,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.llms.openai import OpenAI
from llamaindex_tools import ScriptedLLM, calls, says, user

from agentperf_core.cache import Unkeyable, request_key
from agentperf_core.types import Usage
from llamaindex_agentperf._convert import conversation, message_parts
from llamaindex_agentperf._identity import model_identity, temperature_of
from llamaindex_agentperf._usage import finish_of, usage_of


@dataclass
class Case:
    name: str
    raw: Any
    usage: Usage | None


OPENAI = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
FULL = Usage(uncached_input_tokens=40, cached_input_tokens=60, output_tokens=20, reasoning_tokens=5)

CASES = [
    Case("openai mapping", {"usage": OPENAI}, FULL),
    Case(
        "openai objects",
        SimpleNamespace(
            usage=SimpleNamespace(
                prompt_tokens=100,
                completion_tokens=20,
                prompt_tokens_details=SimpleNamespace(cached_tokens=60),
                completion_tokens_details=SimpleNamespace(reasoning_tokens=5),
            )
        ),
        FULL,
    ),
    Case(
        "openai responses",
        {
            "usage": {
                "input_tokens": 100,
                "output_tokens": 20,
                "input_tokens_details": {"cached_tokens": 60},
                "output_tokens_details": {"reasoning_tokens": 5},
            }
        },
        FULL,
    ),
    Case(
        "anthropic",
        {
            "usage": {
                "input_tokens": 40,
                "output_tokens": 20,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 7,
            }
        },
        Usage(
            uncached_input_tokens=40,
            cached_input_tokens=60,
            cache_write_tokens=7,
            output_tokens=20,
        ),
    ),
    Case(
        "gemini",
        {
            "usage_metadata": {
                "prompt_token_count": 100,
                "candidates_token_count": 15,
                "thoughts_token_count": 5,
                "cached_content_token_count": 60,
            }
        },
        FULL,
    ),
    Case(
        "ollama",
        {"prompt_eval_count": 9, "eval_count": 3},
        Usage(uncached_input_tokens=9, output_tokens=3),
    ),
    Case(
        "openai with cache writes, which are dearer than plain input",
        {
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 70},
            }
        },
        Usage(
            uncached_input_tokens=10,
            cached_input_tokens=20,
            cache_write_tokens=70,
            output_tokens=1,
        ),
    ),
    Case("zeros are unknown", {"usage": {"prompt_tokens": 0, "completion_tokens": 0}}, None),
    Case("nothing", {"content": "x"}, None),
    Case("no raw", None, None),
    Case("nonsense", {"usage": {"prompt_tokens": "many"}}, None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_usage_of_every_known_shape(case: Case) -> None:
    assert usage_of(ChatResponse(message=says("x"), raw=case.raw)) == case.usage


def test_usage_that_llamaindex_copied_beside_the_raw_answer() -> None:
    answer = ChatResponse(
        message=says("x"), additional_kwargs={"prompt_tokens": 7, "completion_tokens": 2}
    )
    assert usage_of(answer) == Usage(uncached_input_tokens=7, output_tokens=2)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"choices": [{"finish_reason": "length"}]}, ("length", True)),
        ({"choices": []}, (None, True)),
        ({"stop_reason": "end_turn"}, ("end_turn", True)),
        ({"finish_reason": SimpleNamespace(value="STOP")}, ("stop", True)),
        ({}, (None, False)),
        (None, (None, False)),
    ],
)
def test_finish_reasons(raw: Any, expected: tuple[str | None, bool]) -> None:
    assert finish_of(ChatResponse(message=says("x"), raw=raw)) == expected


def _key(*messages: ChatMessage) -> str:
    return request_key(model={}, messages=conversation(messages))


def _result(call_id: str, text: str) -> ChatMessage:
    return ChatMessage(role="tool", content=text, additional_kwargs={"tool_call_id": call_id})


def test_ids_of_calls_do_not_matter_but_which_call_is_answered_does() -> None:
    ask = user("q")
    first = calls(("f", {"a": 1}), ("f", {"a": 2}), first_id=0)
    second = calls(("f", {"a": 1}), ("f", {"a": 2}), first_id=5)
    same = _key(ask, first, _result("id-0", "x"), _result("id-1", "y"))
    assert same == _key(ask, second, _result("id-5", "x"), _result("id-6", "y"))
    assert same != _key(ask, second, _result("id-6", "x"), _result("id-5", "y"))


def test_results_of_parallel_calls_count_in_the_order_of_the_calls() -> None:
    """Agents append them as the tools finish, which differs from run to run."""
    ask = calls(("f", {"a": 1}), ("f", {"a": 2}))
    one, two = _result("id-0", "x"), _result("id-1", "y")
    assert _key(ask, one, two) == _key(ask, two, one)
    assert _key(ask, one, two, says("ok")) == _key(ask, two, one, says("ok"))


def test_streamed_and_plain_answers_with_calls_are_equal_history() -> None:
    """OpenAI's stream has an empty text, JSON text as arguments, and the calls a second time."""
    plain = ChatMessage(
        role="assistant",
        blocks=[ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={"a": 1, "b": 2})],
    )
    streamed = ChatMessage(
        role="assistant",
        blocks=[
            TextBlock(text=""),
            ToolCallBlock(tool_call_id="9", tool_name="f", tool_kwargs='{"b": 2, "a": 1}'),
        ],
        additional_kwargs={"tool_calls": [SimpleNamespace(id="9")]},
    )
    assert message_parts(plain)._replace(call_ids=()) == message_parts(streamed)._replace(
        call_ids=()
    )


def test_calls_that_are_only_in_additional_kwargs_count() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}
    old = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [call]})
    assert message_parts(old).calls == message_parts(calls(("f", {"a": 1}))).calls
    assert message_parts(old).call_ids == ("1",)


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(role="user", content="hi", additional_kwargs={"usage": {"x": 1}, "id": "7"}),
        ChatMessage(
            role="user",
            blocks=[TextBlock(text="hi"), CachePoint(cache_control=CacheControl(type="x"))],
        ),
        ChatMessage(role="user", blocks=[TextBlock(text="hi"), TextBlock(text="")]),
    ],
    ids=["usage and id", "cache marker", "empty text"],
)
def test_what_never_reaches_the_model_does_not_count(message: ChatMessage) -> None:
    assert message_parts(message) == message_parts(user("hi"))


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(role="system", content="hi"),
        ChatMessage(role="user", content="hi "),
        ChatMessage(role="user", content="hi", additional_kwargs={"name": "ada"}),
        ChatMessage(role="user", content="hi", additional_kwargs={"cache_control": 1}),
        ChatMessage(role="user", blocks=[TextBlock(text="h"), TextBlock(text="i")]),
        ChatMessage(role="user", blocks=[TextBlock(text="hi"), ImageBlock(image=b"1")]),
        ChatMessage(role="user", blocks=[ThinkingBlock(content="hi")]),
        calls(("hi", {})),
    ],
    ids=["role", "text", "name", "field", "two texts", "image", "thinking", "call"],
)
def test_what_reaches_the_model_counts(message: ChatMessage) -> None:
    assert _key(message) != _key(user("hi"))


def test_two_images_differ_and_a_file_cannot_be_keyed(tmp_path: Any) -> None:
    one, two = (ChatMessage(role="user", blocks=[ImageBlock(image=b)]) for b in (b"1", b"2"))
    assert _key(one) != _key(two)
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(Unkeyable, match="read from a file"):
        _key(ChatMessage(role="user", blocks=[ImageBlock(path=path)]))


@given(st.lists(st.text(max_size=20), min_size=1, max_size=6))
def test_keys_follow_texts(texts: list[str]) -> None:
    """Equal texts in new objects give equal keys, any other list another one."""
    key = _key(*map(user, texts))
    assert key == _key(*map(user, texts))
    assert key != _key(*map(user, [*texts, "x"]))


def _identity_key(llm: Any) -> str:
    return request_key(model=model_identity(llm), messages=())


def _openai(**options: Any) -> OpenAI:
    return OpenAI(model=options.pop("model", "gpt-4o-mini"), api_key="k", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 5.0},
        {"max_retries": 9},
        {"default_headers": {"Authorization": "Bearer 1", "X-Api-Key": "2"}},
        {"reuse_client": False},
        {"additional_kwargs": {"stream_options": {"include_usage": True}}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_connections_and_secrets_are_no_identity(options: dict[str, Any]) -> None:
    assert _identity_key(_openai(**options)) == _identity_key(_openai())


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"max_tokens": 5},
        {"model": "gpt-4o"},
        {"api_base": "http://127.0.0.1:1"},
        {"additional_kwargs": {"seed": 1}},
        {"system_prompt": "be brief"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_behaviour_is_identity(options: dict[str, Any]) -> None:
    assert _identity_key(_openai(**options)) != _identity_key(_openai())


def test_a_function_without_a_name_has_no_identity() -> None:
    llm = ScriptedLLM(messages_to_prompt=lambda messages: "x")
    with pytest.raises(Unkeyable, match="messages_to_prompt"):
        model_identity(llm)


@pytest.mark.parametrize(
    ("options", "kwargs", "expected"),
    [
        ({}, {}, None),
        ({"temperature": 0.7}, {}, 0.7),
        ({"temperature": 0.7}, {"temperature": 0.0}, 0.0),
        ({"additional_kwargs": {"temperature": 0.5}}, {}, 0.5),
        ({"model": "o3-mini"}, {}, None),
    ],
    ids=["default", "field", "argument", "additional", "reasoning model"],
)
def test_the_temperature_that_was_asked_for(
    options: dict[str, Any], kwargs: dict[str, Any], expected: float | None
) -> None:
    assert temperature_of(_openai(**options), kwargs) == expected
