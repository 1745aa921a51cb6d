"""Rows of `bench_cache_defects.py`: what counts as the same question, in redisvl and GPTCache."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import redis
from _defects import Chat, Row
from _semantic import encoded
from langchain_core.embeddings import Embeddings
from langchain_core.messages import HumanMessage, SystemMessage

from agentperf_core.bench.servers import RedisServer
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.cache.stores.redis import RedisStore
from langchain_agentperf import CachedChatModel

REDISVL = "redisvl: SemanticCache"
GPTCACHE = "gptcache: Cache, faiss"
OURS = "CachedChatModel, semantic="
TRAPS = (
    ("Where is order 71?", "Where is order 17?"),
    ("How do I turn notifications on?", "How do I turn notifications off?"),
    ("Which plan includes phone support?", "Which plan does not include phone support?"),
    (
        "How do I move money from savings to checking?",
        "How do I move money from checking to savings?",
    ),
    ("What is the weather in Oslo today?", "What is the weather in Oslo tomorrow?"),
    ("What is the maximum upload size?", "What is the minimum upload size?"),
    ("How do I convert 5 miles to km?", "How do I convert 15 miles to km?"),
    ("Who was the president of France in 2007?", "Who was the president of France in 2017?"),
    ("Is the Pro plan cheaper than Basic?", "Is the Basic plan cheaper than Pro?"),
    ("What does error E1043 mean?", "What does error E1034 mean?"),
)
SAFE = (
    ("Where is order 71?", "where is order 71"),
    ("How do I turn notifications on?", "Please tell me how I turn notifications on."),
    ("What is your address?", "What's your address?"),
    ("Can I return a gift?", "can i return a gift?"),
    (
        "How many days do I have to pay? Is it 3 days?",
        "How many days do I have to pay? Is it three days?",
    ),
)
Served = Callable[[str, str], bool]
"""Whether the answer to the first question is given for the second."""


@cache
def vectors(texts: tuple[str, ...]) -> list[list[float]]:
    found = encoded(texts)
    return [found[text].tolist() for text in texts]


class MiniLM(Embeddings):
    """all-MiniLM-L6-v2, the same for everybody."""

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return vectors(tuple(texts))

    def embed_query(self, text: str) -> list[float]:
        return vectors((text,))[0]


def served(pairs: Sequence[tuple[str, str]], ask: Served) -> str:
    return f"{sum(ask(*pair) for pair in pairs)} of {len(pairs)}"


def by_ours(first: str, second: str) -> bool:
    model = CachedChatModel(Chat(), semantic=MiniLM())
    model.invoke(first)
    model.core_cache.drain()
    return model.invoke(second).text == "answer 1"


def by_redisvl(url: str) -> Served:
    def ask(first: str, second: str) -> bool:
        cached = redisvl(url)
        cached.clear()
        cached.store(first, "answer")
        return bool(cached.check(second))

    return ask


def redisvl(url: str, **options: Any) -> Any:
    from redisvl.extensions.cache.llm import (  # pyright: ignore[reportMissingImports]
        SemanticCache,
    )
    from redisvl.utils.vectorize import (  # pyright: ignore[reportMissingImports]
        CustomVectorizer,
    )

    vectorizer: Any = CustomVectorizer(embed=MiniLM().embed_query)
    return SemanticCache(name="pairs", redis_url=url, vectorizer=vectorizer, **options)


def redisvl_life(url: str) -> str:
    cached = redisvl(url, ttl=100)
    key = cached.store("Where is my parcel?", "answer")
    with redis.Redis.from_url(url) as client:
        client.expire(key, 50)
        cached.check("Where is my parcel?")
        return "51 s or more" if int(str(client.ttl(key))) > 50 else "50 s or less"


def own_life(url: str) -> str:
    store = RedisStore(url, namespace="life", timeout_s=5.0)
    model = CachedChatModel(Chat(), cache=CoreCache(store))
    model.invoke("Where is my parcel?")
    with redis.Redis.from_url(url) as client:
        keys = [key for key in client.scan_iter("*life*") if client.ttl(key) > 100]
        for key in keys:
            client.expire(key, 50)
        model.invoke("Where is my parcel?")
        lives = [int(str(client.ttl(key))) for key in keys]
    return "50 s or less" if lives and max(lives) <= 50 else f"{lives}"


@contextmanager
def gptcache() -> Generator[Any]:
    """GPTCache as documented, in a folder that goes: it writes where it stands."""
    from gptcache import Cache  # pyright: ignore[reportMissingImports]
    from gptcache.manager import (  # pyright: ignore[reportMissingImports]
        CacheBase,
        VectorBase,
        get_data_manager,
    )
    from gptcache.processor.pre import last_content  # pyright: ignore[reportMissingImports]
    from gptcache.similarity_evaluation.distance import (  # pyright: ignore[reportMissingImports]
        SearchDistanceEvaluation,
    )

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            cached: Any = Cache()
            cached.init(
                pre_embedding_func=last_content,
                embedding_func=lambda text, **_: _single(MiniLM().embed_query(text)),
                data_manager=get_data_manager(
                    CacheBase("sqlite"),
                    # Written once more when the process ends, when the folder is gone.
                    VectorBase("faiss", dimension=384, index_path=os.devnull),
                ),
                similarity_evaluation=SearchDistanceEvaluation(),
            )
            yield cached
        finally:
            os.chdir(before)


def _single(vector: list[float]) -> Any:
    import numpy as np

    return np.asarray(vector, dtype=np.float32)


def asked_gptcache(cached: Any, *contents: tuple[str, str]) -> str:
    """What an adapter does with the messages of a call, around a model that says "new"."""
    from gptcache.adapter.adapter import adapt  # pyright: ignore[reportMissingImports]

    def keep(answer: str, update: Callable[[str], object], *_: Any, **__: Any) -> str:
        update("old")
        return answer

    messages = [{"role": role, "content": content} for role, content in contents]
    return adapt(lambda **_: "new", lambda found: found, keep, cache_obj=cached, messages=messages)


def by_gptcache(first: str, second: str) -> bool:
    with gptcache() as cached:
        asked_gptcache(cached, ("user", first))
        return asked_gptcache(cached, ("user", second)) == "old"


def gptcache_system_prompts() -> str:
    with gptcache() as cached:
        said = [
            asked_gptcache(cached, ("system", system), ("user", "Who are you?"))
            for system in ("You are a pirate.", "You are a banker.")
        ]
    return "its own" if said[1] == "new" else "the other's"


def own_system_prompts() -> str:
    model = CachedChatModel(Chat(), semantic=MiniLM())
    for system in ("You are a pirate.", "You are a banker."):
        said = model.invoke([SystemMessage(system), HumanMessage("Who are you?")])
        model.core_cache.drain()
    return "its own" if said.text == "answer 2" else "the other's"


def rows(server: Callable[[], RedisServer]) -> list[Row]:
    traps = f"{len(TRAPS)} questions that differ in one thing; served the other's answer"
    safe = f"{len(SAFE)} rewordings that say the same; served"
    right, all_safe = f"0 of {len(TRAPS)}", f"{len(SAFE)} of {len(SAFE)}"
    found: list[Row] = []
    for what, wanted, pairs in ((traps, right, TRAPS), (safe, all_safe, SAFE)):
        own = _own(pairs)
        found += [
            Row(what, wanted, REDISVL, _of_redisvl(pairs, server), OURS, own, "redisvl"),
            Row(what, wanted, GPTCACHE, _of_gptcache(pairs), OURS, own, "gptcache"),
        ]
    return [
        *found,
        Row(
            "an entry with 50 s to live is served; it then has",
            "50 s or less",
            REDISVL,
            lambda: redisvl_life(server().url),
            "CachedChatModel, RedisStore",
            lambda: own_life(server().url),
            "redisvl",
        ),
        Row(
            "another system prompt gets an answer that is",
            "its own",
            GPTCACHE,
            gptcache_system_prompts,
            OURS,
            own_system_prompts,
            "gptcache",
        ),
    ]


def _own(pairs: Sequence[tuple[str, str]]) -> Callable[[], str]:
    def own() -> str:
        MiniLM().embed_query("loaded")  # ours waits a second for an encoder, not for its import
        return served(pairs, by_ours)

    return cache(own)


def _of_redisvl(
    pairs: Sequence[tuple[str, str]], server: Callable[[], RedisServer]
) -> Callable[[], str]:
    return lambda: served(pairs, by_redisvl(server().url))


def _of_gptcache(pairs: Sequence[tuple[str, str]]) -> Callable[[], str]:
    return lambda: served(pairs, by_gptcache)
