"""Hand-made and random span trees for the tests of this room."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from agentperf_core.telemetry import Span, SpanKind, Trace
from agentperf_core.types import Usage

__all__ = ["agent_like_langchain", "agent_like_llamaindex", "random_traces", "span", "trace"]


def span(
    id: str,  # noqa: A002 - the field's own name
    parent: str | None,
    start: float,
    end: float,
    kind: SpanKind = SpanKind.CHAIN,
    **fields: Any,
) -> Span:
    """A span with its times in seconds; LLM spans get a model and tokens unless told otherwise."""
    if kind is SpanKind.LLM:
        fields = {
            "model": "big",
            "usage": Usage(uncached_input_tokens=100, output_tokens=10),
            **fields,
        }
    return Span(
        id=id,
        parent_id=parent,
        kind=kind,
        name=fields.pop("name", id),
        start_ns=round(start * 1e9),
        end_ns=round(end * 1e9),
        **fields,
    )


def trace(*spans: Span, id: str = "run", dropped: int = 0) -> Trace:  # noqa: A002 - same
    return Trace(id=id, started_at=1_700_000_000.0, spans=spans, dropped=dropped)


def agent_like_langchain(*, serial: bool) -> Trace:
    """Two turns of `create_agent`: each tool call hangs under a `tools` node of its own."""
    second, third, end = (3.0, 4.0, 5.0) if serial else (2.0, 3.0, 4.0)
    return trace(
        span("agent", None, 0, end, SpanKind.AGENT),
        span("model-1", "agent", 0, 1),
        span("llm-1", "model-1", 0, 1, SpanKind.LLM),
        span("tools-1", "agent", 1, 3),
        span("order", "tools-1", 1, 3, SpanKind.TOOL),
        span("tools-2", "agent", second, second + 1),
        span("stock", "tools-2", second, second + 1, SpanKind.TOOL),
        span("model-2", "agent", max(third, 3), max(third, 3) + 1),
        span("llm-2", "model-2", max(third, 3), max(third, 3) + 1, SpanKind.LLM),
    )


def agent_like_llamaindex(*, serial: bool) -> Trace:
    """The same two turns as LlamaIndex workflow steps: tools two levels down, steps in between."""
    second = 3.0 if serial else 1.0
    last = 4.0 if serial else 3.0
    return trace(
        span("workflow", None, 0, last + 1, SpanKind.AGENT),
        span("run-step-1", "workflow", 0, 1),
        span("llm-1", "run-step-1", 0, 1, SpanKind.LLM),
        span("call-tool-1", "workflow", 1, 3),
        span("acall-1", "call-tool-1", 1, 3),
        span("order", "acall-1", 1, 3, SpanKind.TOOL),
        span("call-tool-2", "workflow", second, second + 1),
        span("acall-2", "call-tool-2", second, second + 1),
        span("stock", "acall-2", second, second + 1, SpanKind.TOOL),
        span("run-step-2", "workflow", last, last + 1),
        span("llm-2", "run-step-2", last, last + 1, SpanKind.LLM),
    )


@st.composite
def random_traces(draw: st.DrawFn, *, contained: bool = False, max_spans: int = 12) -> Trace:
    """Trees with ties, zero lengths, overlaps, and (unless `contained`) children that live on."""
    root_end = draw(st.integers(0, 40))
    made = [span("0", None, 0, 0)]
    rows: list[tuple[int, int, int, SpanKind]] = [(-1, 0, root_end, SpanKind.AGENT)]
    for _ in range(draw(st.integers(0, max_spans - 1))):
        parent = draw(st.integers(0, len(rows) - 1))
        low, high = rows[parent][1], rows[parent][2]
        start = draw(st.integers(low, high))
        end = draw(st.integers(start, high if contained else high + 10))
        rows.append((parent, start, end, draw(st.sampled_from(SpanKind))))
    made = [
        Span(
            id=str(index),
            parent_id=str(parent) if parent >= 0 else None,
            kind=kind,
            name=f"{kind}-{index}",
            start_ns=start,
            end_ns=end,
            status=draw(st.sampled_from(["ok", "error", "cancelled", "unfinished"])),
        )
        for index, (parent, start, end, kind) in enumerate(rows)
    ]
    return trace(*sorted(made, key=lambda s: s.start_ns))
