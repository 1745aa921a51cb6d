"""What every rule gets to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agentperf_core.telemetry.diagnosis import Finding, Thresholds
from agentperf_core.telemetry.latency import LatencyReport
from agentperf_core.telemetry.whatif import Override, replay_s

__all__ = ["Context", "Rule"]

_TOP_SHARE = 0.2  # a finding that touches more than this part of the wall time is "high"


@dataclass(frozen=True, slots=True)
class Context:
    """What every rule gets."""

    report: LatencyReport
    thresholds: Thresholds
    faster_than: float
    cheaper_model: str | None

    def saving_s(self, override: Override) -> float:
        """Seconds saved over all runs if spans took what `override` says."""
        return sum(max(t.seconds - replay_s(t, override), 0.0) for t in self.report.traces)

    def severity(self, seconds: float) -> Literal["high", "low"]:
        """`"high"` if `seconds` is more than a fifth of the wall time."""
        return "high" if seconds > _TOP_SHARE * self.report.wall_s else "low"

    def saving_of_skipping(self, repeated: set[tuple[str, str]]) -> float:
        """Seconds saved if the given (trace id, span id) pairs took no time."""
        return sum(
            max(t.seconds - replay_s(t, lambda s, t=t: 0 if (t.id, s.id) in repeated else None), 0)
            for t in self.report.traces
        )


Rule: TypeAlias = Callable[[Context], Iterator[Finding]]
