"""Claim: a hit in Redis is one round trip, from an event loop too, where it takes at most 200 us; a
hit in the SQLite file takes tens of microseconds.

Every row of a table is measured in turn with the others, one call each, on servers that this script
starts. "Store" is our store alone; "ExactCache" is LangChain's whole look-up over it: key, store,
decoding. The peers are `langchain-redis` (its `RedisCache`, which wants the JSON module and has no
async client) and `langchain-community` (its `SQLiteCache`), where they are installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
import redis.asyncio as aioredis
from _common import table, us
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration

from agentperf_core.bench.servers import RedisServer, ServerUnavailable, plain_redis, redis_stack
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from langchain_agentperf import ExactCache

Call = Callable[[], object]
ACall = Callable[[], Awaitable[object]]
Figures = dict[str, dict[str, float]]

LLM = "[('model', 'gpt-4o-mini'), ('temperature', 0)]"
VALUE = b"x" * 1_500
PATIENT_S = 5.0
ENTRIES = 10_000
ABSENT = "not installed"


def conversation() -> str:
    """What LangChain hands to a cache: 21 messages, serialised."""
    kinds: tuple[type[BaseMessage], ...] = (HumanMessage, AIMessage)
    return dumps(
        [kinds[i % 2](f"{i}: " + "An order, its parcel and a refund. " * 3) for i in range(21)]
    )


def answer() -> list[Any]:
    return [
        ChatGeneration(message=AIMessage("Order 7 has shipped and will arrive on Friday. " * 5))
    ]


def timed(calls: dict[str, Call], rounds: int) -> Figures:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 50):
        for name, call in calls.items():
            start = time.perf_counter()
            found = call()
            took = time.perf_counter() - start
            assert found is not None, name
            if number >= 50:
                times[name].append(took)
    return {name: summary(taken) for name, taken in times.items()}


async def atimed(calls: dict[str, ACall], rounds: int) -> Figures:
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 50):
        for name, call in calls.items():
            start = time.perf_counter()
            found = await call()
            took = time.perf_counter() - start
            assert found is not None, name
            if number >= 50:
                times[name].append(took)
    return {name: summary(taken) for name, taken in times.items()}


def summary(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "min_s": ordered[0],
        "median_s": ordered[len(ordered) // 2],
        "p95_s": ordered[int(len(ordered) * 0.95)],
    }


def shown(title: str, figures: Figures, absent: list[str]) -> str:
    rows = [
        [name, us(row["min_s"]), us(row["median_s"]), us(row["p95_s"])]
        for name, row in figures.items()
    ]
    rows += [[name, ABSENT, "", ""] for name in absent]
    return table([title, "min", "median", "p95"], rows)


def peer_redis(url: str, prompt: str) -> Any:
    try:
        from langchain_redis import RedisCache  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    cache = RedisCache(redis_url=url, ttl=3600)
    cache.update(prompt, LLM, answer())
    return cache


def peer_sqlite(path: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it is being sunset
            from langchain_community.cache import (  # pyright: ignore[reportMissingImports]
                SQLiteCache,
            )
    except ImportError:
        return None
    return SQLiteCache(database_path=path)


def server(stack: ExitStack) -> tuple[RedisServer, bool]:
    """The stack's server for all, so that the peer can take part; else a plain one."""
    try:
        return stack.enter_context(redis_stack()), True
    except ServerUnavailable as error:
        print(f"no query engine ({error}): the peer is left out\n")
        return stack.enter_context(plain_redis()), False


def on_redis(rounds: int) -> dict[str, Any]:
    prompt = conversation()
    with ExitStack() as stack:
        running, has_json = server(stack)
        store = RedisStore(running.url, timeout_s=PATIENT_S)
        cache = ExactCache(store=RedisStore(running.url, namespace="exact", timeout_s=PATIENT_S))
        raw = stack.enter_context(redis.Redis.from_url(running.url))
        peer = peer_redis(running.url, prompt) if has_json else None
        store.set("key", VALUE, 3600.0)
        raw.set("raw", VALUE)
        cache.update(prompt, LLM, answer())
        calls: dict[str, Call] = {
            "redis-py, raw GET": lambda: raw.get("raw"),
            "RedisStore.get": lambda: store.get("key"),
            "ExactCache over RedisStore": lambda: cache.lookup(prompt, LLM),
        }
        absent = ["langchain-redis RedisCache"]
        if peer is not None:
            calls[absent.pop()] = partial(peer.lookup, prompt, LLM)
        sync = timed(calls, rounds)
        print(shown(f"Redis {running.version}, hit, sync", sync, absent), end="\n\n")

        async def from_a_loop() -> Figures:
            async with aioredis.Redis.from_url(running.url) as araw:
                acalls: dict[str, ACall] = {
                    "redis-py asyncio, raw GET": lambda: araw.get("raw"),
                    "RedisStore.aget": lambda: store.aget("key"),
                    "ExactCache over RedisStore": lambda: cache.alookup(prompt, LLM),
                }
                if peer is not None:
                    name = "langchain-redis RedisCache (a worker thread)"
                    acalls[name] = partial(peer.alookup, prompt, LLM)
                return await atimed(acalls, rounds)

        async_ = asyncio.run(from_a_loop())
        print(shown(f"Redis {running.version}, hit, async", async_, absent), end="\n\n")
        store.close()
        return {"sync": sync, "async": async_}


def on_sqlite(rounds: int) -> dict[str, Any]:
    prompt = conversation()
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        store = stack.enter_context(SQLiteStore(f"{folder}/ours.db", timeout_s=PATIENT_S))
        cache = ExactCache(store=store)
        for number in range(ENTRIES):
            store.set(f"key-{number}", VALUE, 3600.0, ["tag"])
        cache.update(prompt, LLM, answer())
        keys, fresh = cycled(), iter(range(1_000_000_000))
        calls: dict[str, Call] = {
            "SQLiteStore.get": lambda: store.get(next(keys)),
            "ExactCache over SQLiteStore": lambda: cache.lookup(prompt, LLM),
            "SQLiteStore.set": lambda: store.set(f"new-{next(fresh)}", VALUE, 3600.0) or True,
        }
        peer, absent = peer_sqlite(f"{folder}/peer.db"), ["langchain-community SQLiteCache"]
        if peer is not None:
            for number in range(ENTRIES // 10):
                peer.update(f"prompt {number}", LLM, answer())
            peer.update(prompt, LLM, answer())
            name = f"{absent.pop()} ({ENTRIES // 10:,} rows)"
            calls[name] = partial(peer.lookup, prompt, LLM)
            stack.callback(peer.engine.dispose)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the peer's own, about how it decodes
            sync = timed(calls, rounds)
        print(shown(f"SQLite, {ENTRIES:,} entries, sync", sync, absent), end="\n\n")
        acalls: dict[str, ACall] = {"SQLiteStore.aget": lambda: store.aget(next(keys))}
        async_ = asyncio.run(atimed(acalls, rounds))
        print(shown(f"SQLite, {ENTRIES:,} entries, async", async_, []))
        return {"sync": sync, "async": async_}


def cycled() -> Iterator[str]:
    """Keys all over the file, in an order that repeats after all of them."""
    number = 0
    while True:
        number = (number + 7_919) % ENTRIES
        yield f"key-{number}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--json", type=Path, help="where to write the figures, in seconds")
    options = parser.parse_args()
    figures = {"redis": on_redis(options.rounds), "sqlite": on_sqlite(options.rounds)}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
