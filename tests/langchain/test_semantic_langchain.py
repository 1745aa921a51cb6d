"""`semantic=` of the middleware and the cached model: other words, the same answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
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


class Endless(ScriptedChat):
    """Answers the first call; all others are on their way until they are cancelled."""

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        answer = await super()._agenerate(messages, *args, **kwargs)
        if self.calls > 1:
            await asyncio.Event().wait()
        return answer


class Counting(AgentMiddleware[Any, Any, Any]):
    """Something that acts on every model call, as a rate limit does."""

    def __init__(self) -> None:
        self.seen = 0

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        self.seen += 1
        return await handler(request)


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


async def in_async_agent(*behind: AgentMiddleware[Any, Any, Any]) -> tuple[BaseMessage, int]:
    """A hit in other words, and how many calls reached the model."""
    model = Endless()
    middleware = ResponseCacheMiddleware(semantic=WordEmbeddings())
    agent: Any = create_agent(model, middleware=[middleware, *behind])
    await agent.ainvoke({"messages": [ONE]})
    await asyncio.to_thread(middleware.cache.drain, 20)
    answer = await agent.ainvoke({"messages": [SAME]})
    return answer["messages"][-1], model.calls


async def test_a_call_races_with_the_look_up_where_nothing_is_behind_the_cache() -> None:
    answer, calls = await in_async_agent()
    assert (answer.text, mark(answer)["tier"]) == ("answer 1", "semantic")
    assert (mark(answer)["abandoned"], calls) == (True, 2)


async def test_middleware_further_in_runs_once_for_a_hit_in_other_words() -> None:
    """It ran twice: for the call that was begun beside the look-up and given up, and for the hit.

    A rate limit counted two calls, and a log had one that nobody made.
    """
    counting = Counting()
    answer, calls = await in_async_agent(counting)
    assert (answer.text, mark(answer)["tier"]) == ("answer 1", "semantic")
    assert (counting.seen, calls) == (2, 1)
    assert "abandoned" not in mark(answer)
