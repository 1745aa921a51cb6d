"""One conversation: what was said in a session, as plain records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agentperf_core.cache.conversations.base import ConversationUnavailable, Kept, State, page
from agentperf_core.cache.conversations.codec import unpack
from agentperf_core.cache.conversations.given import batch_of, require_state, whole
from agentperf_core.cache.conversations.home import Home
from agentperf_core.errors import CodecError
from agentperf_core.flow import Flow, both

__all__ = ["Conversation", "Said", "prefix_of"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a conversation.

    Attributes:
        record: what was appended; fresh objects at every reading.
        id: its place, see `Kept`; 0 while it waits for a store that is down.
        state: whether it is active or archived.
    """

    record: Mapping[str, Any]
    id: int
    state: State

    @property
    def at(self) -> float:
        """When it was stored, in seconds since the Unix epoch."""
        return self.id / 1_000_000


class Conversation:
    """A handle on one conversation; costs nothing to make. See `Conversations.of`.

    Each method has an async one with an `a` before its name.

    Args:
        conversations: all of them.
        session: which one.
        tenant: whose.
    """

    def __init__(self, conversations: Home, session: str, tenant: str) -> None:
        self.session = session
        self.tenant = tenant
        self._all = conversations
        self._name = prefix_of(tenant) + session

    def __repr__(self) -> str:
        return f"Conversation({self.session!r}, tenant={self.tenant!r})"

    @property
    def waiting(self) -> int:
        """How many of its messages are in hand alone, because the store did not take them yet."""
        return len(self._all.hand(self._name).unstored(None))

    def _append(
        self, records: Iterable[Mapping[str, Any]], *, state: State = "active"
    ) -> Flow[bool]:
        """Add messages at the end, all at once.

        Returns:
            Whether they are stored; if not, they are in hand and will be.

        Raises:
            ConfigError: if these are no records, or the state is none; nothing is added then.
            CodecError: if a record is not plain JSON data; nothing is added then.
        """
        batch = batch_of(records, state)
        if not batch.values:
            return True
        hand = self._all.hand(self._name)
        is_there = yield from self._all.catch_up(self._name, hand)
        if is_there and self._all.queued(hand, batch):
            return False
        done = None
        try:
            if is_there:
                done = yield from self._all.stored(self._name, hand, batch)
        finally:
            if done is None:  # and so if this was cancelled: nobody knows how far it came
                hand.waiting.append(batch)
        return bool(done)

    def _read(
        self, *, state: State | None = None, limit: int | None = None, offset: int = 0
    ) -> Flow[list[Said]]:
        """Messages in order.

        A message that cannot be read is left out, and reported as a fault.

        Args:
            state: those in this state; `None` for all.
            limit: how many at most.
            offset: how many of the first ones to leave out.

        Raises:
            ConfigError: if an argument is no number of messages, or no state.
            ConversationUnavailable: if the store is down and nothing was read here before.
        """
        require_state(state)
        limit, offset = None if limit is None else whole(limit=limit), whole(offset=offset)
        store, hand = self._all.store, self._all.hand(self._name)
        if (yield from self._all.catch_up(self._name, hand)):
            read = store.read(self._name, state=state, limit=limit, offset=offset)
            found = yield from self._all.asked(read)
            if found is not None:
                if limit is not None or offset > 0:
                    return self._said(found[0])
                if not store.in_process:
                    hand.saw(state, found[0])
                there = {one.batch for one in found[0]} if hand.owes else set[str]()
                rest = [one for one in hand.unstored(state) if one.batch not in there]
                return self._said([*found[0], *rest])
        known = hand.view(state)
        if known is None:
            if self._all.when_down == "raise":
                raise self._unavailable("be read, and was not read here before")
            known = hand.unstored(state)
        return self._said(page(known, limit, offset))

    def _count(self, *, state: State | None = None) -> Flow[int]:
        """How many messages there are.

        Raises:
            ConfigError, ConversationUnavailable: as `read`.
        """
        require_state(state)
        hand = self._all.hand(self._name)
        if (yield from self._all.catch_up(self._name, hand)):
            found = yield from self._all.asked(self._all.store.count(self._name, state=state))
            if found is not None:
                return found[0]
        return len((yield from self._read(state=state)))

    def _archive_oldest(self, count: int) -> Flow[list[Said]]:
        """Archive the oldest active messages; what was archived, nothing if the store is down.

        Raises:
            ConfigError: if the count is no number of messages.
        """
        archiving = self._all.store.archive(self._name, whole(count=count))
        found = yield from self._changed(archiving)
        return [] if found is None else self._said(found[0])

    def _drop_oldest(self, count: int) -> Flow[list[Said]]:
        """Forget the oldest active messages; what they were.

        Raises:
            ConfigError: if the count is no number of messages.
            ConversationUnavailable: if the store is down.
        """
        taking = self._all.store.take(self._name, whole(count=count))
        return self._said((yield from self._done(taking)))

    def _remove(self, ident: int) -> Flow[Said | None]:
        """Forget one message by its id; what it was, `None` if it is not there.

        Raises:
            ConfigError: if the id is no number.
            ConversationUnavailable: if the store is down.
        """
        removing = self._all.store.remove(self._name, whole(ident=ident))
        found = yield from self._done(removing)
        return next(iter(self._said([found] if found else [])), None)

    def _replace(
        self, records: Iterable[Mapping[str, Any]], *, state: State = "active"
    ) -> Flow[None]:
        """Forget all messages and add these, in one step.

        Raises:
            ConfigError, CodecError: as `append`; nothing is changed then.
            ConversationUnavailable: if the store is down.
        """
        batch = batch_of(records, state)
        yield from self._done(self._all.store.replace(self._name, batch))

    def _clear(self, *, state: State | None = None) -> Flow[int]:
        """Forget the messages of one state or all; how many there were.

        Raises:
            ConfigError: if the state is none.
            ConversationUnavailable: if the store is down.
        """
        require_state(state)
        return (yield from self._done(self._all.store.forget(self._name, state=state)))

    append, aappend = both(_append)
    read, aread = both(_read)
    count, acount = both(_count)
    archive_oldest, aarchive_oldest = both(_archive_oldest)
    drop_oldest, adrop_oldest = both(_drop_oldest)
    remove, aremove = both(_remove)
    replace, areplace = both(_replace)
    clear, aclear = both(_clear)

    def _changed(self, change: Flow[T]) -> Flow[tuple[T] | None]:
        """What a change of the store gives, in a tuple; `None` if the store is down."""
        hand = self._all.hand(self._name)
        if not (yield from self._all.catch_up(self._name, hand)):
            change.close()
            return None
        done = yield from self._all.asked(change)
        if done is not None:
            hand.changed()
        return done

    def _done(self, change: Flow[T]) -> Flow[T]:
        done = yield from self._changed(change)
        if done is None:
            raise self._unavailable("be changed")
        return done[0]

    def _unavailable(self, what: str) -> ConversationUnavailable:
        msg = (
            f"the conversation of session {self.session!r} cannot {what}, because its store does "
            "not answer; try again when it does"
        )
        return ConversationUnavailable(msg)

    def _said(self, found: Sequence[Kept]) -> list[Said]:
        said: list[Said] = []
        for kept in found:
            try:
                said.append(Said(unpack(kept.value), kept.id, kept.state))
            except CodecError as error:
                self._all.bus.fault("cache.conversations.codec", error)
        return said


def prefix_of(tenant: str) -> str:
    """What the names of a tenant's conversations begin with, and no other tenant's do."""
    return f"{len(tenant)}:{tenant}:"
