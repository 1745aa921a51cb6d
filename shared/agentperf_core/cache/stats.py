"""What a cache has done so far: hits by tier, why there was none, and what was saved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from agentperf_core.accounting import PRICES, PriceBook
from agentperf_core.cache.decisions import CacheDecision
from agentperf_core.types import Usage

__all__ = ["CacheStats", "FalseHits", "StatsCounter", "add_reason"]

# Reasons can quote a number or a name: beyond this many they are counted together.
_MOST_REASONS = 64
_OTHERS = "other reasons"
_NUMBERS = ("coalesced", "misses", "stale", "refreshes", "abandoned")


class FalseHits(Protocol):
    """An estimate of how often a served answer was the wrong one, as a share of all requests."""

    @property
    def rate(self) -> float:
        """The best guess."""
        ...

    @property
    def low(self) -> float:
        """The lower end of its interval."""
        ...

    @property
    def high(self) -> float:
        """The upper end of its interval."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What a cache has done since it was made; a snapshot that does not change.

    Attributes:
        hits: answers from the store, by tier.
        coalesced: answers shared with an equal call in flight.
        misses: model calls whose answer is in the cache now.
        bypasses: model calls whose answer is not, by reason.
        stale: how many of the hits were past their time.
        refreshes: answers renewed in the background.
        abandoned: model calls that were begun and given up.
        discarded: stored values that could not be used, by reason; each was a miss.
        saved_s: seconds that the served answers took when they were made.
        saved: tokens that they cost then, by model; `""` for an unknown one.
        false_hits: how often the semantic tier was wrong; `None` without one.

    Example:
        >>> stats = CacheStats(hits={"exact": 3}, misses=1)
        >>> stats.requests, stats.hit_rate
        (4, 0.75)
    """

    hits: Mapping[str, int] = field(default_factory=dict[str, int])
    coalesced: int = 0
    misses: int = 0
    bypasses: Mapping[str, int] = field(default_factory=dict[str, int])
    stale: int = 0
    refreshes: int = 0
    abandoned: int = 0
    discarded: Mapping[str, int] = field(default_factory=dict[str, int])
    saved_s: float = 0.0
    saved: Mapping[str, Usage] = field(default_factory=dict[str, Usage])
    false_hits: FalseHits | None = None

    @property
    def requests(self) -> int:
        """How many requests came."""
        return self.served + self.misses + sum(self.bypasses.values())

    @property
    def served(self) -> int:
        """How many were answered without a model call."""
        return sum(self.hits.values()) + self.coalesced

    @property
    def hit_rate(self) -> float:
        """Share of the requests that were served; 0 without requests."""
        return self.served / self.requests if self.requests else 0.0

    @property
    def saved_tokens(self) -> int:
        """Input and output tokens that were not paid again."""
        return sum(usage.total_tokens for usage in self.saved.values())

    @property
    def saved_usd(self) -> Decimal:
        """USD that were not paid again; without the models in `unpriced`."""
        return self.saved_usd_by(PRICES)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Models whose savings are not in `saved_usd`, because their price is not known."""
        return tuple(
            sorted(
                model
                for model, usage in self.saved.items()
                if usage.total_tokens and (not model or PRICES.price(usage, model) is None)
            )
        )

    def saved_usd_by(self, prices: PriceBook) -> Decimal:
        """USD that were not paid again, by another price list."""
        found = (prices.price(usage, model) for model, usage in self.saved.items() if model)
        return sum((usd for usd in found if usd is not None), Decimal(0))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, the derived figures included."""
        found: dict[str, Any] = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "false_hits"
        }
        found["hits"], found["bypasses"] = dict(self.hits), dict(self.bypasses)
        found["discarded"] = dict(self.discarded)
        found["saved"] = {model: usage.as_dict() for model, usage in self.saved.items()}
        found |= {
            "requests": self.requests,
            "hit_rate": self.hit_rate,
            "saved_tokens": self.saved_tokens,
            "saved_usd": str(self.saved_usd),
            "unpriced": list(self.unpriced),
        }
        if self.false_hits is not None:
            wrong = self.false_hits
            found["false_hits"] = {"rate": wrong.rate, "low": wrong.low, "high": wrong.high}
        return found


class StatsCounter:
    """Counts decisions; safe under threads, about a microsecond each.

    Attributes:
        estimate: gives the estimate of the false hits, where there is one.

    Example:
        >>> counter = StatsCounter()
        >>> counter.count(CacheDecision(outcome="miss", reason="answered and stored"))
        >>> counter.snapshot().misses
        1
    """

    def __init__(self) -> None:
        self.estimate: Callable[[], FalseHits] | None = None
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after a fork, whose parent counts on."""
        # Re-entrant: the garbage collector may close a stream that counts, in here. A new one: that
        # of before a fork may be held by a thread that is not here.
        self._lock = threading.RLock()
        with self._lock:
            self._tiers: dict[str, int] = {}
            self._numbers = dict.fromkeys(_NUMBERS, 0)
            self._bypasses: dict[str, int] = {}
            self._discarded: dict[str, int] = {}
            self._saved_s = 0.0
            self._saved: dict[str, list[int]] = {}

    def count(self, decision: CacheDecision) -> None:
        """Take note of what was done with a request."""
        outcome = decision.outcome
        with self._lock:
            if decision.abandoned:
                self._numbers["abandoned"] += 1
            if outcome == "miss":
                self._numbers["misses"] += 1
            elif outcome == "bypass":
                add_reason(self._bypasses, decision.reason)
            else:
                self._count_served(decision)

    def count_refresh(self) -> None:
        """Take note of an answer that was renewed in the background."""
        with self._lock:
            self._numbers["refreshes"] += 1

    def count_discarded(self, reason: str) -> None:
        """Take note of a stored value that could not be used."""
        with self._lock:
            add_reason(self._discarded, reason)

    def snapshot(self, *, false_hits: FalseHits | None = None) -> CacheStats:
        """Everything so far."""
        if false_hits is None and self.estimate is not None:
            false_hits = self.estimate()
        with self._lock:
            return CacheStats(
                hits=dict(self._tiers),
                bypasses=dict(self._bypasses),
                discarded=dict(self._discarded),
                saved_s=self._saved_s,
                saved={model: _usage(counts) for model, counts in self._saved.items()},
                false_hits=false_hits,
                **self._numbers,
            )

    def _count_served(self, decision: CacheDecision) -> None:
        if decision.outcome == "coalesced":
            self._numbers["coalesced"] += 1
        else:
            self._tiers[decision.tier] = self._tiers.get(decision.tier, 0) + 1
        if decision.stale:
            self._numbers["stale"] += 1
        if decision.saved_s is not None:
            self._saved_s += decision.saved_s
        usage = decision.saved_usage
        if usage is None:
            return
        counts = self._saved.get(decision.model or "")
        if counts is None:
            counts = self._saved.setdefault(decision.model or "", [0, 0, 0, 0, 0, 0])
        # Numbers, because adding `Usage` to `Usage` checks every sum again, for 2 us.
        counts[0] += usage.uncached_input_tokens
        counts[1] += usage.cached_input_tokens
        counts[2] += usage.cache_write_tokens
        counts[3] += usage.output_tokens
        counts[4] += usage.reasoning_tokens
        counts[5] |= usage.estimated


def add_reason(counts: dict[str, int], reason: str) -> None:
    """Count a reason, or where there are very many, all others as one."""
    if reason not in counts and len(counts) >= _MOST_REASONS:
        reason = _OTHERS
    counts[reason] = counts.get(reason, 0) + 1


def _usage(counts: list[int]) -> Usage:
    uncached, cached, written, output, reasoning, estimated = counts
    return Usage(
        uncached_input_tokens=uncached,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=reasoning,
        estimated=bool(estimated),
    )
