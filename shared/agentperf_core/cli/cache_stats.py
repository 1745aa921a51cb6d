"""`cache stats`: what a store holds, and what the caches on it have done."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agentperf_core.cache.inspection import Contents, contents
from agentperf_core.cache.stats import CacheStats
from agentperf_core.cache.stores import Store
from agentperf_core.cache.toolresults.stats import ToolCounts, ToolStats
from agentperf_core.cache.totals import Totals, read_totals
from agentperf_core.cli._figures import byte_size, entries_of, percent
from agentperf_core.cli.cache_progress import Progress
from agentperf_core.telemetry.report import _format as fmt
from agentperf_core.telemetry.report.table import table

if TYPE_CHECKING:
    from agentperf_core.cli._types import Commands

__all__ = ["register"]

_NOUNS = {
    "answer": "answers",
    "tool result": "tool results",
    "question": "questions",
    "embedding": "embeddings",
    "learnt": "learnt states",
    "statistics": "statistics",
    "note": "notes of writes",
    "unreadable": "unreadable",
}


def register(
    actions: Commands,
    shared: argparse.ArgumentParser,
    on_store: Callable[..., Callable[[argparse.Namespace], int]],
) -> None:
    """Add the command to the parser of `cache`."""
    parser = actions.add_parser("stats", parents=[shared], help="hits, savings, entries, bytes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=on_store(_run))


def _run(store: Store, options: argparse.Namespace) -> int:
    with Progress("values read") as progress:
        held = contents(store, progress=progress)
    totals = read_totals(store)
    if options.json:
        print(json.dumps(_as_dict(held, totals), indent=2))
        return 0
    print(f"{store!r}\n")
    rows = [
        [_NOUNS[kind], f"{n:,}", byte_size(held.size[kind])] for kind, n in held.entries.items()
    ]
    if rows:
        print(table(["it holds", "values", "bytes"], sorted(rows)))
    else:
        print("it holds nothing")
    for reason, number in held.problems.items():
        print(f"({entries_of(number)} will be a miss: {reason})")
    print()
    if not totals.caches:
        print("No cache has written what it did; caches do so every ten seconds and at their end.")
        return 0
    since, until = _moment(totals.since), _moment(totals.until)
    caches = fmt.plural(totals.caches, "cache")
    print(table([caches, f"{since} to {until}"], list(_did(totals.stats))))
    if totals.tools.by_tool:
        print(f"\n{_tools(totals.tools)}")
    if totals.unreadable:
        print(f"({fmt.plural(totals.unreadable, 'record')} of another version not counted)")
    return 0


def _did(stats: CacheStats) -> Iterator[list[str]]:
    yield ["requests", f"{stats.requests:,}"]
    yield ["hit rate", percent(stats.hit_rate)]
    for tier, number in sorted(stats.hits.items()):
        yield [f"hits, {tier}", f"{number:,}"]
    yield ["shared with a call in flight", f"{stats.coalesced:,}"]
    yield ["misses", f"{stats.misses:,}"]
    for reason, number in sorted(stats.bypasses.items(), key=lambda item: -item[1]):
        yield [f"not cached: {reason}", f"{number:,}"]
    for label, number in (
        ("hits past their time", stats.stale),
        ("renewed in the background", stats.refreshes),
        ("calls begun and given up", stats.abandoned),
    ):
        if number:
            yield [label, f"{number:,}"]
    for reason, number in sorted(stats.discarded.items(), key=lambda item: -item[1]):
        yield [f"discarded: {reason}", f"{number:,}"]
    yield ["saved time", fmt.seconds(stats.saved_s)]
    yield ["saved tokens", f"{stats.saved_tokens:,}"]
    yield ["saved money", fmt.usd(stats.saved_usd)]
    if stats.unpriced:
        yield ["  without these models", ", ".join(name or "unknown" for name in stats.unpriced)]
    wrong = stats.false_hits
    if wrong is not None:
        yield ["wrong answers served", f"{percent(wrong.rate)} of the requests"]
        yield ["  95 % interval", f"{percent(wrong.low)} to {percent(wrong.high)}"]


def _tools(stats: ToolStats) -> str:
    headers = ["tool", "calls", "hit rate", "hits", "shared", "misses", "not kept", "saved time"]
    known = sorted(stats.by_tool.items())
    rows = [_row(fmt.clean(tool, 32), counts) for tool, counts in known]
    if len(known) > 1:
        rows.append(_row("all", stats.total))
    return table(headers, rows)


def _row(tool: str, counts: ToolCounts) -> list[str]:
    numbers = (counts.hits, counts.coalesced, counts.misses, sum(counts.bypasses.values()))
    shown = [f"{number:,}" for number in numbers]
    return [
        tool,
        f"{counts.calls:,}",
        percent(counts.hit_rate),
        *shown,
        fmt.seconds(counts.saved_s),
    ]


def _as_dict(held: Contents, totals: Totals) -> dict[str, object]:
    return {
        "entries": held.answers,
        "bytes": held.size_bytes,
        "by_kind": {
            kind: {"values": number, "bytes": held.size[kind]}
            for kind, number in held.entries.items()
        },
        "unreadable": held.problems,
        "caches": totals.caches,
        "since": totals.since,
        "until": totals.until,
        "tools": totals.tools.as_dict(),
        **totals.stats.as_dict(),
    }


def _moment(at: float | None) -> str:
    """A time of this machine's clock, in its zone."""
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M")
