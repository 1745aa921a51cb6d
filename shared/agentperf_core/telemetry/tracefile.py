"""Traces as JSON that survives being cut in half: valid JSON, one span per line.

The file is one JSON document, but every line between the first and the last is a span on its own
(the JSONL sink writes just such lines), so a reader needs no more than the lines that are there.
The first line of a run says how many spans it has, so that a file of lines cut inside a run shows.
What it cannot see: a file of lines that was cut between two runs is a whole file of fewer runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Any, cast, get_args

import orjson

from agentperf_core.errors import TraceFileError
from agentperf_core.telemetry.spans import Span, SpanKind, Status, Trace
from agentperf_core.types import Usage

__all__ = ["dumps", "load", "loads", "trace_lines"]

_HEAD = '{"format":"agentperf-trace","version":1,"spans":['
_TAIL = "]}"
_STATUSES = get_args(Status)
_TYPES: Mapping[str, type | UnionType] = {
    "trace": str,
    "id": str,
    "parent_id": str | None,
    "name": str,
    "start_ns": int,
    "end_ns": int,
    "error": str | None,
    "model": str | None,
    "provider": str | None,
    "cost_usd": str,
    "chunks": int,
    "cache": dict,
    "attributes": dict,
    "started_at": float | int,
    "dropped": int,
    "spans": int,
}


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
            record["spans"] = len(trace.spans)
        lines.append(_json(record))
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


class _Found:
    """The runs read so far; a line with `started_at` begins a run, even under a used id."""

    def __init__(self) -> None:
        self._runs: list[tuple[Mapping[str, Any], list[Span]]] = []
        self._latest: dict[str, tuple[list[Span], set[str | None]]] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        span, trace_id = _span(record), record["trace"]
        if "started_at" in record or trace_id not in self._latest:
            self._latest[trace_id] = ([], set())
            self._runs.append((record, self._latest[trace_id][0]))
        spans, mentioned = self._latest[trace_id]
        mentioned.add(span.parent_id)
        if span.id in mentioned:
            # Whoever walks the tree relies on it: parents first, no id twice, so no circle.
            msg = f"span {span.id!r:.40} comes twice or after its child"
            raise ValueError(msg)
        mentioned.add(span.id)
        spans.append(span)

    def torn(self) -> bool:
        """Whether a run has fewer spans than its first line promises."""
        return any(len(spans) < head.get("spans", 0) for head, spans in self._runs)

    def traces(self) -> tuple[Trace, ...]:
        return tuple(
            Trace(
                id=head["trace"],
                started_at=head.get("started_at", 0.0),
                dropped=head.get("dropped", 0),
                spans=tuple(spans),
            )
            for head, spans in self._runs
        )


def _read(text: str, path: Path | None) -> tuple[Trace, ...]:
    found = _Found()
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
            found.add(_record(line.removesuffix(",")))
        except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise _broken(path, number, "is not a whole span", found) from error
    if not text.strip() or not closed or found.torn():
        raise _broken(path, len(lines), "ends before the trace is closed", found)
    return found.traces()


def _broken(path: Path | None, line: int, what: str, found: _Found) -> TraceFileError:
    kept = found.traces()
    spans = sum(len(trace.spans) for trace in kept)
    msg = (
        f"line {line} of {str(path) if path else 'the trace'} {what}; "
        f"the {len(kept)} runs ({spans} spans) before it were kept in .kept"
    )
    return TraceFileError(msg, path=path, line=line, kept=kept)


def _json(record: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Integers beyond 64 bits and broken Unicode, which attributes and errors may hold.
        return json.dumps(record, default=str, skipkeys=True)


def _record(line: str) -> Mapping[str, Any]:
    try:
        return cast("Mapping[str, Any]", orjson.loads(line))
    except orjson.JSONDecodeError:
        return cast("Mapping[str, Any]", json.loads(line))


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
        record["usage"] = span.usage.as_dict()
    if span.cost_usd is not None:
        record["cost_usd"] = str(span.cost_usd)
    if span.chunks or span.chunk_ns:
        record |= {"chunks": span.chunks, "chunk_ns": list(span.chunk_ns)}
    if span.attributes:
        record["attributes"] = dict(span.attributes)
    return record


def _span(record: Mapping[str, Any]) -> Span:
    for name, kind in _TYPES.items():
        if name in record and not isinstance(record[name], kind):
            msg = f"{name} of a span cannot be {record[name]!r:.40}"
            raise TypeError(msg)
    if record["status"] not in _STATUSES:
        msg = f"unknown status {record['status']!r}"
        raise ValueError(msg)
    chunk_ns = tuple(record.get("chunk_ns", ()))
    if not all(isinstance(ns, int) for ns in chunk_ns):
        msg = f"chunk_ns of a span cannot be {chunk_ns!r:.40}"
        raise TypeError(msg)
    usage = record.get("usage")
    cost = record.get("cost_usd")
    return Span(
        id=record["id"],
        parent_id=record["parent_id"],
        kind=SpanKind(record["kind"]),
        name=record["name"],
        start_ns=record["start_ns"],
        end_ns=record["end_ns"],
        status=record["status"],
        error=record.get("error"),
        model=record.get("model"),
        provider=record.get("provider"),
        usage=Usage(**usage) if usage is not None else None,
        cost_usd=Decimal(cost) if cost is not None else None,
        chunk_ns=chunk_ns,
        chunks=record.get("chunks", 0),
        cache=record.get("cache"),
        attributes=record.get("attributes", {}),
    )
