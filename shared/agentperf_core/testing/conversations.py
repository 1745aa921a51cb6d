"""What every `agentperf_core.cache.conversations.ConversationStore` must do, as tests to inherit.

Give two fixtures: `store`, an empty store with a `ttl_s` of `TTL_S`, and `clock`, see `stores`. The
first suite drives the store from sync code, the second one the same tests from event loops.
"""
# ruff: noqa: S101 - assertions are what a conformance suite is made of

from __future__ import annotations

import asyncio
from typing import TypeVar

from agentperf_core.cache.conversations.base import ConversationStore, Kept
from agentperf_core.flow import Flow, arun
from agentperf_core.testing.conversation_states import ConversationStates, batch, values_of
from agentperf_core.testing.stores import KEYS, VALUES, MovableClock, in_threads

__all__ = ["TTL_S", "AwaitedConversationConformance", "ConversationConformance"]

T = TypeVar("T")

TTL_S = 100.0
WRITERS = 50


class ConversationConformance(ConversationStates):
    """The protocol from sync code; needs the fixtures `store` and `clock`."""

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
