"""Counters that outlive the process: written beside the answers, added up by whoever asks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_results_tools import CODEC, READS, Text

from agentperf_core.cache import CacheDecision, MemoryStore, ToolRequest, ToolResultCache
from agentperf_core.cache import ledger as ledgers
from agentperf_core.cache.ledger import Ledger
from agentperf_core.cache.stats import CacheStats, StatsCounter
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.cache.totals import STATS_PREFIX, added, read_totals, stats_record
from agentperf_core.clock import FakeClock
from agentperf_core.events import EventBus, Fault
from agentperf_core.flow import Step, run
from agentperf_core.types import Usage

HIT = CacheDecision(
    outcome="hit",
    reason="stored",
    saved_s=2.5,
    saved_usage=Usage(uncached_input_tokens=900, output_tokens=100),
    model="gpt-4o-mini",
)
MISS = CacheDecision(outcome="miss", reason="answered and stored")


@dataclass(frozen=True)
class Estimate:
    rate: float
    low: float
    high: float


class SharedMemory(MemoryStore):
    """A store that others share, as far as a cache can tell."""

    in_process = False


@dataclass
class Counted:
    store: SharedMemory
    counter: StatsCounter
    ledger: Ledger
    clock: FakeClock
    faults: list[Fault]

    def count(self, *decisions: CacheDecision) -> None:
        for decision in decisions:
            self.counter.count(decision)
            self.ledger.touch()


def counted(store: SharedMemory | None = None) -> Counted:
    bus, faults, clock = EventBus(), list[Fault](), FakeClock()
    bus.subscribe(lambda event: faults.append(event) if isinstance(event, Fault) else None)
    store, counter = store if store is not None else SharedMemory(), StatsCounter()
    return Counted(store, counter, Ledger(store, counter, clock=clock, bus=bus), clock, faults)


def test_what_was_written_is_read_back_whole():
    one = counted()
    one.count(HIT, HIT, MISS, CacheDecision(outcome="bypass", reason="streamed by hand"))
    one.counter.count_discarded("it cannot be read")
    one.counter.estimate = lambda: Estimate(0.01, 0.005, 0.02)
    one.clock.advance(60)
    one.ledger.write()
    totals = read_totals(one.store)
    assert totals.stats.as_dict() == one.counter.snapshot().as_dict()
    assert totals.caches == 1
    assert totals.since is not None
    assert totals.until == totals.since + 60


def test_the_caches_of_a_store_are_added_up():
    one = counted()
    other = counted(one.store)
    one.count(HIT, MISS)
    other.count(HIT, HIT)
    one.ledger.write()
    other.ledger.write()
    stats = read_totals(one.store).stats
    assert (stats.hits, stats.misses, stats.saved_tokens) == ({"exact": 3}, 1, 3000)
    assert stats.saved_s == 7.5


def test_writing_again_replaces_what_the_cache_wrote_before():
    one = counted()
    for _ in range(3):
        one.count(HIT)
        one.ledger.write()
    assert read_totals(one.store).stats.hits == {"exact": 3}
    assert len(list(one.store.scan(STATS_PREFIX))) == 1


def test_nothing_new_is_not_written_again():
    one = counted()
    one.count(MISS)
    one.ledger.write()
    one.store.clear()
    one.ledger.write()
    assert read_totals(one.store).caches == 0


def test_the_interval_of_the_false_hits_is_weighted_by_requests():
    many = CacheStats(misses=90, false_hits=Estimate(0.01, 0.0, 0.02))
    few = CacheStats(misses=10, false_hits=Estimate(0.11, 0.1, 0.12))
    wrong = added([many, few, CacheStats(misses=1000)]).false_hits
    assert wrong is not None
    assert (wrong.rate, wrong.low, wrong.high) == pytest.approx((0.02, 0.01, 0.03))


counts = st.dictionaries(st.text(max_size=8), st.integers(0, 10**6), max_size=4)


@given(counts, counts, st.integers(0, 10**6), st.floats(0, 1e9))
def test_any_counters_come_back_as_they_were(
    hits: dict[str, int], discarded: dict[str, int], misses: int, saved_s: float
):
    stats = CacheStats(hits=hits, discarded=discarded, misses=misses, saved_s=saved_s)
    store = MemoryStore()
    store.set(f"{STATS_PREFIX}1", stats_record(stats, since=0.0, at=1.0), None)
    assert read_totals(store).stats == stats


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"v": 2}',
        b'{"v": 1, "since": 0, "at": 0, "stats": {}}',
        b'{"v": 1, "since": 0, "at": 0, "stats": {"hits": 3}}',
    ],
)
def test_a_record_that_cannot_be_read_is_counted_and_left_out(raw: bytes):
    one = counted()
    one.count(MISS)
    one.ledger.write()
    one.store.set(f"{STATS_PREFIX}broken", raw, None)
    totals = read_totals(one.store)
    assert (totals.caches, totals.unreadable, totals.stats.misses) == (1, 1, 1)


def test_a_store_in_this_process_gets_no_counters():
    store, counter = MemoryStore(), StatsCounter()
    ledger = Ledger(store, counter, clock=FakeClock(), bus=EventBus())
    counter.count(MISS)
    ledger.touch()
    ledgers._clerk.flush()
    assert list(store.scan()) == []


class Failing(SharedMemory):
    def set(self, *_: object, **__: object) -> None:
        raise ConnectionError("gone")


def test_a_store_that_fails_is_a_fault_and_tried_again():
    one = counted(Failing())
    one.count(MISS)
    one.ledger.write()
    assert [fault.where for fault in one.faults] == ["cache.stats"]
    one.count(MISS)
    one.ledger.write()
    assert len(one.faults) == 2


def when(holds: Callable[[], bool], event: threading.Event) -> bool:
    return any(holds() or event.wait(0.01) for _ in range(1000)) and holds()


@pytest.fixture
def clerk(monkeypatch: pytest.MonkeyPatch) -> ledgers._Clerk:
    """A thread of this test's own that does not wait between two rounds."""
    clerk = ledgers._Clerk()
    monkeypatch.setattr(ledgers, "EVERY_S", 0.0)
    monkeypatch.setattr(ledgers, "_clerk", clerk)
    return clerk


def test_counters_are_written_behind_the_call_and_again_when_they_change(clerk: ledgers._Clerk):
    one, waiting = counted(), threading.Event()
    for number in range(1, 4):
        one.count(MISS)
        assert when(lambda n=number: read_totals(one.store).stats.misses == n, waiting)


async def test_counting_does_not_block_an_event_loop(clerk: ledgers._Clerk):
    one = counted()
    one.count(MISS)
    written = lambda: read_totals(one.store).stats.misses == 1  # noqa: E731
    assert await asyncio.to_thread(when, written, threading.Event())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_child_after_a_fork_counts_for_itself(tmp_path: Path):
    """Else what the parent did would be counted twice."""
    code = f"""
import os
from test_cache_ledger import HIT, MISS
from agentperf_core.cache.ledger import Ledger
from agentperf_core.cache.stats import StatsCounter
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.clock import SYSTEM_CLOCK
from agentperf_core.events import BUS

counter = StatsCounter()
ledger = Ledger(SQLiteStore({str(tmp_path / "cache.db")!r}), counter, clock=SYSTEM_CLOCK, bus=BUS)
counter.count(HIT)
ledger.touch()
child = os.fork()
counter.count(MISS)
ledger.touch()
if child:
    os.waitpid(child, 0)
"""
    ran(code)
    totals = read_totals(SQLiteStore(tmp_path / "cache.db"))
    assert totals.caches == 2
    assert (totals.stats.hits, totals.stats.misses) == ({"exact": 1}, 2)


def ran(code: str) -> None:
    """Run code in a process of its own, to its end."""
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=Path(__file__).parent,
        timeout=50,
    )


async def later() -> Text:
    return Text("x")


def tool_cache(store: SharedMemory) -> ToolResultCache:
    return ToolResultCache(store, clock=FakeClock(), bus=EventBus())


def test_tool_caches_of_a_store_are_added_up_tool_by_tool(clerk: ledgers._Clerk):
    """Beside the counters of the response caches, which have other names."""
    one = counted()
    one.count(HIT)
    one.ledger.write()
    for cache in (tool_cache(one.store), tool_cache(one.store)):
        for order in (7, 7, 8):
            request = ToolRequest(tool="order", arguments={"order_id": order}, policy=READS)
            run(cache.run(request, Step(lambda: Text("x"), later), CODEC))
        run(cache.run(ToolRequest(tool="now", arguments={}), Step(lambda: Text("x"), later), CODEC))
    assert when(lambda: read_totals(one.store).tools.total.calls == 8, threading.Event())
    totals = read_totals(one.store)
    assert (totals.stats.hits, totals.caches) == ({"exact": 1}, 3)
    assert totals.tools.by_tool["order"].as_dict() == {
        "hits": 4,
        "coalesced": 0,
        "misses": 2,
        "bypasses": {},
        "stale": 0,
        "refreshes": 0,
        "saved_s": 0.0,
        "calls": 6,
        "hit_rate": 4 / 6,
    }
    assert totals.tools.by_tool["now"].bypasses == {"nothing is declared of the tool": 2}


@pytest.mark.parametrize("stats", [b"{}", b'{"by_tool": 3}', b'{"by_tool": {"a": {"hits": "x"}}}'])
def test_tool_counters_that_cannot_be_read_are_counted_and_left_out(stats: bytes):
    store = MemoryStore()
    store.set("~toolstats:1", b'{"v": 1, "since": 0, "at": 0, "stats": %s}' % stats, None)
    totals = read_totals(store)
    assert (totals.caches, totals.unreadable, totals.tools.total.calls) == (0, 1, 0)
