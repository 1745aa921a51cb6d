"""`CachedLLM(semantic=...)`: questions that mean the same, in every kind of call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage] - its documented home
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llamaindex_tools import ScriptedLLM, mark, says, user
from pydantic import Field

from agentperf_core.cache import CachePolicy, ExactCache
from agentperf_core.cache.semantic.cache import SemanticCache
from agentperf_core.errors import ConfigError
from llamaindex_agentperf import CachedLLM
from llamaindex_agentperf.events import heard

ONE = [user("How do I reset my password?")]
SAME = [user("How can I reset my password?")]
OTHER = [user("How do I delete my account?")]
_FILLERS = {"how", "do", "can", "i", "my"}


def vector(text: str) -> list[float]:
    """One direction per word that carries meaning."""
    words = set(re.findall(r"\w+", text.lower())) - _FILLERS
    found = np.zeros(64)
    for word in words:
        found[sum(map(ord, word)) % 64] += 1.0
    return [float(x) for x in found]


class WordEmbedding(BaseEmbedding):
    """An embedding model of LlamaIndex that knows words only."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return vector(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return vector(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return vector(query)


def made(inner: ScriptedLLM, **options: Any) -> CachedLLM:
    return CachedLLM(inner, semantic=WordEmbedding(model_name="words"), **options)


def learnt(llm: CachedLLM, question: Sequence[ChatMessage]) -> None:
    llm.chat(question)
    assert isinstance(llm.cache, SemanticCache)
    llm.cache.drain(20)


class SlowLLM(ScriptedLLM):
    """Its async calls take so long that a look-up is always faster; a hit cancels them."""

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        await asyncio.sleep(30)
        return self.chat(messages, **kwargs)


@pytest.fixture
def inner() -> ScriptedLLM:
    inner: Any = SlowLLM  # pydantic's own signature hides the one of the base class
    return inner(lambda messages: says(f"answer to {messages[-1].content}"))


@pytest.mark.parametrize("how", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_a_question_in_other_words_is_served(inner: ScriptedLLM, how: str) -> None:
    llm = made(inner)
    learnt(llm, ONE)
    call: Any = getattr(llm, how)
    match how:
        case "chat":
            answer = call(SAME)
        case "achat":
            answer = await call(SAME)
        case "stream_chat":
            answer = list(call(SAME))[-1]
        case _:
            answer = [chunk async for chunk in await call(SAME)][-1]
    assert answer.message.content == "answer to How do I reset my password?"
    assert (mark(answer)["outcome"], mark(answer)["tier"]) == ("hit", "semantic")


def test_another_question_system_prompt_or_tenant_is_not(inner: ScriptedLLM) -> None:
    tenant = "a"
    llm = made(inner, tenant=lambda: tenant)
    learnt(llm, ONE)
    assert mark(llm.chat(OTHER))["outcome"] != "hit"
    pirate = ChatMessage(role=MessageRole.SYSTEM, content="Talk like a pirate.")
    assert mark(llm.chat([pirate, *SAME]))["outcome"] == "miss"
    tenant = "b"
    assert mark(llm.chat(SAME))["outcome"] == "miss"


def test_the_normalised_tier_comes_with_it(inner: ScriptedLLM) -> None:
    llm = made(inner)
    llm.chat(ONE)
    assert mark(llm.chat([user("how do I reset my password")]))["tier"] == "normalised"
    assert llm.stats().hits == {"normalised": 1}


def test_a_cache_of_ones_own_making_will_do(inner: ScriptedLLM) -> None:
    cache = SemanticCache(WordEmbedding(model_name="words"))
    llm = CachedLLM(inner, cache=cache)
    learnt(llm, ONE)
    assert mark(llm.chat(SAME))["tier"] == "semantic"


def test_what_cannot_go_together_is_said(inner: ScriptedLLM) -> None:
    with pytest.raises(ConfigError, match="cache= and semantic="):
        made(inner, cache=ExactCache())
    with pytest.raises(ConfigError, match="ttl_s"):
        made(inner, policy=CachePolicy(), ttl_s=5.0)
    assert made(inner, ttl_s=5.0).cache.policy == CachePolicy(ttl_s=5.0, normalise=True)


class Begun(ScriptedLLM):
    """Notes that an async call has begun before it lets others run."""

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        answer = self.chat(messages, **kwargs)
        for _ in range(1000):
            await asyncio.sleep(0.001)
        return answer


class Names(BaseEventHandler):
    """Notes the names of events."""

    seen: list[str] = Field(default_factory=list)

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self.seen.append(event.class_name())


async def test_where_calls_are_traced_none_is_begun_in_vain() -> None:
    """A call that is given up would stay in the trace as one without an end."""
    llm, names, root = made(Begun()), Names(), get_dispatcher()
    learnt(llm, ONE)
    root.add_event_handler(names)
    try:
        assert mark(await llm.achat(SAME))["tier"] == "semantic"
    finally:
        root.event_handlers.remove(names)
    assert [name for name in names.seen if "Embedding" not in name] == ["CacheHitEvent"]


def test_span_handlers_and_old_callbacks_listen_too() -> None:
    llm, root = ScriptedLLM(), get_dispatcher()
    assert not heard(llm)
    spans: Any = SimpleSpanHandler()
    root.add_span_handler(spans)
    try:
        assert heard(llm)
    finally:
        root.span_handlers.remove(spans)
    llm.callback_manager = CallbackManager([LlamaDebugHandler(print_trace_on_end=False)])
    assert heard(llm)
