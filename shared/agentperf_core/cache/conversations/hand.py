"""What this process has in hand of a conversation while its store is down."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentperf_core.cache.conversations.base import Batch, Kept, State, matches

__all__ = ["Hand"]


@dataclass(slots=True)
class Hand:
    """What was read of a conversation last, and what of it is not stored yet.

    Attributes:
        waiting: batches that the store did not take yet, oldest first.
        refused: batches that the store will not have, though it answers.
        busy: whether somebody is storing the waiting ones now.
    """

    waiting: deque[Batch] = field(default_factory=deque[Batch])
    refused: list[Batch] = field(default_factory=list[Batch])
    busy: bool = False
    _seen: dict[State | None, list[Kept]] = field(default_factory=dict[State | None, list[Kept]])

    @property
    def owes(self) -> bool:
        """Whether there are messages that are here alone."""
        return bool(self.waiting or self.refused)

    def saw(self, state: State | None, kept: Sequence[Kept]) -> None:
        """Remember what the store gave for a state, or for all of them."""
        self._seen[state] = list(kept)

    def took(self, first: int, batch: Batch) -> None:
        """Remember what the store took, with the id of the first message."""
        new = [
            Kept(first + at, batch.state, value, batch.id) for at, value in enumerate(batch.values)
        ]
        for state, seen in self._seen.items():
            seen += [one for one in new if matches(one, state)]

    def changed(self) -> None:
        """Forget what was read: the store has changed it."""
        self._seen.clear()

    def view(self, state: State | None) -> list[Kept] | None:
        """What is known of the conversation, unstored messages last; `None` if nothing is.

        Messages that are not stored yet have the id 0.
        """
        seen = self._seen.get(state)
        if seen is None and None in self._seen:
            seen = [one for one in self._seen[None] if matches(one, state)]
        return None if seen is None else seen + self.unstored(state)

    def unstored(self, state: State | None) -> list[Kept]:
        """Messages that the store has not taken yet."""
        return [
            Kept(0, batch.state, value, batch.id)
            for batch in [*self.refused, *self.waiting]
            for value in batch.values
            if state is None or batch.state == state
        ]
