"""How every answer has done so far, which were reported as wrong, and counts of all requests."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from agentperf_core.cache.semantic.verdict import ErrorEstimate, estimate_error

__all__ = ["Counts", "Records"]

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


class Counts:
    """How many requests were judged, served and checked, and how many checks went wrong.

    An accepted request counts as served until its fresh answer comes in; from then on as checked,
    whether it was drawn for a shadow check or is one of a cache that only watches.

    Example:
        >>> counts = Counts()
        >>> counts.judged(accepted=True, shadow=False)  # served ...
        >>> counts.checked(shadow=False, same=False)  # ... or not: the model was asked after all
        >>> counts.state()
        {'requests': 1, 'served': 0, 'checked': 1, 'wrong': 1}
    """

    def __init__(self) -> None:
        self._counts = {"requests": 0, "served": 0, "checked": 0, "wrong": 0}
        self._lock = threading.Lock()

    def judged(self, *, accepted: bool, shadow: bool) -> None:
        """Count a request."""
        with self._lock:
            self._counts["requests"] += 1
            self._counts["served"] += accepted and not shadow

    def checked(self, *, shadow: bool, same: bool) -> None:
        """Count the fresh answer to an accepted request."""
        with self._lock:
            self._counts["served"] -= not shadow
            self._counts["checked"] += 1
            self._counts["wrong"] += not same

    def estimate(self, *, shadow_share: float) -> ErrorEstimate:
        """Wrong answers as a share of all requests, as if all but `shadow_share` were served."""
        counts = self.state()
        accepted = counts["served"] + counts["checked"]
        return estimate_error(
            wrong=counts["wrong"],
            checked=counts["checked"],
            served=accepted * (1 - shadow_share),
            requests=counts["requests"],
        )

    def state(self) -> dict[str, int]:
        """Everything, as plain JSON."""
        with self._lock:
            return dict(self._counts)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state()` gave."""
        with self._lock:
            self._counts.update({name: int(state[name]) for name in self._counts})
