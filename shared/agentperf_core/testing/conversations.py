"""What every `agentperf_core.cache.conversations.ConversationStore` must do, as tests to inherit.

Give two fixtures: `store`, an empty store with a `ttl_s` of `TTL_S`, and `clock`, see `stores`. The
first suite drives the store from sync code, the second one the same tests from event loops.
"""
# ruff: noqa: S101 - assertions are what a conformance suite is made of

from __future__ import annotations

import asyncio
from typing import TypeVar

from agentperf_core.cache.conversations.base import Batch, ConversationStore, Kept, State
from agentperf_core.flow import Flow, arun, run
from agentperf_core.testing.stores import KEYS, VALUES, MovableClock, in_threads

__all__ = ["TTL_S", "AwaitedConversationConformance", "ConversationConformance"]

T = TypeVar("T")

TTL_S = 100.0
WRITERS = 50


def batch(number: int, *values: bytes, state: State = "active") -> Batch:
    """A batch with an id of its own."""
    return Batch(f"{number:016d}", values, state)


def values_of(kept: list[Kept]) -> list[bytes]:
    """The values alone."""
    return [one.value for one in kept]


class ConversationConformance:
    """The protocol from sync code; needs the fixtures `store` and `clock`."""

    def done(self, flow: Flow[T]) -> T:
        """What a flow of the store gives."""
        return run(flow)

    def filled(self, store: ConversationStore, name: str = "talk") -> list[int]:
        """A conversation of five messages, in three batches; their ids."""
        self.done(store.append(name, batch(1, b"a", b"b")))
        self.done(store.append(name, batch(2, b"c")))
        self.done(store.append(name, batch(3, b"d", b"e")))
        return [kept.id for kept in self.done(store.read(name))]

    def test_a_conversation_that_nobody_had_is_empty(self, store: ConversationStore) -> None:
        """Nothing has to be made before it is read."""
        assert self.done(store.read("talk")) == []
        assert self.done(store.count("talk")) == 0
        assert self.done(store.archive("talk", 3)) == self.done(store.take("talk", 3)) == []
        assert self.done(store.remove("talk", 1)) is None
        assert self.done(store.forget("talk")) == 0
        assert self.done(store.names()) == []

    def test_messages_come_back_in_order(self, store: ConversationStore) -> None:
        """Ids grow along a conversation, and within a batch they count."""
        ids = self.filled(store)
        kept = self.done(store.read("talk"))
        assert values_of(kept) == [b"a", b"b", b"c", b"d", b"e"]
        assert [one.batch for one in kept] == [f"{n:016d}" for n in (1, 1, 2, 3, 3)]
        assert {one.state for one in kept} == {"active"}
        assert ids == sorted(set(ids))
        assert (ids[1] - ids[0], ids[4] - ids[3]) == (1, 1)

    def test_append_gives_the_first_id(self, store: ConversationStore) -> None:
        """Who appends knows where the messages are."""
        first = self.done(store.append("talk", batch(1, b"a", b"b")))
        assert [kept.id for kept in self.done(store.read("talk"))] == [first, first + 1]

    def test_values_are_opaque(self, store: ConversationStore) -> None:
        """Any bytes of any length come back as they were given."""
        self.done(store.append("talk", batch(1, *VALUES)))
        assert values_of(self.done(store.read("talk"))) == list(VALUES)

    def test_names_of_any_text_stay_apart(self, store: ConversationStore) -> None:
        """No character of a name has a meaning."""
        names = [*KEYS, "}", "{}", "a}:a", "a}:z"]
        for number, name in enumerate(names):
            self.done(store.append(name, batch(number, b"%d" % number)))
        found = [values_of(self.done(store.read(name))) for name in names]
        assert found == [[b"%d" % number] for number in range(len(names))]
        assert sorted(self.done(store.names())) == sorted(names)

    def test_names_are_listed_by_their_beginning(self, store: ConversationStore) -> None:
        """A prefix is plain text, and a conversation without messages is not listed."""
        for number, name in enumerate(("a*1", "a*2", "ab", "b")):
            self.done(store.append(name, batch(number, b"x")))
        self.done(store.archive("a*1", 1))
        self.done(store.forget("b"))
        assert sorted(self.done(store.names("a*"))) == ["a*1", "a*2"]
        assert sorted(self.done(store.names())) == ["a*1", "a*2", "ab"]

    def test_a_batch_is_not_kept_twice(self, store: ConversationStore) -> None:
        """One that is tried again is added only if it is not there, archived or not."""
        self.filled(store)
        self.done(store.archive("talk", 1))
        first = self.done(store.read("talk"))[0].id
        assert self.done(store.append("talk", batch(1, b"a", b"b"), again=True)) == first
        assert self.done(store.count("talk")) == 5
        self.done(store.append("talk", batch(4, b"f"), again=True))
        assert values_of(self.done(store.read("talk")))[-1] == b"f"

    def test_a_part_can_be_read(self, store: ConversationStore) -> None:
        """Limit and offset count messages of the state that is asked for."""
        self.filled(store)
        self.done(store.archive("talk", 2))
        cases: dict[tuple[State | None, int | None, int], list[bytes]] = {
            ("active", None, 0): [b"c", b"d", b"e"],
            ("active", 2, 0): [b"c", b"d"],
            ("active", 2, 2): [b"e"],
            ("active", None, 1): [b"d", b"e"],
            ("active", 0, 0): [],
            ("active", 5, 9): [],
            ("archived", 1, 1): [b"b"],
            (None, 2, 1): [b"b", b"c"],
            (None, None, 4): [b"e"],
        }
        for (state, limit, offset), wanted in cases.items():
            flow = store.read("talk", state=state, limit=limit, offset=offset)
            assert values_of(self.done(flow)) == wanted

    def test_the_oldest_are_archived(self, store: ConversationStore) -> None:
        """They keep their place and id, and are told; more than there are is no error."""
        ids = self.filled(store)
        moved = self.done(store.archive("talk", 2))
        assert [(one.id, one.state, one.value) for one in moved] == [
            (ids[0], "archived", b"a"),
            (ids[1], "archived", b"b"),
        ]
        assert self.done(store.count("talk", state="archived")) == 2
        assert self.done(store.count("talk", state="active")) == 3
        assert self.done(store.count("talk")) == 5
        assert [kept.id for kept in self.done(store.read("talk"))] == ids
        assert values_of(self.done(store.archive("talk", 9))) == [b"c", b"d", b"e"]
        assert self.done(store.archive("talk", 1)) == []
        assert self.done(store.archive("talk", 0)) == self.done(store.archive("talk", -1)) == []
        assert [kept.id for kept in self.done(store.read("talk", state="archived"))] == ids

    def test_messages_may_come_in_archived(self, store: ConversationStore) -> None:
        """What is archived later but is older comes before them."""
        self.done(store.append("talk", batch(1, b"a", b"b")))
        self.done(store.append("talk", batch(2, b"c", state="archived")))
        self.done(store.append("talk", batch(3, b"d")))
        assert values_of(self.done(store.read("talk"))) == [b"a", b"b", b"c", b"d"]
        self.done(store.archive("talk", 3))
        found = self.done(store.read("talk", state="archived"))
        assert values_of(found) == [b"a", b"b", b"c", b"d"]

    def test_the_oldest_are_taken(self, store: ConversationStore) -> None:
        """They are told and gone; archived ones are not among them."""
        self.filled(store)
        self.done(store.archive("talk", 1))
        assert values_of(self.done(store.take("talk", 2))) == [b"b", b"c"]
        assert values_of(self.done(store.read("talk"))) == [b"a", b"d", b"e"]
        assert values_of(self.done(store.take("talk", 9))) == [b"d", b"e"]
        assert self.done(store.take("talk", 0)) == self.done(store.take("talk", 1)) == []

    def test_one_message_is_removed(self, store: ConversationStore) -> None:
        """By its id, in either state; an id that is not there removes nothing."""
        ids = self.filled(store)
        self.done(store.archive("talk", 1))
        removed = [self.done(store.remove("talk", ids[at])) for at in (0, 3)]
        assert [one and (one.state, one.value) for one in removed] == [
            ("archived", b"a"),
            ("active", b"d"),
        ]
        assert self.done(store.remove("talk", ids[0])) is None
        assert values_of(self.done(store.read("talk"))) == [b"b", b"c", b"e"]

    def test_a_state_or_all_is_forgotten(self, store: ConversationStore) -> None:
        """`forget` says how many there were, and touches no other conversation."""
        self.filled(store)
        self.filled(store, "other")
        self.done(store.archive("talk", 2))
        assert self.done(store.forget("talk", state="archived")) == 2
        assert values_of(self.done(store.read("talk"))) == [b"c", b"d", b"e"]
        assert self.done(store.forget("talk")) == 3
        assert self.done(store.forget("talk")) == 0
        assert self.done(store.count("other")) == 5

    def test_all_is_replaced(self, store: ConversationStore) -> None:
        """Messages of both states make way for the new ones."""
        self.filled(store)
        self.done(store.archive("talk", 2))
        self.done(store.replace("talk", batch(9, b"x", b"y")))
        assert values_of(self.done(store.read("talk"))) == [b"x", b"y"]
        self.done(store.replace("talk", batch(10)))
        assert self.done(store.read("talk")) == []

    def test_a_conversation_ends_when_nobody_wrote_for_its_time(
        self, store: ConversationStore, clock: MovableClock
    ) -> None:
        """Every write renews the time of the whole conversation, and reading does not."""
        self.filled(store)
        self.done(store.archive("talk", 1))
        clock.advance(TTL_S * 0.7)
        self.done(store.append("talk", batch(4, b"f")))
        clock.advance(TTL_S * 0.7)
        assert values_of(self.done(store.read("talk"))) == [b"a", b"b", b"c", b"d", b"e", b"f"]
        assert values_of(self.done(store.archive("talk", 1))) == [b"b"]
        clock.advance(TTL_S * 0.7)
        assert self.done(store.count("talk")) == 6
        clock.advance(TTL_S * 0.4)
        assert self.done(store.read("talk")) == self.done(store.names()) == []
        self.done(store.append("talk", batch(5, b"new")))
        assert values_of(self.done(store.read("talk"))) == [b"new"]

    def test_many_messages_at_once(self, store: ConversationStore) -> None:
        """More than any piece that a store may send, in one call."""
        values = [b"%d" % number for number in range(9_000)]
        self.done(store.append("talk", batch(1, *values)))
        assert values_of(self.done(store.read("talk", state="active"))) == values
        assert values_of(self.done(store.archive("talk", 8_500))) == values[:8_500]
        assert values_of(self.done(store.read("talk"))) == values

    def test_fifty_writers_lose_nothing(self, store: ConversationStore) -> None:
        """Batches of writers at once come in whole, and each writer's in its own order."""

        def write(writer: int) -> None:
            for turn in range(4):
                values = [b"%d-%d-%d" % (writer, turn, at) for at in range(3)]
                self.done(store.append("talk", batch(writer * 100 + turn, *values)))

        assert in_threads(write, WRITERS) == []
        check_writers(self.done(store.read("talk", state="active")))


class AwaitedConversationConformance(ConversationConformance):
    """The same from event loops; needs the same fixtures."""

    def done(self, flow: Flow[T]) -> T:
        """What a flow of the store gives when it is awaited."""
        return asyncio.run(arun(flow))

    def test_fifty_writers_lose_nothing(self, store: ConversationStore) -> None:
        """The same on one event loop."""

        async def write(writer: int) -> None:
            for turn in range(4):
                values = [b"%d-%d-%d" % (writer, turn, at) for at in range(3)]
                await arun(store.append("talk", batch(writer * 100 + turn, *values)))

        async def all_at_once() -> list[Kept]:
            await asyncio.gather(*map(write, range(WRITERS)))
            return await arun(store.read("talk", state="active"))

        check_writers(asyncio.run(all_at_once()))


def check_writers(kept: list[Kept]) -> None:
    """Assert that what the writers of `test_fifty_writers_lose_nothing` wrote is all there."""
    found = [tuple(map(int, value.split(b"-"))) for value in values_of(kept)]
    assert len(found) == WRITERS * 12
    for at in range(0, len(found), 3):
        writer, turn, _ = found[at]
        assert found[at : at + 3] == [(writer, turn, part) for part in range(3)]
    for writer in range(WRITERS):
        own = [one for one in found if one[0] == writer]
        assert own == sorted(own)
