"""Which entries stay in a full store: W-TinyLFU, its counts and its window."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache.stores.admission import TinyLfu
from agentperf_core.cache.stores.sketch import FrequencySketch


@dataclass(frozen=True)
class Item:
    size: int = 1


def filled(capacity: int, *, asked: int = 0) -> TinyLfu[Item]:
    """A full cache of `0` to `capacity - 1`, each asked for `asked` times."""
    cache = TinyLfu[Item](capacity, capacity)
    for number in range(capacity):
        cache.put(str(number), Item())
    for _ in range(asked):
        for number in range(capacity):
            cache.get(str(number))
    return cache


class TestSketch:
    @given(st.lists(st.sampled_from("abcdefgh"), max_size=100))
    def test_an_estimate_is_never_too_low_before_it_fades(self, keys: list[str]):
        sketch = FrequencySketch()
        for key in keys:
            sketch.count(key)
        assert all(sketch.estimate(key) >= min(15, keys.count(key)) for key in keys)

    def test_a_count_stops_at_its_highest(self):
        sketch = FrequencySketch()
        for _ in range(500):
            sketch.count("a")
        assert sketch.estimate("a") == 15

    def test_counts_fade_with_the_requests_of_others(self):
        sketch = FrequencySketch()
        for _ in range(8):
            sketch.count("old")
        for number in range(10_000):
            sketch.count(f"new-{number % 10}")
        assert sketch.estimate("old") <= 2

    def test_growing_keeps_all_counts(self):
        sketch = FrequencySketch()
        for number in range(100):
            for _ in range(number % 5):
                sketch.count(str(number))
        before = [sketch.estimate(str(number)) for number in range(100)]
        sketch.fit(50_000)
        assert [sketch.estimate(str(number)) for number in range(100)] == before

    def test_it_is_accurate_when_it_fits(self):
        """Of 2,000 keys in a sketch for 2,000 residents, few estimates are off."""
        sketch = FrequencySketch()
        sketch.fit(2_000)
        for number in range(2_000):
            for _ in range(1 + number % 3):
                sketch.count(str(number))
        wrong = sum(sketch.estimate(str(n)) != 1 + n % 3 for n in range(2_000))
        assert wrong < 100


class TestBounds:
    @given(
        st.lists(st.tuples(st.integers(0, 30), st.integers(1, 70), st.booleans()), max_size=150),
        st.integers(1, 12),
        st.integers(1, 200),
    )
    def test_no_bound_is_ever_passed_and_nothing_gets_lost(
        self, actions: list[tuple[int, int, bool]], entries: int, size: int
    ):
        """What was put in is there, or was given back as gone; sizes add up."""
        cache = TinyLfu[Item](entries, size)
        held: dict[str, Item] = {}
        for key, weight, read in actions:
            name = str(key)
            if read:
                assert cache.get(name) == held.get(name)
                continue
            held[name] = Item(weight)
            for gone, item in cache.put(name, held[name]):
                assert held.pop(gone) is item
            assert len(cache) <= entries
            assert cache.size <= size
            assert dict(cache.items()) == held
            assert cache.size == sum(item.size for item in held.values())
        for name, item in held.items():
            assert cache.peek(name) is cache.pop(name) is item
        assert (len(cache), cache.size) == (0, 0)

    def test_the_newest_entry_of_a_store_of_one_stays(self):
        cache = TinyLfu[Item](1, 100)
        cache.put("a", Item())
        assert cache.put("b", Item()) == [("a", Item())]
        assert cache.peek("b") is not None

    def test_a_replaced_entry_keeps_its_place(self):
        """A refreshed answer is as popular as the one before."""
        cache = filled(100, asked=3)
        cache.put("0", Item())
        for number in range(200):
            cache.put(f"new-{number}", Item())
        assert cache.peek("0") is not None


class TestAdmission:
    def test_what_nobody_asks_for_again_pushes_out_nothing_popular(self):
        cache = filled(100, asked=3)
        for number in range(600):
            cache.get(f"scan-{number}")
            cache.put(f"scan-{number}", Item())
        assert sum(cache.peek(str(number)) is not None for number in range(100)) >= 85

    def test_what_becomes_popular_gets_in(self):
        """Each new entry is asked for again and again, far apart; the old ones no more."""
        cache = filled(100, asked=3)
        for _ in range(40):
            for number in range(80):
                key = f"new-{number}"
                if cache.get(key) is None:
                    cache.put(key, Item())
        assert sum(cache.peek(f"new-{number}") is not None for number in range(80)) >= 75

    def test_a_large_entry_has_to_be_worth_all_that_it_pushes_out(self):
        """Asked for once, it does not flush twenty that were asked for twice."""
        cache = filled(100, asked=2)
        cache.get("large")
        assert cache.put("large", Item(20)) == [("large", Item(20))]
        assert len(cache) == 100

    def test_a_popular_large_entry_gets_in(self):
        cache = filled(100)
        cache.get("large")
        gone = cache.put("large", Item(20))
        assert cache.peek("large") is not None
        assert len(gone) == 20


def zipf(alpha: float, keys: int, requests: int, seed: int = 3) -> list[str]:
    weights = list(accumulate(1 / rank**alpha for rank in range(1, keys + 1)))
    return [
        f"k{k}" for k in random.Random(seed).choices(range(keys), cum_weights=weights, k=requests)
    ]


def bursts(requests: int, seed: int = 1) -> list[str]:
    """Each key is asked for up to three more times soon after, and never again."""
    chance, asked, pending, fresh = random.Random(seed), [], [], 0
    while len(asked) < requests:
        if pending and chance.random() < 0.6:
            asked.append(pending.pop(chance.randrange(len(pending))))
        else:
            fresh += 1
            asked.append(f"b{fresh}")
            pending = (pending + [asked[-1]] * chance.randrange(4))[-150:]
    return asked


def hits(trace: Iterable[str], get: Callable[[str], object], put: Callable[[str], object]) -> int:
    count = 0
    for key in trace:
        if get(key) is not None:
            count += 1
        else:
            put(key)
    return count


def lru_hits(trace: list[str], capacity: int) -> int:
    entries: OrderedDict[str, bool] = OrderedDict()

    def get(key: str) -> bool | None:
        if key in entries:
            entries.move_to_end(key)
        return entries.get(key)

    def put(key: str) -> None:
        entries[key] = True
        if len(entries) > capacity:
            entries.popitem(last=False)

    return hits(trace, get, put)


def our_hits(trace: list[str], capacity: int) -> tuple[int, TinyLfu[Item]]:
    cache = TinyLfu[Item](capacity, capacity)
    return hits(trace, cache.get, lambda key: cache.put(key, Item())), cache


class TestHitRates:
    @pytest.mark.parametrize(
        ("trace", "capacity", "least"),
        [
            pytest.param(zipf(0.8, 40_000, 60_000), 400, 1.4, id="zipf 0.8, 1 % of the keys"),
            pytest.param(zipf(1.0, 10_000, 30_000), 500, 1.02, id="zipf 1.0, 5 % of the keys"),
            pytest.param(bursts(30_000), 400, 0.95, id="bursts, where LRU is at its best"),
        ],
    )
    def test_against_lru(self, trace: list[str], capacity: int, least: float):
        ours, _ = our_hits(trace, capacity)
        assert ours >= least * lru_hits(trace, capacity)

    def test_the_window_finds_its_size(self):
        """Small where popularity decides, large where recency does."""
        _, popular = our_hits(zipf(0.8, 40_000, 40_000), 400)
        _, recent = our_hits(bursts(30_000), 400)
        assert popular.window_share < 0.1
        assert recent.window_share > 0.5
