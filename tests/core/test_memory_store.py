"""The in-process store: what every store must do, its bounds, and its books."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agentperf_core.cache import MemoryStore
from agentperf_core.cache.stores.base import checked, jittered, lease_store
from agentperf_core.cache.stores.leases import Leases
from agentperf_core.errors import ConfigError
from agentperf_core.testing import (
    AsyncStoreConformance,
    FakeClock,
    LeaseConformance,
    StoreConformance,
)
from agentperf_core.testing.stores import in_threads


class TestMemoryStore(StoreConformance, AsyncStoreConformance, LeaseConformance):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> MemoryStore:
        return MemoryStore(clock=clock)


class TestTime:
    def test_an_entry_expires_exactly_when_its_time_is_over(self):
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        store.set("key", b"value", ttl_s=10.0)
        clock.advance(9.999)
        assert store.get("key") == b"value"
        clock.advance(0.001)
        assert store.get("key") is None

    def test_reading_does_not_prolong_an_entry(self):
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        store.set("key", b"value", ttl_s=10.0)
        clock.advance(6.0)
        store.get("key")
        clock.advance(6.0)
        assert store.get("key") is None

    def test_an_expired_entry_gives_its_bytes_back_when_it_is_read(self):
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        store.set("key", b"value", ttl_s=1.0)
        clock.advance(2.0)
        store.get("key")
        assert (len(store), store.size_bytes) == (0, 0)

    def test_expired_entries_that_nobody_reads_make_room_too(self):
        """The work is spread: a single call pays for a few of them."""
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        for number in range(200):
            store.set(f"old-{number}", b"value", ttl_s=1.0)
        clock.advance(2.0)
        store.set("new-0", b"value", ttl_s=60.0)
        assert 100 < len(store) < 201
        for number in range(1, 10):
            store.set(f"new-{number}", b"value", ttl_s=60.0)
        assert len(store) == 10

    def test_reading_alone_makes_room_too(self):
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        for number in range(20):
            store.set(f"old-{number}", b"value", ttl_s=1.0)
        store.set("key", b"value", ttl_s=60.0)
        clock.advance(2.0)
        assert store.get("key") == b"value"
        assert len(store) == 1

    def test_an_expired_entry_does_not_compete_for_room(self):
        """However often it was asked for."""
        clock = FakeClock()
        store = MemoryStore(max_entries=10, clock=clock)
        for number in range(10):
            store.set(f"old-{number}", b"value", ttl_s=1.0)
            for _ in range(10):
                store.get(f"old-{number}")
        clock.advance(2.0)
        for number in range(10):
            store.set(f"new-{number}", b"value", ttl_s=None)
        assert len(set(store.scan("new-"))) == 10

    def test_setting_a_key_over_and_over_does_not_pile_up_its_former_ends(self):
        store = MemoryStore()
        for _ in range(5_000):
            store.set("key", b"value", ttl_s=60.0)
        assert len(store._ends) < 200

    def test_jitter_cuts_a_time_to_live_by_its_share_at_most(self):
        clock = FakeClock()
        store = MemoryStore(ttl_jitter=0.1, clock=clock)
        keys = [f"key-{number}" for number in range(200)]
        for key in keys:
            store.set(key, b"value", ttl_s=100.0)
        clock.advance(89.9)
        assert len(set(store.scan())) == 200
        clock.advance(5.1)
        assert 60 < len(set(store.scan())) < 140
        clock.advance(5.0)
        assert list(store.scan()) == []

    @given(st.text(), st.floats(0.001, 1e6), st.floats(0, 0.99))
    def test_jitter_is_the_same_every_time_and_never_prolongs(
        self, key: str, ttl_s: float, share: float
    ):
        cut = jittered(ttl_s, key, share)
        assert cut == jittered(ttl_s, key, share)
        assert ttl_s * (1 - share) * 0.999 <= cut <= ttl_s


class TestRoom:
    def test_what_was_asked_for_stays(self):
        store = MemoryStore(max_entries=2)
        store.set("a", b"1", ttl_s=None)
        store.set("b", b"2", ttl_s=None)
        store.get("a")
        store.set("c", b"3", ttl_s=None)
        assert (store.get("a"), store.get("b"), store.get("c")) == (b"1", None, b"3")

    def test_setting_a_key_again_in_a_full_store_evicts_nobody(self):
        """LangChain's own in-memory cache evicts another entry when a full cache is updated."""
        store = MemoryStore(max_entries=2)
        store.set("a", b"1", ttl_s=None)
        store.set("b", b"2", ttl_s=None)
        store.set("b", b"3", ttl_s=None)
        assert (store.get("a"), store.get("b"), len(store)) == (b"1", b"3", 2)

    def test_bytes_are_bounded(self):
        store = MemoryStore(max_bytes=4_000)
        for number in range(10):
            store.set(str(number), b"x" * 800, ttl_s=None)
        assert store.size_bytes <= 4_000
        assert len(store) == 3

    def test_a_value_larger_than_the_bound_is_not_kept_and_evicts_nobody(self):
        store = MemoryStore(max_bytes=1_000)
        store.set("small", b"x", ttl_s=None)
        store.set("large", b"x" * 2_000, ttl_s=None)
        assert (store.get("small"), store.get("large")) == (b"x", None)

    def test_a_value_that_became_too_large_does_not_leave_the_old_one_behind(self):
        store = MemoryStore(max_bytes=1_000)
        store.set("key", b"old", ttl_s=None, tags=["tag"])
        store.set("key", b"x" * 2_000, ttl_s=None, tags=["tag"])
        assert store.get("key") is None
        assert store.invalidate("tag") == 0

    def test_tags_count_as_bytes(self):
        plain, tagged = MemoryStore(), MemoryStore()
        plain.set("key", b"value", ttl_s=None)
        tagged.set("key", b"value", ttl_s=None, tags=["a" * 500])
        assert tagged.size_bytes > plain.size_bytes + 500

    def test_the_tags_of_what_was_evicted_are_forgotten(self):
        store = MemoryStore(max_entries=10)
        for number in range(500):
            store.set(f"key-{number}", b"value", ttl_s=None, tags=[f"tag-{number}"])
        assert len(store._tagged) == len(store) == 10

    @pytest.mark.parametrize("bound", ["max_entries", "max_bytes"])
    @pytest.mark.parametrize("value", [0, -1, float("nan")])
    def test_a_bound_that_cannot_mean_anything_is_refused(self, bound: str, value: float):
        with pytest.raises(ConfigError, match=f"{bound} must be > 0"):
            MemoryStore(**{bound: value})  # pyright: ignore[reportArgumentType] - wrong on purpose

    @pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
    def test_a_jitter_that_is_no_share_is_refused(self, value: float):
        with pytest.raises(ConfigError, match="ttl_jitter must be a share"):
            MemoryStore(ttl_jitter=value)

    def test_threads_at_the_bound_keep_the_books(self):
        store = MemoryStore(max_entries=10, max_bytes=10_000)

        def work(number: int) -> None:
            for turn in range(200):
                store.set(f"{number}-{turn % 7}", b"x" * (turn % 50), ttl_s=None, tags=["t"])
                store.get(f"{number}-{turn % 5}")
                if turn % 20 == 0:
                    store.invalidate("t")

        assert in_threads(work, 6) == []
        assert len(store) <= 10
        store.clear()
        assert (len(store), store.size_bytes, store._tagged) == (0, 0, {})


class ForgetfulDict(RuleBasedStateMachine):
    """A small store against a plain dict: it may have forgotten, but never serves what is wrong."""

    keys = st.sampled_from([f"k{number}" for number in range(8)])
    tag_lists = st.lists(st.sampled_from(["x", "y", "z"]), max_size=2)

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = MemoryStore(max_entries=5, max_bytes=6_000, clock=self.clock)
        self.model: dict[str, tuple[bytes, float, frozenset[str]]] = {}

    def live(self) -> dict[str, bytes]:
        now = self.clock.monotonic()
        return {key: value for key, (value, ends, _) in self.model.items() if now < ends}

    @rule(
        key=keys,
        size=st.integers(0, 3_000),
        ttl_s=st.none() | st.integers(-1, 20),
        tags=tag_lists,
    )
    def set_a_value(self, key: str, size: int, ttl_s: int | None, tags: list[str]) -> None:
        value = b"%d" % len(self.model) + b"x" * size
        self.store.set(key, value, ttl_s, tags)
        ends = float("inf") if ttl_s is None else self.clock.monotonic() + ttl_s
        self.model[key] = (value, ends, frozenset(tags))

    @rule(key=keys)
    def get_a_value(self, key: str) -> None:
        assert self.store.get(key) in (None, self.live().get(key))

    @rule(key=keys)
    def delete_a_key(self, key: str) -> None:
        assert self.store.delete(key) <= (key in self.live())
        self.model.pop(key, None)

    @rule(tag=st.sampled_from(["x", "y", "z"]))
    def invalidate_a_tag(self, tag: str) -> None:
        live = self.live()
        tagged = {key for key, (_, _, tags) in self.model.items() if tag in tags}
        kept = set(self.store.scan())
        assert self.store.invalidate(tag) == len(kept & tagged)
        assert kept <= live.keys()
        for key in tagged:
            del self.model[key]

    @rule(seconds=st.integers(0, 10))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def clear_everything(self) -> None:
        kept = len(set(self.store.scan()))
        assert self.store.clear() == kept
        self.model.clear()
        assert (len(self.store), self.store.size_bytes) == (0, 0)

    @invariant()
    def bounds_hold_and_the_index_is_whole(self) -> None:
        assert len(self.store) <= 5
        assert self.store.size_bytes <= 6_000
        entries = dict(self.store._entries.items())
        indexed = {(tag, key) for tag, keys in self.store._tagged.items() for key in keys}
        assert indexed == {(tag, key) for key, entry in entries.items() for tag in entry.tags}


TestForgetfulDict = ForgetfulDict.TestCase
TestForgetfulDict.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class TestReentry:
    """The garbage collector may run anybody's code in the middle of ours, in the same thread."""

    @pytest.mark.parametrize(
        "guest",
        [
            pytest.param(lambda store: store.get("kept"), id="get"),
            pytest.param(lambda store: store.set("guest", b"value", None), id="set"),
            pytest.param(lambda store: store.delete("kept"), id="delete"),
            pytest.param(lambda store: store.invalidate("tag"), id="invalidate"),
            pytest.param(lambda store: store.clear(), id="clear"),
            pytest.param(lambda store: list(store.scan()), id="scan"),
            pytest.param(lambda store: store.try_lead("kept", "me", 1.0), id="try_lead"),
        ],
    )
    def test_a_guest_inside_a_call_breaks_nothing(self, guest: Callable[[MemoryStore], object]):
        """A read is a miss, a write is done when the host is: no lock-out, no torn books."""
        store = MemoryStore(clock=(clock := VisitedClock()))
        store.set("kept", b"value", 60.0, tags=["tag"])
        finished = threading.Event()

        def host() -> None:
            clock.guests = [lambda: guest(store)] * 3
            store.set("host", b"value", 60.0, tags=["tag"])
            store.get("host")
            store.scan()
            finished.set()

        threading.Thread(target=host, daemon=True).start()
        assert finished.wait(timeout=30), "locked itself out"
        assert clock.guests == []
        entries = dict(store._entries.items())
        assert set(store.scan()) == entries.keys()
        assert store.size_bytes == sum(entry.size for entry in entries.values())
        assert store._tagged.get("tag", set()) == entries.keys() - {"guest"}

    def test_what_a_guest_writes_is_done_after_the_host(self):
        store = MemoryStore(clock=(clock := VisitedClock()))
        store.set("old", b"value", None)
        clock.guests = [
            lambda: store.set("guest", b"value", None),
            lambda: store.delete("old"),
            lambda: store.set("host", b"of the guest", None),
        ]
        store.set("host", b"of the host", None)
        assert set(store.scan()) == {"host", "guest"}
        assert store.get("host") == b"of the guest"


class VisitedClock(FakeClock):
    """Lets a guest in whenever it is read, which stores do inside their lock."""

    def __init__(self) -> None:
        super().__init__()
        self.guests: list[Callable[[], object]] = []

    def monotonic(self) -> float:
        if self.guests:
            self.guests.pop(0)()
        return super().monotonic()


class TestLeases:
    def test_leases_of_leaders_that_died_do_not_pile_up(self):
        clock = FakeClock()
        leases = Leases(clock)
        for number in range(10_000):
            leases.try_lead(f"key-{number}", "me", 1.0)
            clock.advance(0.1)
        assert len(leases) < 200


class TestChecked:
    def test_a_store_with_everything_is_given_back(self):
        store = MemoryStore()
        assert checked(store) is store

    def test_a_missing_method_is_named(self):
        class Old:
            in_process = True
            get = set = clear = aget = aset = aclear = lambda self: None

        with pytest.raises(ConfigError, match="a Old without delete, invalidate, scan"):
            checked(Old())  # pyright: ignore[reportArgumentType] - wrong on purpose

    def test_it_must_say_where_it_lives(self):
        class Vague(MemoryStore):
            @property
            def in_process(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
                raise AttributeError

        with pytest.raises(ConfigError, match="without in_process"):
            checked(Vague())

    def test_a_store_without_leases_is_none(self):
        class Plain:
            get = set = MemoryStore.get

        assert lease_store(Plain()) is None  # pyright: ignore[reportArgumentType] - on purpose
