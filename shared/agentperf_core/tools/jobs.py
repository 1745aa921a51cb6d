"""One call as the executor gets it from an adapter: what to run, and how to read what comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.records import ToolFailure, ToolRun
from agentperf_core.types import ToolCall

__all__ = ["Done", "Through", "ToolJob", "ToolResults"]

T = TypeVar("T")

Through: TypeAlias = Callable[[Step[T]], Flow[T]]
"""How a call goes through something that may answer instead, such as a cache of results."""


class ToolResults(Protocol[T]):
    """How an adapter reads and makes the tool results of its framework."""

    def failed(self, result: T) -> bool:
        """Whether the result says that the tool failed."""
        ...

    def passes(self, error: BaseException) -> bool:
        """Whether an exception is no failure but steers the run, such as a question to a person."""
        ...

    def of_failure(self, call: ToolCall, failure: ToolFailure) -> T:
        """The error result that the model is shown."""
        ...

    def of_value(self, call: ToolCall, value: Any) -> T:
        """The result made of what a plain function returned, a substitute for one."""
        ...

    def mark(self, result: T, run: ToolRun) -> T:
        """The result, marked with how the call went."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class ToolJob(Generic[T]):
    """A call to be made.

    Attributes:
        call: id, name and arguments.
        step: runs the tool; its async side must not block the event loop.
        results: how to read and make results.
        policy: what is declared of the tool; `None` for nothing.
        through: what the call goes through, such as a cache.
        priority: who waits with a higher one runs first; `None` for the policy's.
        asked_at: of those with the same one, who was asked for earlier; seconds of the executor's
            clock, `None` for now. A plan sets it back by the seconds that depend on the call.
        queued: called if it has to wait for a place, before it waits.
        begun: called just before the tool runs, with the attempt, counted from 1.
    """

    call: ToolCall
    step: Step[T]
    results: ToolResults[T]
    policy: ToolPolicy | None = None
    through: Through[T] | None = None
    priority: float | None = None
    asked_at: float | None = None
    queued: Callable[[], None] | None = None
    begun: Callable[[int], None] | None = None


@dataclass(slots=True)
class Done(Generic[T]):
    """A result and how it came about."""

    result: T
    run: ToolRun
