"""What all caches of a store have done together: their counters, read back and added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import orjson

from agentperf_core.cache.stats import CacheStats
from agentperf_core.cache.stores import Store
from agentperf_core.cache.toolresults.stats import ToolStats, added_tools
from agentperf_core.errors import CodecError
from agentperf_core.types import Usage

__all__ = [
    "KEEP_S",
    "STATS_PREFIX",
    "TOOL_STATS_PREFIX",
    "Countable",
    "Totals",
    "added",
    "read_totals",
    "stats_record",
]

S = TypeVar("S")

STATS_PREFIX = "~stats:"
TOOL_STATS_PREFIX = "~toolstats:"
KEEP_S = 30 * 86_400.0  # after that, what a cache wrote last is forgotten
_VERSION = 1


class Countable(Protocol):
    """Statistics of a cache of any kind."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        ...


@dataclass(frozen=True, slots=True)
class Totals:
    """What all caches of a store have done.

    Attributes:
        stats: the sum of the response caches; the interval of the false hits is never narrower
            than it should be.
        caches: how many caches have written, of tool results too; one that ended over a month ago
            is not counted.
        since: when the first of them began, seconds since the Unix epoch; `None` without any.
        until: when the last of them wrote.
        unreadable: how many records could not be read.
        tools: the sum of the caches of tool results.
    """

    stats: CacheStats
    caches: int
    since: float | None
    until: float | None
    unreadable: int
    tools: ToolStats


def read_totals(store: Store) -> Totals:
    """Add up what the caches of a store have written.

    Raises:
        Exception: whatever the store raises.

    Example:
        >>> from agentperf_core.cache import MemoryStore
        >>> read_totals(MemoryStore()).caches
        0
    """
    answers, odd = _records(store, STATS_PREFIX, _stats)
    tools, odd_too = _records(store, TOOL_STATS_PREFIX, ToolStats.of)
    both = (*answers, *tools)
    return Totals(
        stats=added(one.stats for one in answers),
        caches=len(both),
        since=min((one.since for one in both), default=None),
        until=max((one.at for one in both), default=None),
        unreadable=odd + odd_too,
        tools=added_tools(one.stats for one in tools),
    )


@dataclass(frozen=True, slots=True)
class _FalseHits:
    rate: float
    low: float
    high: float


def added(many: Iterable[CacheStats]) -> CacheStats:
    """The sum of several statistics.

    Example:
        >>> added([CacheStats(misses=1), CacheStats(misses=2, hits={"exact": 3})]).hit_rate
        0.5
    """
    known = list(many)
    saved: dict[str, Usage] = {}
    for stats in known:
        for model, usage in stats.saved.items():
            saved[model] = saved[model] + usage if model in saved else usage
    return CacheStats(
        hits=_sum(stats.hits for stats in known),
        bypasses=_sum(stats.bypasses for stats in known),
        discarded=_sum(stats.discarded for stats in known),
        coalesced=sum(stats.coalesced for stats in known),
        misses=sum(stats.misses for stats in known),
        stale=sum(stats.stale for stats in known),
        refreshes=sum(stats.refreshes for stats in known),
        abandoned=sum(stats.abandoned for stats in known),
        saved_s=sum(stats.saved_s for stats in known),
        saved=saved,
        false_hits=_false_hits(known),
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for one in counts:
        total.update(one)
    return dict(total)


def _false_hits(known: Iterable[CacheStats]) -> _FalseHits | None:
    """Weighted by requests. As if all caches erred alike: the widest interval that can be."""
    estimates = [(s.requests, s.false_hits) for s in known if s.false_hits is not None]
    requests = sum(number for number, _ in estimates)
    if not requests:
        return None
    rate, low, high = (
        sum(number * getattr(one, name) for number, one in estimates) / requests
        for name in ("rate", "low", "high")
    )
    return _FalseHits(rate, low, high)


# Records ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read(Generic[S]):
    stats: S
    since: float
    at: float


def stats_record(stats: Countable, *, since: float, at: float) -> bytes:
    """The counters of a cache as they are stored.

    Args:
        stats: what it has done.
        since: when it began, seconds since the Unix epoch.
        at: now.
    """
    return orjson.dumps({"v": _VERSION, "since": since, "at": at, "stats": stats.as_dict()})


def _records(
    store: Store, prefix: str, stats: Callable[[dict[str, Any]], S]
) -> tuple[list[_Read[S]], int]:
    """The records of one kind, and how many could not be read."""
    read, unreadable = list[_Read[S]](), 0
    for key in sorted(set(store.scan(prefix))):
        raw = store.get(key)
        if raw is None:
            continue
        try:
            read.append(_read(raw, stats))
        except CodecError:
            unreadable += 1
    return read, unreadable


def _read(raw: bytes, stats: Callable[[dict[str, Any]], S]) -> _Read[S]:
    try:
        record = cast("dict[str, Any]", orjson.loads(raw))
        if record["v"] == _VERSION:
            return _Read(stats(record["stats"]), float(record["since"]), float(record["at"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"stored counters must be those of this pack, got {raw[:20]!r}...; clear the cache"
        raise CodecError(msg) from error
    msg = f"stored counters have version {_VERSION}, got {record['v']!r}; clear the cache"
    raise CodecError(msg)


def _stats(found: dict[str, Any]) -> CacheStats:
    wrong = found.get("false_hits")
    return CacheStats(
        hits=_counts(found["hits"]),
        bypasses=_counts(found["bypasses"]),
        discarded=_counts(found["discarded"]),
        coalesced=int(found["coalesced"]),
        misses=int(found["misses"]),
        stale=int(found["stale"]),
        refreshes=int(found["refreshes"]),
        abandoned=int(found["abandoned"]),
        saved_s=float(found["saved_s"]),
        saved={str(model): Usage(**usage) for model, usage in found["saved"].items()},
        false_hits=None
        if wrong is None
        else _FalseHits(float(wrong["rate"]), float(wrong["low"]), float(wrong["high"])),
    )


def _counts(found: dict[str, Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in found.items()}
