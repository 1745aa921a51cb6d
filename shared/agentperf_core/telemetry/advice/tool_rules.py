"""Rules about tool calls: lost parallelism, slow tools, repeated arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from agentperf_core.telemetry import analysis
from agentperf_core.telemetry.advice import fixes
from agentperf_core.telemetry.advice.context import Context
from agentperf_core.telemetry.findings import Finding
from agentperf_core.telemetry.spans import Span
from agentperf_core.telemetry.whatif import branches, replay_s

__all__ = ["serial_tools", "slow_tools"]


def serial_tools(context: Context) -> Iterator[Finding]:
    """Tool calls of one turn that ran one after the other."""
    saving, groups = 0.0, 0
    for trace in context.report.traces:
        together = [branches(trace, g) for g in analysis.tool_groups(trace) if _serial(g)]
        if together:
            groups += len(together)
            saving += max(trace.seconds - replay_s(trace, together=together), 0.0)
    if saving < context.thresholds.min_saving_s or not groups:
        return
    yield Finding(
        rule="serial-tools",
        severity=context.severity(saving),
        evidence=(
            f"In {groups} turns tools waited for each other "
            f"({context.report.parallelism_lost_s:.2f} s of parallelism lost)."
        ),
        advice="Run the calls of one turn together.",
        fix=fixes.PARALLEL_TOOLS,
        saving_s=saving,
        basis="the calls of each turn replayed from a common start",
    )


def slow_tools(context: Context) -> Iterator[Finding]:
    """Tools over the limit, one finding per tool."""
    limit = context.thresholds.tool_seconds
    by_name: dict[str, list[Span]] = {}
    for span in context.report.tool_calls:
        by_name.setdefault(span.name, []).append(span)
    for name, calls in sorted(by_name.items()):
        slow = [span for span in calls if span.seconds > limit]
        if not slow:
            continue
        repeats = _repeats(calls)
        yield Finding(
            rule="slow-tool",
            severity=context.severity(sum(span.seconds for span in slow)),
            evidence=(
                f"Tool {name!r} took over {limit:g} s in {len(slow)} of {len(calls)} calls "
                f"(longest {max(span.seconds for span in slow):.2f} s)."
            ),
            advice=(
                "Cache its results: it was called with the same arguments before."
                if repeats
                else "Make the tool itself faster, or ask for its calls together."
            ),
            fix=fixes.CACHED_TOOL if repeats else {},
            saving_s=context.saving_of_skipping(repeats) if repeats else None,
            basis=f"{len(repeats)} repeated calls replayed at zero length" if repeats else "",
        )


def _serial(group: Sequence[Span]) -> bool:
    ordered = sorted(group, key=lambda span: span.start_ns)
    return any(a.end_ns <= b.start_ns for a, b in pairwise(ordered))


def _repeats(calls: Sequence[Span]) -> list[Span]:
    seen: set[object] = set()
    found: list[Span] = []
    for span in calls:
        mark = span.attributes.get("input_hash")
        if mark is None:
            continue
        if mark in seen:
            found.append(span)
        elif span.status == "ok":
            # What failed is not cached: trying it again is no repetition.
            seen.add(mark)
    return found
