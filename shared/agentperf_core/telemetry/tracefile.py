"""Traces as JSON that survives being cut in half: valid JSON, one span per line.

The file is one JSON document, but every line between the first and the last is a span on its own
(the JSONL sink writes just such lines), so a reader needs no more than the lines that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import orjson

from agentperf_core.errors import TraceFileError
from agentperf_core.telemetry.spans import Span, SpanKind, Trace
from agentperf_core.types import Usage

__all__ = ["dumps", "load", "loads", "trace_lines"]

_HEAD = '{"format":"agentperf-trace","version":1,"spans":['
_TAIL = "]}"
_USAGE_FIELDS = tuple(Usage.__dataclass_fields__)


def dumps(traces: Iterable[Trace]) -> str:
    """All traces as one JSON document."""
    lines = [line for trace in traces for line in trace_lines(trace)]
    return "\n".join([_HEAD, ",\n".join(lines), _TAIL, ""]) if lines else f"{_HEAD}\n{_TAIL}\n"


def trace_lines(trace: Trace) -> list[str]:
    """One JSON object per span; the root's line carries what belongs to the run."""
    lines: list[str] = []
    for index, span in enumerate(trace.spans):
        record = {"trace": trace.id, **_span_record(span)}
        if index == 0:
            record["started_at"] = trace.started_at
            record["dropped"] = trace.dropped
        lines.append(orjson.dumps(record, default=str).decode())
    return lines


def load(path: Path) -> tuple[Trace, ...]:
    """Read a trace file; see `loads`."""
    return _read(path.read_text(encoding="utf-8", errors="replace"), path)


def loads(text: str | bytes) -> tuple[Trace, ...]:
    """Read what `dumps` or the JSONL sink wrote.

    Raises:
        TraceFileError: at the first line that cannot be read, with the traces before it.
    """
    return _read(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, None)


def _read(text: str, path: Path | None) -> tuple[Trace, ...]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    lines = text.split("\n")
    is_document = text.startswith('{"format"')
    if is_document and lines[0] != _HEAD:
        raise _broken(path, 1, "is not an agentperf trace of version 1", found)
    closed = not is_document
    for number, line in enumerate(lines, start=1):
        if not line or (is_document and number == 1):
            continue
        if is_document and line == _TAIL:
            closed = True
            continue
        try:
            record = cast("Mapping[str, Any]", orjson.loads(line.removesuffix(",")))
            _span(record)
            found.setdefault(record["trace"], []).append(record)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise _broken(path, number, "is not a whole span", found) from error
    if not closed:
        raise _broken(path, len(lines), "ends before the trace is closed", found)
    return _traces(found)


def _broken(
    path: Path | None, line: int, what: str, found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> TraceFileError:
    kept = _traces(found)
    spans = sum(len(trace.spans) for trace in kept)
    msg = (
        f"line {line} of {str(path) if path else 'the trace'} {what}; "
        f"the {len(kept)} runs ({spans} spans) before it were kept in .kept"
    )
    return TraceFileError(msg, path=path, line=line, kept=kept)


def _traces(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[Trace, ...]:
    return tuple(
        Trace(
            id=trace_id,
            started_at=records[0].get("started_at", 0.0),
            dropped=records[0].get("dropped", 0),
            spans=tuple(_span(record) for record in records),
        )
        for trace_id, records in found.items()
    )


def _span_record(span: Span) -> dict[str, Any]:
    """Every field that differs from its default; numbers stay numbers, money is a string."""
    record: dict[str, Any] = {
        "id": span.id,
        "parent_id": span.parent_id,
        "kind": span.kind.value,
        "name": span.name,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "status": span.status,
    }
    for name in ("error", "model", "provider", "cache"):
        if getattr(span, name) is not None:
            record[name] = getattr(span, name)
    if span.usage is not None:
        record["usage"] = {name: getattr(span.usage, name) for name in _USAGE_FIELDS}
    if span.cost_usd is not None:
        record["cost_usd"] = str(span.cost_usd)
    if span.chunks:
        record |= {"chunks": span.chunks, "chunk_ns": list(span.chunk_ns)}
    if span.attributes:
        record["attributes"] = dict(span.attributes)
    return record


def _span(record: Mapping[str, Any]) -> Span:
    usage = record.get("usage")
    cost = record.get("cost_usd")
    return Span(
        id=record["id"],
        parent_id=record["parent_id"],
        kind=SpanKind(record["kind"]),
        name=record["name"],
        start_ns=int(record["start_ns"]),
        end_ns=int(record["end_ns"]),
        status=record["status"],
        error=record.get("error"),
        model=record.get("model"),
        provider=record.get("provider"),
        usage=Usage(**usage) if usage is not None else None,
        cost_usd=Decimal(cost) if cost is not None else None,
        chunk_ns=tuple(record.get("chunk_ns", ())),
        chunks=record.get("chunks", 0),
        cache=record.get("cache"),
        attributes=record.get("attributes", {}),
    )
