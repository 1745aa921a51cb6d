"""What the caches of recorded runs served, tier by tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentperf_core.telemetry.spans import Span
from agentperf_core.types import Usage

__all__ = ["TierFigures", "tier_figures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TierFigures:
    """The hits of one tier of the caches.

    Attributes:
        tier: which one, such as `"exact"`, `"normalised"` or `"semantic"`; `"tool result"` for
            results of tools, which have no tiers.
        hits: answers that were served.
        coalesced: those of them that were shared with an equal call in flight.
        stale: those of them that were past their time.
        saved_s: seconds that the models took when the answers were made, where known.
        saved_usage: tokens that they cost then, where known.
        oldest_s: age in seconds of the oldest served answer, where known.
    """

    tier: str
    hits: int
    coalesced: int
    stale: int
    saved_s: float
    saved_usage: Usage
    oldest_s: float | None


def tier_figures(hits: Iterable[Span]) -> tuple[TierFigures, ...]:
    """Figures per tier, most hits first.

    Args:
        hits: spans of answers that came from a cache.
    """
    by_tier: dict[str, list[Span]] = {}
    for span in hits:
        by_tier.setdefault(_tier(_said(span)), []).append(span)
    found = (_figures(tier, spans) for tier, spans in by_tier.items())
    return tuple(sorted(found, key=lambda one: (-one.hits, one.tier)))


def _figures(tier: str, spans: list[Span]) -> TierFigures:
    said = [_said(span) for span in spans]
    usage = Usage()
    for span in spans:
        if span.usage is not None:
            usage = usage + span.usage
    ages = [age for one in said if (age := _number(one.get("age_s"))) is not None]
    return TierFigures(
        tier=tier,
        hits=len(spans),
        coalesced=sum(one.get("outcome") == "coalesced" for one in said),
        stale=sum(one.get("stale") is True for one in said),
        saved_s=sum(_number(one.get("saved_s")) or 0.0 for one in said),
        saved_usage=usage,
        oldest_s=max(ages, default=None),
    )


def _tier(said: Mapping[str, Any]) -> str:
    return str(said.get("tier", "tool result" if said.get("of") == "tool" else "unknown"))


def _said(span: Span) -> Mapping[str, Any]:
    return span.cache or {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
