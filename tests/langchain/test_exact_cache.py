"""`ExactCache` behind LangChain's interface."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.load import dumps
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk
from pydantic import BaseModel

from agentperf_core.cache import MemoryStore
from agentperf_core.errors import ConfigError
from langchain_agentperf import ExactCache, TieredCache, latency_callback
from tests.langchain.scripted_models import ScriptedChat, call, say


@pytest.fixture
def cache() -> ExactCache:
    return ExactCache()


@pytest.fixture
def global_cache(cache: ExactCache) -> Iterator[ExactCache]:
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


def prompt_of(*messages: BaseMessage) -> str:
    return dumps(list(messages))


def test_it_serves_chat_and_completion_models_as_the_global_cache(
    global_cache: ExactCache,
) -> None:
    chat, completion = ScriptedChat(), FakeListLLM(responses=["one", "two"])
    assert [chat.invoke("q").text for _ in range(2)] == ["answer 1", "answer 1"]
    assert [completion.invoke("q") for _ in range(2)] == ["one", "one"]


async def test_it_serves_async_calls() -> None:
    model = ScriptedChat(cache=ExactCache())
    answers = [await model.ainvoke("q") for _ in range(2)]
    assert [answer.text for answer in answers] == ["answer 1", "answer 1"]
    assert answers[1].response_metadata["agentperf"]["cache"]["outcome"] == "hit"


def test_a_hit_moves_its_usage_out_of_the_totals(cache: ExactCache) -> None:
    model = ScriptedChat(cache=cache)
    model.invoke("q")
    hit = model.invoke("q")
    assert hit.usage_metadata is not None
    assert hit.usage_metadata["total_tokens"] == 0
    saved = hit.response_metadata["agentperf"]["cache"]["saved_usage"]
    assert saved["output_tokens"] == 5


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "langchain"])
def test_the_report_shows_a_hit_of_either_cache_and_bills_it_once(ours: bool) -> None:
    model = ScriptedChat(cache=ExactCache() if ours else InMemoryCache())
    with latency_callback() as handler:
        model.invoke("q")
        model.invoke("q")
    report = handler.report()
    assert (len(report.llm_calls), len(report.cache_hits)) == (1, 1)
    assert report.usage.total_tokens == 15
    assert report.saved_usage.total_tokens == 15


@pytest.mark.parametrize(
    "generations",
    [
        [Generation(text="a", generation_info={"reason": "x"}), Generation(text="b")],
        [GenerationChunk(text="a")],
    ],
    ids=["text", "text chunk"],
)
def test_plain_generations_come_back_equal(cache: ExactCache, generations: list[Any]) -> None:
    cache.update("p", "m", generations)
    found = cache.lookup("p", "m")
    assert found == generations
    assert [type(item) for item in found or []] == [type(item) for item in generations]


def test_chat_generations_keep_what_belongs_to_the_answer(cache: ExactCache) -> None:
    message = say("see", call("f", "c1", x={"y": [1]}), logprobs={"content": []}, id="chatcmpl-1")
    cache.update("p", "m", [ChatGeneration(message=message, generation_info={"k": 1})])
    (found,) = cache.lookup("p", "m") or []
    assert isinstance(found, ChatGeneration)
    answer = found.message
    assert isinstance(answer, AIMessage)
    assert (answer.text, answer.tool_calls) == ("see", message.tool_calls)
    assert found.generation_info == {"k": 1}
    assert answer.response_metadata["logprobs"] == {"content": []}
    assert "id" not in answer.response_metadata


def test_chunks_come_back_as_chunks(cache: ExactCache) -> None:
    cache.update("p", "m", [ChatGenerationChunk(message=AIMessageChunk(content="a"))])
    (found,) = cache.lookup("p", "m") or []
    assert isinstance(found, ChatGenerationChunk)
    assert isinstance(found.message, AIMessageChunk)


def test_a_parsed_answer_comes_back_as_its_fields(cache: ExactCache) -> None:
    """langchain-openai keeps the parsed object beside the text and takes a dict in its place."""

    class Weather(BaseModel):
        degrees: int

    message = AIMessage('{"degrees": 3}', additional_kwargs={"parsed": Weather(degrees=3)})
    cache.update("p", "m", [ChatGeneration(message=message)])
    (found,) = cache.lookup("p", "m") or []
    assert isinstance(found, ChatGeneration)
    assert found.message.additional_kwargs["parsed"] == {"degrees": 3}


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("half", response_metadata={"finish_reason": "length"}),
        AIMessage(""),
        AIMessage("", additional_kwargs={"refusal": "no"}),
        AIMessage("odd", additional_kwargs={"handle": object()}),
        HumanMessage("not an answer"),
    ],
    ids=["cut off", "empty", "refused", "not plain data", "not of a model"],
)
def test_what_should_not_be_given_twice_is_not_kept(
    cache: ExactCache, message: BaseMessage
) -> None:
    cache.update("p", "m", [ChatGeneration(message=message)])
    assert cache.lookup("p", "m") is None


def test_the_model_string_is_part_of_the_key(cache: ExactCache) -> None:
    cache.update("p", "one", [Generation(text="a")])
    assert cache.lookup("p", "two") is None


def test_messages_that_say_the_same_share_a_key(cache: ExactCache) -> None:
    cache.update(
        prompt_of(
            SystemMessage("s"),
            HumanMessage("q", id="1"),
            say("", call("f", "c1", a=1, b=2), id="x"),
            ToolMessage("r", tool_call_id="c1", artifact={"big": 1}),
        ),
        "m",
        [Generation(text="a")],
    )
    same = prompt_of(
        SystemMessage("s"),
        HumanMessage("q"),
        AIMessage("", tool_calls=[call("f", "other", b=2, a=1)]),
        ToolMessage("r", tool_call_id="other"),
    )
    assert cache.lookup(same, "m") is not None


@pytest.mark.parametrize(
    "prompt",
    ["plain", "[", "[1]", '["text"]', '[{"type": "constructor"}]', '{"a": 1}', "[]"],
)
def test_prompts_that_are_no_messages_are_taken_as_text(cache: ExactCache, prompt: str) -> None:
    cache.update(prompt, "m", [Generation(text="a")])
    assert cache.lookup(prompt, "m") is not None
    assert cache.lookup(prompt + " ", "m") is None or prompt == "[]"


def test_clear_forgets_and_says_so_if_it_cannot() -> None:
    class Stuck(MemoryStore):
        def clear(self) -> int:
            raise ConnectionError("store down")

    cache = ExactCache(store=Stuck())
    with pytest.raises(ConnectionError):
        cache.clear()


async def test_aclear_forgets(cache: ExactCache) -> None:
    await cache.aupdate("p", "m", [Generation(text="a")])
    await cache.aclear()
    assert await cache.alookup("p", "m") is None


def test_a_poisoned_entry_is_a_miss_and_builds_no_class() -> None:
    store = MemoryStore()
    cache = ExactCache(store=store)
    cache.update("p", "m", [Generation(text="a")])
    (key,) = store.scan()
    body = b'{"v":1,"at":0,"took":0,"usage":null,"body":{"generations":[%s]}}'
    for item in (b'{"kind":"os.system","info":null,"text":"x"}', b"7", b'{"kind":"chat"}'):
        store.set(key, body % item, None)
        assert cache.lookup("p", "m") is None


def test_a_ttl_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="ttl_s"):
        ExactCache(ttl_s=-1)


@pytest.mark.parametrize("cache", [ExactCache, partial(TieredCache, MemoryStore())])
def test_a_tenant_is_a_name(cache: Any) -> None:
    """A number was taken, and then every request went past the cache without a word."""
    with pytest.raises(ConfigError, match="tenant must be a name or a function, got 7"):
        cache(tenant=7)
