"""What the span tree says: self time, the critical path, and parallelism that was lost.

The critical path is the backward last-finisher walk: from the end of the run, go to the child that
finished last, from its start to the child that finished last before it, and so on; what no child
covers belongs to the parent. Every nanosecond of the run is attributed to exactly one span, so the
shares add up to the wall time, however many branches ran in parallel.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agentperf_core.telemetry.spans import Span, SpanKind, Trace

__all__ = [
    "KindShare",
    "Segment",
    "breakdown",
    "critical_path",
    "parallelism_lost_s",
    "self_ns",
    "steps",
    "tool_groups",
    "turns_of",
]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the critical path, in nanoseconds of the trace's clock."""

    span: Span
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Length of the stretch."""
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class KindShare:
    """Time of one kind of span, over one or more runs, in seconds.

    Attributes:
        kind: the kind.
        spans: how many there were.
        busy_s: the sum of their wall times (parallel spans add up).
        self_s: the sum of the time in which none of their children ran.
        critical_s: the time during which the run waited for this kind; sums to the wall time.
        share: `critical_s` as a part of the wall time, 0 for runs of zero length.
    """

    kind: SpanKind
    spans: int
    busy_s: float
    self_s: float
    critical_s: float
    share: float


def critical_path(trace: Trace) -> tuple[Segment, ...]:
    """The chain of stretches that determined the run's length, in order of time.

    Their lengths sum exactly to the wall time of the root. Empty for a run of zero length.
    """
    children = trace.children()
    for siblings in children.values():
        siblings.sort(key=lambda span: span.end_ns, reverse=True)
    found: list[Segment] = []
    todo = [(trace.root, trace.root.start_ns, trace.root.end_ns)]
    while todo:
        span, start, end = todo.pop()
        cursor = end
        for child in children.get(span.id, ()):
            child_end = min(child.end_ns, cursor)
            if child_end <= start or child.start_ns >= cursor or child.start_ns >= child_end:
                continue
            if child_end < cursor:
                found.append(Segment(span, child_end, cursor))
            child_start = max(child.start_ns, start)
            todo.append((child, child_start, child_end))
            cursor = child_start
            if cursor <= start:
                break
        if cursor > start:
            found.append(Segment(span, start, cursor))
    return tuple(sorted(found, key=lambda segment: segment.start_ns))


def self_ns(trace: Trace) -> dict[str, int]:
    """Per span id, the nanoseconds in which none of its children ran."""
    children = trace.children()
    return {
        span.id: max(span.end_ns - span.start_ns, 0) - _covered(span, children.get(span.id, ()))
        for span in trace.spans
    }


def breakdown(traces: Iterable[Trace]) -> tuple[KindShare, ...]:
    """Time per kind over all runs, the largest share of the critical path first."""
    count: dict[SpanKind, int] = {}
    busy: dict[SpanKind, int] = {}
    own: dict[SpanKind, int] = {}
    critical: dict[SpanKind, int] = {}
    wall = 0
    for trace in traces:
        wall += trace.root.end_ns - trace.root.start_ns
        own_ns = self_ns(trace)
        for span in trace.spans:
            kind = span.kind
            count[kind] = count.get(kind, 0) + 1
            busy[kind] = busy.get(kind, 0) + span.end_ns - span.start_ns
            own[kind] = own.get(kind, 0) + own_ns[span.id]
        for segment in critical_path(trace):
            kind = segment.span.kind
            critical[kind] = critical.get(kind, 0) + segment.end_ns - segment.start_ns
    shares = (
        KindShare(
            kind=kind,
            spans=count[kind],
            busy_s=busy[kind] / 1e9,
            self_s=own[kind] / 1e9,
            critical_s=critical.get(kind, 0) / 1e9,
            share=critical.get(kind, 0) / wall if wall else 0.0,
        )
        for kind in count
    )
    return tuple(sorted(shares, key=lambda share: (-share.critical_s, -share.busy_s, share.kind)))


def turns_of(trace: Trace) -> list[Span]:
    """The model turns of a run, cached ones included, in order of start."""
    return [span for span in trace.spans if _is_model_turn(span)]


def steps(trace: Trace) -> int:
    """How many model turns the run took, cached ones included."""
    return len(turns_of(trace))


def tool_groups(trace: Trace) -> list[list[Span]]:
    """Tool calls that one model turn asked for together, in order of start.

    Frameworks hang each call under a node of its own, so siblings are found by time: all tools of
    one agent that start after the same model turn and before the next one.
    """
    places = _places(trace)
    turns: dict[str, list[int]] = {}
    groups: dict[tuple[str, int], list[Span]] = {}
    for span in trace.spans:
        agent, in_tool = places[span.id]
        # A model that a tool calls is no turn of the agent.
        if _is_model_turn(span) and not in_tool:
            turns.setdefault(agent, []).append(span.start_ns)
    for span in trace.spans:
        agent, in_tool = places[span.id]
        if _is_tool_call(span) and not in_tool:
            # Spans are in order of start, so each agent's turns are, too.
            turn = bisect_right(turns.get(agent, ()), span.start_ns)
            groups.setdefault((agent, turn), []).append(span)
    return list(groups.values())


def parallelism_lost_s(groups: Sequence[Sequence[Span]]) -> float:
    """Seconds by which tool calls of one turn took longer together than the longest of them."""
    lost = 0
    for group in groups:
        if len(group) > 1:
            makespan = max(s.end_ns for s in group) - min(s.start_ns for s in group)
            lost += makespan - max(s.end_ns - s.start_ns for s in group)
    return max(lost, 0) / 1e9


def _covered(span: Span, children: Iterable[Span]) -> int:
    covered, cursor = 0, span.start_ns
    for child in sorted(children, key=lambda c: c.start_ns):
        start = max(child.start_ns, cursor)
        end = min(child.end_ns, span.end_ns)
        if end > start:
            covered += end - start
            cursor = end
    return covered


def _is_model_turn(span: Span) -> bool:
    if span.kind is SpanKind.LLM:
        return True
    return span.kind is SpanKind.CACHE and (span.cache or {}).get("of", "llm") == "llm"


def _is_tool_call(span: Span) -> bool:
    if span.kind is SpanKind.TOOL:
        return True
    return span.kind is SpanKind.CACHE and (span.cache or {}).get("of") == "tool"


class _Place(NamedTuple):
    """Where a span is: the agent (or root) it works for, and whether a tool of it called it."""

    agent: str
    in_tool: bool


def _places(trace: Trace) -> dict[str, _Place]:
    by_id = {span.id: span for span in trace.spans}
    places: dict[str, _Place] = {}
    # Parents come before their children; one that is missing from a torn file counts as the root.
    for span in trace.spans:
        parent = by_id.get(span.parent_id) if span.parent_id is not None else None
        if parent is None or parent.kind is SpanKind.AGENT or parent.id not in places:
            places[span.id] = _Place((parent or span).id, in_tool=False)
        else:
            above = places[parent.id]
            places[span.id] = _Place(above.agent, above.in_tool or parent.kind is SpanKind.TOOL)
    return places
