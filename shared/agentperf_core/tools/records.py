"""What the executor says of a call: how it went, where the time went, and why it failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agentperf_core.errors import AgentPerfError

__all__ = ["FailureKind", "ToolFailure", "ToolOutcome", "ToolRun"]

FailureKind: TypeAlias = Literal[
    "error", "timeout", "deadline", "turned_away", "dependency", "cycle", "unknown", "arguments"
]
_AT_ONCE_S = 0.001  # a place that is free is had within less

ToolOutcome: TypeAlias = Literal["ok", "failed", "substituted"] | FailureKind


class ToolFailure(AgentPerfError):  # noqa: N818 - becomes a result, is seldom raised
    """A tool gave no result; adapters make an error result of it, and the run goes on.

    Attributes:
        tool: name of the tool.
        kind: what happened: it raised (`"error"`), it took too long (`"timeout"`), the run's
            deadline came first (`"deadline"`), its breaker is open (`"turned_away"`), what it
            depends on failed (`"dependency"`), it depends on itself (`"cycle"`), there is no such
            tool or call (`"unknown"`), or its arguments are wrong (`"arguments"`).
        elapsed_s: seconds since the call was asked for.
    """

    def __init__(self, message: str, *, tool: str, kind: FailureKind, elapsed_s: float) -> None:
        super().__init__(message)
        self.tool = tool
        self.kind: FailureKind = kind
        self.elapsed_s = elapsed_s


@dataclass(slots=True, kw_only=True)
class ToolRun:
    """How one call went; nobody changes it after the call.

    Attributes:
        tool: name of the tool.
        call_id: id of the call, as the model gave it.
        outcome: `"ok"`; `"failed"` if the tool itself says so in its result; `"substituted"`; else
            the kind of its `ToolFailure`.
        reason: one sentence for a person.
        total_s: seconds from asking to having, all that follows included.
        queue_s: seconds of it that the call waited for a place.
        run_s: seconds of it that the tool ran, the last time if it ran more than once.
        attempts: how often the tool ran; 0 if something else answered.
        orphaned: whether it may still run though nobody waits for it.
        substitute: why a substitute answered; `None` if the tool did.
    """

    tool: str
    call_id: str
    outcome: ToolOutcome = "ok"
    reason: str = "the tool answered"
    total_s: float = 0.0
    queue_s: float = 0.0
    run_s: float = 0.0
    attempts: int = 0
    orphaned: bool = False
    substitute: str | None = None

    @property
    def cached(self) -> bool:
        """Whether there is a result and the tool did not run for it: a cache had it."""
        return self.outcome in {"ok", "failed"} and self.attempts == 0

    @property
    def eventful(self) -> bool:
        """Whether there is more to say than that the tool ran at once and answered, or a cache."""
        return self.outcome != "ok" or self.attempts > 1 or self.queue_s > _AT_ONCE_S

    def record(self) -> dict[str, Any]:
        """Plain JSON data for messages, spans and reports, without what is not so."""
        found: dict[str, Any] = {
            "tool": self.tool,
            "call_id": self.call_id,
            "outcome": self.outcome,
            "reason": self.reason,
            "total_s": self.total_s,
            "queue_s": self.queue_s,
            "run_s": self.run_s,
            "attempts": self.attempts,
        }
        if self.orphaned:
            found["orphaned"] = True
        if self.substitute is not None:
            found["substitute"] = self.substitute
        return found
