"""What one conversation needs of all of them."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias, TypeVar

from agentperf_core.cache.conversations.base import Batch, ConversationStore
from agentperf_core.cache.conversations.hand import Hand
from agentperf_core.events import EventBus
from agentperf_core.flow import Flow

__all__ = ["Home", "WhenDown"]

T = TypeVar("T")

WhenDown: TypeAlias = Literal["raise", "go_on"]
"""What reading does where the store is down and nothing is in hand."""


class Home(Protocol):
    """The store and what is in hand beside it; see `Conversations`, which is one.

    Attributes:
        store: where conversations live.
        when_down: what reading does where it is down and nothing is in hand.
        bus: where faults go.
    """

    store: ConversationStore
    when_down: WhenDown
    bus: EventBus

    def hand(self, name: str) -> Hand:
        """What is in hand of a conversation."""
        ...

    def asked(self, flow: Flow[T]) -> Flow[tuple[T] | None]:
        """What the store answers, in a tuple; `None` if it does not."""
        ...

    def stored(self, name: str, hand: Hand, batch: Batch) -> Flow[bool | None]:
        """Have a batch stored: whether the store took it, `None` if it does not answer."""
        ...

    def catch_up(self, name: str, hand: Hand) -> Flow[bool]:
        """Store what waits, unless somebody is at it; whether the store is there, if known."""
        ...

    def queued(self, hand: Hand, batch: Batch) -> bool:
        """Put a batch behind those that somebody is storing now, if so."""
        ...
