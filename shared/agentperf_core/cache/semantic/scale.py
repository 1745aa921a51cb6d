"""On what scale an encoder measures: how alike it finds questions that share only their frame.

The shipped weights were fitted on MiniLM, to which such questions have a cosine of about 0.2. To
other encoders (text-embedding-ada-002, e5) hardly any two texts have less than 0.7, and 0.8 means
nothing. What lies above the background is therefore stretched to what MiniLM leaves above its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PROBES", "Scale", "background_of"]

PROBES = (
    "How do I cancel my subscription?",
    "How do I track my parcel?",
    "How do I install my printer?",
    "How do I renew my passport?",
    "How do I feed my cat?",
    "How do I tune my guitar?",
    "How do I sell my house?",
    "How do I train my knees?",
)
"""Questions in one frame, about eight things. Embed them once to measure an encoder."""

SHIPPED = 0.18  # mean cosine of the probes with all-MiniLM-L6-v2, which the weights were fitted on
ENOUGH = 20  # cosines; the eight probes give 28


class Scale:
    """Turns an encoder's cosines into those that the shipped weights were fitted on.

    Attributes:
        background: the mean of what was observed; MiniLM's until that is enough.

    Example:
        >>> scale = Scale()
        >>> scale.observe([0.8] * 28)
        >>> scale.known, round(scale.of(0.9), 2), scale.of(1.0)
        (True, 0.59, 1.0)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._sum = 0.0
        self.background = SHIPPED

    @property
    def known(self) -> bool:
        """Whether enough has been observed to say what a cosine means."""
        return self._count >= ENOUGH

    def observe(self, cosines: Iterable[float]) -> None:
        """Take in cosines of questions that have nothing to do with each other."""
        seen = list(cosines)
        with self._lock:
            self._count += len(seen)
            self._sum += sum(seen)
            if self.known:
                self.background = self._sum / self._count

    @property
    def high(self) -> bool:
        """Whether cosines mean less than with MiniLM."""
        return self.background > SHIPPED

    def of(self, cosine: float) -> float:
        """A cosine on the shipped scale; never higher than it was.

        An encoder with a lower background than MiniLM's keeps its cosines: it is careful enough.
        """
        if not self.high:
            return cosine
        background = min(self.background, 0.99)
        return SHIPPED + (cosine - background) / (1 - background) * (1 - SHIPPED)


def background_of(vectors: Sequence[NDArray[np.float32]]) -> list[float]:
    """The cosine of every two of some unit vectors, to be observed.

    Args:
        vectors: of `PROBES`.
    """
    return [float(one @ other) for one, other in combinations(vectors, 2)]
