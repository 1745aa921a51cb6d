"""Warm-up: every step is taken and reported, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tool_results_tools import Broken

from agentperf_core.bench.servers import RedisServer
from agentperf_core.cache import MemoryStore, RedisStore, SemanticCache, ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Step, arun, run
from agentperf_core.tools.warm import WarmStep, WarmUpReport, warm_up
from agentperf_core.tools.warm_steps import cache_steps, unable

both = pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])


async def warmed(sync: bool, steps: list[WarmStep], **options: Any) -> WarmUpReport:
    flow = warm_up(steps, **options)
    return await asyncio.to_thread(run, flow) if sync else await arun(flow)


def step(what: str, work: Any) -> WarmStep:
    async def later() -> Any:
        return work()

    return WarmStep(what, Step(work, later))


@both
async def test_a_step_that_fails_stops_no_other_one(sync: bool):
    done: list[str] = []

    def fail() -> None:
        raise ConnectionError("no route")

    report = await warmed(
        sync,
        [
            step("first", lambda: done.append("first")),
            step("second", fail),
            unable("third", "nobody knows how"),
            step("last", lambda: "loaded from disk"),
        ],
    )
    assert done == ["first"]
    assert not report.ok
    assert [(one.what, one.ok, one.reason) for one in report.steps] == [
        ("first", True, ""),
        ("second", False, "ConnectionError: no route"),
        ("third", False, "ConfigError: nobody knows how"),
        ("last", True, "loaded from disk"),
    ]
    assert str(report).splitlines()[1].startswith("second: not done, ")


async def test_steps_of_sync_callers_run_at_once():
    """Each waits for the other: one after the other, they would wait for ever."""
    meet = threading.Barrier(2)
    report = await warmed(
        True, [step("a", lambda: meet.wait(10)), step("b", lambda: meet.wait(10))]
    )
    assert report.ok


@both
async def test_what_takes_too_long_is_not_waited_for(sync: bool):
    hangs = threading.Event()

    async def never() -> None:
        await asyncio.Event().wait()

    slow = WarmStep("slow", Step(lambda: hangs.wait(10), never))
    report = await warmed(sync, [slow, step("quick", lambda: None)], timeout_s=0.05)
    hangs.set()
    assert [(one.what, one.ok) for one in report.steps] == [("slow", False), ("quick", True)]
    assert report.steps[0].reason == "it takes longer than timeout_s=0.05"


@both
async def test_nothing_to_do_is_done(sync: bool):
    report = await warmed(sync, [])
    assert report.ok
    assert report.steps == ()


@both
async def test_the_connection_of_a_store_is_opened(sync: bool, plain_server: RedisServer):
    store = RedisStore(plain_server.url)
    report = await warmed(sync, list(cache_steps(ToolResultCache(store))))
    assert [(one.what, one.ok) for one in report.steps] == [("store RedisStore", True)]
    store.close()
    await store.aclose()


@both
async def test_an_encoder_is_asked_and_a_broken_store_says_so(sync: bool):
    encoded: list[str] = []

    def letters(texts: list[str]) -> list[list[float]]:
        encoded.extend(texts)
        return [[1.0, float(len(text))] for text in texts]

    cache = SemanticCache(letters, store=MemoryStore())
    report = await warmed(sync, [*cache_steps(cache), *cache_steps(Broken("get", "aget"))])
    assert encoded == ["hello"]
    assert [(one.ok, one.reason) for one in report.steps] == [
        (True, ""),
        (True, ""),
        (False, "ConnectionError: no connection"),
    ]


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_what_cannot_mean_anything_is_refused(timeout_s: float):
    with pytest.raises(ConfigError, match="timeout_s must be > 0"):
        run(warm_up([], timeout_s=timeout_s))
    with pytest.raises(ConfigError, match="a cache to be warmed has a store, got 7"):
        list(cache_steps(7))
