"""A score that starts from shipped weights, learns from labels, knows how far to trust itself.

Labels come from misses (the fresh answer is compared with the candidate's, free of effort) and from
shadow checks of served answers. Which requests are labelled depends on the score alone, which the
features determine, so labels need no full inverse-propensity weight for the fit; shadow labels are
rare and near the decision that matters, so they count a few times (`MOST_COUNT`).
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from agentperf_core.optional import require

__all__ = ["Learner"]

WARM = 60  # labels before the shipped threshold is replaced
KEPT_LABELS = 3000
KEPT_REQUESTS = 2000
PRECISION = 30.0  # labels' worth of information behind every shipped weight
MOST_COUNT = 4.0  # of one shadow label: 33 (the inverse share) would let a single one move the fit
# Standard errors of the weights. On BANKING77 (10,003 requests, 3 shuffles, budget 0.5 %): 1.0
# gives 49.4 % hits at 0.40 % errors, 0.5 gives 49.9 % at 0.44 %.
DOUBT = 1.0


class Learner:
    """Weights, threshold and labels of one score.

    Args:
        prior: the shipped weights.
        cold_threshold: score that accepts until `WARM` labels are in, in logits.
        max_error: wrong answers served as a share of all requests.

    Example:
        >>> learner = Learner((0.0, 1.0), cold_threshold=2.0, max_error=0.01)
        >>> learner.score((1.0, 3.0)), learner.threshold, learner.trained
        (3.0, 2.0, False)
    """

    def __init__(self, prior: Sequence[float], *, cold_threshold: float, max_error: float) -> None:
        self.prior = tuple(prior)
        self.weights = self.prior
        self.threshold = cold_threshold
        self.trained = False
        self.max_error = max_error
        self._labels: deque[tuple[tuple[float, ...], float, float]] = deque(maxlen=KEPT_LABELS)
        self._requests: deque[tuple[float, ...] | None] = deque(maxlen=KEPT_REQUESTS)
        self._new = 0
        self._lock = threading.Lock()
        self._refitting = threading.Lock()

    def score(self, features: Sequence[float]) -> float:
        """The log odds that the stored answer is right."""
        return sum(map(_times, features, self.weights))

    def saw(self, features: tuple[float, ...] | None) -> None:
        """Count a request; None for one that may not be served at all."""
        self._requests.append(features)

    def learn(self, features: tuple[float, ...], *, same: bool, count: float = 1.0) -> None:
        """Remember a label that counts `count` times."""
        with self._lock:
            self._labels.append((features, float(same), count))
            self._new += 1

    @property
    def labels(self) -> int:
        """How many labels are kept."""
        return len(self._labels)

    @property
    def refit_due(self) -> bool:
        """Whether enough new labels have come in since the last fit."""
        known = len(self._labels)
        return known >= WARM and self._new >= max(25, known // 20)

    def refit(self) -> None:
        """Fit weights and threshold to the labels so far; milliseconds, one at a time."""
        require("numpy", extra="semantic", purpose="learning of the semantic cache")
        from agentperf_core.cache.semantic import calibration

        with self._refitting:
            with self._lock:
                labels, requests = list(self._labels), list(self._requests)
                self._new = 0
            if len(labels) < WARM:
                return
            model = calibration.fit_rows(labels, prior=self.prior, precision=PRECISION)
            # After a restart no requests are known yet: the labels stand in for them.
            rows = requests if len(requests) >= WARM else [row for row, _, _ in labels]
            threshold = calibration.threshold_of(rows, model, max_error=self.max_error, doubt=DOUBT)
            with self._lock:
                self.weights = tuple(model.weights.tolist())
                self.threshold = math.inf if threshold is None else threshold
                self.trained = True

    def state(self) -> dict[str, Any]:
        """What has been learned, as plain JSON."""
        with self._lock:
            return {
                "weights": list(self.weights),
                "threshold": self.threshold if math.isfinite(self.threshold) else None,
                "trained": self.trained,
                "labels": [
                    [[round(value, 4) for value in row], same, round(count, 2)]
                    for row, same, count in self._labels
                ],
            }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state()` gave; of another make (number of weights) it is ignored."""
        weights = tuple(float(weight) for weight in state["weights"])
        if len(weights) != len(self.prior):
            return
        with self._lock:
            self.weights = weights
            threshold = state["threshold"]
            self.threshold = math.inf if threshold is None else float(threshold)
            self.trained = bool(state["trained"])
            self._labels.clear()
            self._labels.extend(
                (tuple(map(float, row)), float(same), float(count))
                for row, same, count in state["labels"]
                if len(row) == len(weights)
            )


def _times(x: float, y: float) -> float:
    return x * y
