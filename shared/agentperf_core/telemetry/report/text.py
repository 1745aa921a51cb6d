"""The report as a plain table: no colour, no box glyphs, nothing that breaks in a log."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agentperf_core.telemetry.diagnosis import diagnose
from agentperf_core.telemetry.report import _format as fmt
from agentperf_core.telemetry.report.table import table

if TYPE_CHECKING:
    from agentperf_core.telemetry.figures import RunFigures
    from agentperf_core.telemetry.findings import Finding
    from agentperf_core.telemetry.quantiles import Quantile

__all__ = ["ADVICE_SHOWN", "render"]

ADVICE_SHOWN = 8

_WIDTH = 100
_ERRORS_SHOWN = 5


def render(report: RunFigures) -> str:
    """The whole report as text: header, time per kind, figures, advice.

    Args:
        report: any number of runs, also none, failed or of zero length.

    Example:
        >>> from agentperf_core.telemetry import LatencyReport
        >>> print(render(LatencyReport(())))
        0 runs recorded: nothing to report
    """
    if not report.traces:
        return "0 runs recorded: nothing to report"
    parts = ["\n".join(_header(report)), _kinds(report), _figures(report), _percentiles(report)]
    parts.append("\n".join(_findings(diagnose(report))))
    return "\n\n".join(part for part in parts if part)


def _header(report: RunFigures) -> Iterator[str]:
    states = Counter(trace.root.status for trace in report.traces)
    ended = [f"{n} {'failed' if s == 'error' else s}" for s, n in states.items() if s != "ok"]
    runs = fmt.plural(report.runs, "run") + (f" ({', '.join(ended)})" if ended else "")
    yield f"{runs}, {fmt.seconds(report.wall_s)} wall time in total"
    dropped = sum(trace.dropped for trace in report.traces)
    if dropped:
        yield f"{fmt.plural(dropped, 'span')} did not fit the recorder's bound and are missing here"


def _kinds(report: RunFigures) -> str:
    rows = [
        [
            share.kind.value,
            fmt.count(share.spans),
            fmt.seconds(share.busy_s),
            fmt.seconds(share.self_s),
            fmt.seconds(share.critical_s),
            fmt.share(share.share),
        ]
        for share in report.breakdown
    ]
    return table(["kind", "spans", "busy", "self", "critical path", "share"], rows)


def _figures(report: RunFigures) -> str:
    rows = [*_model_rows(report), *_run_rows(report)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _percentiles(report: RunFigures) -> str:
    samples = {
        "run": report.run_seconds,
        "LLM call": report.llm_seconds,
        "time to first token": report.ttft_seconds,
        "time per output token": report.tpot_seconds,
        "tool call": report.tool_seconds,
    }
    rows = [
        [name, values[0].n, *map(_quantile, values)] for name, values in samples.items() if values
    ]
    if not rows:
        return ""
    shown = table(["duration", "n", "p50", "p95", "p99"], rows)
    if any(not value.bounded for values in samples.values() for value in values):
        shown += "\n* too few values for a bound at 95 % confidence: do not rely on it"
    return shown


def _model_rows(report: RunFigures) -> Iterator[tuple[str, str]]:
    hits = f", {fmt.plural(len(report.cache_hits), 'cache hit')}" if report.cache_hits else ""
    yield "LLM", f"{fmt.plural(len(report.llm_calls), 'call')}{hits}"
    usage = report.usage
    if usage.total_tokens:
        cached = usage.cached_input_tokens
        note = f" ({fmt.count(cached)} cached)" if cached else ""
        estimated = ", partly estimated" if usage.estimated else ""
        yield (
            "tokens",
            f"{fmt.count(usage.input_tokens)} in{note}, {fmt.output_tokens(usage)}{estimated}",
        )
    silent = sum(span.usage is None and span.status == "ok" for span in report.llm_calls)
    if silent:
        yield "no tokens reported", f"by {fmt.plural(silent, 'call')} (ask for usage in streams)"
    yield "cost", fmt.cost(report)
    if report.cache_hits:
        yield "saved by cache", _saved(report)


def _saved(report: RunFigures) -> str:
    tokens = fmt.plural(report.saved_usage.total_tokens, "token")
    tiers = report.cache_tiers
    if len(tiers) == 1:
        return tokens
    return f"{tokens} ({', '.join(f'{tier.hits} {tier.tier}' for tier in tiers)})"


def _run_rows(report: RunFigures) -> Iterator[tuple[str, str]]:
    if report.tool_calls:
        lost = report.parallelism_lost_s
        waited = f", {fmt.seconds(lost)} lost because calls waited for each other" if lost else ""
        yield "tools", f"{fmt.plural(len(report.tool_calls), 'call')}{waited}"
    part = report.framework_s / report.wall_s if report.wall_s else 0.0
    yield "framework overhead", f"{fmt.seconds(report.framework_s)} ({fmt.share(part)})"
    low, high = min(report.steps), max(report.steps)
    yield "steps", f"{low} per run" if low == high else f"{low} to {high} per run"
    yield "errors", _errors(report)


def _errors(report: RunFigures) -> str:
    # The type only: a message may quote a prompt, and this text ends up in logs.
    seen = Counter(f"{fmt.error_type(s.error)} in {fmt.clean(s.name, 60)}" for s in report.errors)
    if not seen:
        return "none"
    named = [f"{n} x {what}" for what, n in seen.most_common(_ERRORS_SHOWN)]
    rest = len(seen) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def _quantile(value: Quantile) -> str:
    return f"{fmt.seconds(value.value)} " + (f"({fmt.interval(value)})" if value.bounded else "*")


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    if findings:
        yield "advice"
    for finding in findings[:ADVICE_SHOWN]:
        yield _advice(finding)
    left_out = len(findings) - ADVICE_SHOWN
    if left_out > 0:
        yield f"- {left_out} more: report.diagnose() has them all"


def _advice(finding: Finding) -> str:
    text = fmt.clean(str(finding), 1_000)
    if finding.fix:
        text += " Use " + ", ".join(f"{name} ({where})" for where, name in finding.fix.items())
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent="- ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
