"""What-if: replay a recorded run with other durations or another order.

The replay keeps what the recording shows: a child started some time after the sibling that finished
last before it (or after its parent's start), and a parent went on for some time after its last
child. Change a duration or let siblings start together, and the new end follows. It is exact for
the recorded order; what it cannot see is contention that the change itself would cause.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from agentperf_core.telemetry.spans import Span, Trace

__all__ = ["Override", "branches", "replay_s"]

Override: TypeAlias = Callable[[Span], int | None]


def replay_s(
    trace: Trace,
    override: Override | None = None,
    *,
    together: Iterable[Sequence[str]] = (),
) -> float:
    """Wall time in seconds that the run would have had.

    Args:
        trace: a recorded run.
        override: the new duration of a span in nanoseconds, or `None` to keep what was recorded.
        together: groups of sibling span ids that start at the same time instead of one by one.

    Example:
        >>> from agentperf_core.telemetry import Span, SpanKind, Trace
        >>> def span(id, parent, start, end):
        ...     return Span(id=id, parent_id=parent, kind=SpanKind.TOOL, name=id,
        ...                 start_ns=start, end_ns=end)
        >>> run = Trace(id="r", started_at=0.0, spans=(
        ...     span("r", None, 0, 5_000_000_000),
        ...     span("a", "r", 0, 2_000_000_000),
        ...     span("b", "r", 2_000_000_000, 5_000_000_000)))
        >>> replay_s(run, together=[["a", "b"]])
        3.0
    """
    leader = {member: group[0] for group in together for member in group}
    children = trace.children()
    duration: dict[str, int] = {}
    # Spans are in order of start, so going backwards meets every child before its parent.
    for span in reversed(trace.spans):
        given = override(span) if override is not None else None
        if given is not None:
            duration[span.id] = given
        elif span.id in children:
            duration[span.id] = _with_children(span, children[span.id], duration, leader)
        else:
            duration[span.id] = span.end_ns - span.start_ns
    return duration[trace.root.id] / 1e9


def branches(trace: Trace, group: Sequence[Span]) -> list[str]:
    """The sibling spans under the group's lowest common ancestor that hold its members.

    Frameworks hang parallel tools under a node each; to start the tools together, the nodes must.
    """
    by_id = {span.id: span for span in trace.spans}
    paths = [_path(span, by_id) for span in group]
    depth = 0
    while all(len(path) > depth for path in paths) and len({path[depth] for path in paths}) == 1:
        depth += 1
    return [path[depth] for path in paths if len(path) > depth]


def _with_children(
    span: Span, siblings: list[Span], duration: dict[str, int], leader: dict[str, str]
) -> int:
    ends = sorted((min(child.end_ns, span.end_ns), child.id) for child in siblings)
    times = [end for end, _ in ends]
    start_of: dict[str, int] = {}
    for child in siblings:
        first = leader.get(child.id)
        if first is not None and first in start_of:
            start_of[child.id] = start_of[first]
            continue
        before = bisect_right(times, child.start_ns)
        # Spans of zero length end where they start: never let one wait for itself or a later one.
        previous = next(
            ((end, id_) for end, id_ in reversed(ends[:before]) if id_ in start_of), None
        )
        if previous is None:
            start_of[child.id] = max(child.start_ns - span.start_ns, 0)
        else:
            end, id_ = previous
            start_of[child.id] = start_of[id_] + duration[id_] + child.start_ns - end
    tail = span.end_ns - max(times)
    return max(start_of[child.id] + duration[child.id] for child in siblings) + tail


def _path(span: Span, by_id: dict[str, Span]) -> list[str]:
    path = [span.id]
    while span.parent_id is not None:
        span = by_id[span.parent_id]
        path.append(span.id)
    return path[::-1]
