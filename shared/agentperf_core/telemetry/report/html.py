"""The report as a self-contained page: inline CSS and SVG, no JavaScript, nothing loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from agentperf_core.telemetry.analysis import steps
from agentperf_core.telemetry.diagnosis import diagnose
from agentperf_core.telemetry.report import _format as fmt
from agentperf_core.telemetry.report._cache import cache_panel
from agentperf_core.telemetry.report._figures import html_table, percentiles, shares, tiles
from agentperf_core.telemetry.report._style import ROOT, page_css, scoped_css
from agentperf_core.telemetry.report.text import ADVICE_SHOWN
from agentperf_core.telemetry.report.waterfall import MAX_ROWS, waterfall
from agentperf_core.telemetry.spans import Span, SpanKind, Trace

if TYPE_CHECKING:
    from agentperf_core.telemetry.figures import RunFigures
    from agentperf_core.telemetry.findings import Finding

__all__ = ["render_fragment", "render_page"]

_RUNS_ON_PAGE = 12
_RUNS_IN_NOTEBOOK = 3
_OPEN_RUNS = 3
_ERRORS_SHOWN = 20


def render_page(report: RunFigures, *, title: str) -> str:
    """A complete HTML document.

    Args:
        report: any number of runs.
        title: heading and title of the page; escaped.

    Example:
        >>> from agentperf_core.telemetry import LatencyReport
        >>> page = render_page(LatencyReport(()), title="Nightly <bench>")
        >>> "Nightly &lt;bench&gt;" in page, "<script" in page
        (True, False)
    """
    body = _body(report, runs=_RUNS_ON_PAGE)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{page_css()}{scoped_css()}</style>\n</head>\n"
        f'<body>\n<main class="{ROOT}">\n<h1>{escape(title)}</h1>\n{body}\n</main>\n'
        "</body>\n</html>\n"
    )


def render_fragment(report: RunFigures) -> str:
    """The same content for a notebook cell: one element with styles scoped to it.

    Args:
        report: any number of runs; fewer of them are drawn than on a page.
    """
    body = _body(report, runs=_RUNS_IN_NOTEBOOK)
    return f'<div class="{ROOT}">\n<style>\n{scoped_css()}</style>\n{body}\n</div>'


def _body(report: RunFigures, *, runs: int) -> str:
    if not report.traces:
        return '<p class="note">No runs recorded: nothing to report.</p>'
    sections = [
        tiles(report),
        shares(report),
        _advice(diagnose(report)),
        cache_panel(report),
        _runs(report, runs),
        percentiles(report),
        _errors(report),
    ]
    return "\n".join(section for section in sections if section)


def _advice(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    left_out = len(findings) - ADVICE_SHOWN
    note = (
        f'<p class="note">{left_out} more: <code>report.diagnose()</code> has them all.</p>'
        if left_out > 0
        else ""
    )
    return (
        f'<h2>What to change</h2>\n<ul class="advice">\n'
        f"{''.join(_finding(finding) for finding in findings[:ADVICE_SHOWN])}</ul>{note}"
    )


def _finding(finding: Finding) -> str:
    saved = [fmt.seconds(finding.saving_s)] if finding.saving_s is not None else []
    if finding.saving_usd is not None:
        saved.append(fmt.usd(finding.saving_usd))
    saving = f"Saves about {' and '.join(saved)}: {_told(finding.basis)}. " if saved else ""
    fixes = ", ".join(
        f"<code>{escape(name)}</code> ({escape(where)})" for where, name in finding.fix.items()
    )
    use = f"Use {fixes}." if fixes else ""
    level = "<b>High: </b>" if finding.severity == "high" else ""
    note = f'<p class="note">{saving}{use}</p>' if saving or use else ""
    return (
        f'<li class="{finding.severity}">{level}{_told(finding.evidence)} '
        f"{_told(finding.advice)}{note}</li>\n"
    )


def _told(sentence: str) -> str:
    return escape(fmt.clean(sentence, 1_000))


def _runs(report: RunFigures, most: int) -> str:
    numbered = list(enumerate(report.traces, start=1))
    shown = sorted(numbered, key=lambda item: -item[1].seconds)[:most]
    left_out = len(numbered) - len(shown)
    note = (
        f'<p class="note">The {len(shown)} slowest of {len(numbered)} runs are drawn, the slowest '
        f"first; {fmt.plural(left_out, 'run')} left out.</p>"
        if left_out
        else '<p class="note">The slowest run first.</p>'
        if len(shown) > 1
        else ""
    )
    drawn = "\n".join(_run(n, t, opened=i < _OPEN_RUNS) for i, (n, t) in enumerate(shown))
    return f"<h2>Runs</h2>\n{note}\n{_key()}\n{drawn}"


def _key() -> str:
    return (
        '<ul class="key">'
        '<li><i class="critical"></i>critical path: what the run waited for</li>'
        '<li><i class="half"></i>waiting for the first token</li>'
        '<li><i class="first"></i>first token</li>'
        '<li><i class="fault"></i>&#10005; failed</li>'
        '<li><i class="open"></i>cancelled or unfinished</li></ul>'
    )


def _run(number: int, trace: Trace, *, opened: bool) -> str:
    root = trace.root
    facts = [fmt.seconds(trace.seconds), fmt.plural(steps(trace), "step")]
    hits = sum(1 for _ in trace.of_kind(SpanKind.CACHE))
    if hits:
        facts.append(fmt.plural(hits, "cache hit"))
    facts.append(fmt.plural(len(trace.spans), "span"))
    if root.status != "ok":
        facts.append("failed" if root.status == "error" else root.status)
    name = fmt.clean(root.name, 80)
    label = f"Waterfall of run {number}: {name}, {', '.join(facts)}"
    drawing, hidden = waterfall(trace, label=label)
    notes: list[str] = []
    if hidden:
        notes.append(
            f"{MAX_ROWS} rows are drawn; the {fmt.plural(hidden, 'shortest span')} left out."
        )
    if trace.dropped:
        notes.append(f"{fmt.plural(trace.dropped, 'span')} did not fit the recorder's bound.")
    note = f'<p class="note">{" ".join(notes)}</p>' if notes else ""
    return (
        f"<details{' open' if opened else ''}><summary><b>Run {number}: {escape(name)}</b> "
        f"&#183; {' &#183; '.join(facts)}</summary>"
        f'<div>{note}<div class="scroll">\n{drawing}\n</div></div></details>'
    )


def _errors(report: RunFigures) -> str:
    if not report.errors:
        return ""
    failed = [
        (number, span)
        for number, trace in enumerate(report.traces, start=1)
        for span in trace.spans
        if span.status == "error"
    ]
    rows = list(_error_rows(failed[:_ERRORS_SHOWN]))
    left_out = len(failed) - len(rows)
    note = f'<p class="note">{left_out} more left out.</p>' if left_out else ""
    return (
        '<h2>Errors</h2>\n<div class="words">'
        f"{html_table(['where', 'kind', 'run', 'error'], rows)}</div>{note}"
    )


def _error_rows(failed: Iterable[tuple[int, Span]]) -> Iterator[list[str]]:
    for number, span in failed:
        yield [
            escape(fmt.clean(span.name, 80)),
            span.kind.value,
            str(number),
            f'<span class="bad">{escape(fmt.clean(span.error or "failed"))}</span>',
        ]
