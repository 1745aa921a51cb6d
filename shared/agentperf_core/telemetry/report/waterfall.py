"""One run as an inline SVG waterfall: a row per span, the critical path underlined."""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentperf_core.telemetry.analysis import Segment, critical_path
from agentperf_core.telemetry.report import _format as fmt
from agentperf_core.telemetry.spans import Span, SpanKind, Trace

__all__ = ["MAX_ROWS", "Row", "choose_rows", "ticks", "waterfall"]

MAX_ROWS = 60

_WIDTH = 900
_LABEL = 266.0
_LEFT = 278.0
_RIGHT = 806.0
_HEAD = 26
_ROW = 24
_BAR = 13
_INDENT = 12
_DEPTHS = 8
_CHAR = 6.7
_MINUTES = (30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the drawing: a span and how deep it hangs in the tree."""

    span: Span
    depth: int


def choose_rows(trace: Trace, limit: int = MAX_ROWS) -> list[Row]:
    """The spans to draw, in the order of the tree; the shortest go first when there are too many.

    A span is drawn only with all its ancestors, so the tree never has a hole.
    """
    by_id = {span.id: span for span in trace.spans}
    keep: set[str] = {trace.root.id}
    for span in sorted(trace.spans, key=lambda s: s.start_ns - s.end_ns):
        path = _path(span, by_id, trace.root)
        missing = [step for step in path if step not in keep]
        if len(keep) + len(missing) <= limit:
            keep.update(missing)
    children = trace.children()
    rows: list[Row] = []
    todo = [Row(trace.root, 0)]
    while todo:
        row = todo.pop()
        if row.span.id in keep:
            rows.append(row)
            todo.extend(
                Row(child, row.depth + 1) for child in reversed(children.get(row.span.id, ()))
            )
    return rows


def ticks(length_s: float, most: int = 8) -> list[float]:
    """Round times from 0 to `length_s`: steps of 1, 2 or 5 times a power of ten, whole minutes.

    Example:
        >>> ticks(4.1)
        [0.0, 1.0, 2.0, 3.0, 4.0]
        >>> ticks(200)
        [0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0]
        >>> ticks(0)
        [0.0]
    """
    if length_s <= 0:
        return [0.0]
    raw = length_s / most
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [power * factor for factor in (1, 2, 5, 10)]
    if 20 < raw <= _MINUTES[-1]:
        steps = list(_MINUTES)
    step = next(step for step in steps if step >= raw * 0.9999)
    return [index * step for index in range(math.floor(length_s / step * 1.0001) + 1)]


def waterfall(trace: Trace, *, label: str, limit: int = MAX_ROWS) -> tuple[str, int]:
    """The drawing, and how many spans it leaves out.

    Args:
        trace: the run.
        label: what a screen reader says of the picture.
        limit: rows at most.
    """
    rows = choose_rows(trace, limit)
    on_path: dict[str, list[Segment]] = {}
    for segment in critical_path(trace):
        on_path.setdefault(segment.span.id, []).append(segment)
    scale = _Scale(trace)
    height = _HEAD + len(rows) * _ROW + 4
    told = html.escape(fmt.clean(label, 300))
    head = f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{told}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {head}>',
        *_axis(scale, height),
        *(_row(row, index, scale, on_path) for index, row in enumerate(rows)),
        "</svg>",
    ]
    return "\n".join(parts), len(trace.spans) - len(rows)


class _Scale:
    """Nanoseconds of the trace to x positions; children may outlive their root."""

    def __init__(self, trace: Trace) -> None:
        self.start_ns = min(span.start_ns for span in trace.spans)
        self.end_ns = max(*(span.end_ns for span in trace.spans), self.start_ns)

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    def x(self, at_ns: int) -> float:
        length = self.end_ns - self.start_ns
        part = (at_ns - self.start_ns) / length if length else 0.0
        return _LEFT + min(max(part, 0.0), 1.0) * (_RIGHT - _LEFT)


def _path(span: Span, by_id: Mapping[str, Span], root: Span) -> list[str]:
    path = [span.id]
    while span.parent_id is not None and span.parent_id in by_id:
        span = by_id[span.parent_id]
        path.append(span.id)
    return [*path, root.id]


def _axis(scale: _Scale, height: int) -> Iterator[str]:
    for at in ticks(scale.seconds):
        x = scale.x(scale.start_ns + round(at * 1e9))
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD - 4}" y2="{height}"/>'
        yield f'<text class="muted mid" x="{x:.1f}" y="14">{_tick_label(at)}</text>'


def _tick_label(at: float) -> str:
    if at == 0:
        return "0"
    return f"{at * 1e3:.3g} ms" if at < 1 else f"{at:.4g} s" if at < 60 else fmt.seconds(at)


def _row(row: Row, index: int, scale: _Scale, on_path: Mapping[str, Sequence[Segment]]) -> str:
    span = row.span
    y = _HEAD + index * _ROW
    segments = on_path.get(span.id, ())
    left = scale.x(span.start_ns)
    width = max(scale.x(span.end_ns) - left, 2.0)
    failed = span.status == "error"
    mark = "&#10005; " if failed else ""
    style = ' class="bad"' if failed else ""
    bar = f'x="{left:.1f}" y="{y + 4}" width="{width:.1f}" height="{_BAR}"'
    text = f"{mark}{fmt.seconds(span.seconds)}"
    return "\n".join(
        [
            f"<g><title>{html.escape(_tooltip(span, scale, segments))}</title>",
            f'<rect class="hover" x="0" y="{y}" width="{_WIDTH}" height="{_ROW}" rx="3"/>',
            _label(row, y, style),
            f'<rect class="k-{span.kind.value}" {bar} rx="2"/>',
            *_marks(span, y, left, width, scale),
            *(_underline(segment, y, scale) for segment in segments),
            f'<text{style} x="{left + width + 6:.1f}" y="{y + 15}">{text}</text></g>',
        ]
    )


def _label(row: Row, y: int, style: str) -> str:
    x = min(row.depth, _DEPTHS) * _INDENT
    kind = row.span.kind.value
    room = _LABEL - x - len(kind) * 6 - 14
    name = html.escape(_fit(fmt.clean(row.span.name, 400), room))
    return (
        f'<text{style} x="{x}" y="{y + 15}">{name}</text>'
        f'<text class="muted end" x="{_LABEL:.0f}" y="{y + 15}">{kind}</text>'
    )


def _marks(span: Span, y: int, left: float, width: float, scale: _Scale) -> Iterator[str]:
    """Inside the bar: the wait for the first token; around it: how the span ended."""
    if span.kind is SpanKind.LLM and span.chunk_ns:
        first = min(scale.x(span.start_ns + span.chunk_ns[0]), left + width)
        yield (
            f'<rect class="wait" x="{left:.1f}" y="{y + 4}" width="{max(first - left, 0):.1f}" '
            f'height="{_BAR}"/>'
            f'<rect class="tick" x="{first - 1.5:.1f}" y="{y + 2}" width="3" height="{_BAR + 4}"/>'
        )
    if span.status != "ok":
        style = "fault" if span.status == "error" else "open"
        yield (
            f'<rect class="{style}" x="{left - 1:.1f}" y="{y + 3}" width="{width + 2:.1f}" '
            f'height="{_BAR + 2}" rx="3"/>'
        )


def _underline(segment: Segment, y: int, scale: _Scale) -> str:
    left, right = scale.x(segment.start_ns), scale.x(segment.end_ns)
    return (
        f'<rect class="critical" x="{left:.1f}" y="{y + _BAR + 5.5}" '
        f'width="{max(right - left, 1.0):.1f}" height="3.5"/>'
    )


def _fit(text: str, room: float) -> str:
    """Cut a name to the room it has; SVG text neither wraps nor shortens itself."""
    used = 0.0
    for index, char in enumerate(text):
        used += _CHAR * (2 if unicodedata.east_asian_width(char) in "WF" else 1)
        if used > room:
            return text[: max(index - 1, 1)].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return text


def _tooltip(span: Span, scale: _Scale, segments: Sequence[Segment]) -> str:
    after = fmt.seconds((span.start_ns - scale.start_ns) / 1e9)
    lines = [
        f"{fmt.clean(span.name)} ({span.kind.value})",
        f"{fmt.seconds(span.seconds)}, starts at {after}",
    ]
    if segments:
        waited = sum(segment.seconds for segment in segments)
        lines.append(f"on the critical path for {fmt.seconds(waited)}")
    if span.model is not None and span.model != span.name:
        lines.append(f"model {fmt.clean(span.model)}")
    if span.ttft_s is not None:
        lines.append(f"first token after {fmt.seconds(span.ttft_s)}, {span.chunks} chunks")
    if span.usage is not None:
        cached = span.usage.cached_input_tokens
        note = f" ({fmt.count(cached)} cached)" if cached else ""
        saved = "saved " if span.cache is not None else ""
        lines.append(
            f"{saved}{fmt.count(span.usage.input_tokens)} tokens in{note}, "
            f"{fmt.output_tokens(span.usage)}"
        )
    if span.cost_usd is not None:
        lines.append(fmt.usd(span.cost_usd))
    if span.error is not None:
        lines.append(fmt.clean(span.error))
    elif span.status != "ok":
        lines.append(span.status)
    return "\n".join(lines)
