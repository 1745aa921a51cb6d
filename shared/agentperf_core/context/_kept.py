"""What a window holds: units with their costs, grouped by turns."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentperf_core.types import Message

__all__ = ["KeptTurn", "KeptUnit"]


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

    @property
    def has_results(self) -> bool:
        """Whether it has tool results."""
        return len(self.messages) > 1


@dataclass(slots=True)
class KeptTurn:
    """What a user said and what was done about it."""

    units: list[KeptUnit]
