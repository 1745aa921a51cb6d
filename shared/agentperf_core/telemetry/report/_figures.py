"""The report's figures as HTML: tiles, the share bar, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from agentperf_core.telemetry.report import _format as fmt

if TYPE_CHECKING:
    from agentperf_core.telemetry.figures import RunFigures
    from agentperf_core.telemetry.quantiles import Quantile

__all__ = ["html_table", "percentiles", "shares", "tiles"]


def tiles(report: RunFigures) -> str:
    """The summary: one figure per tile."""
    usage = report.usage
    failed = sum(1 for trace in report.traces if trace.root.status == "error")
    hits = len(report.cache_hits)
    price = "unknown" if report.cost_usd is None else fmt.usd(report.cost_usd)
    shown = (
        ("Runs", fmt.count(report.runs), _note(failed, "failed")),
        ("Wall time", fmt.seconds(report.wall_s), ""),
        ("p50 of a run", fmt.seconds(report.run_seconds[0].value), ""),
        ("LLM calls", fmt.count(len(report.llm_calls)), ""),
        ("Cache hits", fmt.count(hits), _note(report.saved_usage.total_tokens, "tokens saved")),
        ("Tokens in", fmt.count(usage.input_tokens), _note(usage.cached_input_tokens, "cached")),
        ("Tokens out", fmt.count(usage.output_tokens), _note(usage.reasoning_tokens, "reasoning")),
        ("Cost", price, _note(report.unpriced_calls, "calls without price")),
    )
    cells = "\n".join(
        f'<div class="tile"><dt>{name}</dt><dd>{value}</dd>'
        + (f'<dd class="note">{note}</dd>' if note else "")
        + "</div>"
        for name, value, note in shown
    )
    return f'<dl class="tiles">\n{cells}\n</dl>'


def _note(number: int, what: str) -> str:
    return f"{fmt.count(number)} {what}" if number else ""


def shares(report: RunFigures) -> str:
    """The critical path by kind: a stacked bar, and a table that is its legend."""
    on_path = [share for share in report.breakdown if share.share > 0]
    told = ", ".join(f"{share.kind.value} {fmt.share(share.share)}" for share in on_path)
    bars = "".join(
        f'<span class="k-{share.kind.value}" style="flex:{share.share:.6f} 1 0" '
        f'title="{share.kind.value} {fmt.share(share.share)}"></span>'
        for share in on_path
    )
    rows = [
        [
            f'<span class="swatch k-{share.kind.value}"></span>{share.kind.value}',
            fmt.share(share.share),
            fmt.seconds(share.critical_s),
            fmt.seconds(share.self_s),
            fmt.seconds(share.busy_s),
            fmt.count(share.spans),
        ]
        for share in report.breakdown
    ]
    head = ["kind", "share", "critical path", "self", "busy", "spans"]
    bar = f'<div class="bar" role="img" aria-label="{told}">{bars}</div>' if on_path else ""
    lost = report.parallelism_lost_s
    waited = (
        f" {fmt.seconds(lost)} were lost because tool calls of one turn waited for each other."
        if lost
        else ""
    )
    return (
        f"<h2>Where the time went</h2>\n{bar}\n{html_table(head, rows)}\n"
        '<p class="note">Critical path: the time in which the run waited for this kind; it adds up '
        "to the wall time. Busy: all spans added up, parallel ones too. Self: without the time of "
        f"spans inside.{waited}</p>"
    )


def percentiles(report: RunFigures) -> str:
    """p50, p95 and p99 of runs and calls with their intervals."""
    samples: tuple[tuple[str, list[Quantile]], ...] = (
        ("one run", report.run_seconds),
        ("LLM call", report.llm_seconds),
        ("time to first token", report.ttft_seconds),
        ("time per output token", report.tpot_seconds),
        ("tool call", report.tool_seconds),
    )
    rows = [
        [name, fmt.count(values[0].n), *(_quantile(value) for value in values)]
        for name, values in samples
        if values
    ]
    head = ["wall time of", "n", "p50", "p95", "p99"]
    return (
        f"<h2>Percentiles</h2>\n{html_table(head, rows)}\n"
        '<p class="note">Median-unbiased estimates; below each its 95 % interval, where the sample '
        "is large enough for one.</p>"
    )


def _quantile(value: Quantile) -> str:
    bounds = fmt.interval(value).rpartition(": ")[2]
    return f"{fmt.seconds(value.value)}<small>{bounds}</small>"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A real table; the cells are HTML already, the first of each row is its header."""
    columns = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = "\n".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{columns}</tr></thead>'
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )
