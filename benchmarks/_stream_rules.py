"""The rules that a stream is compared with: a fixed cosine, vCache's rule, neighbour consensus.

Each sees the same requests, keeps its own entries and answers from them. vCache's rule is our own
implementation of its published idea (arXiv 2502.03771): every entry keeps what was seen of it, as
pairs of similarity and outcome, fits a logistic curve to them and explores as often as a
conservative reading of that curve demands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from statistics import NormalDist
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass
class Tally:
    requests: int = 0
    hits: int = 0
    wrong: int = 0

    def as_json(self) -> dict[str, float]:
        return {
            "hit_rate": self.hits / max(1, self.requests),
            "error_rate": self.wrong / max(1, self.requests),
            "wrong_per_hit": self.wrong / max(1, self.hits),
        }


class Rule(Protocol):
    tally: Tally

    def ask(self, number: int, intent: str, cosines: Floats) -> None: ...


@dataclass
class Entries:
    """The requests that were inserted, and the intent each stands for."""

    numbers: list[int] = field(default_factory=list[int])
    intents: list[str] = field(default_factory=list[str])

    def add(self, number: int, intent: str) -> None:
        self.numbers.append(number)
        self.intents.append(intent)


class Static:
    """Serve the nearest entry from a fixed cosine on."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.tally = Tally()
        self.entries = Entries()

    def ask(self, number: int, intent: str, cosines: Floats) -> None:
        self.tally.requests += 1
        if self.entries.numbers:
            near = cosines[self.entries.numbers]
            best = int(near.argmax())
            if near[best] >= self.threshold:
                self.tally.hits += 1
                self.tally.wrong += self.entries.intents[best] != intent
                return
        self.entries.add(number, intent)


class Consensus:
    """Serve if the nearest is near enough and its close neighbours all have its answer."""

    def __init__(self, least: float = 0.75, within: float = 0.08) -> None:
        self.least, self.within = least, within
        self.tally = Tally()
        self.entries = Entries()
        self.answers: list[int] = []

    def ask(self, number: int, intent: str, cosines: Floats) -> None:
        self.tally.requests += 1
        answer = number
        if self.entries.numbers:
            near = cosines[self.entries.numbers]
            best = int(near.argmax())
            close = np.flatnonzero(near >= near[best] - self.within)
            answers = {self.answers[place] for place in close}
            right = self.entries.intents[best] == intent
            if near[best] >= self.least and len(close) >= 2 and len(answers) == 1:
                self.tally.hits += 1
                self.tally.wrong += not right
                return
            answer = self.answers[best] if right else number
        self.entries.add(number, intent)
        self.answers.append(answer)


class VCache:
    """A threshold per entry, learned from its own outcomes, with exploration."""

    LEAST = 6
    GRID = tuple(value / 50 for value in range(1, 50))

    def __init__(self, max_error: float, seed: int) -> None:
        self.max_error = max_error
        self.rng = Random(seed)
        self.tally = Tally()
        self.entries = Entries()
        self.seen: list[list[tuple[float, float]]] = []
        self.quantiles = [NormalDist().inv_cdf(1 - share) for share in self.GRID]

    def ask(self, number: int, intent: str, cosines: Floats) -> None:
        self.tally.requests += 1
        if self.entries.numbers:
            near = cosines[self.entries.numbers]
            best = int(near.argmax())
            cosine, right = float(near[best]), self.entries.intents[best] == intent
            if self.rng.random() >= self._explore(self.seen[best], cosine):
                self.tally.hits += 1
                self.tally.wrong += not right
                return
            self.seen[best].append((cosine, float(right)))
            if right:
                return
        self.entries.add(number, intent)
        self.seen.append([(0.0, 0.0), (1.0, 1.0)])

    def _explore(self, seen: list[tuple[float, float]], cosine: float) -> float:
        """The least chance of a real call that keeps the error below the bound."""
        if len(seen) < self.LEAST:
            return 1.0
        slope, middle, doubt = self._curve(seen)
        least = 1.0
        for share, quantile in zip(self.GRID, self.quantiles, strict=True):
            logit = slope * (cosine - middle - quantile * doubt)
            right = (1 - share) / (1 + math.exp(-max(-30.0, min(30.0, logit))))
            least = min(least, max(0.0, 1 - self.max_error / max(1e-9, 1 - right)))
        return least

    @staticmethod
    def _curve(seen: list[tuple[float, float]]) -> tuple[float, float, float]:
        """Slope and middle of the logistic curve, and the standard error of the middle."""
        x = np.array([(1.0, cosine) for cosine, _ in seen])
        y = np.array([right for _, right in seen])
        weights = np.array([-8.0, 10.0])
        hessian = np.eye(2)
        for _ in range(15):
            right = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
            hessian = (x.T * (right * (1 - right) + 1e-6)) @ x + 1e-3 * np.eye(2)
            step = np.linalg.solve(hessian, x.T @ (y - right) - 1e-3 * weights)
            weights += step / max(1.0, float(np.abs(x @ step).max()) / 4)
        slope = max(1e-3, float(weights[1]))
        middle = -float(weights[0]) / slope
        gradient = np.array([-1 / slope, -middle / slope])
        return slope, middle, math.sqrt(float(gradient @ np.linalg.inv(hessian) @ gradient))


def rules(max_error: float, seed: int) -> dict[str, Rule]:
    """Every rule to compare with, by name."""
    static: dict[str, Rule] = {f"static {t:.2f}": Static(t) for t in (0.80, 0.85, 0.90, 0.95)}
    return static | {"vcache rule": VCache(max_error, seed), "consensus": Consensus()}
