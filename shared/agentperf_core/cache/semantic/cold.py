"""What may be served before anything was learned."""

from __future__ import annotations

import math

from agentperf_core.cache.semantic.contrast import Contrast
from agentperf_core.cache.semantic.prior import Prior

__all__ = ["ColdStart"]

# Score that a pair in other words needs while the encoder's scale is unknown: that of a cosine of
# about .95. Encoders to which everything is alike give it to hardly any two different questions.
CAREFUL = 3.0


class ColdStart:
    """The cautious rules of the first requests.

    Args:
        prior: shipped weights and thresholds.
        max_error: a budget other than the usual one moves the thresholds by half of its log ratio.

    Attributes:
        pair, neighbours: scores that accept, in logits.
    """

    def __init__(self, prior: Prior, *, max_error: float) -> None:
        shift = 0.5 * math.log(0.005 / max_error)
        self.pair = prior.cold_pair + shift
        self.neighbours = prior.cold_neighbours + shift
        self._careful = CAREFUL + shift

    def refusal(
        self, contrast: Contrast, pair: float, *, soft: str | None, scale_known: bool
    ) -> str | None:
        """Why a pair may not be served yet, or None.

        Args:
            contrast: the two questions.
            pair: their score, whatever the neighbours say.
            soft: the cautious guard that speaks against them.
            scale_known: whether it is known what the encoder's cosines mean.
        """
        if soft is not None:
            return soft
        if pair < self.pair:
            return "score"
        if not scale_known and not contrast.same_words and pair < self._careful:
            return "unknown-scale"
        return None
