"""The arithmetic of learning: a logistic score with a prior, the threshold a budget allows.

Textbook parts: maximum a-posteriori logistic regression by Newton's method, its Laplace covariance,
and the delta method for the error mass above a threshold. Needs numpy, so it is imported only where
something is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fit", "chance", "fit", "fit_rows", "lowest_threshold", "threshold_of"]

Floats = NDArray[np.float64]
MAX_LOGIT = 30.0
MAX_TURNS = 50
MAX_STEP = 4.0  # logits


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights of the score and their covariance."""

    weights: Floats
    covariance: Floats


def fit(x: Floats, y: Floats, counts: Floats, *, prior: Floats, precision: Floats) -> Fit:
    """Weights under which the labels are most likely, drawn towards a prior.

    Args:
        x: features, one row per label.
        y: 1 where the stored answer was right, 0 where it was wrong.
        counts: how often each label counts.
        prior: the weights before any label.
        precision: how much each of them resists, in labels' worth of information.

    Example:
        >>> x, y = np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([0.0, 1.0])
        >>> zero, one = np.zeros(2), np.ones(2)
        >>> bool(fit(x, y, one, prior=zero, precision=one).weights[1] > 0)
        True
    """
    weights = prior.copy()
    hessian = np.diag(precision)
    for _ in range(MAX_TURNS):
        right = chance(x @ weights)
        gradient = x.T @ (counts * (y - right)) - precision * (weights - prior)
        hessian = (x.T * (counts * right * (1 - right) + 1e-9)) @ x + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        # A long step overshoots where the curve is flat: Newton's method then runs away.
        step /= max(1.0, float(np.abs(x @ step).max()) / MAX_STEP)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-4:
            break
    return Fit(weights, np.asarray(np.linalg.inv(hessian), dtype=np.float64))


def chance(logits: Floats) -> Floats:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT)))


def lowest_threshold(
    x: Floats, eligible: NDArray[np.bool_], model: Fit, *, max_error: float, doubt: float
) -> float | None:
    """The lowest score at which the wrong answers served stay within the budget, or None.

    Args:
        x: features of recent requests, served or not.
        eligible: whether a request may be served at all.
        model: the score.
        max_error: wrong answers as a share of all requests.
        doubt: standard errors, from the weights' uncertainty, added to the expected number. The
            luck of the draw gets no margin: it averages out as requests come in.
    """
    logits = x @ model.weights
    order = np.argsort(-logits)
    order = order[eligible[order]]
    if not len(order):
        return None
    right = chance(logits[order])
    wrong = np.cumsum(1 - right)
    slope = np.cumsum((right * (1 - right))[:, None] * x[order], axis=0)
    unsure = np.einsum("ij,jk,ik->i", slope, model.covariance, slope)
    bound = wrong + doubt * np.sqrt(unsure)
    within = np.flatnonzero(bound <= max_error * len(x))
    return float(logits[order][within[-1]]) if len(within) else None


def fit_rows(
    labels: Sequence[tuple[tuple[float, ...], float, float]],
    *,
    prior: Sequence[float],
    precision: float,
) -> Fit:
    """`fit` for labels as rows of features, label and count."""
    x = np.array([row for row, _, _ in labels], dtype=np.float64)
    y = np.array([same for _, same, _ in labels], dtype=np.float64)
    counts = np.array([count for _, _, count in labels], dtype=np.float64)
    weights = np.array(prior, dtype=np.float64)
    return fit(x, y, counts, prior=weights, precision=np.full(len(weights), precision))


def threshold_of(
    requests: Sequence[tuple[float, ...] | None], model: Fit, *, max_error: float, doubt: float
) -> float | None:
    """`lowest_threshold` for requests as rows; None is one that may not be served."""
    nothing = (0.0,) * len(model.weights)
    x = np.array([row or nothing for row in requests], dtype=np.float64)
    eligible = np.array([row is not None for row in requests])
    return lowest_threshold(x, eligible, model, max_error=max_error, doubt=doubt)
