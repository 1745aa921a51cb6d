"""Finished runs as OpenTelemetry spans and metrics, under the GenAI semantic conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentperf_core import __version__
from agentperf_core.errors import ConfigError
from agentperf_core.optional import require
from agentperf_core.telemetry.analysis import critical_path
from agentperf_core.telemetry.sinks.otel_attributes import span_attributes, span_name
from agentperf_core.telemetry.sinks.otel_metrics import Metrics
from agentperf_core.telemetry.sinks.otel_names import CONVENTIONS, Semconv
from agentperf_core.telemetry.spans import Span, SpanKind, Trace

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["OpenTelemetrySink"]

_CLIENT = {SpanKind.LLM, SpanKind.EMBEDDING, SpanKind.RETRIEVER}


class OpenTelemetrySink:
    """Exports every finished run: its span tree with the recorded times, and its metrics.

    The run's root becomes a child of the span that is current where the run ends, if there is one
    (the web request that caused it). An answer from a cache is exported as a `cache ...` span with
    `agentperf.cache.*` attributes and never counts as client inference. No prompt leaves through
    this sink, and no error message either, which may quote one.

    Args:
        tracer_provider: where spans go; default the global provider.
        meter_provider: where metrics go; default the global provider.
        semconv: `"genai-2026"` for the newest names, `"1.41"` for those of the last release.
        error_messages: whether to export what a failed span's error says, too.

    Raises:
        MissingExtra: if `opentelemetry-api` is not installed.
        ConfigError: if `semconv` is not one of the two.

    Example:
        >>> from agentperf_core.telemetry import Recorder
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        >>> provider, exporter = TracerProvider(), InMemorySpanExporter()
        >>> provider.add_span_processor(SimpleSpanProcessor(exporter))
        >>> recorder = Recorder(sinks=[OpenTelemetrySink(provider)])
        >>> with recorder.span("agent", "support"):
        ...     pass
        >>> [span.name for span in exporter.get_finished_spans()]
        ['invoke_agent support']
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        semconv: Semconv = "genai-2026",
        error_messages: bool = False,
    ) -> None:
        if semconv not in CONVENTIONS:
            msg = f"semconv must be one of {list(CONVENTIONS)}, got {semconv!r}; leave it out"
            raise ConfigError(msg)
        purpose = "the OpenTelemetry sink"
        self._trace = require("opentelemetry.trace", extra="otel", purpose=purpose)
        metrics = require("opentelemetry.metrics", extra="otel", purpose=purpose)
        self._names = CONVENTIONS[semconv]
        self._error_messages = error_messages
        url = self._names.schema_url
        self._tracer = self._trace.get_tracer("agentperf", __version__, tracer_provider, url)
        self._metrics = Metrics(
            metrics.get_meter("agentperf", __version__, meter_provider, url), self._names
        )

    def emit(self, trace: Trace) -> None:
        """Export one run."""
        epoch_ns = round(trace.started_at * 1e9) - trace.root.start_ns
        on_path: dict[str, float] = {}
        for segment in critical_path(trace):
            on_path[segment.span.id] = on_path.get(segment.span.id, 0.0) + segment.seconds
        exported: dict[str, Any] = {}
        for span in trace.spans:
            exported[span.id] = self._start(span, trace, exported, epoch_ns, on_path)
        # Children first: processors that collect a trace close it when its root ends.
        for span in reversed(trace.spans):
            exported[span.id].end(end_time=max(span.end_ns, span.start_ns) + epoch_ns)
        self._metrics.record(trace)

    def _start(
        self,
        span: Span,
        trace: Trace,
        exported: dict[str, Any],
        epoch_ns: int,
        on_path: dict[str, float],
    ) -> Any:
        api = self._trace
        parent = exported.get(span.parent_id or trace.root.id)
        started = self._tracer.start_span(
            span_name(span),
            context=api.set_span_in_context(parent) if parent is not None else None,
            kind=api.SpanKind.CLIENT if span.kind in _CLIENT else api.SpanKind.INTERNAL,
            attributes=span_attributes(span, self._names, on_path.get(span.id, 0.0)),
            start_time=span.start_ns + epoch_ns,
        )
        if span.status == "error":
            message = span.error if self._error_messages else None
            started.set_status(api.Status(api.StatusCode.ERROR, message))
        return started
