"""What every `agentperf_core.cache.stores.LeaseStore` must do, as tests to inherit.

Needs the fixtures `store` and `clock` of the other suites; `stores` says what they are.
"""
# ruff: noqa: S101 - assertions are what a conformance suite is made of

from __future__ import annotations

import asyncio

from agentperf_core.cache.stores.base import LeaseStore, lease_store
from agentperf_core.testing.stores import KEYS, MovableClock, in_threads

__all__ = ["LeaseConformance"]


class LeaseConformance:
    """The `LeaseStore` protocol, both halves; needs the fixtures `store` and `clock`."""

    def test_it_says_that_it_has_leases(self, store: LeaseStore) -> None:
        """The caches ask `lease_store`."""
        assert lease_store(store) is store

    def test_one_leads_and_no_other_does(self, store: LeaseStore) -> None:
        """A lease is exclusive, for its holder too: an attempt has one holder."""
        assert store.try_lead("key", "me", 30.0) is True
        assert store.try_lead("key", "you", 30.0) is False
        assert store.try_lead("key", "me", 30.0) is False

    def test_each_key_has_its_own_leader(self, store: LeaseStore) -> None:
        """Keys of any text stay apart."""
        assert [store.try_lead(key, key + "?", 30.0) for key in KEYS] == [True] * len(KEYS)
        assert [store.try_lead(key, "you", 30.0) for key in KEYS] == [False] * len(KEYS)

    def test_the_next_leads_when_the_leader_stops(self, store: LeaseStore) -> None:
        """`stop_leading` ends the lease at once."""
        store.try_lead("key", "me", 30.0)
        store.stop_leading("key", "me")
        assert store.try_lead("key", "you", 30.0) is True

    def test_only_the_holder_can_stop(self, store: LeaseStore) -> None:
        """Somebody else, and a holder of another name's beginning, change nothing."""
        store.try_lead("key", "me", 30.0)
        for holder in ("you", "m", "me2", "", "*"):
            store.stop_leading("key", holder)
        assert store.try_lead("key", "you", 30.0) is False
        store.stop_leading("absent", "me")

    def test_a_lease_ends_by_itself(self, store: LeaseStore, clock: MovableClock) -> None:
        """A leader that died holds nobody up for longer than `ttl_s`."""
        store.try_lead("key", "me", 10.0)
        clock.advance(6.0)
        assert store.try_lead("key", "you", 10.0) is False
        clock.advance(5.0)
        assert store.try_lead("key", "you", 10.0) is True

    def test_a_lease_that_is_renewed_goes_on(self, store: LeaseStore, clock: MovableClock) -> None:
        """`keep_leading` counts from now on."""
        store.try_lead("key", "me", 10.0)
        clock.advance(6.0)
        assert store.keep_leading("key", "me", 10.0) is True
        clock.advance(6.0)
        assert store.try_lead("key", "you", 10.0) is False
        clock.advance(5.0)
        assert store.try_lead("key", "you", 10.0) is True

    def test_only_the_holder_can_renew(self, store: LeaseStore, clock: MovableClock) -> None:
        """Not somebody else, and not who came too late: that one has no lease any more."""
        store.try_lead("key", "me", 10.0)
        for holder in ("you", "m", "me2", "", "*"):
            assert store.keep_leading("key", holder, 60.0) is False
        assert store.keep_leading("absent", "me", 60.0) is False
        clock.advance(11.0)
        assert store.keep_leading("key", "me", 60.0) is False
        assert store.try_lead("key", "you", 10.0) is True
        assert store.keep_leading("key", "me", 60.0) is False

    def test_who_comes_back_late_does_not_end_the_next_lease(
        self, store: LeaseStore, clock: MovableClock
    ) -> None:
        """The lease had passed on: the former holder is nobody now."""
        store.try_lead("key", "me", 10.0)
        clock.advance(11.0)
        store.try_lead("key", "you", 10.0)
        store.stop_leading("key", "me")
        assert store.try_lead("key", "third", 10.0) is False

    def test_leases_and_values_have_nothing_to_do_with_each_other(self, store: LeaseStore) -> None:
        """Neither is seen nor forgotten with the other."""
        store.try_lead("key", "me", 30.0)
        assert store.get("key") is None
        assert list(store.scan()) == []
        assert store.delete("key") is False
        store.set("key", b"value", ttl_s=None, tags=["key"])
        assert store.invalidate("key") == 1
        assert store.try_lead("key", "you", 30.0) is False
        store.set("key", b"value", ttl_s=None)
        store.stop_leading("key", "me")
        assert store.get("key") == b"value"

    def test_of_many_threads_one_leads(self, store: LeaseStore) -> None:
        """The step is atomic."""
        leaders: list[int] = []

        def work(number: int) -> None:
            if store.try_lead("key", f"holder-{number}", 30.0):
                leaders.append(number)

        assert in_threads(work, 16) == []
        assert len(leaders) == 1

    async def test_of_many_tasks_one_leads(self, store: LeaseStore) -> None:
        """The step is atomic in its async form, too."""
        tries = (store.atry_lead("key", f"holder-{number}", 30.0) for number in range(50))
        assert sum(await asyncio.gather(*tries)) == 1

    async def test_sync_and_async_leaders_see_each_other(self, store: LeaseStore) -> None:
        """An application may be sync in one place and async in another."""
        assert await store.atry_lead("key", "me", 30.0) is True
        assert store.try_lead("key", "you", 30.0) is False
        await store.astop_leading("key", "you")
        assert await store.atry_lead("key", "you", 30.0) is False
        assert await store.akeep_leading("key", "you", 30.0) is False
        assert await store.akeep_leading("key", "me", 30.0) is True
        await store.astop_leading("key", "me")
        assert store.try_lead("key", "you", 30.0) is True
