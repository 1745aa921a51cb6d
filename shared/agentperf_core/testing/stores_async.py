"""The async half of what every `agentperf_core.cache.Store` must do; see `stores`."""
# ruff: noqa: S101 - assertions are what a conformance suite is made of

from __future__ import annotations

import asyncio

from agentperf_core.cache.stores.base import Store
from agentperf_core.testing.stores import KEYS, VALUES, MovableClock

__all__ = ["AsyncStoreConformance"]


class AsyncStoreConformance:
    """The async half of the `Store` protocol; needs the fixtures `store` and `clock`."""

    async def test_an_absent_key_is_none_async(self, store: Store) -> None:
        """A key that was never set has no value."""
        assert await store.aget("absent") is None

    async def test_a_value_comes_back_as_it_was_given_async(self, store: Store) -> None:
        """Values are opaque bytes, of any length."""
        for value in VALUES:
            await store.aset("key", value, ttl_s=None)
            assert await store.aget("key") == value

    async def test_keys_of_any_text_stay_apart_async(self, store: Store) -> None:
        """No character of a key has a meaning, and no key is a pattern."""
        for number, key in enumerate(KEYS):
            await store.aset(key, b"%d" % number, ttl_s=None)
        assert [await store.aget(key) for key in KEYS] == [b"%d" % n for n in range(len(KEYS))]
        assert {key async for key in store.ascan()} == set(KEYS)

    async def test_sync_and_async_see_the_same_values(self, store: Store) -> None:
        """An application may be sync in one place and async in another."""
        store.set("sync", b"1", ttl_s=None, tags=["tag"])
        await store.aset("async", b"2", ttl_s=None, tags=["tag"])
        assert await store.aget("sync") == b"1"
        assert store.get("async") == b"2"
        assert await store.adelete("sync") is True
        assert store.get("sync") is None
        assert store.invalidate("tag") == 1
        assert await store.aget("async") is None

    async def test_a_value_is_there_until_its_time_to_live_is_over_async(
        self, store: Store, clock: MovableClock
    ) -> None:
        """An entry is served before `ttl_s` and not after."""
        await store.aset("key", b"value", ttl_s=30.0)
        clock.advance(15.0)
        assert await store.aget("key") == b"value"
        clock.advance(16.0)
        assert await store.aget("key") is None
        assert await store.adelete("key") is False

    async def test_a_time_to_live_of_nothing_keeps_nothing_async(self, store: Store) -> None:
        """Zero or less seconds: the new value is not kept, and the old one is gone."""
        await store.aset("key", b"old", ttl_s=None)
        await store.aset("key", b"new", ttl_s=0.0)
        assert await store.aget("key") is None

    async def test_a_tag_forgets_its_entries_and_no_others_async(self, store: Store) -> None:
        """`ainvalidate` counts what could still have been served."""
        await store.aset("a", b"1", ttl_s=None, tags=["order:7", "customer:1"])
        await store.aset("b", b"2", ttl_s=60.0, tags=["order:7"])
        await store.aset("c", b"3", ttl_s=None, tags=["customer:1"])
        assert await store.ainvalidate("order:7") == 2
        assert [await store.aget(key) for key in "abc"] == [None, None, b"3"]
        assert await store.ainvalidate("order:7") == 0

    async def test_tags_are_those_of_the_last_set_async(self, store: Store) -> None:
        """An entry that was set again is forgotten by its new tags, and not by its old ones."""
        await store.aset("key", b"1", ttl_s=None, tags=["old"])
        await store.aset("key", b"2", ttl_s=None, tags=["new"])
        assert await store.ainvalidate("old") == 0
        assert await store.ainvalidate("new") == 1

    async def test_scan_gives_the_keys_with_a_prefix_async(self, store: Store) -> None:
        """A prefix is plain text."""
        for key in ("a*1", "a*2", "ab", "b"):
            await store.aset(key, b"value", ttl_s=None)
        assert {key async for key in store.ascan("a*")} == {"a*1", "a*2"}

    async def test_clear_forgets_everything_async(self, store: Store) -> None:
        """After `aclear` no key of this store has a value."""
        await store.aset("key", b"value", ttl_s=None, tags=["tag"])
        await store.aset("other", b"value", ttl_s=1.0)
        assert await store.aclear() == 2
        assert await store.aget("key") is None
        assert await store.aclear() == 0

    async def test_tasks_may_share_it(self, store: Store) -> None:
        """Tasks that write, read and forget at once see whole values of their own."""

        async def work(number: int) -> bool:
            value = b"%d" % number
            await store.aset(f"own-{number}", value, ttl_s=None, tags=[f"tag-{number}"])
            await store.aset("shared", value, ttl_s=None)
            is_own = await store.aget(f"own-{number}") == value
            return is_own and await store.ainvalidate(f"tag-{number}") == 1

        assert all(await asyncio.gather(*(work(number) for number in range(50))))
        assert {key async for key in store.ascan()} == {"shared"}
