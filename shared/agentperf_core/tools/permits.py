"""A place for one call: what it takes, and how to wait for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.inside import inside

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
        ready: done when the place is given.
        given: whether it is.
    """

    tool: str
    most: int | None
    exclusive: str | None
    order: tuple[float, float, int]
    counted: bool
    ready: Future[None] = field(default_factory=Future[None])
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

    def wait(self, wait_s: float | None) -> Flow[bool]:
        """Wait for the place; whether it came in time."""
        return (yield from Step(_wait, _await, self.ready, wait_s))


def _group(name: str) -> str:
    return f"group {name}"


def _wait(ready: Future[None], wait_s: float | None) -> bool:
    return not wait((ready,), wait_s).not_done


async def _await(ready: Future[Any], wait_s: float | None) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await asyncio.shield(asyncio.wrap_future(ready))
            return True
    return False
