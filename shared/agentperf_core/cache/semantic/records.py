"""How every answer has done so far, and which answers were reported as wrong."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

__all__ = ["Records"]

MOST = 20_000  # answers; the least recently labelled goes
FADE = 0.97  # per label of an answer: about its last thirty count


class Records:
    """Labels per answer, fading, and answers that must not be served again.

    Example:
        >>> records = Records()
        >>> records.label("a", same=True)
        >>> records.standing("a") > records.standing("unknown") == 0.0
        True
    """

    def __init__(self) -> None:
        self._labels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._reported: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def label(self, answer: str, *, same: bool) -> None:
        """Count a label of an answer."""
        with self._lock:
            right, wrong = self._labels.pop(answer, (0.0, 0.0))
            self._labels[answer] = (right * FADE + same, wrong * FADE + (not same))
            if len(self._labels) > MOST:
                self._labels.popitem(last=False)

    def standing(self, answer: str) -> float:
        """Share of labels in its favour, 0 for an unknown answer, 0.25 at best, -0.75 at worst."""
        right, wrong = self._labels.get(answer, (0.0, 0.0))
        return (right + 1.5) / (right + wrong + 2.0) - 0.75

    def report(self, answer: str) -> None:
        """Never again."""
        with self._lock:
            self._reported[answer] = None
            if len(self._reported) > MOST:
                self._reported.popitem(last=False)

    def reported(self, answer: str) -> bool:
        """Whether somebody found this answer to be wrong."""
        return answer in self._reported

    def state(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        with self._lock:
            return {
                "reported": list(self._reported),
                "labels": {
                    answer: [round(right, 3), round(wrong, 3)]
                    for answer, (right, wrong) in self._labels.items()
                },
            }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state()` gave."""
        with self._lock:
            self._reported.update(dict.fromkeys(map(str, state["reported"])))
            self._labels.update(
                {answer: (float(r), float(w)) for answer, (r, w) in state["labels"].items()}
            )
