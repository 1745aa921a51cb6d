"""What the cache says of itself: every request is counted once, savings by model, prices late."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from exact_tools import REQUEST, USAGE, Answer, BoomError, Codec, Model, World
from flight_tools import in_threads

from agentperf_core.accounting import PRICES, ModelPrice, PriceBook
from agentperf_core.cache import AnswerFacts, CacheDecision, CacheRequest
from agentperf_core.cache.stats import CacheStats, StatsCounter
from agentperf_core.flow import Step, run
from agentperf_core.types import Usage


@pytest.fixture
def world() -> World:
    return World()


def hit(**changes: Any) -> CacheDecision:
    fields: dict[str, Any] = {
        "outcome": "hit",
        "reason": "x",
        "saved_usage": USAGE,
        "saved_s": 2.0,
        **changes,
    }
    return CacheDecision(**fields)


def counted(*decisions: CacheDecision) -> CacheStats:
    counter = StatsCounter()
    for decision in decisions:
        counter.count(decision)
    return counter.snapshot()


def test_every_request_is_counted_once(world: World):
    cache, model = world.cache(), Model(world.clock)
    cut_off = Model(world.clock, finish_reason="length")
    for step, request in [
        (model.step, REQUEST),
        (model.step, REQUEST),
        (model.step, CacheRequest(None, "no tenant")),
        (model.step, CacheRequest(None, "no tenant")),
        (cut_off.step, CacheRequest("other")),
    ]:
        run(cache.answer(request, step, world.codec))
    stats = cache.stats()
    assert (dict(stats.hits), stats.misses, stats.coalesced) == ({"exact": 1}, 1, 0)
    assert dict(stats.bypasses) == {
        "no tenant": 2,
        "it is not whole (finish reason 'length')": 1,
    }
    assert (stats.requests, stats.served, stats.hit_rate) == (5, 1, 0.2)
    assert (stats.saved_s, stats.saved_tokens) == (1.0, USAGE.total_tokens)


def test_a_call_that_failed_is_no_request_that_was_answered(world: World):
    cache = world.cache()

    def fail() -> Answer:
        raise BoomError

    with pytest.raises(BoomError):
        run(cache.answer(REQUEST, Step(fail, Model(world.clock).later), world.codec))
    assert cache.stats() == CacheStats()


def test_savings_are_summed_by_model():
    stats = counted(
        hit(model="big"),
        hit(model="big", tier="semantic", score=0.9),
        hit(model="small", stale=True),
        hit(outcome="coalesced"),
        CacheDecision(outcome="miss", reason="x", abandoned=True),
    )
    assert dict(stats.hits) == {"exact": 2, "semantic": 1}
    assert (stats.coalesced, stats.stale, stats.abandoned, stats.saved_s) == (1, 1, 1, 8.0)
    assert dict(stats.saved) == {"big": USAGE + USAGE, "small": USAGE, "": USAGE}
    assert stats.saved_tokens == 4 * USAGE.total_tokens


def test_a_usage_that_was_estimated_stays_marked():
    usage = Usage(uncached_input_tokens=1, output_tokens=5, reasoning_tokens=2, estimated=True)
    stats = counted(hit(saved_usage=usage), hit())
    assert stats.saved[""] == usage + USAGE


def test_money_is_counted_where_the_price_is_known_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
):
    """An unknown model is not free: it is named."""
    book = PriceBook({"house-model": ModelPrice(Decimal(10), Decimal(20))})
    monkeypatch.setattr("agentperf_core.cache.stats.PRICES", book)
    stats = counted(hit(model="house-model"), hit(model="never-heard-of-it"))
    assert stats.saved_usd == book.price(USAGE, "house-model") == Decimal("0.0012")
    assert stats.unpriced == ("never-heard-of-it",)
    assert CacheStats().saved_usd == Decimal(0)
    free = PriceBook({"never-heard-of-it": ModelPrice(Decimal(1), Decimal(1))})
    assert stats.saved_usd_by(free) == free.price(USAGE, "never-heard-of-it")


def test_a_decision_prices_itself_when_asked():
    decision = hit(model="gpt-4o-mini")
    assert decision.saved_usd == PRICES.price(USAGE, "gpt-4o-mini")
    assert hit().saved_usd is None
    assert CacheDecision(outcome="miss", reason="x", model="gpt-4o-mini").saved_usd is None


def test_the_model_comes_from_the_answer_or_from_the_request(world: World):
    class Named(Codec):
        def facts(self, answer: Answer) -> AnswerFacts:
            return AnswerFacts(finish_reason="stop", usage=USAGE, model="gpt-dated")

    cache, model = world.cache(), Model(world.clock)
    for codec, request in [
        (world.codec, CacheRequest("a", model="gpt")),
        (Named(), CacheRequest("b", model="gpt")),
    ]:
        for _ in range(2):
            run(cache.answer(request, model.step, codec))
    assert set(cache.stats().saved) == {"gpt", "gpt-dated"}


@dataclass
class Wrong:
    rate: float = 0.002
    low: float = 0.001
    high: float = 0.004


def test_a_snapshot_is_plain_data_and_does_not_change():
    counter = StatsCounter()
    counter.count(hit())
    counter.count_discarded("it cannot be read")
    counter.count_refresh()
    stats = counter.snapshot(false_hits=Wrong())
    counter.count(hit())
    found = stats.as_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["hits"], found["requests"], found["refreshes"]) == ({"exact": 1}, 1, 1)
    assert found["discarded"] == {"it cannot be read": 1}
    assert found["false_hits"] == {"rate": 0.002, "low": 0.001, "high": 0.004}
    assert found["unpriced"] == [""]


def test_reasons_that_quote_something_do_not_pile_up():
    stats = counted(*(CacheDecision(outcome="bypass", reason=f"reason {n}") for n in range(1000)))
    assert len(stats.bypasses) == 65
    assert stats.bypasses["other reasons"] == 1000 - 64
    assert stats.requests == 1000


def test_a_counter_that_begins_anew_has_counted_nothing():
    counter = StatsCounter()
    counter.count(hit(model="big"))
    counter.reset()
    assert counter.snapshot() == CacheStats()


def test_counting_loses_nothing_under_threads():
    counter, gate = StatsCounter(), threading.Event()

    def work() -> None:
        gate.set()
        for _ in range(500):
            counter.count(hit(model="big"))

    in_threads(8, work)
    stats = counter.snapshot()
    assert (stats.served, stats.saved_s) == (4000, 8000.0)
    assert stats.saved["big"].output_tokens == 4000 * USAGE.output_tokens


def test_a_record_leaves_out_what_is_not_so():
    assert CacheDecision(outcome="miss", reason="x").record() == {
        "outcome": "miss",
        "reason": "x",
        "tier": "exact",
    }
    record = hit(stale=True, entry="ab", score=0.5, abandoned=True).record()
    assert record["saved_usage"]["output_tokens"] == 10
    assert (record["stale"], record["abandoned"], record["score"]) == (True, True, 0.5)
