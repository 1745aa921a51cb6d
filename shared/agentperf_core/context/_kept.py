"""What a window holds: units with their costs, grouped by turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentperf_core.context.records import Evicted
from agentperf_core.types import Message

__all__ = ["KeptTurn", "KeptUnit", "Shown", "Told", "next_out"]


@dataclass(slots=True)
class KeptUnit:
    """Messages that stay or go together.

    Attributes:
        messages: as they are shown now.
        costs: what each of them takes.
        places: how many messages were added before each; negative for one that the window put in.
        added: the messages as they were added.
        waiting: ids of calls that have no result yet.
        cleared: whether its results were.
        stub: whether it stands for units that were left out.
    """

    messages: list[Message]
    costs: list[int]
    places: list[int]
    added: list[Message]
    waiting: set[str] = field(default_factory=set[str])
    cleared: bool = False
    stub: bool = False

    @property
    def cost(self) -> int:
        """What it takes in all."""
        return sum(self.costs)


@dataclass(slots=True)
class KeptTurn:
    """What a user said and what was done about it."""

    units: list[KeptUnit]


class Shown:
    """What is shown of a window; it is looked at more often than it is cut.

    Attributes:
        added: how many of the messages were added; the window put in the others.
    """

    def __init__(self) -> None:
        self._messages: list[Message] | None = []
        self.added = 0

    def append(self, message: Message, place: int) -> None:
        """Take note of a message that comes behind all others."""
        if self._messages is not None:
            self._messages.append(message)
            self.added += place >= 0

    def forget(self) -> None:
        """Make it anew when somebody looks: it has changed anywhere."""
        self._messages = None

    def drop(self, pinned: Sequence[KeptUnit], count: int) -> None:
        """Take so many messages out behind the pinned ones; most cuts do no more."""
        if self._messages is None or self.added != len(self._messages):
            self._messages = None
            return
        first = sum(len(unit.messages) for unit in pinned)
        del self._messages[first : first + count]
        self.added = len(self._messages)

    def all(self, pinned: Sequence[KeptUnit], turns: Sequence[KeptTurn]) -> list[Message]:
        """The messages; the list is not to be changed."""
        if self._messages is None:
            units = [*pinned, *(unit for turn in turns for unit in turn.units)]
            self._messages = [message for unit in units for message in unit.messages]
            self.added = sum(place >= 0 for unit in units for place in unit.places)
        return self._messages


class Told:
    """What has left a window, wholly or in part, since somebody asked last."""

    def __init__(self) -> None:
        self.evicted: list[Evicted] = []

    def leave(self, unit: KeptUnit) -> None:
        """A unit leaves; what the window itself put in has no place."""
        self.evicted += [
            Evicted(place, message)
            for place, message in zip(unit.places, unit.added, strict=True)
            if place >= 0
        ]

    def reduce(self, place: int, message: Message) -> None:
        """Less is to be shown of a message."""
        if place >= 0:
            self.evicted.append(Evicted(place, message, shown=True))

    def take(self) -> Sequence[Evicted]:
        """All of it, once."""
        taken, self.evicted = self.evicted, []
        return taken


def next_out(
    turns: Sequence[KeptTurn], amount: int, keeps: Callable[[Message], bool]
) -> Sequence[int]:
    """The places of what the ladder will drop first, to make so much room; oldest first.

    Args:
        turns: of a window.
        amount: of its measure; whole turns are counted, and single steps of the last.
        keeps: which messages are never dropped.
    """
    last = turns[-1].units if turns else []
    asked = 1 if last and last[0].messages[0].role == "user" else 0
    steps = [[unit] for unit in last[asked:-1]]
    found: list[int] = []
    for dropped in (*(turn.units for turn in turns[:-1]), *steps):
        if amount <= 0:
            break
        for unit in dropped:
            if not unit.waiting and not any(map(keeps, unit.added)):
                amount -= unit.cost
                found += [place for place in unit.places if place >= 0]
    return found
