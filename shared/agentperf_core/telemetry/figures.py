"""The figures of recorded runs: breakdown, percentiles, tokens and cost; no rendering."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from agentperf_core.telemetry import analysis
from agentperf_core.telemetry.cachefigures import TierFigures, tier_figures
from agentperf_core.telemetry.quantiles import Quantile, quantiles
from agentperf_core.telemetry.spans import Span, SpanKind, Trace
from agentperf_core.types import Usage

__all__ = ["RunFigures"]


@dataclass(frozen=True)
class RunFigures:
    """What can be computed from runs; every figure is computed once, when it is first read.

    Args:
        traces: the runs, oldest first; any number, also none.
    """

    traces: tuple[Trace, ...]

    @property
    def runs(self) -> int:
        """How many runs the report covers."""
        return len(self.traces)

    @cached_property
    def wall_s(self) -> float:
        """Sum of the runs' wall times in seconds."""
        return sum(trace.seconds for trace in self.traces)

    @cached_property
    def breakdown(self) -> tuple[analysis.KindShare, ...]:
        """Time per kind of span, the largest share of the critical path first."""
        return analysis.breakdown(self.traces)

    def critical_path(self, trace: Trace) -> tuple[analysis.Segment, ...]:
        """The stretches that determined the length of one run; they sum to its wall time."""
        return analysis.critical_path(trace)

    @cached_property
    def framework_s(self) -> float:
        """Seconds on the critical path in which only the framework worked."""
        own = (SpanKind.AGENT, SpanKind.CHAIN)
        return sum(share.critical_s for share in self.breakdown if share.kind in own)

    @cached_property
    def parallelism_lost_s(self) -> float:
        """Seconds that tool calls of one turn took beyond the longest of them."""
        return sum(
            analysis.parallelism_lost_s(analysis.tool_groups(trace)) for trace in self.traces
        )

    @cached_property
    def llm_calls(self) -> tuple[Span, ...]:
        """Model calls that were really made."""
        return tuple(span for trace in self.traces for span in trace.of_kind(SpanKind.LLM))

    @cached_property
    def cache_hits(self) -> tuple[Span, ...]:
        """Answers that came from a cache."""
        return tuple(span for trace in self.traces for span in trace.of_kind(SpanKind.CACHE))

    @cached_property
    def cache_tiers(self) -> tuple[TierFigures, ...]:
        """What each tier of the caches served, most answers first."""
        return tier_figures(self.cache_hits)

    @cached_property
    def tool_calls(self) -> tuple[Span, ...]:
        """Tool calls that were really made."""
        return tuple(span for trace in self.traces for span in trace.of_kind(SpanKind.TOOL))

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Model turns of each run, cached ones included."""
        return tuple(analysis.steps(trace) for trace in self.traces)

    @cached_property
    def usage(self) -> Usage:
        """Tokens of all model calls made; a cache hit adds nothing."""
        return _sum(span.usage for span in self.llm_calls)

    @cached_property
    def saved_usage(self) -> Usage:
        """Tokens that cache hits did not spend."""
        return _sum(span.usage for span in self.cache_hits)

    @cached_property
    def cost_usd(self) -> Decimal | None:
        """Price of the calls made in USD; `None` if none of the calls has a known price."""
        known = [s.cost_usd for s in self._paid if s.cost_usd is not None]
        if not known:
            return Decimal(0) if not self._paid else None
        return sum(known, Decimal(0))

    @cached_property
    def unpriced_calls(self) -> int:
        """Model and embedding calls whose price is unknown; `cost_usd` leaves them out.

        A call that failed before the provider reported tokens is free and does not count.
        """
        return sum(1 for span in self._paid if span.cost_usd is None)

    @cached_property
    def errors(self) -> tuple[Span, ...]:
        """Spans that ended with an error."""
        return tuple(s for trace in self.traces for s in trace.spans if s.status == "error")

    @cached_property
    def run_seconds(self) -> list[Quantile]:
        """p50, p95 and p99 of the runs' wall time."""
        return quantiles(trace.seconds for trace in self.traces)

    @cached_property
    def llm_seconds(self) -> list[Quantile]:
        """p50, p95 and p99 of the model calls' wall time."""
        return quantiles(span.seconds for span in self.llm_calls)

    @cached_property
    def tool_seconds(self) -> list[Quantile]:
        """p50, p95 and p99 of the tool calls' wall time."""
        return quantiles(span.seconds for span in self.tool_calls)

    @cached_property
    def ttft_seconds(self) -> list[Quantile]:
        """p50, p95 and p99 of the time to first token, streamed calls only."""
        return quantiles(s.ttft_s for s in self.llm_calls if s.ttft_s is not None)

    @cached_property
    def tpot_seconds(self) -> list[Quantile]:
        """p50, p95 and p99 of the time per output token after the first."""
        return quantiles(s.tpot_s for s in self.llm_calls if s.tpot_s is not None)

    @cached_property
    def _paid(self) -> tuple[Span, ...]:
        paid = (SpanKind.LLM, SpanKind.EMBEDDING)
        return tuple(
            span
            for trace in self.traces
            for span in trace.of_kind(*paid)
            if span.usage is not None or span.status == "ok"
        )


def _sum(usages: Iterable[Usage | None]) -> Usage:
    total = Usage()
    for usage in usages:
        if usage is not None:
            total = total + usage
    return total
