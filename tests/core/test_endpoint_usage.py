"""Usage as a provider reports it: totals that add up, a prompt cache that grows with the turns."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.accounting import TokenCounter
from agentperf_core.bench.endpoint import Reply, ScriptedEndpoint
from agentperf_core.bench.endpoint.script import ChatRequest
from agentperf_core.bench.endpoint.usage import Billing
from agentperf_core.types import Message, ToolCall

SYSTEM = {"role": "system", "content": "word " * 1100}


def words(text: str) -> int:
    return len(text.split())


def request(*messages: dict[str, Any], **more: Any) -> ChatRequest:
    options: dict[str, Any] = {"model": "m", "messages": messages, **more}
    return ChatRequest(**options)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_cached_tokens_grow_with_the_turns_of_a_conversation():
    """Over real requests: each turn repeats the ones before, so the cached share goes up."""
    messages: list[dict[str, Any]] = [SYSTEM]
    usages: list[dict[str, Any]] = []
    with ScriptedEndpoint(
        lambda _: Reply("answer " * 150), time_scale=0, counter=TokenCounter(words)
    ) as server:
        host, _, port = server.base_url[7:-3].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        for turn in range(4):
            messages.append(user(f"question {turn}"))
            body = {"model": "m", "messages": messages}
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            answer = json.loads(connection.getresponse().read())
            usages.append(answer["usage"])
            messages.append({"role": "assistant", "content": "answer " * 150})
        connection.close()
        records = server.requests
    cached = [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
    assert cached[0] == 0
    assert cached[1] >= 1024
    assert cached == sorted(set(cached))
    assert all((tokens - 1024) % 128 == 0 for tokens in cached[1:])
    assert all(c <= usage["prompt_tokens"] for c, usage in zip(cached, usages, strict=True))
    assert [record.cached_tokens for record in records] == cached
    assert all(
        usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        for usage in usages
    )


def test_short_prompts_are_never_cached():
    billing = Billing(TokenCounter(words))
    assert [billing.prompt(request(user("word " * 900)))[1] for _ in range(3)] == [0, 0, 0]


def test_the_same_long_prompt_is_cached_in_steps_of_128():
    billing = Billing(TokenCounter(words))
    asked = request(user("word " * 1300))
    assert billing.prompt(asked)[1] == 0
    total, cached = billing.prompt(asked)
    assert total == 1300 + 1 + 3 + 3
    assert cached == 1024 + 2 * 128


def test_a_changed_beginning_caches_nothing():
    billing = Billing(TokenCounter(words))
    billing.prompt(request(user("now 12:00"), SYSTEM))
    assert billing.prompt(request(user("now 12:01"), SYSTEM))[1] == 0


def test_a_common_beginning_inside_a_message_counts():
    billing = Billing(TokenCounter(words))
    text = "word " * 1200
    billing.prompt(request(user(text + "blue")))
    assert billing.prompt(request(user(text + "green")))[1] == 1024 + 128


def test_tools_come_first_so_changed_tools_cache_nothing():
    billing = Billing(TokenCounter(words))
    tool = {"type": "function", "function": {"name": "a"}}
    billing.prompt(request(SYSTEM, tools=(tool,)))
    assert billing.prompt(request(SYSTEM, tools=(tool,)))[1] == 1024
    assert billing.prompt(request(SYSTEM))[1] == 0


def test_models_do_not_share_a_prompt_cache():
    billing = Billing(TokenCounter(words))
    billing.prompt(request(SYSTEM, model="a"))
    assert billing.prompt(request(SYSTEM, model="b"))[1] == 0
    assert billing.prompt(request(SYSTEM, model="a"))[1] == 1024


def test_messages_that_differ_in_an_image_are_different_prompts():
    billing = Billing(TokenCounter(words))

    def seen(url: str) -> int:
        image = {"type": "image_url", "image_url": {"url": url}}
        content = [image, {"type": "text", "text": "word " * 1200}]
        return billing.prompt(request({"role": "user", "content": content}, SYSTEM))[1]

    assert seen("a") == 0
    assert seen("b") < 1280
    assert seen("a") >= 2048


def test_tool_calls_count_in_prompt_and_completion():
    billing = Billing(TokenCounter(words))
    reply = Reply.calling(("f", {"q": "a b c"}), text="one two")
    assert billing.completion("m", reply) == 2 + 1 + 3
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '"a b c"'}}
    bare = billing.prompt(request({"role": "assistant"}))[0]
    assert billing.prompt(request({"role": "assistant", "tool_calls": [call]}))[0] > bare


def test_the_prompt_counts_like_the_counter_of_the_model():
    """One rule for tokens in the house: what the stand-in bills is what our own counter says."""
    tool = {
        "type": "function",
        "function": {
            "name": "get_order",
            "description": "State of an order.",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "integer"}}},
        },
    }
    call = {"id": "c1", "function": {"name": "get_order", "arguments": '{"order_id": 7}'}}
    asked = request(
        user("Where is order 7?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "shipped"},
        tools=(tool,),
        model="gpt-4o-mini",
    )
    expected = TokenCounter.for_model("gpt-4o-mini").count_messages(
        [
            Message(role="user", text="Where is order 7?"),
            Message(role="assistant", tool_calls=(ToolCall("c1", "get_order", {"order_id": 7}),)),
            Message(role="tool", text="shipped", tool_call_id="c1"),
        ],
        tools=[tool],
    )
    assert Billing().prompt(asked) == (expected, 0)


def test_reasoning_is_part_of_the_completion():
    with ScriptedEndpoint(
        lambda _: Reply("one two", reasoning_tokens=40), time_scale=0, counter=TokenCounter(words)
    ) as server:
        host, _, port = server.base_url[7:-3].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        body = {"model": "m", "messages": [user("hi")]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        usage = json.loads(connection.getresponse().read())["usage"]
        connection.close()
    assert usage["completion_tokens"] == 42
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 40


def test_texts_are_counted_once():
    """A conversation that grew by one message costs counting for the new message only."""
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return words(text)

    billing = Billing(TokenCounter(count))
    history = [user(f"message {index}") for index in range(50)]
    billing.prompt(request(*history))
    counted.clear()
    billing.prompt(request(*history, user("one more")))
    assert counted == ["user", "one more"]


@given(st.lists(st.integers(min_value=0, max_value=900), min_size=1, max_size=5), st.data())
def test_cached_never_exceeds_the_prompt(sizes: list[int], data: st.DataObject):
    billing = Billing(TokenCounter(words))
    for _ in range(3):
        chosen = [user("word " * data.draw(st.sampled_from(sizes))) for _ in range(4)]
        total, cached = billing.prompt(request(*chosen))
        assert 0 <= cached <= total


@pytest.mark.parametrize(
    ("length", "cached"), [(1019, 0), (1020, 1024), (1147, 1024), (1148, 1152)]
)
def test_the_cache_begins_at_1024_tokens(length: int, cached: int):
    billing = Billing(TokenCounter(words))
    asked = request(user("word " * length))  # plus one for the role and three of the format
    billing.prompt(asked)
    assert billing.prompt(asked)[1] == cached
