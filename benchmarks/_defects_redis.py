"""Rows of `bench_cache_defects.py`: caches in Redis, of langchain-redis and langchain-community."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
from _defects import Chat, Row, count
from _defects_meaning import MiniLM
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration

from agentperf_core.bench.servers import RedisServer, redis_stack
from agentperf_core.cache.stores.redis import RedisStore
from langchain_agentperf import CachedChatModel, ExactCache, SemanticCache

REDIS = "langchain-redis: RedisCache"
MEANING = "langchain-redis: RedisSemanticCache"
COMMUNITY = "langchain-community: RedisCache"
OURS = "ExactCache, RedisStore"
SYSTEM = SystemMessage("You are the support desk of a parcel service. Be brief and polite.")
UNRELATED = (
    "Where is my parcel?",
    "How do I reset my password?",
    "Which payment methods do you accept?",
    "What is the capital of Norway?",
    "How tall is Mount Everest?",
    "Can I bring a dog to the office?",
    "Who wrote Hamlet?",
    "When does the museum open?",
    "How do I boil an egg?",
    "What does this error code mean?",
    "Is there a vegetarian menu?",
    "How many moons has Mars?",
)
PATIENT_S = 5.0


def peer_cache(url: str) -> Any:
    from langchain_redis import RedisCache  # pyright: ignore[reportMissingImports]

    return RedisCache(redis_url=url, ttl=60)


def own_cache(url: str) -> Any:
    return ExactCache(store=RedisStore(url, timeout_s=PATIENT_S), ttl_s=60)


def commands(cache: Any, url: str) -> str:
    """What it takes to store an answer that expires."""
    answer = [ChatGeneration(message=AIMessage("answer"))]
    cache.update("warm", "m", answer)
    with redis.Redis.from_url(url) as client:
        client.config_resetstat()
        cache.update("prompt", "m", answer)
        stats: Any = client.info("commandstats")
    names = {name.removeprefix("cmdstat_").upper() for name in stats}
    return " and ".join(sorted(names - {"CONFIG|RESETSTAT", "INFO"}))


class Counting(ThreadPoolExecutor):
    """Tells whether a loop hands work to threads."""

    used = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.used += 1
        return super().submit(fn, *args, **kwargs)


def awaited(cache: Any) -> str:
    async def look() -> int:
        threads = Counting(1)
        asyncio.get_running_loop().set_default_executor(threads)
        await cache.alookup("prompt", "m")
        return threads.used

    return "a thread" if asyncio.run(look()) else "the loop"


def without_server(around: Callable[[Chat, str], Any]) -> str:
    with redis_stack() as server:
        model = around(Chat(), server.url)
        model.invoke("first")
        server.stop()
        return str(model.invoke("second").text)


def foreign_key_after_clear(cache: Any, url: str) -> str:
    with redis.Redis.from_url(url) as client:
        client.set("a key of somebody else", "1")
        cache.clear()
        return "is there" if client.exists("a key of somebody else") else "is gone"


def community(url: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is being sunset
        from langchain_community.cache import (  # pyright: ignore[reportMissingImports]
            RedisCache,
        )

    return RedisCache(redis.Redis.from_url(url))


def peer_semantic(url: str, name: str) -> Any:
    from langchain_redis import RedisSemanticCache  # pyright: ignore[reportMissingImports]

    return RedisSemanticCache(embeddings=MiniLM(), redis_url=url, name=name)


def answers_of_others(cache: Any, drain: Callable[[], object]) -> str:
    model, wrong = Chat(cache=cache, reply=lambda _, said: str(said[-1].text)), 0
    for question in UNRELATED:
        wrong += model.invoke([SYSTEM, HumanMessage(question)]).text != question
        drain()
    return f"{wrong} of {len(UNRELATED)}"


def two_models(cache: Any, drain: Callable[[], object]) -> str:
    models = [Chat(model=name, cache=cache) for name in ("small", "large")]
    for model in (*models, *models):
        model.invoke("Where is my parcel?")
        drain()
    return count(sum(model.made for model in models), "call")


def nothing() -> None:
    """The peer has nothing to wait for."""


def semantic_row(
    what: str,
    right: str,
    run: Callable[[Any, Callable[[], object]], str],
    url: Callable[[], str],
    name: str,
) -> Row:
    def own() -> str:
        cache = SemanticCache(MiniLM())
        return run(cache, cache.core_cache.drain)

    return Row(
        what,
        right,
        MEANING,
        lambda: run(peer_semantic(url(), name), nothing),
        "SemanticCache",
        own,
        "langchain_redis",
    )


def rows(server: Callable[[], RedisServer]) -> list[Row]:
    def url() -> str:
        return server().url

    return [
        Row(
            "commands that store an answer for a minute",
            "SET",
            REDIS,
            lambda: commands(peer_cache(url()), url()),
            OURS,
            lambda: commands(own_cache(url()), url()),
            "langchain_redis",
        ),
        Row(
            "an awaited look-up is done by",
            "the loop",
            REDIS,
            lambda: awaited(peer_cache(url())),
            OURS,
            lambda: awaited(own_cache(url())),
            "langchain_redis",
        ),
        Row(
            "the server goes away; the call says",
            "answer 2",
            REDIS,
            lambda: without_server(
                lambda model, at: model.model_copy(update={"cache": peer_cache(at)})
            ),
            "CachedChatModel, RedisStore",
            lambda: without_server(lambda model, at: CachedChatModel(model, store=RedisStore(at))),
            "langchain_redis",
        ),
        Row(
            "after `clear()` a foreign key",
            "is there",
            COMMUNITY,
            lambda: foreign_key_after_clear(community(url()), url()),
            OURS,
            lambda: foreign_key_after_clear(own_cache(url()), url()),
            "langchain_community",
        ),
        semantic_row(
            "12 unrelated questions under one system prompt; another's answer got",
            "0 of 12",
            answers_of_others,
            url,
            "unrelated",
        ),
        semantic_row(
            "one question, two models, twice each",
            "2 calls",
            two_models,
            url,
            "models",
        ),
    ]
