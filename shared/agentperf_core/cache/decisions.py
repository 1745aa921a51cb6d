"""The record of what a cache did with one request, and why."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any, Literal, TypeAlias

from agentperf_core.accounting import PRICES
from agentperf_core.types import Usage

__all__ = ["CacheDecision", "Outcome", "Tier"]

Outcome: TypeAlias = Literal["hit", "coalesced", "miss", "bypass"]
Tier: TypeAlias = Literal["exact", "normalised", "semantic"]


@dataclass(slots=True, kw_only=True)
class CacheDecision:
    """What the cache did with one request, and why; nobody changes it afterwards.

    Attributes:
        outcome: `"hit"` from the store, `"coalesced"` with an equal call in flight, `"miss"`, or
            `"bypass"` if the request or the answer may not be cached.
        reason: one sentence.
        tier: which tier decided: equal requests, equal but for the wording's form, or alike.
        key: the request's key, shortened; `None` without one.
        entry: id of the entry that was served, for `report_bad_hit`; `None` if none was.
        age_s: seconds since a served answer was made.
        stale: whether a served answer is past its time, see `CachePolicy`.
        score: how sure the semantic tier was, 0 to 1; `None` from the other tiers.
        saved_usage: tokens that a served answer cost when it was made.
        saved_s: seconds that the model took then.
        model: name of the model that made a served answer, `None` if unknown.
        abandoned: whether a model call was begun and given up, which may have cost money.
    """

    outcome: Outcome
    reason: str
    tier: Tier = "exact"
    key: str | None = None
    entry: str | None = None
    age_s: float | None = None
    stale: bool = False
    score: float | None = None
    saved_usage: Usage | None = None
    saved_s: float | None = None
    model: str | None = None
    abandoned: bool = False

    @property
    def served(self) -> bool:
        """Whether no model call was made for this answer."""
        return self.outcome in {"hit", "coalesced"}

    @property
    def saved_usd(self) -> Decimal | None:
        """USD that a served answer cost when it was made; `None` if that is not known.

        A property, because a look at the price list costs more than the whole hit.
        """
        if self.saved_usage is None or self.model is None:
            return None
        return PRICES.price(self.saved_usage, self.model)

    def record(self) -> dict[str, Any]:
        """Plain JSON data for response metadata, spans and reports, without what is not so."""
        found = {
            name: value
            for name, value in zip(_NAMES, _VALUES(self), strict=True)
            if value is not None and value is not False
        }
        if self.saved_usage is not None:
            found["saved_usage"] = dict(zip(_COUNTS, _COUNTED(self.saved_usage), strict=True))
        return found


_NAMES = tuple(CacheDecision.__dataclass_fields__)
_VALUES = attrgetter(*_NAMES)
_COUNTS = tuple(Usage.__dataclass_fields__)
_COUNTED = attrgetter(*_COUNTS)
