"""Two stores as one: what the first may serve, and what happens when the second fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from agentperf_core.cache import MemoryStore
from agentperf_core.cache.stores.base import Store, lease_store
from agentperf_core.cache.stores.guarded import GuardedStore, guarded
from agentperf_core.cache.stores.tiered import TieredStore
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus
from agentperf_core.testing import (
    AsyncStoreConformance,
    FakeClock,
    LeaseConformance,
    StoreConformance,
)


class Remote(MemoryStore):
    """Stands for a server: counts questions, may fail, and may be slow to answer or to write."""

    in_process = False

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.asked = 0
        self.is_down = False
        self.answering: asyncio.Event | None = None
        self.written: asyncio.Event | None = None
        self.reached = asyncio.Event()

    def get(self, key: str) -> bytes | None:
        self.asked += 1
        self._reach()
        return super().get(key)

    async def aget(self, key: str) -> bytes | None:
        value = self.get(key)
        self.reached.set()
        if self.answering is not None:
            await self.answering.wait()
        return value

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        self._reach()
        super().set(key, value, ttl_s, tags)

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        self.set(key, value, ttl_s, tags)
        self.reached.set()
        if self.written is not None:
            await self.written.wait()

    def delete(self, key: str) -> bool:
        self._reach()
        return super().delete(key)

    def invalidate(self, tag: str) -> int:
        self._reach()
        return super().invalidate(tag)

    def clear(self) -> int:
        self._reach()
        return super().clear()

    def _reach(self) -> None:
        if self.is_down:
            raise ConnectionError("refused")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def remote(clock: FakeClock) -> Remote:
    return Remote(clock)


@pytest.fixture
def memory(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def store(memory: MemoryStore, remote: Remote, clock: FakeClock) -> TieredStore:
    guard = GuardedStore(remote, budget_s=30.0, clock=clock, bus=EventBus())
    return TieredStore(memory, guard, l1_ttl_s=10.0)


class TestTieredMemoryStores(StoreConformance, AsyncStoreConformance, LeaseConformance):
    @pytest.fixture
    def store(self, memory: MemoryStore, clock: FakeClock) -> TieredStore:
        return TieredStore(memory, MemoryStore(clock=clock))


class TestTieredOverAServer(StoreConformance, AsyncStoreConformance, LeaseConformance):
    """The fixtures of this module: a guard between the two."""


class TestFirstTier:
    def test_what_the_second_answers_the_first_keeps(self, store: TieredStore, remote: Remote):
        remote.set("key", b"value", ttl_s=None)
        assert [store.get("key") for _ in range(3)] == [b"value"] * 3
        assert remote.asked == 1

    async def test_what_the_second_answers_the_first_keeps_async(
        self, store: TieredStore, remote: Remote
    ):
        remote.set("key", b"value", ttl_s=None)
        assert [await store.aget("key") for _ in range(3)] == [b"value"] * 3
        assert remote.asked == 1

    def test_what_is_written_is_in_both(self, store: TieredStore, remote: Remote):
        store.set("key", b"value", ttl_s=None)
        assert store.get("key") == b"value"
        assert remote.asked == 0
        assert remote.get("key") == b"value"

    @pytest.mark.parametrize("written_here", [True, False])
    def test_after_its_time_the_second_is_asked_again(
        self, store: TieredStore, remote: Remote, clock: FakeClock, written_here: bool
    ):
        """What another process has replaced is seen after `l1_ttl_s` at most."""
        (store if written_here else remote).set("key", b"old", ttl_s=None)
        assert store.get("key") == b"old"
        remote.set("key", b"new", ttl_s=None)
        clock.advance(9.0)
        assert store.get("key") == b"old"
        clock.advance(1.0)
        assert store.get("key") == b"new"

    def test_the_first_does_not_outlive_a_shorter_time(
        self, store: TieredStore, remote: Remote, clock: FakeClock
    ):
        store.set("key", b"value", ttl_s=3.0)
        clock.advance(3.0)
        assert store.get("key") is None

    def test_a_tag_forgets_what_came_from_the_second(self, store: TieredStore, remote: Remote):
        """A store does not tell tags, so the first does not know which of these has it."""
        remote.set("tagged", b"1", ttl_s=None, tags=["tag"])
        remote.set("other", b"2", ttl_s=None)
        assert (store.get("tagged"), store.get("other")) == (b"1", b"2")
        assert store.invalidate("tag") == 1
        assert (store.get("tagged"), store.get("other")) == (None, b"2")


class TestRaces:
    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda store: store.adelete("key"), id="delete"),
            pytest.param(lambda store: store.ainvalidate("tag"), id="invalidate"),
            pytest.param(lambda store: store.aclear(), id="clear"),
            pytest.param(lambda store: store.aset("key", b"new", None), id="set"),
        ],
    )
    async def test_a_reader_on_its_way_does_not_bring_back_what_was_forgotten(
        self,
        store: TieredStore,
        remote: Remote,
        write: Callable[[TieredStore], Awaitable[object]],
    ):
        remote.set("key", b"old", ttl_s=None, tags=["tag"])
        remote.answering = asyncio.Event()
        reader = asyncio.create_task(store.aget("key"))
        await remote.reached.wait()
        await write(store)
        remote.answering.set()
        assert await reader == b"old"
        assert await store.aget("key") in (None, b"new")

    async def test_two_that_write_one_key_leave_it_to_the_second(
        self, store: TieredStore, remote: Remote
    ):
        """The slow one reached the server first: its value must not win here."""
        remote.written = asyncio.Event()
        slow = asyncio.create_task(store.aset("key", b"first", ttl_s=None))
        await remote.reached.wait()
        hold, remote.written = remote.written, None
        await store.aset("key", b"last", ttl_s=None)
        hold.set()
        await slow
        assert await store.aget("key") == b"last"

    async def test_a_write_that_was_cancelled_leaves_it_to_the_second(
        self, store: TieredStore, remote: Remote
    ):
        store.set("key", b"old", ttl_s=None)
        remote.written = asyncio.Event()
        task = asyncio.create_task(store.aset("key", b"new", ttl_s=None))
        await remote.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.aget("key") == b"new"


class TestSecondTierDown:
    def test_the_first_serves_alone(self, store: TieredStore, remote: Remote):
        store.set("before", b"1", ttl_s=None)
        remote.is_down = True
        store.set("meanwhile", b"2", ttl_s=None)
        assert (store.get("before"), store.get("meanwhile")) == (b"1", b"2")
        assert store.get("absent") is None

    async def test_the_first_serves_alone_async(self, store: TieredStore, remote: Remote):
        remote.is_down = True
        await store.aset("key", b"1", ttl_s=None)
        assert await store.aget("key") == b"1"
        assert await store.aget("absent") is None

    @pytest.mark.parametrize(
        "forget",
        [
            pytest.param(lambda store: store.delete("key"), id="delete"),
            pytest.param(lambda store: store.invalidate("tag"), id="invalidate"),
            pytest.param(lambda store: store.clear(), id="clear"),
        ],
    )
    def test_who_forgets_hears_of_it_and_the_first_has_forgotten(
        self, store: TieredStore, remote: Remote, forget: Callable[[TieredStore], object]
    ):
        store.set("key", b"value", ttl_s=None, tags=["tag"])
        remote.is_down = True
        with pytest.raises(ConnectionError):
            forget(store)
        assert store.get("key") is None


class TestWrapping:
    def test_a_second_tier_elsewhere_gets_a_guard(self, memory: MemoryStore, remote: Remote):
        bus = EventBus()
        store = TieredStore(memory, remote, bus=bus)
        remote.is_down = True
        assert store.get("key") is None
        assert bus.faults() == {"cache.store": 1}

    def test_it_needs_no_guard_of_its_own(self, store: TieredStore):
        """Else a failing second tier would keep callers from the first."""
        assert guarded(store) is store
        assert store.in_process is False

    def test_leases_are_those_of_the_second(self, remote: Remote):
        here, there = (TieredStore(MemoryStore(), remote) for _ in range(2))
        assert here.try_lead("key", "me", 10.0) is True
        assert there.try_lead("key", "you", 10.0) is False

    async def test_without_leases_everybody_leads(self, memory: MemoryStore):
        class Plain(MemoryStore):
            try_lead = stop_leading = None  # pyright: ignore[reportAssignmentType] - on purpose

        store = TieredStore(memory, Plain())
        assert lease_store(store) is None
        assert store.try_lead("key", "me", 1.0)
        assert await store.atry_lead("key", "you", 1.0)
        store.stop_leading("key", "me")
        await store.astop_leading("key", "you")

    def test_the_first_must_be_in_this_process(self, memory: MemoryStore, remote: Remote):
        with pytest.raises(ConfigError, match="l1 must be a store in this process, got a Remote"):
            TieredStore(remote, memory)

    def test_a_time_that_cannot_mean_anything_is_refused(self, memory: MemoryStore):
        other: Store = MemoryStore()
        with pytest.raises(ConfigError, match="l1_ttl_s must be > 0"):
            TieredStore(memory, other, l1_ttl_s=0.0)

    @pytest.mark.parametrize("place", [0, 1])
    def test_both_must_be_stores(self, memory: MemoryStore, place: int):
        tiers: list[Any] = [memory, memory]
        tiers[place] = "redis://localhost"
        with pytest.raises(ConfigError, match="a store needs the methods of Store, got a str"):
            TieredStore(*tiers)
