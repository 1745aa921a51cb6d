"""Equal calls of two processes in `cache_latency.py`: how many model calls they come to."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory
from typing import Any

from _cache_common import HELD_S, Figures
from _cache_semantic import Codec

from agentperf_core.bench.servers import ServerUnavailable, plain_redis
from agentperf_core.cache import CachePolicy, CacheRequest, ExactCache
from agentperf_core.cache.stores.opening import open_store
from agentperf_core.flow import Step, arun, run

PROCESSES = 2
CALLERS = 20
KEY = "k" * 64


def figures() -> Figures:
    found: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        found["SQLite"] = measured(f"sqlite:{folder}/cache.db")
    try:
        with plain_redis() as running:
            found[f"Redis {running.version}"] = measured(running.url)
    except ServerUnavailable as error:
        found["Redis"] = f"not measured: {error}"
    return {"model_calls_two_processes": found}


def measured(url: str) -> Figures:
    total = PROCESSES * CALLERS
    return {
        "without a cache": total,
        f"{PROCESSES} x {CALLERS} threads": counted(url, "threads"),
        f"{PROCESSES} x {CALLERS} tasks": counted(url, "tasks"),
    }


def counted(url: str, way: str) -> int:
    context = multiprocessing.get_context("spawn")
    ready, calls = context.Barrier(PROCESSES), context.Queue()
    children = [
        context.Process(target=child, args=(url, way, ready, calls)) for _ in range(PROCESSES)
    ]
    for one in children:
        one.start()
    found = [calls.get(timeout=60) for _ in children]
    for one in children:
        one.join()
    return sum(found)


def child(url: str, way: str, ready: Any, calls: Any) -> None:
    made: list[int] = []
    lock = threading.Lock()

    def model() -> str:
        with lock:
            made.append(1)
        time.sleep(HELD_S)
        return "An answer."

    async def amodel() -> str:
        made.append(1)
        await asyncio.sleep(HELD_S)
        return "An answer."

    cache = ExactCache(open_store(url), policy=CachePolicy(across_processes=True))
    request, step = CacheRequest(f"{way}{KEY}"[:64]), Step(model, amodel)
    ready.wait(30)
    if way == "threads":
        with ThreadPoolExecutor(CALLERS) as pool:
            asked = [pool.submit(run, cache.answer(request, step, Codec())) for _ in range(CALLERS)]
            for one in asked:
                one.result()
    else:

        async def together() -> None:
            await asyncio.gather(
                *(arun(cache.answer(request, step, Codec())) for _ in range(CALLERS))
            )

        asyncio.run(together())
    calls.put(len(made))
