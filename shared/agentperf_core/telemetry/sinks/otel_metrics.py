"""A run's figures as OpenTelemetry metrics, under the names of one convention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentperf_core.telemetry.sinks.otel_attributes import Attributes, failure, metric_attributes
from agentperf_core.telemetry.sinks.otel_names import INSTRUMENTS, Convention
from agentperf_core.telemetry.spans import Span, SpanKind, Trace

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

__all__ = ["Metrics"]


class Metrics:
    """The convention's instruments, created when they are first needed."""

    def __init__(self, meter: Meter, names: Convention) -> None:
        self._meter = meter
        self._names = names
        self._made: dict[str, Any] = {}

    def record(self, trace: Trace) -> None:
        """Measure one finished run."""
        for span in trace.spans:
            if span.kind is SpanKind.LLM:
                self._inference(span)
            elif span.kind is SpanKind.EMBEDDING:
                self._embeddings(span)
            elif span.kind is SpanKind.CACHE:
                of = str((span.cache or {}).get("of", "llm"))
                self._add("agentperf.cache.hits", 1, {"agentperf.cache.of": of})
            elif span.kind is SpanKind.TOOL and self._names.work:
                split: Attributes = {"gen_ai.tool.name": span.name, **failure(span)}
                self._observe("gen_ai.execute_tool.duration", span.seconds, split)
        if self._names.work:
            self._agents(trace)

    def _inference(self, span: Span) -> None:
        split = metric_attributes(span)
        self._observe(self._names.inference_s, span.seconds, split)
        plain = {key: value for key, value in split.items() if key != "error.type"}
        if span.ttft_s is not None:
            self._observe(self._names.first_chunk_s, span.ttft_s, plain)
        for gap in span.gaps_s:
            self._observe(self._names.chunk_s, gap, plain)
        self._bill(span, plain)

    def _bill(self, span: Span, split: Attributes) -> None:
        if span.cost_usd is not None:
            self._add("agentperf.cost", float(span.cost_usd), split)
        if span.usage is None:
            return
        for part, name in self._names.usage.items():
            # Providers' modality split is not recorded; the convention's word for that is unknown.
            amount = getattr(span.usage, part)
            if amount:
                self._add(name, amount, {**split, "gen_ai.token.modality": "unknown"})
        # The convention: failed calls count as usage, but not in the distribution per call.
        if span.status != "error":
            for part, name in self._names.per_call.items():
                self._observe(name, getattr(span.usage, part), split)
        if self._names.token_usage is not None:
            for part in ("input", "output"):
                amount = getattr(span.usage, f"{part}_tokens")
                self._observe(self._names.token_usage, amount, {**split, "gen_ai.token.type": part})

    def _embeddings(self, span: Span) -> None:
        split = metric_attributes(span)
        self._observe(self._names.embeddings_s, span.seconds, split)
        plain = {key: value for key, value in split.items() if key != "error.type"}
        if span.cost_usd is not None:
            self._add("agentperf.cost", float(span.cost_usd), plain)
        if span.usage is None or span.status == "error":
            return
        name = self._names.embeddings_tokens
        if name is not None:
            self._observe(name, span.usage.input_tokens, plain)
        elif self._names.token_usage is not None:
            self._observe(
                self._names.token_usage,
                span.usage.input_tokens,
                {**plain, "gen_ai.token.type": "input"},
            )

    def _agents(self, trace: Trace) -> None:
        """Calls count for the innermost agent around them, so that each counts once."""
        by_id = {span.id: span for span in trace.spans}
        calls: dict[str, dict[SpanKind, int]] = {}
        for span in trace.of_kind(SpanKind.LLM, SpanKind.TOOL):
            agent = _agent_of(span, by_id)
            if agent is not None:
                counted = calls.setdefault(agent.id, {})
                counted[span.kind] = counted.get(span.kind, 0) + 1
        for agent in trace.of_kind(SpanKind.AGENT):
            split: Attributes = {"gen_ai.agent.name": agent.name}
            counted = calls.get(agent.id, {})
            self._observe(
                "gen_ai.invoke_agent.duration", agent.seconds, {**split, **failure(agent)}
            )
            self._observe(
                "gen_ai.invoke_agent.inference_calls", counted.get(SpanKind.LLM, 0), split
            )
            self._observe("gen_ai.invoke_agent.tool_calls", counted.get(SpanKind.TOOL, 0), split)

    def _observe(self, name: str, value: float, split: Attributes) -> None:
        made = self._made.get(name)
        if made is None:
            how = INSTRUMENTS[name]
            made = self._made[name] = self._meter.create_histogram(
                name,
                how.unit,
                how.description,
                explicit_bucket_boundaries_advisory=how.boundaries,
            )
        made.record(value, split)

    def _add(self, name: str, value: float, split: Attributes) -> None:
        made = self._made.get(name)
        if made is None:
            how = INSTRUMENTS[name]
            made = self._made[name] = self._meter.create_counter(name, how.unit, how.description)
        made.add(value, split)


def _agent_of(span: Span, by_id: dict[str, Span]) -> Span | None:
    while span.parent_id is not None:
        span = by_id[span.parent_id]
        if span.kind is SpanKind.AGENT:
            return span
    return None
