"""What the score sees: one pair of questions, and the neighbourhood the nearest entry stands in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentperf_core.cache.semantic.contrast import Contrast
from agentperf_core.cache.semantic.guards import GuardProfile, refusal_of
from agentperf_core.cache.semantic.wording import Wording

__all__ = [
    "NEIGHBOUR_FEATURES",
    "PAIR_FEATURES",
    "Candidate",
    "first_allowed",
    "neighbourhood",
    "pair_features",
    "rivals_of",
    "soft_refusal",
]

PAIR_FEATURES = (
    "one", "cosine", "near", "overlap", "only_a", "only_b", "same_words", "trigrams", "kind",
    "length", "slip", "soft", "names",
)  # fmt: skip
NEIGHBOUR_FEATURES = (
    "one", "pair", "cosine", "margin", "vote", "wide_vote", "second", "third", "rivals", "record",
    "soft",
)  # fmt: skip
FARTHEST = 0.4  # cosine below which a label says nothing about what could ever be served
FAR = 0.3  # the cosine that a missing neighbour is taken to lie below the best
SHARP, WIDE = 0.05, 0.12  # temperatures of the two votes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored entry near the question.

    Attributes:
        ident: the entry's number in the vector index.
        answer: identity of its answer; entries with one answer are aliases of each other.
        text: the question it was stored under.
        cosine: how near it is, 1 for the same direction.
    """

    ident: int
    answer: str
    text: str
    cosine: float


def pair_features(contrast: Contrast, cosine: float, *, soft: bool) -> tuple[float, ...]:
    """The features of a pair by itself, in the order of `PAIR_FEATURES`.

    Args:
        contrast: the two questions.
        cosine: of their vectors.
        soft: whether a guard that is only cautious at the start speaks against the pair.
    """
    a, b = contrast.a, contrast.b
    more, less = len(contrast.only_a), len(contrast.only_b)
    triples_a, triples_b = a.trigrams(), b.trigrams()
    letters = len(triples_a & triples_b)
    long, short = max(len(a.tokens), len(b.tokens)), min(len(a.tokens), len(b.tokens))
    return (
        1.0,
        (cosine - 0.85) * 10,
        max(0.0, cosine - 0.95) * 20,
        contrast.shared / max(1, contrast.shared + more + less),
        min(more, 6) / 3,
        min(less, 6) / 3,
        float(not more and not less),
        letters / max(1, len(triples_a) + len(triples_b) - letters),
        float(a.kind != b.kind),
        short / max(1, long),
        float(contrast.folded > 0 and not more and not less and a.kind == b.kind),
        float(soft),
        float(contrast.names() is not None),
    )


def neighbourhood(
    best: int, candidates: Sequence[Candidate], *, pair: float, record: float, soft: bool
) -> tuple[float, ...]:
    """The features of the entry to be served among its neighbours, as in `NEIGHBOUR_FEATURES`.

    Args:
        best: place of that entry in `candidates`.
        candidates: nearest entries, best first.
        pair: score of the pair by itself, in logits.
        record: how its answer has done so far, 0 for unknown.
        soft: whether a cautious guard speaks against the pair.
    """
    chosen = candidates[best]
    top = chosen.cosine
    same = [c.cosine for c in candidates if c.answer == chosen.answer and c is not chosen]
    others = [c for c in candidates if c.answer != chosen.answer]
    rival = others[0].cosine if others else top - FAR
    return (
        1.0,
        pair / 2,
        (top - 0.85) * 10,
        max(-0.1, min(FAR, top - rival)) * 10,
        _share(top, same, others, SHARP),
        _share(top, same, others, WIDE),
        ((same[0] if same else top - FAR) - 0.8) * 5,
        ((same[1] if len(same) > 1 else top - FAR) - 0.8) * 5,
        len({c.answer for c in others if c.cosine > top - WIDE}) / 4,
        record,
        float(soft),
    )


def _share(
    top: float, same: Sequence[float], others: Sequence[Candidate], temperature: float
) -> float:
    """The answer's share of the neighbours' votes, nearer ones counting more; as a logit."""
    mine = 1.0 + sum(math.exp((cosine - top) / temperature) for cosine in same)
    theirs = sum(math.exp((c.cosine - top) / temperature) for c in others)
    return math.log((mine + 0.05) / (theirs + 0.05)) / 2


def first_allowed(
    question: Wording,
    candidates: Sequence[Candidate],
    *,
    hard: frozenset[str],
    reported: Callable[[str], bool],
) -> str | tuple[int, Contrast]:
    """The place of the nearest entry that no guard forbids and its contrast, or why none is left.

    Args:
        question: what is asked.
        candidates: nearest entries, best first.
        hard: the guards that always hold.
        reported: whether an answer was reported as wrong.
    """
    reason = ""
    for place, candidate in enumerate(candidates):
        if reported(candidate.answer):
            reason = reason or "reported"
            continue
        contrast = Contrast(Wording.of(candidate.text), question)
        refused = refusal_of(contrast, hard)
        if refused is None:
            return place, contrast
        reason = reason or refused
    return reason or "no-candidate"


def soft_refusal(contrast: Contrast, profile: GuardProfile) -> str | None:
    """The cautious guard that speaks against a pair, if one does."""
    return refusal_of(contrast, profile.cold) if profile.cold else None


def rivals_of(best: Candidate | None, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The nearest entry of every answer but the best one's, where it is near at all."""
    if best is None:
        return ()
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.answer != best.answer and candidate.cosine >= FARTHEST:
            found.setdefault(candidate.answer, candidate)
    return tuple(found.values())
