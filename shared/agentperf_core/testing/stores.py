"""What every `agentperf_core.cache.Store` must do, as tests to inherit.

Give two fixtures: `store`, an empty store, and `clock`, something with `advance(seconds)` after
which the store sees that much more time. A store that reads an injected clock shares a `FakeClock`
with the fixture; one with a clock of its own (a server) gives an object that makes its entries age.

Example:
    >>> from agentperf_core.cache import MemoryStore
    >>> from agentperf_core.testing import FakeClock, StoreConformance
    >>> class TestMemoryStore(StoreConformance):  # in a test module, with @pytest.fixture
    ...     def clock(self) -> FakeClock:
    ...         return FakeClock()
    ...     def store(self, clock: FakeClock) -> MemoryStore:
    ...         return MemoryStore(clock=clock)
"""
# ruff: noqa: S101 - assertions are what a conformance suite is made of

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol

from agentperf_core.cache.stores.base import Store

__all__ = ["AsyncStoreConformance", "MovableClock", "StoreConformance"]

_EVERY_BYTE = bytes(range(256))
_KEYS = ("a" * 64, "a:b", "a b", "ä/ö?*[x]", "%s {0} \\n", "")


class MovableClock(Protocol):
    """Makes the time pass that a store sees."""

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class StoreConformance:
    """The sync half of the `Store` protocol; needs the fixtures `store` and `clock`."""

    def test_an_absent_key_is_none(self, store: Store) -> None:
        """A key that was never set has no value."""
        assert store.get("absent") is None

    def test_a_value_comes_back_as_it_was_given(self, store: Store) -> None:
        """Values are opaque bytes."""
        for value in (b"", _EVERY_BYTE, b"x" * 100_000):
            store.set("key", value, ttl_s=None)
            assert store.get("key") == value

    def test_keys_of_any_text_stay_apart(self, store: Store) -> None:
        """No character of a key has a meaning, and no key is a pattern."""
        for number, key in enumerate(_KEYS):
            store.set(key, b"%d" % number, ttl_s=None)
        assert [store.get(key) for key in _KEYS] == [b"%d" % n for n in range(len(_KEYS))]

    def test_the_last_value_wins(self, store: Store) -> None:
        """Setting a key again replaces its value."""
        store.set("key", b"old", ttl_s=None)
        store.set("key", b"new", ttl_s=None)
        assert store.get("key") == b"new"

    def test_a_value_is_there_until_its_time_to_live_is_over(
        self, store: Store, clock: MovableClock
    ) -> None:
        """An entry is served before `ttl_s` and not after."""
        store.set("key", b"value", ttl_s=30.0)
        clock.advance(15.0)
        assert store.get("key") == b"value"
        clock.advance(16.0)
        assert store.get("key") is None

    def test_a_value_without_a_time_to_live_stays(self, store: Store, clock: MovableClock) -> None:
        """`None` means no limit."""
        store.set("key", b"value", ttl_s=None)
        clock.advance(1_000_000.0)
        assert store.get("key") == b"value"

    def test_setting_again_starts_the_time_anew(self, store: Store, clock: MovableClock) -> None:
        """The time to live is that of the last `set`, also where it was longer or absent before."""
        store.set("renewed", b"1", ttl_s=20.0)
        store.set("limited", b"1", ttl_s=None)
        clock.advance(15.0)
        store.set("renewed", b"2", ttl_s=20.0)
        store.set("limited", b"2", ttl_s=10.0)
        clock.advance(15.0)
        assert store.get("renewed") == b"2"
        assert store.get("limited") is None

    def test_clear_forgets_everything(self, store: Store) -> None:
        """After `clear` no key of this store has a value, and the store goes on working."""
        for key in _KEYS:
            store.set(key, b"value", ttl_s=None)
        store.clear()
        assert [store.get(key) for key in _KEYS] == [None] * len(_KEYS)
        store.set("key", b"value", ttl_s=None)
        assert store.get("key") == b"value"

    def test_threads_may_share_it(self, store: Store) -> None:
        """Threads that write and read at once raise nothing and see whole values of their own."""
        wrong: list[object] = []
        gate = threading.Barrier(8)

        def work(number: int) -> None:
            try:
                gate.wait()
                for turn in range(25):
                    value = b"%d-%d" % (number, turn)
                    store.set(f"own-{number}", value, ttl_s=None)
                    store.set("shared", value, ttl_s=None)
                    if store.get(f"own-{number}") != value or store.get("shared") is None:
                        wrong.append(value)
            except Exception as error:  # the assertion below shows it
                wrong.append(error)

        _in_threads(work, 8)
        assert wrong == []


class AsyncStoreConformance:
    """The async half of the `Store` protocol; needs the fixtures `store` and `clock`."""

    async def test_an_absent_key_is_none_async(self, store: Store) -> None:
        """A key that was never set has no value."""
        assert await store.aget("absent") is None

    async def test_a_value_comes_back_as_it_was_given_async(self, store: Store) -> None:
        """Values are opaque bytes."""
        for value in (b"", _EVERY_BYTE, b"x" * 100_000):
            await store.aset("key", value, ttl_s=None)
            assert await store.aget("key") == value

    async def test_sync_and_async_see_the_same_values(self, store: Store) -> None:
        """An application may be sync in one place and async in another."""
        store.set("sync", b"1", ttl_s=None)
        await store.aset("async", b"2", ttl_s=None)
        assert await store.aget("sync") == b"1"
        assert store.get("async") == b"2"

    async def test_a_value_is_there_until_its_time_to_live_is_over_async(
        self, store: Store, clock: MovableClock
    ) -> None:
        """An entry is served before `ttl_s` and not after."""
        await store.aset("key", b"value", ttl_s=30.0)
        clock.advance(15.0)
        assert await store.aget("key") == b"value"
        clock.advance(16.0)
        assert await store.aget("key") is None

    async def test_clear_forgets_everything_async(self, store: Store) -> None:
        """After `aclear` no key of this store has a value."""
        await store.aset("key", b"value", ttl_s=None)
        await store.aclear()
        assert await store.aget("key") is None

    async def test_tasks_may_share_it(self, store: Store) -> None:
        """Tasks that write and read at once see whole values of their own."""

        async def work(number: int) -> bool:
            value = b"%d" % number
            await store.aset(f"own-{number}", value, ttl_s=None)
            await store.aset("shared", value, ttl_s=None)
            return await store.aget(f"own-{number}") == value

        assert all(await asyncio.gather(*(work(number) for number in range(50))))


def _in_threads(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
