"""The guard: a store that raises, hangs or dawdles is a miss, and is left alone for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.breaker import Breaker
from agentperf_core.cache import MemoryStore
from agentperf_core.cache.stores.base import checked, lease_store
from agentperf_core.cache.stores.guarded import GuardedStore, guarded
from agentperf_core.errors import ConfigError
from agentperf_core.events import DecisionMade, Event, EventBus, Fault
from agentperf_core.testing import (
    AsyncStoreConformance,
    FakeClock,
    LeaseConformance,
    StoreConformance,
)
from agentperf_core.testing.stores import in_threads


class Faulty(MemoryStore):
    """A store elsewhere: raises what it is told to, and takes as long as it is told to."""

    in_process = False

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.moved = clock if clock is not None else FakeClock()
        super().__init__(clock=self.moved)
        self.error: BaseException | None = None
        self.takes_s = 0.0
        self.hangs = False
        self.reached = asyncio.Event()
        self.asked = 0

    def _suffer(self) -> None:
        self.asked += 1
        self.moved.advance(self.takes_s)
        if self.error is not None:
            raise self.error

    def get(self, key: str) -> bytes | None:
        self._suffer()
        return super().get(key)

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        self._suffer()
        super().set(key, value, ttl_s, tags)

    def delete(self, key: str) -> bool:
        self._suffer()
        return super().delete(key)

    def invalidate(self, tag: str) -> int:
        self._suffer()
        return super().invalidate(tag)

    def clear(self) -> int:
        self._suffer()
        return super().clear()

    def try_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        self._suffer()
        return super().try_lead(key, holder, ttl_s)

    def stop_leading(self, key: str, holder: str) -> None:
        self._suffer()
        super().stop_leading(key, holder)

    async def aget(self, key: str) -> bytes | None:
        if self.hangs:
            self._suffer()
            self.reached.set()
            await asyncio.Event().wait()
        return self.get(key)


class Seen:
    """A bus and what was said on it."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.events: list[Event] = []
        self.bus.subscribe(self.events.append)

    @property
    def errors(self) -> list[type[BaseException]]:
        return [type(event.error) for event in self.events if isinstance(event, Fault)]

    @property
    def turns(self) -> list[str]:
        decisions = [event for event in self.events if isinstance(event, DecisionMade)]
        assert all(decision.room == "cache.store" for decision in decisions)
        return [decision.outcome for decision in decisions]


@pytest.fixture
def inner() -> Faulty:
    return Faulty()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def store(inner: Faulty, seen: Seen) -> GuardedStore:
    return GuardedStore(inner, clock=inner.moved, bus=seen.bus)


class TestGuardedMemoryStore(StoreConformance, AsyncStoreConformance, LeaseConformance):
    """A store that works is unchanged by its guard."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> GuardedStore:
        # A clock that stands still: on a busy machine nothing here is over its budget.
        return GuardedStore(MemoryStore(clock=clock), budget_s=30.0, clock=clock)


class TestFaults:
    def test_a_store_that_raises_is_a_miss(self, store: GuardedStore, inner: Faulty, seen: Seen):
        inner.error = ConnectionError("refused")
        assert store.get("key") is None
        store.set("key", b"value", ttl_s=None)
        assert seen.errors == [ConnectionError, ConnectionError]
        assert seen.bus.faults() == {"cache.store": 2}

    async def test_a_store_that_raises_is_a_miss_async(
        self, store: GuardedStore, inner: Faulty, seen: Seen
    ):
        inner.error = ConnectionError("refused")
        assert await store.aget("key") is None
        await store.aset("key", b"value", ttl_s=None)
        assert seen.errors == [ConnectionError, ConnectionError]

    async def test_without_an_answer_about_a_lease_the_caller_leads(
        self, store: GuardedStore, inner: Faulty
    ):
        """Else everybody would wait for a leader that may not be there."""
        inner.error = ConnectionError("refused")
        assert store.try_lead("key", "me", 10.0) is True
        assert await store.atry_lead("key", "you", 10.0) is True
        store.stop_leading("key", "me")
        await store.astop_leading("key", "you")

    @pytest.mark.parametrize(
        "ask",
        [
            pytest.param(lambda store: store.delete("key"), id="delete"),
            pytest.param(lambda store: store.invalidate("tag"), id="invalidate"),
            pytest.param(lambda store: store.clear(), id="clear"),
        ],
    )
    def test_who_forgets_wants_to_know(
        self, store: GuardedStore, inner: Faulty, ask: Callable[[GuardedStore], object]
    ):
        """Raised as it is, also while the breaker is open."""
        inner.error = ConnectionError("refused")
        for _ in range(5):
            with pytest.raises(ConnectionError):
                ask(store)

    async def test_a_hanging_store_is_given_up(self, inner: Faulty, seen: Seen):
        store = GuardedStore(inner, budget_s=0.001, clock=inner.moved, bus=seen.bus)
        inner.hangs = True
        assert await store.aget("key") is None
        assert seen.errors == [TimeoutError]

    async def test_a_loop_that_was_held_up_is_not_the_stores_fault(self, inner: Faulty, seen: Seen):
        """The budget was over long ago when the loop came round to say so."""
        store = GuardedStore(inner, budget_s=0.001, failures=1, clock=inner.moved, bus=seen.bus)
        inner.hangs, inner.takes_s = True, 1.0
        assert await store.aget("key") is None
        assert seen.errors == [TimeoutError]
        assert not store.breaker.is_open

    async def test_a_caller_that_is_cancelled_is_no_failure(
        self, store: GuardedStore, inner: Faulty, seen: Seen
    ):
        inner.hangs = True
        store = GuardedStore(inner, budget_s=30.0, failures=1, clock=inner.moved, bus=seen.bus)
        task = asyncio.create_task(store.aget("key"))
        await inner.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (seen.events, store.breaker.is_open) == ([], False)

    def test_a_slow_sync_answer_is_given_but_counts(
        self, store: GuardedStore, inner: Faulty, seen: Seen
    ):
        store.set("key", b"value", ttl_s=None)
        inner.takes_s = 0.06
        assert [store.get("key") for _ in range(4)] == [b"value"] * 3 + [None]
        assert seen.errors == [TimeoutError] * 3

    def test_an_interrupt_is_not_swallowed(self, store: GuardedStore, inner: Faulty, seen: Seen):
        inner.error = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            store.get("key")
        assert seen.events == []


class TestGuardAndBreaker:
    def test_three_failures_in_a_row_and_it_is_left_alone(
        self, store: GuardedStore, inner: Faulty, seen: Seen
    ):
        inner.error = ConnectionError("refused")
        for _ in range(10):
            assert store.get("key") is None
        assert (inner.asked, len(seen.errors), seen.turns) == (3, 3, ["open"])

    def test_after_a_while_one_call_tries_again(
        self, store: GuardedStore, inner: Faulty, seen: Seen
    ):
        inner.error = ConnectionError("refused")
        for _ in range(3):
            store.get("key")
        inner.moved.advance(5.0)
        for _ in range(5):
            store.get("key")
        assert (inner.asked, seen.turns) == (4, ["open"])

    def test_a_store_that_answers_again_is_asked_again(
        self, store: GuardedStore, inner: Faulty, seen: Seen
    ):
        inner.error = ConnectionError("refused")
        for _ in range(3):
            store.get("key")
        inner.error = None
        inner.moved.advance(5.0)
        store.set("key", b"value", ttl_s=None)
        assert store.get("key") == b"value"
        assert seen.turns == ["open", "closed"]

    def test_failures_with_a_success_between_do_not_open(
        self, store: GuardedStore, inner: Faulty, seen: Seen
    ):
        for turn in range(12):
            inner.error = None if turn % 3 == 2 else ConnectionError("refused")
            store.get("key")
        assert (inner.asked, seen.turns) == (12, [])

    async def test_sync_and_async_share_the_breaker(self, store: GuardedStore, inner: Faulty):
        inner.error = ConnectionError("refused")
        store.get("key")
        await store.aget("key")
        store.get("key")
        assert await store.aget("key") is None
        assert inner.asked == 3


class TestBreaker:
    def test_of_many_threads_one_makes_the_trial(self):
        clock = FakeClock()
        breaker = Breaker(failures=1, open_s=5.0, clock=clock)
        breaker.failed()
        clock.advance(5.0)
        through: list[bool] = []
        assert in_threads(lambda _: through.append(breaker.lets_through()), 16) == []
        assert sum(through) == 1

    def test_a_trial_that_never_ends_blocks_nobody_for_ever(self):
        clock = FakeClock()
        breaker = Breaker(failures=1, open_s=5.0, clock=clock)
        breaker.failed()
        clock.advance(5.0)
        assert [breaker.lets_through(), breaker.lets_through()] == [True, False]
        clock.advance(5.0)
        assert breaker.lets_through()

    @given(st.lists(st.sampled_from(["ask", "ok", "fail", "wait"]), max_size=80))
    def test_it_turns_calls_away_only_after_failures_in_a_row(self, steps: list[str]):
        """Against the rule in plain words, step by step."""
        clock = FakeClock()
        breaker = Breaker(failures=2, open_s=3.0, clock=clock)
        in_a_row, trial_at = 0, 0.0
        for step in steps:
            now = clock.monotonic()
            if step == "wait":
                clock.advance(1.0)
            elif step == "ok":
                assert breaker.succeeded() == (in_a_row >= 2)
                in_a_row = 0
            elif step == "fail":
                in_a_row += 1
                assert breaker.failed() == (in_a_row == 2)
                trial_at = now + 3.0
            else:
                is_through = in_a_row < 2 or now >= trial_at
                assert breaker.lets_through() == is_through
                trial_at = now + 3.0 if is_through else trial_at


class TestWrapping:
    def test_it_is_a_store(self, store: GuardedStore):
        assert checked(store) is store

    def test_a_store_in_this_process_needs_no_guard(self):
        memory = MemoryStore()
        assert guarded(memory) is memory

    def test_a_guard_gets_no_second_guard(self, store: GuardedStore, inner: Faulty):
        assert guarded(store) is store
        assert isinstance(guarded(inner), GuardedStore)

    def test_leases_are_those_of_the_store(self, store: GuardedStore):
        assert lease_store(store) is store

    async def test_without_leases_everybody_leads(self):
        class Plain(MemoryStore):
            try_lead = stop_leading = None  # pyright: ignore[reportAssignmentType] - on purpose

        store = GuardedStore(Plain())
        assert lease_store(store) is None
        assert store.try_lead("key", "me", 1.0)
        assert await store.atry_lead("key", "you", 1.0)
        store.stop_leading("key", "me")
        await store.astop_leading("key", "you")

    @pytest.mark.parametrize("name", ["budget_s", "failures", "open_s"])
    def test_a_number_that_cannot_mean_anything_is_refused(self, name: str):
        with pytest.raises(ConfigError, match=f"{name} must be > 0"):
            GuardedStore(MemoryStore(), **{name: 0})  # pyright: ignore[reportArgumentType] - wrong on purpose

    def test_what_is_no_store_is_refused(self):
        """Every call to it would fail, and be a silent miss."""
        with pytest.raises(ConfigError, match="a store needs the methods of Store, got a int"):
            GuardedStore(3)  # pyright: ignore[reportArgumentType] - wrong on purpose
