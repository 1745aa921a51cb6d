"""What a look-up by meaning found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentperf_core.cache.semantic.memory import Near, Remembered
from agentperf_core.cache.semantic.verdict import Verdict

__all__ = ["Looked"]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look-up found: the verdict and the nearest questions, best first."""

    verdict: Verdict
    near: Sequence[Near]

    @property
    def best(self) -> Remembered | None:
        """The question whose answer would be served."""
        best = self.verdict.best
        if best is None:
            return None
        return next(one.remembered for one in self.near if one.ident == best.ident)
