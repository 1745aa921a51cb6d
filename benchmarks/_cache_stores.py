"""Exact hits by store in `cache_latency.py`: our core and our LangChain cache beside the peers.

All are asked the same: 21 messages, an answer of a few hundred characters. What goes through
LangChain's interface is measured with the serialisation of the messages, which LangChain makes for
every call, whatever the cache; the core's own key needs none. `langchain-redis` wants the JSON
module, so Redis is the stack's server where it starts.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _cache_common import MESSAGES, TEXT, ACall, Call, Figures, awaited_samples, wall_samples
from _cache_semantic import Codec
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration

from agentperf_core.bench.servers import ServerUnavailable, plain_redis, redis_stack
from agentperf_core.cache import CachePolicy, CacheRequest, ExactCache, MemoryStore, MessageParts
from agentperf_core.cache.requests.build import build_request
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.flow import Step, arun, run
from langchain_agentperf import ExactCache as LangChainExactCache

LLM = "[('model', 'gpt-4o-mini'), ('temperature', 0)]"
PATIENT_S = 5.0
ROUNDS = 400


def parts() -> list[MessageParts]:
    roles = ("user", "assistant")
    return [MessageParts(roles[i % 2], f"{i}: {TEXT}") for i in range(MESSAGES)]


KINDS = (HumanMessage, AIMessage)
ASKED = [KINDS[i % 2](f"{i}: {TEXT}") for i in range(MESSAGES)]


def prompt() -> str:
    """What LangChain hands to a cache, made anew for every call: the messages, serialised."""
    return dumps(ASKED)


def answer() -> list[Any]:
    return [ChatGeneration(message=AIMessage(TEXT))]


class Core:
    """The core's cache over a store: request, key, store, decoding."""

    def __init__(self, store: Any) -> None:
        self.cache = ExactCache(store)
        self.messages = parts()
        run(self._flow())

    def _asked(self) -> CacheRequest:
        return build_request(
            policy=CachePolicy(), model={"model": "m"}, messages=self.messages, questions=False
        )

    def _flow(self) -> Any:
        return self.cache.answer(self._asked(), Step(lambda: TEXT, _atext), Codec())

    def hit(self) -> object:
        return run(self._flow())

    async def ahit(self) -> object:
        return await arun(self._flow())


async def _atext() -> str:
    return TEXT


def ours(store: Any, name: str) -> dict[str, Call]:
    core, cache = Core(store), LangChainExactCache(store=store)
    cache.update(prompt(), LLM, answer())
    return {
        f"core ExactCache, {name}": core.hit,
        f"LangChain ExactCache, {name}": lambda: cache.lookup(prompt(), LLM),
    }


def aours(store: Any, name: str) -> dict[str, ACall]:
    core, cache = Core(store), LangChainExactCache(store=store)
    cache.update(prompt(), LLM, answer())
    return {
        f"core ExactCache, {name}": core.ahit,
        f"LangChain ExactCache, {name}": lambda: cache.alookup(prompt(), LLM),
    }


def peer(make: Callable[[], Any], name: str, absent: dict[str, str]) -> dict[str, Any]:
    """A peer's cache that knows the answer, or why it is not here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a package that is being sunset, on import
            cache = make()
            cache.update(prompt(), LLM, answer())
            found = cache.lookup(prompt(), LLM)
    except ModuleNotFoundError as error:
        absent[name] = f"not installed ({error.name})"
    except Exception as error:  # whatever a peer's set-up raises
        absent[name] = f"did not start ({type(error).__name__})"
    else:
        if found:
            return {name: cache}
        absent[name] = "did not find what it had just stored"
    return {}


def looked_up(caches: Mapping[str, Any]) -> dict[str, Call]:
    return {
        name: (lambda cache=cache: cache.lookup(prompt(), LLM)) for name, cache in caches.items()
    }


def gptcache(folder: str) -> Any:
    community = import_module("langchain_community.cache")
    # It reports a new folder as an error.
    import_module("gptcache.utils.log").gptcache_log.setLevel(logging.CRITICAL)
    get_prompt = import_module("gptcache.processor.pre").get_prompt
    factory = import_module("gptcache.manager.factory").manager_factory

    def begin(cache: Any, _: str) -> None:
        manager = factory(manager="map", data_dir=f"{folder}/gptcache")
        cache.init(pre_embedding_func=get_prompt, data_manager=manager)

    return community.GPTCache(begin)


def in_memory(folder: str) -> Figures:
    absent: dict[str, str] = {}
    stock = "langchain-core InMemoryCache"
    caches = {
        **peer(InMemoryCache, stock, absent),
        **peer(lambda: gptcache(folder), "GPTCache, exact (its map)", absent),
    }
    calls = {**looked_up(caches), **ours(MemoryStore(), "MemoryStore")}
    return {**_wall(calls, stock), **absent}


def on_sqlite(folder: str) -> Figures:
    absent: dict[str, str] = {}
    stock = "langchain-community SQLiteCache"

    def theirs() -> Any:
        module = import_module("langchain_community.cache")
        return module.SQLiteCache(database_path=f"{folder}/peer.db")

    caches = peer(theirs, stock, absent)
    with SQLiteStore(f"{folder}/ours.db", timeout_s=PATIENT_S) as store:
        calls = {**looked_up(caches), **ours(store, "SQLiteStore")}
        found = _wall(calls, stock)
    for cache in caches.values():
        cache.engine.dispose()
    return {**found, **absent}


def on_redis() -> Figures:
    with ExitStack() as stack:
        absent: dict[str, str] = {}
        try:
            running = stack.enter_context(redis_stack())
        except ServerUnavailable:
            try:
                running = stack.enter_context(plain_redis())
            except ServerUnavailable as error:
                return {"Redis": f"not measured: {error}"}
        stock = "langchain-redis RedisCache"
        caches = peer(
            lambda: import_module("langchain_redis").RedisCache(redis_url=running.url, ttl=3600),
            stock,
            absent,
        )
        store = RedisStore(running.url, timeout_s=PATIENT_S)
        stack.callback(store.close)
        found = {**_wall({**looked_up(caches), **ours(store, "RedisStore")}, stock), **absent}
        from_loop = f"{stock}, awaited (a worker thread)"

        async def awaited() -> Figures:
            calls = await asyncio.to_thread(aours, store, "RedisStore, awaited")
            if stock in caches:
                calls[from_loop] = lambda: caches[stock].alookup(prompt(), LLM)
            samples = await awaited_samples(calls, rounds=ROUNDS)
            return samples.figures(from_loop)

        return {"server": f"Redis {running.version}", **found, **asyncio.run(awaited())}


def _wall(calls: Mapping[str, Call], stock: str) -> Figures:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' own, about how they decode
        return wall_samples(calls, rounds=ROUNDS).figures(stock)


def figures() -> Figures:
    with TemporaryDirectory() as folder:
        Path(folder, "gptcache").mkdir()
        return {
            "exact_hit_in_memory_wall": in_memory(folder),
            "exact_hit_sqlite_wall": on_sqlite(folder),
            "exact_hit_redis_wall": on_redis(),
        }
