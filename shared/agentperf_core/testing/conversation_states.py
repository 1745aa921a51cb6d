"""What every conversation store must do with the states of messages; part of `conversations`."""
# ruff: noqa: S101 - assertions are what a conformance suite is made of

from __future__ import annotations

from typing import TypeVar

from agentperf_core.cache.conversations.base import Batch, ConversationStore, Kept, State
from agentperf_core.flow import Flow, run

__all__ = ["ConversationStates", "batch", "values_of"]

T = TypeVar("T")


def batch(number: int, *values: bytes, state: State = "active") -> Batch:
    """A batch with an id of its own."""
    return Batch(f"{number:016d}", values, state)


def values_of(kept: list[Kept]) -> list[bytes]:
    """The values alone."""
    return [one.value for one in kept]


class ConversationStates:
    """Messages that are archived, taken, removed, forgotten and replaced; needs `store`."""

    def done(self, flow: Flow[T]) -> T:
        """What a flow of the store gives."""
        return run(flow)

    def filled(self, store: ConversationStore, name: str = "talk") -> list[int]:
        """A conversation of five messages, in three batches; their ids."""
        self.done(store.append(name, batch(1, b"a", b"b")))
        self.done(store.append(name, batch(2, b"c")))
        self.done(store.append(name, batch(3, b"d", b"e")))
        return [kept.id for kept in self.done(store.read(name))]

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
