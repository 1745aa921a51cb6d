"""A place for one call, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.inside import inside
from agentperf_core.tools.waits import Moment

__all__ = ["Permit"]


@dataclass(slots=True, eq=False)
class Permit:
    """A place for one call.

    Attributes:
        tool: name of the tool.
        most: how many calls of the tool may run at once.
        exclusive: the group that it takes.
        order: who waits with a lower one comes first: minus the priority, since when, number.
        counted: whether it takes one of the places of all tools.
        ready: when the place is given; `None` for a call that need not wait, because one costs
            as much as the rest of the place.
        given: whether it is.
    """

    tool: str
    most: int | None
    exclusive: str | None
    order: tuple[float, float, int]
    counted: bool
    ready: Moment | None = None
    given: bool = False

    @classmethod
    def of(cls, tool: str, policy: ToolPolicy, order: tuple[float, float, int]) -> Self:
        """What a call needs, without what its caller holds already."""
        outer, most, group = inside(), policy.max_concurrency, policy.exclusive
        if outer is None:
            return cls(tool, most, group, order, counted=True)
        return cls(
            tool,
            None if tool in outer.held else most,
            None if group is None or _group(group) in outer.held else group,
            order,
            counted=False,
        )

    @property
    def names(self) -> frozenset[str]:
        """What is held with this place."""
        return frozenset(
            (self.tool,) if self.exclusive is None else (self.tool, _group(self.exclusive))
        )


def _group(name: str) -> str:
    return f"group {name}"
