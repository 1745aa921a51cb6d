"""The report's panel on caches: what each tier served and saved."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from agentperf_core.telemetry.report import _format as fmt
from agentperf_core.telemetry.report._figures import html_table

if TYPE_CHECKING:
    from agentperf_core.telemetry.cachefigures import TierFigures
    from agentperf_core.telemetry.figures import RunFigures

__all__ = ["cache_panel"]


def cache_panel(report: RunFigures) -> str:
    """A table of the tiers; empty where no cache served anything."""
    if not report.cache_tiers:
        return ""
    head = ["tier", "answers", "in flight", "stale", "time saved", "tokens saved", "oldest"]
    rows = [_row(tier) for tier in report.cache_tiers]
    of_tools = sum((span.cache or {}).get("of") == "tool" for span in report.cache_hits)
    rates = [
        _rate("answer", len(report.cache_hits) - of_tools, "model call", len(report.llm_calls)),
        _rate("tool result", of_tools, "tool call", len(report.tool_calls)),
    ]
    return (
        f"<h2>Answers from the cache</h2>\n{html_table(head, rows)}\n"
        f'<p class="note">Hit rate {"; ".join(filter(None, rates))}. Time and tokens are those of '
        "the calls that made the answers. In flight: shared with an equal call that was under "
        "way. Stale: past its time, served while a new one was made or because the call "
        "failed.</p>"
    )


def _rate(what: str, hits: int, call: str, calls: int) -> str:
    """Of models and of tools each on its own: a tool's result stands for no model call."""
    if not hits:
        return ""
    share = fmt.share(hits / (hits + calls))
    return f"{share}: {fmt.plural(hits, what)} served, {fmt.plural(calls, call)} made"


def _row(tier: TierFigures) -> list[str]:
    return [
        escape(fmt.clean(tier.tier, 40)),
        fmt.count(tier.hits),
        fmt.count(tier.coalesced),
        fmt.count(tier.stale),
        fmt.seconds(tier.saved_s),
        fmt.count(tier.saved_usage.total_tokens),
        "" if tier.oldest_s is None else fmt.seconds(tier.oldest_s),
    ]
