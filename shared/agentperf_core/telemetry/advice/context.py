"""What every rule gets to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agentperf_core.telemetry.figures import RunFigures
from agentperf_core.telemetry.findings import Finding, Thresholds
from agentperf_core.telemetry.spans import Span
from agentperf_core.telemetry.whatif import Override, replay_s

__all__ = ["Context", "Rule"]

_TOP_SHARE = 0.2  # a finding that touches more than this part of the wall time is "high"


@dataclass(frozen=True, slots=True)
class Context:
    """What every rule gets."""

    report: RunFigures
    thresholds: Thresholds
    faster_than: float
    cheaper_model: str | None

    def saving_s(self, override: Override) -> float:
        """Seconds saved over all runs if spans took what `override` says."""
        return sum(max(t.seconds - replay_s(t, override), 0.0) for t in self.report.traces)

    def severity(self, seconds: float) -> Literal["high", "low"]:
        """`"high"` if `seconds` is more than a fifth of the wall time."""
        return "high" if seconds > _TOP_SHARE * self.report.wall_s else "low"

    def saving_of_skipping(self, skipped: Iterable[Span]) -> float:
        """Seconds saved if the given spans took no time."""
        # By identity: ids are unique within one trace only, and spans are not hashable.
        ids = {id(span) for span in skipped}
        return self.saving_s(lambda span: 0 if id(span) in ids else None)


Rule: TypeAlias = Callable[[Context], Iterator[Finding]]
