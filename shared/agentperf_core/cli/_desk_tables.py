"""Two tables of the demo: who answered, and what became of questions in other words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from agentperf_core.bench.workloads import SCENARIO, Played
from agentperf_core.events import DecisionMade
from agentperf_core.telemetry.report.table import table

__all__ = ["in_other_words", "served_by", "who_answered"]

_TIERS = ("exact", "normalised", "semantic")
_SERVED = frozenset({"hit", "coalesced"})


def served_by(played: Played) -> Counter[str]:
    """How many model calls each tier has answered; `"tool"`: tool calls that were not made.

    Example:
        >>> from agentperf_core.telemetry import LatencyReport
        >>> made = DecisionMade(room="cache", outcome="hit", reason="", details={"tier": "exact"})
        >>> served_by(Played(("Hello",), ((made,),), LatencyReport(())))
        Counter({'exact': 1})
    """
    return Counter(
        "tool" if made.room == "tool_cache" else str(made.details["tier"])
        for decisions in played.decisions
        for made in decisions
        if made.outcome in _SERVED
    )


def who_answered(arms: Mapping[str, tuple[Played, int]]) -> str:
    """Model, tiers, tools and the tool cache, a column per arm.

    Args:
        arms: what was played and how many tools ran, by name.
    """
    counts = {name: served_by(played) for name, (played, _) in arms.items()}
    rows = [["the model", *(len(played.report.llm_calls) for played, _ in arms.values())]]
    rows += [[f"{tier} tier", *(one[tier] for one in counts.values())] for tier in _TIERS]
    rows.append(["a tool", *(ran for _, ran in arms.values())])
    rows.append(["tool-result cache", *(one["tool"] for one in counts.values())])
    return table(["answered by", *arms], rows)


def in_other_words(played: Played) -> str:
    """The turns that are put like an earlier one, and who answered each."""
    rows = [
        [turn.text, turn.like, _who(decisions)]
        for turn, decisions in zip(SCENARIO, played.decisions, strict=True)
        if turn.like
    ]
    return table(["asked", "like the earlier", "answered by"], rows)


def _who(decisions: tuple[DecisionMade, ...]) -> str:
    made = next((one for one in decisions if one.room == "cache"), None)
    if made is None:
        return "the model"
    if made.outcome in _SERVED:
        return f"{made.details['tier']} tier"
    guard = made.reason.partition("nearest question: ")[2]  # what kept the tier from serving it
    return f"the model ({guard})" if guard else "the model"
