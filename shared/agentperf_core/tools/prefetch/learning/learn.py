"""Rules learnt from recorded runs, with what they are based on.

Every rule is played through the recorded runs with the same `Foresight` that follows live ones:
what it offers there, and what of it was asked for later, is its evidence. What another rule has
offered already does not count for it.

What this cannot see: rules are chosen by the runs that they are counted in, so their evidence is
kinder than new runs will be; judge a set of rules on runs that it was not learnt from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.tools.prefetch.evidence import Evidence
from agentperf_core.tools.prefetch.foresight import Foresight, call_key
from agentperf_core.tools.prefetch.learning.candidates import suggested
from agentperf_core.tools.prefetch.learning.runs import Called, Run, checked_runs
from agentperf_core.tools.prefetch.rules import PrefetchRule
from agentperf_core.tools.prefetch.sources import Constant

__all__ = ["learn_rules"]

Outcomes: TypeAlias = Mapping[tuple[int, bytes], bool]
"""Whether an offer was used, by run and call."""
_Event: TypeAlias = tuple[str | None, bytes, Called | str]
_MOST_CALLS = 20  # of one rule at once, as live


def learn_rules(
    runs: Iterable[Run],
    *,
    tools: Collection[str],
    min_confidence: float = 0.25,
    min_runs: int = 4,
    most: int = 50,
) -> tuple[PrefetchRule, ...]:
    """Learn which calls follow from which.

    Args:
        runs: what was recorded, see `Run`; with what the user said, if it is to be learnt from.
        tools: names of those that may be called on a guess.
        min_confidence: what a rule must be right in at least, as a share of its offers; the bound
            of Wilson at 95 % must reach it, so that thin evidence does not rule.
        min_runs: in how many runs it must have been right.
        most: how many rules to learn.

    Raises:
        ConfigError: if a number cannot mean anything, or the runs are something else.

    Example:
        >>> run = [("get_user", {"id": 1}, {"orders": [7]}), ("get_order", {"order": 7}, "shipped")]
        >>> rules = learn_rules([run] * 20, tools=["get_order"])
        >>> print(rules[0], rules[0].evidence.confidence)
        after get_user: get_order(order=result.orders[]) 1.0
    """
    require_positive(min_confidence=min_confidence, min_runs=min_runs, most=most)
    if min_confidence >= 1:
        msg = f"min_confidence is a share below 1, got {min_confidence!r}; give one such as 0.25"
        raise ConfigError(msg)
    recorded = checked_runs(runs)
    played = [[_event(event) for event in run] for run in recorded]
    trials = [
        _better(rule, played, min_confidence)
        for rule in suggested(recorded, tools, min_runs=min_runs)
    ]
    trials.sort(key=_order)
    covered: dict[tuple[int, bytes], bool] = {}
    chosen: list[PrefetchRule] = []
    for trial in trials:
        new = {offer: used for offer, used in trial.outcomes.items() if offer not in covered}
        evidence = _evidence(new)
        if evidence.at_least >= min_confidence and evidence.runs >= min_runs:
            covered.update(new)
            chosen.append(replace(trial.rule, evidence=trial.evidence))
            if len(chosen) == most:
                break
    return tuple(chosen)


@dataclass(frozen=True, slots=True)
class _Trial:
    rule: PrefetchRule
    outcomes: Outcomes
    evidence: Evidence

    def worth(self, price: float) -> float:
        """Used offers, less a price for each one made."""
        return self.evidence.used - price * self.evidence.offered


def _order(trial: _Trial) -> tuple[float, int, int, str]:
    """The surest first; of equals the one that takes what it was told over what was usual."""
    constants = sum(isinstance(source, Constant) for source in trial.rule.sources.values())
    return -trial.evidence.at_least, -trial.evidence.used, constants, str(trial.rule)


def _better(rule: PrefetchRule, runs: Sequence[Sequence[_Event]], price: float) -> _Trial:
    """The rule, or the same one step by step through its list, whichever is worth more."""
    trials = [_tried(rule, runs)]
    if rule.several:
        trials.append(_tried(replace(rule, ahead=1), runs))
    return max(trials, key=lambda trial: trial.worth(price))


def _tried(rule: PrefetchRule, runs: Sequence[Sequence[_Event]]) -> _Trial:
    outcomes: dict[tuple[int, bytes], bool] = {}
    for number, run in enumerate(runs):
        if any(tool == rule.after for tool, _, _ in run):
            _play(rule, number, run, outcomes)
    return _Trial(rule, outcomes, _evidence(outcomes))


def _play(
    rule: PrefetchRule, number: int, run: Sequence[_Event], outcomes: dict[tuple[int, bytes], bool]
) -> None:
    foresight = Foresight([rule], most=_MOST_CALLS)
    for tool, key, event in run:
        offers = []
        if tool == rule.call:
            used, offers = foresight.asked(key)
            if used is not None:
                outcomes[number, key] = True
        if isinstance(event, str):
            offers += foresight.heard(event)
        elif tool == rule.after:
            offers += foresight.finished(*event)
        outcomes.update({(number, offer.key): False for offer in offers})


def _evidence(outcomes: Outcomes) -> Evidence:
    used = [run for (run, _), was in outcomes.items() if was]
    return Evidence(offered=len(outcomes), used=len(used), runs=len(set(used)))


def _event(event: Called | str) -> _Event:
    if isinstance(event, str):
        return None, b"", event
    return event[0], call_key(event[0], event[1]), event
