"""A store that can hang or fail is guarded: the call goes on, and the store is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from exact_tools import REQUEST, Model, World

from agentperf_core.cache import CachePolicy, MemoryStore
from agentperf_core.cache.stores.guarded import GuardedStore
from agentperf_core.flow import arun, run


class Remote(MemoryStore):
    """A server: it hangs for async callers and fails for sync ones, until it is well."""

    in_process = False

    def __init__(self) -> None:
        super().__init__()
        self.well = False
        self.asked = 0

    def get(self, key: str) -> bytes | None:
        self.asked += 1
        if not self.well:
            raise ConnectionError("server down")
        return super().get(key)

    async def aget(self, key: str) -> bytes | None:
        self.asked += 1
        if not self.well:
            await asyncio.Event().wait()
        return super().get(key)

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        if not self.well:
            raise ConnectionError("server down")
        super().set(key, value, ttl_s, tags)

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        self.set(key, value, ttl_s, tags)


@pytest.fixture
def world() -> World:
    return World()


def test_a_store_that_fails_is_asked_no_more_until_it_is_well(world: World):
    store, model = Remote(), Model(world.clock)
    cache = world.cache(store)
    for _ in range(5):
        run(cache.answer(REQUEST, model.step, world.codec))
    assert model.calls == 5
    asked = store.asked
    assert asked < 5
    store.well = True
    world.clock.advance(60)
    texts = [run(cache.answer(REQUEST, model.step, world.codec)).text for _ in range(2)]
    assert texts == ["answer 6", "answer 6"]
    assert set(world.faults()) == {"cache.store"}


async def test_a_store_that_hangs_holds_up_a_call_no_longer_than_its_budget(world: World):
    store, model = Remote(), Model(world.clock)
    cache = world.cache(store)
    answer = await arun(cache.answer(REQUEST, model.step, world.codec))
    assert (answer.text, set(world.faults())) == ("answer 1", {"cache.store"})


def test_a_store_with_its_own_guard_gets_no_second_one(world: World):
    store = GuardedStore(Remote(), budget_s=1.0, clock=world.clock, bus=world.bus)
    cache = world.cache(store)
    assert cache._guarded is cache.store is store


def test_who_clears_wants_to_know(world: World, monkeypatch: pytest.MonkeyPatch):
    store = Remote()

    def fail() -> int:
        raise ConnectionError("server down")

    monkeypatch.setattr(store, "clear", fail)
    with pytest.raises(ConnectionError):
        run(world.cache(store).clear())


def test_leases_are_asked_of_the_guard_too(world: World):
    store, model = Remote(), Model(world.clock)
    cache = world.cache(store, CachePolicy(across_processes=True))
    assert run(cache.answer(REQUEST, model.step, world.codec)).text == "answer 1"
