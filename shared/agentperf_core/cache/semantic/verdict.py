"""What an acceptance decides, and what is known of its errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agentperf_core.cache.semantic.features import Candidate

__all__ = ["ErrorEstimate", "Verdict", "estimate_error"]

Z = 1.96  # 95 % intervals


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a stored answer may be served, and why.

    Attributes:
        accept: serve the answer of `best`.
        shadow: accepted, but to be checked by a real call; its outcome is a label.
        reason: "score" if the score decided, else the guard or rule that refused.
        score: log odds that the answer is right, 0 where none was computed.
        threshold: the score it needed.
        best: the entry that was judged; None if there was none. Its cosine, and those of `rivals`,
            are on the scale of the shipped weights.
        rivals: the nearest entry of every other answer near the question. On a miss compare the
            fresh answer with `best` first, then with these: an answer that is equal makes the
            question an alias of it. On half of the BANKING77 intents these aliases raised hits at
            0.5 % error from 60 to 73 % (best threshold in hindsight).
        features: what the score saw, () if a guard refused.
        propensity: chance with which this decision leads to a label.
        alone: judged as a pair, for want of neighbours.
    """

    accept: bool
    shadow: bool
    reason: str
    score: float
    threshold: float
    best: Candidate | None
    rivals: tuple[Candidate, ...] = ()
    features: tuple[float, ...] = ()
    propensity: float = 1.0
    alone: bool = False

    @property
    def chance(self) -> float:
        """The score as a probability."""
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, self.score))))


@dataclass(frozen=True, slots=True)
class ErrorEstimate:
    """Wrong answers served as a share of all requests, from the checks of accepted ones.

    Attributes:
        rate: the estimate, 0 while nothing has been checked.
        low, high: its 95 % interval (Wilson's, on the checks).
        labels: how many accepted answers were checked.
    """

    rate: float
    low: float
    high: float
    labels: int


def estimate_error(*, wrong: float, checked: float, served: float, requests: int) -> ErrorEstimate:
    """The share of requests answered wrongly, from a sample of the served answers.

    Example:
        >>> estimate_error(wrong=1, checked=50, served=500, requests=1000).rate
        0.01
    """
    if not requests or not served:
        return ErrorEstimate(0.0, 0.0, 0.0, int(checked))
    share = served / requests
    if not checked:
        return ErrorEstimate(0.0, 0.0, share, 0)
    rate = wrong / checked
    spread = 1 + Z**2 / checked
    middle = (rate + Z**2 / (2 * checked)) / spread
    half = Z * math.sqrt(rate * (1 - rate) / checked + Z**2 / (4 * checked**2)) / spread
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return ErrorEstimate(rate * share, low * share, high * share, int(checked))
