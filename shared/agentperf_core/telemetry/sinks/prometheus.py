"""Runs as Prometheus metrics, with label values that cannot grow without bound."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentperf_core.errors import ConfigError
from agentperf_core.optional import require
from agentperf_core.telemetry.report._format import clean, error_type
from agentperf_core.telemetry.spans import Span, SpanKind, Trace

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["OVERFLOW", "PrometheusSink"]

OVERFLOW = "other"

# Neighbours differ by about 1.5: the client's own default ends at 10 s, and factor-2 buckets put
# an error of up to 100 % on a p95.
_SECONDS = (
    *(0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5),
    *(10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0),
)


class PrometheusSink:
    """Counts and times finished runs in a Prometheus registry.

    Metrics, each prefixed with the namespace: `runs_total{status}`, `run_seconds`,
    `llm_seconds{model}`, `llm_ttft_seconds{model}`, `tokens_total{model,bucket}`,
    `cost_usd_total{model}`, `unpriced_calls_total{model}`, `cache_hits_total{of}`,
    `tool_seconds{tool}` and `errors_total{kind,type}`. Token buckets do not overlap, so their sum
    counts nothing twice. Labels hold names of models, tools and error classes, never run ids or
    texts; each label keeps its first `max_label_values` values and books later ones as `"other"`.

    Args:
        registry: where to register; default the client's global registry.
        namespace: prefix of every metric name.
        buckets: upper bounds of the histograms in seconds, ascending.
        max_label_values: distinct values per label.

    Raises:
        MissingExtra: if `prometheus-client` is not installed.
        ConfigError: if a bound is below 1, or the registry already holds these metrics.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> from agentperf_core.telemetry import Recorder
        >>> registry = CollectorRegistry()
        >>> recorder = Recorder(sinks=[PrometheusSink(registry)])
        >>> with recorder.span("agent", "support"):
        ...     pass
        >>> registry.get_sample_value("agentperf_runs_total", {"status": "ok"})
        1.0
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        namespace: str = "agentperf",
        buckets: Sequence[float] = _SECONDS,
        max_label_values: int = 100,
    ) -> None:
        client = require("prometheus_client", extra="prometheus", purpose="the Prometheus sink")
        if max_label_values < 1:
            msg = f"max_label_values must be >= 1, got {max_label_values!r}; leave it out for 100"
            raise ConfigError(msg)
        self._limit = max_label_values
        self._seen: dict[str, set[str]] = {}
        # Re-entrant: the garbage collector may end an abandoned stream, and its span, in here.
        self._lock = threading.RLock()
        registry = client.REGISTRY if registry is None else registry
        where = {"namespace": namespace, "registry": registry}
        times = {**where, "buckets": tuple(buckets)}

        def counter(name: str, text: str, *labels: str) -> Any:
            return client.Counter(name, text, labels, **where)

        def histogram(name: str, text: str, *labels: str) -> Any:
            return client.Histogram(name, text, labels, **times)

        try:
            self._runs = counter("runs", "Finished agent runs.", "status")
            self._run_s = histogram("run_seconds", "Wall time of a run.")
            self._llm_s = histogram("llm_seconds", "Wall time of a model call.", "model")
            self._ttft_s = histogram("llm_ttft_seconds", "Time to first token.", "model")
            self._tokens = counter(
                "tokens", "Tokens of calls made, in buckets that do not overlap.", "model", "bucket"
            )
            self._cost = counter("cost_usd", "Price of calls made, in USD.", "model")
            self._unpriced = counter("unpriced_calls", "Calls without a known price.", "model")
            self._hits = counter("cache_hits", "Answers that came from a cache.", "of")
            self._tool_s = histogram("tool_seconds", "Wall time of a tool call.", "tool")
            self._errors = counter("errors", "Spans that ended with an error.", "kind", "type")
        except ValueError as error:
            msg = (
                f"one registry holds one sink per namespace, got {namespace!r} again; "
                "reuse the sink or pass another namespace"
            )
            raise ConfigError(msg) from error

    def emit(self, trace: Trace) -> None:
        """Count one run."""
        self._runs.labels(trace.root.status).inc()
        self._run_s.observe(trace.seconds)
        for span in trace.spans:
            if span.kind is SpanKind.LLM:
                self._call(span)
                self._bill(span)
            elif span.kind is SpanKind.EMBEDDING:
                self._bill(span)
            elif span.kind is SpanKind.TOOL:
                self._tool_s.labels(self._bounded("tool", span.name)).observe(span.seconds)
            elif span.kind is SpanKind.CACHE:
                of = str((span.cache or {}).get("of", "llm"))
                self._hits.labels(self._bounded("of", of)).inc()
            if span.status == "error":
                self._errors.labels(
                    span.kind.value, self._bounded("type", error_type(span.error))
                ).inc()

    def _call(self, span: Span) -> None:
        model = self._bounded("model", span.model or span.name)
        self._llm_s.labels(model).observe(span.seconds)
        if span.ttft_s is not None:
            self._ttft_s.labels(model).observe(span.ttft_s)

    def _bill(self, span: Span) -> None:
        usage = span.usage
        if usage is None:
            return
        model = self._bounded("model", span.model or span.name)
        amounts = {
            "uncached_input": usage.uncached_input_tokens,
            "cached_input": usage.cached_input_tokens,
            "cache_write": usage.cache_write_tokens,
            "visible_output": usage.output_tokens - usage.reasoning_tokens,
            "reasoning_output": usage.reasoning_tokens,
        }
        for bucket, amount in amounts.items():
            if amount:
                self._tokens.labels(model, bucket).inc(amount)
        if span.cost_usd is None:
            self._unpriced.labels(model).inc()
        else:
            self._cost.labels(model).inc(float(span.cost_usd))

    def _bounded(self, label: str, value: str) -> str:
        """The value itself while the label has room for it, else `OVERFLOW`."""
        short = clean(value, 100)
        with self._lock:
            seen = self._seen.setdefault(label, set())
            if short not in seen:
                if len(seen) >= self._limit:
                    return OVERFLOW
                seen.add(short)
        return short
