"""What is said of a context: what was cut, and that nothing more can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agentperf_core.errors import AgentPerfError
from agentperf_core.types import Message

__all__ = ["ContextOverflow", "Cut", "CutKind", "Evicted"]

CutKind: TypeAlias = Literal["cleared", "dropped", "stubbed", "shortened"]


class ContextOverflow(AgentPerfError):  # noqa: N818 - the field's own word
    """What must be in the prompt is larger than what fits into it.

    Attributes:
        needed: what it costs, in tokens (or messages, where they are the bound).
        limit: what there is room for.
    """

    def __init__(self, message: str, *, needed: int, limit: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Cut:
    """One step down the ladder.

    Attributes:
        kind: old tool results were cleared, oldest turns dropped, the middle of one turn replaced
            by a stub, or one message shortened.
        messages: how many messages it concerned.
        tokens: how much smaller it made the window, in its own measure.
        after: how many messages had been added by then.
    """

    kind: CutKind
    messages: int
    tokens: int
    after: int

    def record(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Evicted:
    """A message that has left the window, wholly or in part.

    Attributes:
        place: how many messages were added before it.
        message: as it was added.
        shown: whether a shorter form of it still is: a cleared tool result, a shortened message.
            It is told of again when that leaves.
    """

    place: int
    message: Message
    shown: bool = False
