"""What a setting of the semantic tier did with labelled questions, as shares with intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agentperf_core.cache.semantic.verdict import estimate_error

__all__ = ["Done", "Share", "Trial", "share_of"]


class Share(NamedTuple):
    """A share of all requests with its 95 % interval."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one setting did.

    Attributes:
        max_error: the budget.
        guards: name of the guard profile.
        learnt: whether it had learnt from such data: from other pairs, or on the way.
        requests: how many requests it was tried on.
        served: requests that were served by meaning.
        wrong: requests that were served a wrong answer.
    """

    max_error: float
    guards: str
    learnt: bool
    requests: int
    served: Share
    wrong: Share

    @property
    def keeps_budget(self) -> bool:
        """Whether the whole interval of the wrong answers is within the budget."""
        return self.wrong.high <= self.max_error


class Done(NamedTuple):
    """What was done with one request."""

    group: str  # requests of one group fail together, so that they count for less than as many
    served: bool
    wrong: bool


def share_of(flags: Sequence[tuple[str, bool]]) -> Share:
    """A share with Wilson's interval, wider where requests of a group go the same way.

    The number of requests is divided by the design effect: the variance of the share between groups
    over that of independent requests (Kish 1965).
    """
    number, hits = len(flags), sum(flag for _, flag in flags)
    rate = hits / number
    groups = defaultdict[str, list[bool]](list)
    for group, flag in flags:
        groups[group].append(flag)
    effect = 1.0
    if 0 < hits < number and len(groups) > 1:
        spread = sum((sum(some) - rate * len(some)) ** 2 for some in groups.values())
        between = len(groups) / (len(groups) - 1) * spread / number**2
        effect = max(1.0, between * number / (rate * (1 - rate)))
    counted = number / effect
    found = estimate_error(wrong=rate * counted, checked=counted, served=1, requests=1)
    return Share(found.rate, found.low, math.nextafter(found.high, 1.0))
