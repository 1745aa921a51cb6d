"""What-if: replay a recorded run with other durations or another order.

The replay keeps what the recording shows: a child started some time after the last of the siblings
that had finished before it (or after its parent's start), and a parent went on for some time after
the last child that it waited for. Change a duration or let siblings start together, and the new end
follows. A child that outlived its parent (a stream read later, a task left behind) was not waited
for by the parent, but by whatever started after it.

Two branches that ran side by side are taken to be joined by what came after both of them: savings
are rather too small than too large. The replay is exact for the recorded order; what it cannot see
is contention that the change itself would cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple, TypeAlias

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
        override: the new duration of a span in nanoseconds, what it called included, or `None` to
            keep what was recorded.
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
    group_of = {member: index for index, group in enumerate(together) for member in group}
    children = trace.children()
    length: dict[str, _Length] = {}
    # Spans are in order of start, so going backwards meets every child before its parent.
    for span in reversed(trace.spans):
        given = override(span) if override is not None else None
        siblings = children.get(span.id)
        if given is not None:
            # With what it called, also where that outlived it.
            below = (length[child.id].last_ns for child in siblings or ())
            length[span.id] = _Length(given, given, max((span.end_ns, *below)))
        elif siblings:
            length[span.id] = _with_children(span, siblings, length, group_of)
        else:
            own = span.end_ns - span.start_ns
            length[span.id] = _Length(own, own, span.end_ns)
    return length[trace.root.id].own / 1e9


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


class _Length(NamedTuple):
    """How long a span takes in the replay, and with what outlives it; nanoseconds.

    Attributes:
        own: from its start to its end.
        whole: from its start to the end of everything below it.
        last_ns: when everything below it ended in the recording.
    """

    own: int
    whole: int
    last_ns: int


class _Joined:
    """Ends of siblings in the order of the recording, and the latest replayed one so far."""

    def __init__(self, start_ns: int) -> None:
        self._ends: list[tuple[int, int]] = []
        self._recorded = start_ns
        self._replayed = 0

    def add(self, recorded_ns: int, replayed: int) -> None:
        heappush(self._ends, (recorded_ns, replayed))

    def at(self, recorded_ns: int) -> int:
        """When something that happened then happens in the replay, from the parent's start."""
        while self._ends and self._ends[0][0] <= recorded_ns:
            ended_ns, replayed = heappop(self._ends)
            self._recorded = max(self._recorded, ended_ns)
            self._replayed = max(self._replayed, replayed)
        return self._replayed + recorded_ns - self._recorded


def _with_children(
    span: Span,
    siblings: Sequence[Span],
    length: Mapping[str, _Length],
    group_of: Mapping[str, int],
) -> _Length:
    joined = _Joined(span.start_ns)
    start_of_group: dict[int, int] = {}
    own: int | None = None
    whole, last_ns = 0, span.end_ns
    for child in sorted(siblings, key=lambda sibling: sibling.start_ns):
        if own is None and child.start_ns > span.end_ns:
            # A child that began after the end (work left behind) has no say in it.
            own = joined.at(span.end_ns)
        start = joined.at(child.start_ns)
        group = group_of.get(child.id)
        if group is not None:
            start = start_of_group[group] = min(start, start_of_group.get(group, start))
        child_own, below, below_ns = length[child.id]
        joined.add(child.end_ns, start + child_own)
        if below_ns > child.end_ns:
            joined.add(below_ns, start + below)
        whole = max(whole, start + below)
        last_ns = max(last_ns, below_ns)
    if own is None:
        own = joined.at(span.end_ns)
    return _Length(own, max(own, whole), last_ns)


def _path(span: Span, by_id: Mapping[str, Span]) -> list[str]:
    path = [span.id]
    while span.parent_id is not None and span.parent_id in by_id:
        span = by_id[span.parent_id]
        path.append(span.id)
    return path[::-1]
