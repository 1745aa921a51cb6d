"""`semantic=` of the middleware and the cached model: other words, the same answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain_core.embeddings import Embeddings
from langchain_core.messages import BaseMessage

from agentperf_core.cache import CachePolicy, SemanticCache
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.errors import ConfigError
from langchain_agentperf import CachedChatModel, ResponseCacheMiddleware
from tests.langchain.scripted_models import ScriptedChat

ONE = "How do I reset my password?"
SAME = "How can I reset my password?"
OTHER = "How do I delete my account?"
_FILLERS = {"how", "do", "can", "i", "my"}


class WordEmbeddings(Embeddings):
    """An embedding model of LangChain that knows words only: a direction for each."""

    def embed_query(self, text: str) -> list[float]:
        found = np.zeros(64)
        for word in set(re.findall(r"\w+", text.lower())) - _FILLERS:
            found[sum(map(ord, word)) % 64] += 1.0
        return [float(x) for x in found]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


Ask = Callable[[str], BaseMessage]
Made = tuple[Ask, CoreCache]


def in_agent(model: ScriptedChat, **options: Any) -> Made:
    middleware = ResponseCacheMiddleware(**options)
    agent: Any = create_agent(model, middleware=[middleware])
    return lambda text: agent.invoke({"messages": [text]})["messages"][-1], middleware.cache


def around_model(model: ScriptedChat, **options: Any) -> Made:
    cached = CachedChatModel(model, **options)
    return cached.invoke, cached.core_cache


@pytest.fixture(params=[in_agent, around_model])
def made(request: pytest.FixtureRequest) -> Callable[..., Made]:
    return request.param


def mark(message: BaseMessage) -> dict[str, Any]:
    return message.response_metadata["agentperf"]["cache"]


def learnt(ask: Ask, cache: CoreCache) -> None:
    ask(ONE)
    cache.drain(20)


def test_a_question_in_other_words_is_served_and_another_one_is_not(made: Callable[..., Made]):
    ask, cache = made(ScriptedChat(), semantic=WordEmbeddings())
    learnt(ask, cache)
    served = ask(SAME)
    assert (served.text, mark(served)["tier"]) == ("answer 1", "semantic")
    assert mark(ask(ONE.lower()[:-1]))["tier"] == "normalised"
    assert (ask(OTHER).text, cache.stats().misses) == ("answer 2", 2)


def test_bound_tools_and_parameters_stay_in_the_semantic_tier():
    cached = CachedChatModel(ScriptedChat(), semantic=WordEmbeddings())
    cached.bind(stop=["."]).invoke(ONE)
    cached.core_cache.drain(20)
    assert mark(cached.bind(stop=["."]).invoke(SAME))["outcome"] == "hit"
    assert mark(cached.invoke(SAME))["outcome"] == "miss"


def test_a_cache_of_ones_own_making_will_do(made: Callable[..., Made]):
    ask, cache = made(ScriptedChat(), cache=SemanticCache(WordEmbeddings()))
    learnt(ask, cache)
    assert mark(ask(SAME))["tier"] == "semantic"


def test_what_cannot_go_together_is_said(made: Callable[..., Made]):
    with pytest.raises(ConfigError, match="cache= and semantic="):
        made(ScriptedChat(), semantic=WordEmbeddings(), cache=CoreCache())
    _, cache = made(ScriptedChat(), semantic=WordEmbeddings(), ttl_s=5.0)
    assert cache.policy == CachePolicy(ttl_s=5.0, normalise=True)
