"""The budget of prefetch: who is stopped for what was in vain, and how it comes back."""

from __future__ import annotations

from typing import Any

import pytest
from prefetch_tools import ORDERS, USERS, Shop

from agentperf_core.clock import FakeClock
from agentperf_core.events import EventBus
from agentperf_core.tools.prefetch.budget import ALL, Governor, PrefetchBudget

BUDGET = PrefetchBudget(max_concurrency=2, max_wasted=0.5, min_calls=10, retry_s=60.0)


class Watched:
    """A governor on a clock, and what it has told."""

    def __init__(self, budget: PrefetchBudget = BUDGET) -> None:
        self.clock = FakeClock()
        self.told: list[tuple[str, str]] = []
        bus = EventBus()
        bus.subscribe(self._hear)
        self.governor = Governor(budget, clock=self.clock, bus=bus)

    def _hear(self, event: Any) -> None:
        self.told.append((event.outcome, event.details["source"]))

    def note(self, source: str, *used: int, begun: bool = True) -> None:
        for one in used:
            self.governor.note(source, used=bool(one), begun=begun)


def test_there_are_as_many_places_as_the_budget_says():
    governor = Watched().governor
    assert [governor.enter() for _ in range(3)] == [True, True, False]
    governor.leave()
    assert governor.enter()


def test_a_rule_whose_calls_are_in_vain_is_stopped_and_the_others_are_not():
    watched = Watched()
    watched.note("good", *[1] * 30)
    watched.note("bad", *[0] * 9)
    assert watched.governor.lets("bad")
    watched.note("bad", 0)
    assert not watched.governor.lets("bad")
    assert watched.governor.lets("good")
    assert watched.governor.stopped() == ("bad",)
    assert watched.told == [("stopped", "bad")]


def test_a_few_unlucky_calls_stop_no_rule():
    """Six of ten in vain are no proof of more than half: a good rule has such days, too."""
    watched = Watched()
    watched.note("fair", 1, 0, 0, 1, 0, 0, 1, 0, 1, 0)
    assert watched.governor.lets("fair")
    watched.note("fair", *[1, 0, 0] * 40)
    assert not watched.governor.lets("fair")


def test_all_are_stopped_if_they_waste_too_much_together():
    watched = Watched()
    for number in range(4):
        watched.note(f"rule {number}", *[0] * 5)
    assert watched.governor.stopped() == (ALL,)
    assert not watched.governor.lets("another")


def test_what_is_stopped_is_tried_again_one_call_at_a_time():
    watched = Watched()
    watched.note("good", *[1] * 30)
    watched.note("bad", *[0] * 10)
    watched.clock.advance(60.0)
    assert [watched.governor.lets("bad") for _ in range(2)] == [True, False]
    watched.note("bad", 0)
    watched.clock.advance(60.0)
    assert [watched.governor.lets("bad") for _ in range(2)] == [True, False]


def test_a_rule_that_has_become_right_while_it_was_stopped_comes_back():
    """What it would have called is watched meanwhile, and that costs nothing."""
    watched = Watched()
    watched.note("good", *[1] * 30)
    watched.note("late", *[0] * 10)
    watched.note("late", *[1] * 12, begun=False)
    assert not watched.governor.lets("late"), "not before its time"
    watched.clock.advance(60.0)
    assert all(watched.governor.lets("late") for _ in range(3))
    assert watched.told[-1] == ("resumed", "late")


def test_calls_that_were_only_watched_do_not_count_for_all():
    watched = Watched()
    watched.note("bad", *[0] * 40, begun=False)
    assert watched.governor.stopped() == ("bad",)
    assert watched.governor.lets("another")


def test_a_call_that_was_asked_for_after_all_is_given_back():
    watched = Watched()
    watched.note("slow", *[0] * 9)
    for _ in range(9):
        watched.governor.reclaim("slow")
    watched.note("slow", 0)
    assert watched.governor.lets("slow")


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
async def test_a_prefetcher_that_wastes_stops_and_tries_again_later(sync: bool):
    """End to end: nothing is called any more, and one call a minute after that."""
    shop = Shop(sync=sync, budget=PrefetchBudget(retry_s=60.0))

    async def another_run(user_id: int) -> int:
        before = shop.prefetcher.stats().begun
        shop.session = shop.prefetcher.session(shop)
        await shop.call("get_user", user_id=user_id)
        await shop.quiet()
        await shop.drive(shop.session.end())
        return shop.prefetcher.stats().begun - before

    for user in range(100, 105):
        USERS[user] = [10 * user + number for number in range(4)]
    try:
        assert [await another_run(user) for user in (100, 101, 102)] == [4, 4, 4]
        assert shop.prefetcher.stats().stopped == (ALL, ORDERS)
        assert await another_run(103) == 0
        shop.clock.advance(61.0)
        assert await another_run(104) == 1
        stats = shop.prefetcher.stats()
        assert (stats.begun, stats.used, stats.wasted) == (13, 0, 13)
    finally:
        for user in range(100, 105):
            del USERS[user]
    assert "stopped" in shop.guesses
