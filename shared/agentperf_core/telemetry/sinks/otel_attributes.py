"""A span of ours in the words of OpenTelemetry: name, kind of operation, attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from agentperf_core.telemetry.report._format import error_type
from agentperf_core.telemetry.sinks.otel_names import PROVIDERS, Convention
from agentperf_core.telemetry.spans import Span, SpanKind

__all__ = [
    "Attributes",
    "failure",
    "metric_attributes",
    "operation",
    "span_attributes",
    "span_name",
]

Attributes: TypeAlias = dict[str, "str | bool | int | float | list[str]"]

_OPERATIONS: Mapping[SpanKind, str] = {
    SpanKind.AGENT: "invoke_agent",
    SpanKind.LLM: "chat",
    SpanKind.EMBEDDING: "embeddings",
    SpanKind.RETRIEVER: "retrieval",
    SpanKind.TOOL: "execute_tool",
}


def operation(span: Span) -> str | None:
    """The convention's name of what the span does, `None` where it names nothing of the sort."""
    return _OPERATIONS.get(span.kind)


def span_name(span: Span) -> str:
    """`chat {model}`, `execute_tool {name}`, `invoke_agent {name}`; ours keep their kind first."""
    if span.kind is SpanKind.CHAIN:
        return span.name
    subject = span.model or span.name if _calls_a_model(span) else span.name
    return f"{operation(span) or span.kind.value} {subject}".strip()


def metric_attributes(span: Span) -> Attributes:
    """What a model call's measurements are split by."""
    found: Attributes = {
        "gen_ai.operation.name": operation(span) or span.kind.value,
        # Required by the convention, so an unknown provider has to be said in so many words.
        "gen_ai.provider.name": _provider(span.provider),
    }
    if span.model is not None:
        found["gen_ai.request.model"] = span.model
    return found | failure(span)


def failure(span: Span) -> Attributes:
    """`error.type` of a span that failed, nothing otherwise."""
    return {"error.type": error_type(span.error)} if span.status == "error" else {}


def span_attributes(span: Span, names: Convention, critical_s: float) -> Attributes:
    """Everything a span says, without prompts and without the error's message."""
    found: Attributes = {"agentperf.kind": span.kind.value, **_what(span), **failure(span)}
    if _calls_a_model(span):
        found |= _call(span, names)
    if span.cache is not None:
        found |= _cache(span)
    if span.status in {"cancelled", "unfinished"}:
        found["agentperf.status"] = span.status
    if critical_s:
        found["agentperf.critical_path_s"] = critical_s
    for key, value in span.attributes.items():
        if key not in _STANDARD and isinstance(value, str | bool | int | float):
            found[f"agentperf.{key}"] = value
    return found


def _what(span: Span) -> Attributes:
    name = operation(span)
    found: Attributes = {"gen_ai.operation.name": name} if name is not None else {}
    if span.kind is SpanKind.AGENT:
        found["gen_ai.agent.name"] = span.name
    elif span.kind is SpanKind.TOOL:
        found["gen_ai.tool.name"] = span.name
    for key, standard in _STANDARD.items():
        value = span.attributes.get(key)
        if value is not None:
            found[standard] = _strings(value) if standard.endswith("reasons") else str(value)
    return found


def _call(span: Span, names: Convention) -> Attributes:
    found = metric_attributes(span)
    if span.streamed:
        found["gen_ai.request.stream"] = True
    if span.ttft_s is not None:
        found["gen_ai.response.time_to_first_chunk"] = span.ttft_s
    if span.cost_usd is not None:
        found["agentperf.cost_usd"] = float(span.cost_usd)
    usage = span.usage
    if usage is None:
        return found
    found["gen_ai.usage.input_tokens"] = usage.input_tokens
    if span.kind is SpanKind.LLM:
        found["gen_ai.usage.output_tokens"] = usage.output_tokens
    applicable = {
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
        names.cache_write: usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    found |= {key: value for key, value in applicable.items() if value}
    if usage.estimated:
        found["agentperf.usage.estimated"] = True
    return found


def _cache(span: Span) -> Attributes:
    """A hit is no client inference: none of its figures may appear under the standard names."""
    found: Attributes = {}
    for key, value in (span.cache or {}).items():
        if isinstance(value, str | bool | int | float):
            found[f"agentperf.cache.{key}"] = value
    if span.model is not None:
        found["agentperf.cache.model"] = span.model
    if span.usage is not None:
        found["agentperf.cache.saved_input_tokens"] = span.usage.input_tokens
        found["agentperf.cache.saved_output_tokens"] = span.usage.output_tokens
    return found


# Our span attributes that the convention has a name for.
_STANDARD: Mapping[str, str] = {
    "finish_reason": "gen_ai.response.finish_reasons",
    "finish_reasons": "gen_ai.response.finish_reasons",
    "response_id": "gen_ai.response.id",
    "response_model": "gen_ai.response.model",
    "conversation_id": "gen_ai.conversation.id",
    "tool_call_id": "gen_ai.tool.call.id",
}


def _calls_a_model(span: Span) -> bool:
    return span.kind in {SpanKind.LLM, SpanKind.EMBEDDING}


def _provider(name: str | None) -> str:
    if not name:
        return "unknown"
    return PROVIDERS.get(name.lower(), name.lower())


def _strings(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
