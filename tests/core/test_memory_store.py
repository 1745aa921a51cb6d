"""The in-process store: what every store must do, and its own bounds."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache import MemoryStore
from agentperf_core.errors import ConfigError
from agentperf_core.testing import AsyncStoreConformance, FakeClock, StoreConformance


class TestMemoryStore(StoreConformance, AsyncStoreConformance):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> MemoryStore:
        return MemoryStore(clock=clock)


def test_the_least_recently_used_entry_goes_first():
    store = MemoryStore(max_entries=2)
    store.set("a", b"1", ttl_s=None)
    store.set("b", b"2", ttl_s=None)
    store.get("a")
    store.set("c", b"3", ttl_s=None)
    assert (store.get("a"), store.get("b"), store.get("c")) == (b"1", None, b"3")


def test_setting_a_key_again_counts_as_using_it():
    store = MemoryStore(max_entries=2)
    store.set("a", b"1", ttl_s=None)
    store.set("b", b"2", ttl_s=None)
    store.set("a", b"1", ttl_s=None)
    store.set("c", b"3", ttl_s=None)
    assert (store.get("a"), store.get("b")) == (b"1", None)


def test_setting_a_key_again_in_a_full_store_evicts_nobody():
    """LangChain's own in-memory cache evicts another entry when a full cache is updated."""
    store = MemoryStore(max_entries=2)
    store.set("a", b"1", ttl_s=None)
    store.set("b", b"2", ttl_s=None)
    store.set("b", b"3", ttl_s=None)
    assert (store.get("a"), store.get("b"), len(store)) == (b"1", b"3", 2)


def test_an_entry_expires_exactly_when_its_time_is_over():
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    store.set("key", b"value", ttl_s=10.0)
    clock.advance(9.999)
    assert store.get("key") == b"value"
    clock.advance(0.001)
    assert store.get("key") is None


def test_reading_does_not_prolong_an_entry():
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    store.set("key", b"value", ttl_s=10.0)
    clock.advance(6.0)
    store.get("key")
    clock.advance(6.0)
    assert store.get("key") is None


def test_an_expired_entry_gives_its_bytes_back():
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    store.set("key", b"value", ttl_s=1.0)
    clock.advance(2.0)
    store.get("key")
    assert (len(store), store.size_bytes) == (0, 0)


def test_bytes_are_bounded_by_evicting_the_oldest():
    store = MemoryStore(max_bytes=3_000)
    for number in range(10):
        store.set(str(number), b"x" * 800, ttl_s=None)
    assert store.size_bytes <= 3_000
    assert [n for n in range(10) if store.get(str(n)) is not None] == [8, 9]


def test_a_value_larger_than_the_bound_is_not_kept_and_evicts_nobody():
    store = MemoryStore(max_bytes=1_000)
    store.set("small", b"x", ttl_s=None)
    store.set("large", b"x" * 2_000, ttl_s=None)
    assert (store.get("small"), store.get("large")) == (b"x", None)


def test_a_value_that_became_too_large_does_not_leave_the_old_one_behind():
    store = MemoryStore(max_bytes=1_000)
    store.set("key", b"old", ttl_s=None)
    store.set("key", b"x" * 2_000, ttl_s=None)
    assert store.get("key") is None


@pytest.mark.parametrize("bound", ["max_entries", "max_bytes"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_bound_that_cannot_mean_anything_is_refused(bound: str, value: float):
    with pytest.raises(ConfigError, match=f"{bound} must be > 0"):
        MemoryStore(**{bound: value})  # pyright: ignore[reportArgumentType] - wrong on purpose


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 900), st.booleans()), max_size=60)
)
def test_size_is_the_sum_of_what_is_kept(actions: list[tuple[str, int, bool]]):
    """Whatever is set and read, bytes and entries stay bounded and the books balance."""
    store = MemoryStore(max_entries=4, max_bytes=2_500)
    for key, size, read in actions:
        if read:
            store.get(key)
        else:
            store.set(key, b"x" * size, ttl_s=None)
        assert len(store) <= 4
        assert store.size_bytes <= 2_500
    kept = [value for key in "abcdef" if (value := store.get(key)) is not None]
    overhead = store.size_bytes - sum(len(value) + 1 for value in kept)
    assert overhead == 200 * len(kept)


def test_threads_at_the_bound_keep_the_books():
    store = MemoryStore(max_entries=10, max_bytes=10_000)
    gate = threading.Barrier(6)

    def work(number: int) -> None:
        gate.wait()
        for turn in range(200):
            store.set(f"{number}-{turn % 7}", b"x" * (turn % 50), ttl_s=None)
            store.get(f"{number}-{turn % 5}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) <= 10
    store.clear()
    assert (len(store), store.size_bytes) == (0, 0)
