"""Two reports of the same work side by side: what changed, in figures."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from agentperf_core.telemetry.figures import RunFigures
from agentperf_core.telemetry.quantiles import Quantile
from agentperf_core.telemetry.report.table import table

__all__ = ["compare"]


def compare(before: RunFigures, after: RunFigures, *, names: tuple[str, str]) -> str:
    """A plain table: time, model calls, tools, tokens and cost of two reports, and the change.

    Args:
        before: the report to compare with.
        after: the report of the same work, changed.
        names: headers of the two columns.
    """
    rows = [_row(label, get(before), get(after), show) for label, get, show in _ROWS]
    text = table(["per user turn or in all", *names, "change"], rows)
    small = min(before.runs, after.runs)
    if small < 100:
        text += f"\n(p95 of {small} turns is an estimate without an upper bound.)"
    return text


def _seconds(value: float | Decimal) -> str:
    return f"{value:.3f} s"


def _count(value: float | Decimal) -> str:
    return f"{value:,.0f}"


def _usd(value: float | Decimal) -> str:
    return f"${value:.5f}"


def _pick(quantiles: list[Quantile], index: int) -> float | None:
    return quantiles[index].value if quantiles else None


_Get = Callable[[RunFigures], "float | Decimal | None"]
_Show = Callable[["float | Decimal"], str]

_ROWS: tuple[tuple[str, _Get, _Show], ...] = (
    ("all turns", lambda r: r.wall_s, _seconds),
    ("p50 of a turn", lambda r: _pick(r.run_seconds, 0), _seconds),
    ("p95 of a turn", lambda r: _pick(r.run_seconds, 1), _seconds),
    ("p50 TTFT of a model call", lambda r: _pick(r.ttft_seconds, 0), _seconds),
    ("model calls", lambda r: len(r.llm_calls), _count),
    ("answers from the cache", lambda r: len(r.cache_hits), _count),
    ("tool calls", lambda r: len(r.tool_calls), _count),
    ("tool time", lambda r: sum(s.seconds for s in r.tool_calls), _seconds),
    ("framework time", lambda r: r.framework_s, _seconds),
    ("input tokens", lambda r: r.usage.input_tokens, _count),
    ("output tokens", lambda r: r.usage.output_tokens, _count),
    ("cost", lambda r: r.cost_usd, _usd),
)


def _row(
    label: str, before: float | Decimal | None, after: float | Decimal | None, show: _Show
) -> list[str | None]:
    if before is None or after is None:
        shown = [show(value) if value is not None else "unknown" for value in (before, after)]
        return [label, *shown, None]
    change = "same" if before == after else "new"
    if before and before != after:
        change = f"{float(after) / float(before) - 1:+.0%}"
    return [label, show(before), show(after), change]
