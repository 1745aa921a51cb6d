"""`CachedLLM`: what it serves, what it does not, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.mock import MockLLM
from llama_index.core.tools import FunctionTool
from llamaindex_tools import ScriptedLLM, calls, mark, says, start, user
from pydantic import BaseModel

from agentperf_core.cache import CachePolicy, ExactCache, MemoryStore
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from llamaindex_agentperf import CachedLLM

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)

ASK = [user("Where is order 7?")]


async def _ask(llm: CachedLLM, how: str, messages: list[ChatMessage]) -> Any:
    """The last response of a call made in one of four ways."""
    if how == "chat":
        return llm.chat(messages)
    if how == "achat":
        return await llm.achat(messages)
    if how == "stream_chat":
        return list(llm.stream_chat(messages))[-1]
    return [chunk async for chunk in await llm.astream_chat(messages)][-1]


WAYS = ["chat", "achat", "stream_chat", "astream_chat"]


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
async def test_plain_calls_and_streams_sync_and_async_share_one_answer(
    first: str, second: str
) -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    made, served = await _ask(llm, first, ASK), await _ask(llm, second, ASK)
    assert inner.calls_made == 1
    assert made.message.content == served.message.content == "echo Where is order 7?"
    assert mark(made)["outcome"] == "miss"
    assert mark(served)["outcome"] == "hit"
    assert mark(served)["saved_usage"]["output_tokens"] == 20


@pytest.mark.parametrize("stream", [False, True])
async def test_completions_are_cached_in_all_four_ways(stream: bool) -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    if stream:
        list(llm.stream_complete("hi"))
        chunks = [chunk async for chunk in await llm.astream_complete("hi")]
        assert "".join(chunk.delta or "" for chunk in chunks) == "echo hi"
        assert chunks[-1].text == "echo hi"
    else:
        llm.complete("hi")
        assert (await llm.acomplete("hi")).text == "echo hi"
    assert inner.calls_made == 1


def test_a_replay_is_a_stream_of_cumulative_messages_with_deltas() -> None:
    text = "one two three\n\nfour  five " * 20
    llm = CachedLLM(ScriptedLLM(lambda _: says(text)))
    llm.chat(ASK)
    chunks = list(llm.stream_chat(ASK))
    assert 1 < len(chunks) <= 24
    assert "".join(chunk.delta or "" for chunk in chunks) == text
    sent = ""
    for chunk in chunks:
        sent += chunk.delta or ""
        assert chunk.message.content == sent


def test_tool_calls_survive_and_come_in_the_last_chunk() -> None:
    reply = calls(("add", {"a": 1}), ("add", {"a": 2}))
    llm = CachedLLM(ScriptedLLM(lambda _: reply))
    llm.chat(ASK)
    *_, last = llm.stream_chat(ASK)
    assert last.message.blocks == reply.blocks
    selections = llm.get_tool_calls_from_response(last)
    assert [(s.tool_id, s.tool_kwargs) for s in selections] == [
        ("id-0", {"a": 1}),
        ("id-1", {"a": 2}),
    ]


def test_served_answers_are_fresh_and_the_models_own_is_left_alone() -> None:
    """Changing what one caller got changes nothing for the next."""
    originals: list[ChatMessage] = []

    def script(_: Any) -> ChatMessage:
        originals.append(says("fine"))
        return originals[-1]

    llm = CachedLLM(ScriptedLLM(script))
    first = llm.chat(ASK)
    assert originals[0].additional_kwargs == {}
    first.message.content = "changed"
    second = llm.chat(ASK)
    assert second.message.content == "fine"
    second.message.blocks.clear()
    assert llm.chat(ASK).message.content == "fine"
    assert second.raw is None
    assert "usage" not in second.additional_kwargs


def test_the_mark_does_not_change_later_keys() -> None:
    """An answer goes back into the history without the mark."""
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    for _ in range(2):
        answer = llm.chat(ASK)
        assert answer.message.additional_kwargs == {}
        llm.chat([*ASK, answer.message, user("and 8?")])
    assert inner.calls_made == 2


def _changed_system(messages: list[ChatMessage]) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.SYSTEM, content="other"), *messages]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m, k: (_changed_system(m), k), id="system prompt"),
        pytest.param(lambda m, k: ([*m, says("x"), user("y")], k), id="history"),
        pytest.param(lambda m, k: (m, {**k, "max_tokens": 5}), id="argument"),
        pytest.param(lambda m, k: (m, {**k, "tool_choice": "add"}), id="tool choice"),
    ],
)
def test_what_changes_the_answer_changes_the_key(change: Callable[..., Any]) -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    llm.chat(ASK)
    messages, kwargs = change(ASK, {})
    llm.chat(messages, **kwargs)
    assert inner.calls_made == 2


def test_the_model_is_read_live() -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    llm.chat(ASK)
    inner.model = "gpt-4o"
    llm.chat(ASK)
    inner.model = "gpt-4o-mini"
    inner.api_key = "rotated"
    llm.chat(ASK)
    assert inner.calls_made == 2


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({}, ["miss", "hit"]),
        ({"temperature": 0.0}, ["miss", "hit"]),
        ({"temperature": 0.9}, ["bypass", "bypass"]),
    ],
    ids=["the class's default", "zero", "asked for"],
)
def test_a_temperature_that_was_asked_for_is_not_cached(
    options: dict[str, Any], outcome: list[str]
) -> None:
    llm = CachedLLM(ScriptedLLM(**options))
    assert [mark(llm.chat(ASK))["outcome"] for _ in range(2)] == outcome


def test_a_temperature_of_one_call_counts_too_and_can_be_allowed() -> None:
    llm = CachedLLM(ScriptedLLM())
    assert "sampled=True" in mark(llm.chat(ASK, temperature=0.7))["reason"]
    allowed = CachedLLM(ScriptedLLM(), policy=CachePolicy(sampled=True))
    assert mark(allowed.chat(ASK, temperature=0.7))["outcome"] == "miss"


def test_tools_in_another_order_are_the_same_request() -> None:
    def add(a: int) -> int:
        return a

    def sub(a: int) -> int:
        return a

    tools = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(sub)]
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    llm.chat_with_tools(tools, user_msg="hi")
    llm.chat_with_tools(tools[::-1], user_msg="hi")
    assert inner.calls_made == 1
    llm.chat_with_tools(tools[:1], user_msg="hi")
    assert inner.calls_made == 2


def test_a_request_without_a_key_goes_past_the_cache_and_says_why() -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    answers = [llm.chat(ASK, response_format=object()) for _ in range(2)]
    assert inner.calls_made == 2
    assert {mark(answer)["outcome"] for answer in answers} == {"bypass"}
    assert "has no key" in mark(answers[0])["reason"]


def test_tenants_never_share_and_are_asked_at_every_call() -> None:
    inner, now = ScriptedLLM(), ["a"]
    llm = CachedLLM(inner, tenant=lambda: now[0])
    llm.chat(ASK)
    now[0] = "b"
    llm.chat(ASK)
    now[0] = "a"
    llm.chat(ASK)
    assert inner.calls_made == 2


def test_a_tenant_that_cannot_be_told_goes_past_the_cache() -> None:
    def unknown() -> str:
        raise LookupError

    inner = ScriptedLLM()
    llm = CachedLLM(inner, tenant=unknown)
    assert [mark(llm.chat(ASK))["outcome"] for _ in range(2)] == ["bypass", "bypass"]


def test_two_models_can_share_a_cache_and_keep_their_answers_apart() -> None:
    cache = ExactCache()
    small = CachedLLM(ScriptedLLM(lambda _: says("small"), model="small"), cache=cache)
    large = CachedLLM(ScriptedLLM(lambda _: says("large"), model="large"), cache=cache)
    again = CachedLLM(ScriptedLLM(lambda _: says("never"), model="small"), cache=cache)
    assert [m.chat(ASK).message.content for m in (small, large, again)] == [
        "small",
        "large",
        "small",
    ]


def test_answers_expire() -> None:
    clock = FakeClock()
    cache = ExactCache(MemoryStore(clock=clock), policy=CachePolicy(ttl_s=10), clock=clock)
    inner = ScriptedLLM()
    llm = CachedLLM(inner, cache=cache)
    llm.chat(ASK)
    clock.advance(11)
    llm.chat(ASK)
    assert inner.calls_made == 2
    assert llm.ttl_s == 10


def test_saved_form_has_no_key_and_loads_again() -> None:
    llm = CachedLLM(MockLLM(max_tokens=3), ttl_s=60, tenant="a", version="2")
    loaded = CachedLLM.from_json(llm.to_json())
    assert loaded.class_name() == "agentperf_cached_llm"
    assert (loaded.ttl_s, loaded.tenant, loaded.version) == (60, "a", "2")
    assert isinstance(loaded.inner, MockLLM)
    assert loaded.complete("x").text == "text text text"
    secret = CachedLLM(ScriptedLLM())
    assert "sk-very-secret" not in json.dumps(secret.to_dict(), default=str)


def test_a_tenant_function_cannot_be_loaded() -> None:
    llm = CachedLLM(MockLLM(max_tokens=3), tenant=lambda: "a")
    with pytest.raises(ConfigError, match="pass tenant= again"):
        CachedLLM.from_json(llm.to_json())


@pytest.mark.parametrize(
    "options",
    [
        {"cache": ExactCache(), "store": MemoryStore()},
        {"cache": ExactCache(), "policy": CachePolicy()},
        {"policy": CachePolicy(), "ttl_s": 5.0},
        {"cache": ExactCache(), "ttl_s": 5.0},
        {"ttl_s": 0.0},
    ],
    ids=["store", "policy", "ttl and policy", "ttl and cache", "ttl"],
)
def test_contradicting_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CachedLLM(MockLLM(), **options)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="inner must be"):
        CachedLLM("gpt-4o")  # pyright: ignore[reportArgumentType] - the mistake under test


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": 5}, "must be fields of CachedLLM, got ['ttl']"),
        ({"cache": MemoryStore()}, "give a store as store="),
        ({"store": {}}, "got a dict without set, aget, aset, aclear"),
        ({"ttl_s": "60"}, "ttl_s must be > 0, got '60'"),
    ],
)
def test_a_wrong_argument_is_refused_when_it_is_given(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        CachedLLM(MockLLM(), **options)
    assert message in str(caught.value)


def test_settings_reach_the_inner_model() -> None:
    """LlamaIndex sets the callback manager on the outermost model at every access."""
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    other = ScriptedLLM().callback_manager
    llm.callback_manager = other
    assert inner.callback_manager is other
    assert llm.metadata == inner.metadata


def test_a_model_without_tools_is_wrapped_too() -> None:
    llm = CachedLLM(MockLLM(max_tokens=2))
    assert llm.get_tool_calls_from_response(llm.chat(ASK)) == []
    with pytest.raises(ConfigError, match="ReActAgent"):
        llm.chat_with_tools([], user_msg="hi")


class Person(BaseModel):
    """A person."""

    name: str


def test_structured_calls_go_through_the_cache() -> None:
    reply = ChatMessage(
        role=MessageRole.ASSISTANT,
        blocks=[ToolCallBlock(tool_call_id="1", tool_name="Person", tool_kwargs={"name": "Ada"})],
    )
    inner = ScriptedLLM(lambda _: reply)
    structured = CachedLLM(inner).as_structured_llm(Person)
    for _ in range(2):
        assert structured.chat(ASK).raw == Person(name="Ada")
    assert inner.calls_made == 1


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_run_twice_calls_the_model_once_per_turn(streaming: bool) -> None:
    runs = 0

    def script(messages: Any) -> ChatMessage:
        asked = calls(("add", {"a": 1, "b": 2}), first_id=runs * 10)
        return says("3") if messages[-1].role == "tool" else asked

    def add(a: int, b: int) -> int:
        return a + b

    inner = ScriptedLLM(script)
    agent = FunctionAgent(
        llm=CachedLLM(inner), tools=[FunctionTool.from_defaults(add)], streaming=streaming
    )
    for _ in range(3):
        assert str(await start(agent, "1 + 2")) == "3"
        runs += 1
    assert inner.calls_made == 2
