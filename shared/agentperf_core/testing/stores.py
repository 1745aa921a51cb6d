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

import threading
from collections.abc import Callable
from typing import Protocol

from agentperf_core.cache.stores.base import Store

__all__ = ["MovableClock", "StoreConformance"]

EVERY_BYTE = bytes(range(256))
KEYS = (
    *("a" * 64, "a:b", "a b", "ä/ö?*[x]", "%s {0} \\n", "", "A", "a", "a\n", "\0", "a\0b"),
    *("'; DROP TABLE entries; --", "k" * 5_000, "\U0001f600", "\ud800", "\ufeffa", "é", "e\u0301"),
)
VALUES = (b"", EVERY_BYTE, EVERY_BYTE * 20_000, b"0", b"null")


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
        """Values are opaque bytes, of any length."""
        for value in VALUES:
            store.set("key", value, ttl_s=None)
            assert store.get("key") == value

    def test_keys_of_any_text_stay_apart(self, store: Store) -> None:
        """No character of a key has a meaning, and no key is a pattern."""
        for number, key in enumerate(KEYS):
            store.set(key, b"%d" % number, ttl_s=None)
        assert [store.get(key) for key in KEYS] == [b"%d" % n for n in range(len(KEYS))]
        assert set(store.scan()) == set(KEYS)

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

    def test_a_time_to_live_of_nothing_keeps_nothing(self, store: Store) -> None:
        """Zero or less seconds: the new value is not kept, and the old one is gone."""
        for ttl_s in (0.0, -1.0):
            store.set("key", b"old", ttl_s=None)
            store.set("key", b"new", ttl_s=ttl_s)
            assert store.get("key") is None

    def test_a_time_to_live_may_be_a_fraction(self, store: Store) -> None:
        """A time below what the store can count is no error, and one above is not cut to it."""
        store.set("short", b"value", ttl_s=0.0000001)
        store.set("long", b"value", ttl_s=60.0005)
        assert store.get("long") == b"value"

    def test_delete_forgets_one_key(self, store: Store) -> None:
        """`delete` says whether the key was there, and touches no other."""
        for key in KEYS:
            store.set(key, b"value", ttl_s=None)
        assert [store.delete(key) for key in KEYS[:3]] == [True] * 3
        assert [store.delete(key) for key in KEYS[:3]] == [False] * 3
        assert [store.get(key) for key in KEYS] == [None] * 3 + [b"value"] * (len(KEYS) - 3)

    def test_what_has_expired_is_not_there_to_delete(
        self, store: Store, clock: MovableClock
    ) -> None:
        """An expired entry counts as absent everywhere."""
        store.set("old", b"value", ttl_s=1.0, tags=["tag"])
        store.set("other", b"value", ttl_s=1.0, tags=["tag"])
        clock.advance(2.0)
        assert store.delete("old") is False
        assert list(store.scan()) == []
        assert store.invalidate("tag") == 0
        assert store.clear() == 0

    def test_a_tag_forgets_its_entries_and_no_others(self, store: Store) -> None:
        """`invalidate` counts what could still have been served."""
        store.set("a", b"1", ttl_s=None, tags=["order:7", "customer:1"])
        store.set("b", b"2", ttl_s=60.0, tags=("order:7",))
        store.set("c", b"3", ttl_s=None, tags=["customer:1"])
        store.set("d", b"4", ttl_s=None)
        assert store.invalidate("order:7") == 2
        assert [store.get(key) for key in "abcd"] == [None, None, b"3", b"4"]
        assert store.invalidate("order:7") == 0
        assert store.invalidate("unknown") == 0
        assert store.invalidate("customer:1") == 1

    def test_tags_of_any_text_stay_apart(self, store: Store) -> None:
        """No character of a tag has a meaning, and a tag is not a key."""
        for number, tag in enumerate(KEYS):
            store.set(f"key-{number}", b"value", ttl_s=None, tags=[tag])
        for number, tag in enumerate(KEYS):
            assert store.invalidate(tag) == 1
            assert store.get(f"key-{number}") is None

    def test_tags_are_those_of_the_last_set(self, store: Store) -> None:
        """An entry that was set again is forgotten by its new tags, and not by its old ones."""
        store.set("key", b"1", ttl_s=None, tags=["old", "both"])
        store.set("key", b"2", ttl_s=None, tags=["both", "new"])
        assert store.invalidate("old") == 0
        assert store.get("key") == b"2"
        assert store.invalidate("new") == 1
        assert store.get("key") is None

    def test_a_tag_given_twice_counts_once(self, store: Store) -> None:
        """Tags are a set."""
        store.set("key", b"1", ttl_s=None, tags=["tag", "tag"])
        assert store.invalidate("tag") == 1

    def test_a_tag_may_have_many_entries(self, store: Store) -> None:
        """More than a store sends in one piece."""
        for number in range(1_200):
            store.set(f"key-{number}", b"value", ttl_s=None, tags=["many"])
        assert store.invalidate("many") == 1_200
        assert list(store.scan()) == []

    def test_scan_gives_the_live_keys_with_a_prefix(
        self, store: Store, clock: MovableClock
    ) -> None:
        """A prefix is plain text, and what has expired is not seen."""
        for key in ("a*1", "a*2", "ab", "b", "a[x]"):
            store.set(key, b"value", ttl_s=None)
        store.set("a*old", b"value", ttl_s=1.0)
        clock.advance(2.0)
        assert set(store.scan("a*")) == {"a*1", "a*2"}
        assert set(store.scan("a[")) == {"a[x]"}
        assert set(store.scan()) == {"a*1", "a*2", "ab", "b", "a[x]"}
        assert list(store.scan("none")) == []

    def test_an_entry_may_be_deleted_while_keys_are_scanned(self, store: Store) -> None:
        """Who rebuilds something deletes as it goes."""
        for number in range(50):
            store.set(f"key-{number}", b"value", ttl_s=None)
        for key in store.scan("key-"):
            store.delete(key)
        assert list(store.scan()) == []

    def test_clear_forgets_everything(self, store: Store) -> None:
        """After `clear` no key of this store has a value, and the store goes on working."""
        for key in KEYS:
            store.set(key, b"value", ttl_s=None, tags=["tag"])
        assert store.clear() == len(KEYS)
        assert [store.get(key) for key in KEYS] == [None] * len(KEYS)
        assert (store.clear(), store.invalidate("tag"), list(store.scan())) == (0, 0, [])
        store.set("key", b"value", ttl_s=None)
        assert store.get("key") == b"value"

    def test_threads_may_share_it(self, store: Store) -> None:
        """Threads that write, read and forget at once raise nothing and see whole values."""

        def work(number: int) -> None:
            for turn in range(25):
                value = b"%d-%d" % (number, turn)
                store.set(f"own-{number}", value, ttl_s=None, tags=[f"tag-{number}"])
                store.set("shared", value, ttl_s=None, tags=["shared"])
                assert store.get(f"own-{number}") == value
                assert store.get("shared") is not None
                if turn % 5 == 4:
                    assert store.invalidate(f"tag-{number}") == 1
                    assert store.get(f"own-{number}") is None

        assert in_threads(work, 8) == []
        assert list(store.scan("own-")) == []
        assert store.invalidate("shared") == 1


def in_threads(work: Callable[[int], object], count: int) -> list[BaseException]:
    """Run `work(0)` to `work(count - 1)` at once; what they raised."""
    errors: list[BaseException] = []
    gate = threading.Barrier(count)

    def target(number: int) -> None:
        try:
            gate.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=target, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors
