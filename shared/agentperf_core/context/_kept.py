"""What a window holds: units with their costs, grouped by turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentperf_core.types import Message

__all__ = ["KeptTurn", "KeptUnit", "next_out"]


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
            if not unit.waiting and not any(map(keeps, unit.messages)):
                amount -= unit.cost
                found += [place for place in unit.places if place >= 0]
    return found
