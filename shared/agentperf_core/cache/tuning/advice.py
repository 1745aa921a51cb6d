"""Which setting to take, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentperf_core.cache.semantic.acceptance import Acceptance
from agentperf_core.cache.tuning.trials import Trial

__all__ = ["Advice", "advised", "state_to_save"]

# What a looser guard profile must serve more to be worth it: guards refuse what these data may not
# show, such as a changed number. As a share of all requests.
_WORTH = 0.01
_SAFEST_FIRST = ("strict", "balanced", "faq")


@dataclass(frozen=True, slots=True)
class Advice:
    """What to take for one budget.

    Attributes:
        max_error: the budget.
        take: the trial whose setting to take; `None` if there is none.
        is_certain: whether the data show that it keeps the budget.
        needed: about how many requests with such errors would show it; `None` if it is certain, or
            no number would.
        over: settings that would serve more and may break the budget, the best first.
    """

    max_error: float
    take: Trial | None
    is_certain: bool
    needed: int | None
    over: tuple[Trial, ...]


def advised(trials: Sequence[Trial]) -> list[Advice]:
    """For each budget the setting that serves most within it.

    A setting whose interval is within the budget comes before one that is only probably there, and
    a stricter guard profile before one that serves hardly more.

    Args:
        trials: of any number of settings.

    Example:
        >>> advised([])
        []
    """
    return [
        _for_budget([trial for trial in trials if trial.max_error == budget], budget)
        for budget in sorted({trial.max_error for trial in trials})
    ]


def state_to_save(acceptance: Acceptance) -> dict[str, Any]:
    """What an acceptance has learnt of scores, without what it counted and whom it served.

    The counts of a rehearsal are not those of the cache, and its answers are nobody's.
    """
    learnt = acceptance.state()
    return Acceptance().state() | {name: learnt[name] for name in ("pairs", "crowds")}


def _for_budget(trials: Sequence[Trial], budget: float) -> Advice:
    serving = sorted(
        (trial for trial in trials if trial.served.rate > 0), key=lambda trial: -trial.served.rate
    )
    certain = [trial for trial in serving if trial.keeps_budget]
    probable = [trial for trial in serving if trial.wrong.rate <= budget]
    take = _chosen(certain or probable)
    least = 0.0 if take is None else take.served.rate
    over = [trial for trial in serving if trial.served.rate > least]
    needed = None if take is None or certain else _needed(take, budget)
    return Advice(budget, take, bool(certain), needed, tuple(over))


def _chosen(trials: Sequence[Trial]) -> Trial | None:
    """Of trials by what they serve, the safest that serves about as much as the first."""
    if not trials:
        return None
    near = [trial for trial in trials if trial.served.rate >= trials[0].served.rate - _WORTH]
    return min(near, key=lambda trial: _SAFEST_FIRST.index(trial.guards))


def _needed(trial: Trial, budget: float) -> int | None:
    """Requests after which the interval of the wrong answers ends below the budget.

    An interval shrinks with the root of their number; one that begins at zero, with the number.
    """
    rate, _, high = trial.wrong
    if rate >= budget:
        return None
    return math.ceil(trial.requests * ((high - rate) / (budget - rate)) ** (2 if rate else 1))
