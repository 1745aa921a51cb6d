"""The protocol of a conversation store: batches of bytes under a name, in order, kept whole.

Every method makes a flow, which `run` drives from sync code and `arun` from async code; so each
store is written once. `agentperf_core.testing.ConversationConformance` says it all as tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from agentperf_core.errors import AgentPerfError
from agentperf_core.flow import Flow

__all__ = [
    "Batch",
    "ConversationStore",
    "ConversationUnavailable",
    "Kept",
    "State",
    "matches",
    "micros",
    "page",
]

State: TypeAlias = Literal["active", "archived"]
"""Whether a message is among those that a memory still shows, or has left them."""

BATCH_ID = 16
"""Characters of the id of a batch."""


class ConversationUnavailable(AgentPerfError, RuntimeError):  # noqa: N818 - reads as what it says
    """A conversation cannot be read or changed now, because its store does not answer."""


class Batch(NamedTuple):
    """Messages that are kept together, without others between them.

    Attributes:
        id: 16 characters that no other batch has, so that one is not kept twice.
        values: the messages, as opaque bytes.
        state: of all of them.
    """

    id: str
    values: tuple[bytes, ...]
    state: State = "active"


class Kept(NamedTuple):
    """A message as a store has it.

    Attributes:
        id: its place in the conversation: later ones have higher ids. It is the time when the
            message was kept, in microseconds since the Unix epoch, or a little above.
        state: see `State`.
        value: the bytes that were given.
        batch: the id of its batch.
    """

    id: int
    state: State
    value: bytes
    batch: str


class ConversationStore(Protocol):
    """Where conversations are kept, by their names; any text is a name.

    Messages stay until their time is over or somebody forgets them: a store evicts nothing. Every
    method may raise, and then has done all or nothing, as far as anybody can know. All are safe
    under threads, event loops and, outside of memory, processes.

    Writing (`append`, `replace`, `archive`) starts the time to live of the whole conversation anew.
    """

    @property
    def in_process(self) -> bool:
        """Whether it lives in this process alone, so that nothing can fail."""
        ...

    def append(self, name: str, batch: Batch, *, again: bool = False) -> Flow[int]:
        """Add messages at the end, all at once.

        Args:
            name: of the conversation.
            batch: the messages.
            again: whether this was tried before with an unknown end: a batch that is there is then
                not added again.

        Returns:
            The id of the first of them; the next ones count on from there.
        """
        ...

    def replace(self, name: str, batch: Batch) -> Flow[int]:
        """Forget all messages and add these, in one step; see `append`."""
        ...

    def read(
        self, name: str, *, state: State | None = None, limit: int | None = None, offset: int = 0
    ) -> Flow[list[Kept]]:
        """Messages in order.

        Args:
            name: of the conversation.
            state: those in this state; `None` for all.
            limit: how many at most.
            offset: how many of the first ones to leave out.
        """
        ...

    def count(self, name: str, *, state: State | None = None) -> Flow[int]:
        """How many messages there are."""
        ...

    def archive(self, name: str, count: int) -> Flow[list[Kept]]:
        """Archive the oldest active messages, as many as there are; what was archived."""
        ...

    def take(self, name: str, count: int) -> Flow[list[Kept]]:
        """Forget the oldest active messages, as many as there are; what was forgotten."""
        ...

    def remove(self, name: str, ident: int) -> Flow[Kept | None]:
        """Forget one message by its id; what it was, `None` if it is not there."""
        ...

    def forget(self, name: str, *, state: State | None = None) -> Flow[int]:
        """Forget messages of one state or all; how many there were."""
        ...

    def names(self, prefix: str = "") -> Flow[list[str]]:
        """The names of conversations that have messages, each once, in any order."""
        ...

    def close(self) -> None:
        """Close what is open; it opens again when it is used."""
        ...

    async def aclose(self) -> None:
        """Like `close`."""
        ...


def matches(kept: Kept, state: State | None) -> bool:
    """Whether a message is in a state; any message is in none in particular."""
    return state is None or kept.state == state


def page(found: Sequence[Kept], limit: int | None, offset: int) -> list[Kept]:
    """The part of a sequence that `ConversationStore.read` is asked for."""
    start = max(offset, 0)
    return list(found[start:] if limit is None else found[start : start + max(limit, 0)])


def micros(seconds: float) -> int:
    """A time as ids have it."""
    return int(seconds * 1_000_000)
