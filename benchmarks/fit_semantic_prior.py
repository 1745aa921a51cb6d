"""Fit the weights that the semantic cache starts from, and check them on what they did not see.

Pairs are split by connected components of the question graph, streams by intent (a hash decides),
into a development and a confirmation half. Fitted on the first: the pair score, on labelled pairs
and on traps made from the same half's questions; the neighbourhood score, on a stream of the
half's intents under a fixed careful rule. Reported on the second. The texts stay where they are,
only weights go into `semantic/prior.py`.

    python benchmarks/fit_semantic_prior.py --pairs qqp_dev.jsonl.gz --stream banking77_train.csv.gz
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from _semantic import Vectors, encoded, half_of, half_of_intent, read_pairs, read_stream
from semantic_stream import Cache
from traps import make

from agentperf_core.cache.semantic.acceptance import Acceptance
from agentperf_core.cache.semantic.calibration import Floats, fit
from agentperf_core.cache.semantic.contrast import Contrast
from agentperf_core.cache.semantic.features import (
    NEIGHBOUR_FEATURES,
    PAIR_FEATURES,
    Candidate,
    pair_features,
    soft_refusal,
)
from agentperf_core.cache.semantic.guards import profile_of, refusal_of
from agentperf_core.cache.semantic.prior import SHIPPED
from agentperf_core.cache.semantic.verdict import Verdict
from agentperf_core.cache.semantic.wording import Wording

Pair = dict[str, Any]
LEAST = 0.6  # cosine; farther pairs are never served, so they must not shape the score
TRAP_COUNT = 2.0  # a trap's label is certain, a third of Quora's labels of near pairs are not
BALANCED = profile_of("balanced")
ROUND = 2


def halves(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Development and confirmation pairs that share no question, directly or through others."""
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        parent.setdefault(text, text)
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    for pair in pairs:
        first, second = sorted((root(pair["a"]), root(pair["b"])))
        parent[second] = first
    split: tuple[list[Pair], list[Pair]] = ([], [])
    for pair in pairs:
        split[half_of(root(pair["a"]))].append(pair)
    return split


class Rows:
    """Features, labels, and which pairs the guards refuse."""

    def __init__(self, pairs: Sequence[Pair], vectors: dict[str, Vectors]) -> None:
        self.labels = np.array([float(pair["label"]) for pair in pairs])
        self.cosines = np.array([float(vectors[p["a"]] @ vectors[p["b"]]) for p in pairs])
        rows: list[tuple[float, ...]] = []
        allowed: list[bool] = []
        for pair, cosine in zip(pairs, self.cosines, strict=True):
            contrast = Contrast(Wording.of(pair["a"]), Wording.of(pair["b"]))
            soft = soft_refusal(contrast, BALANCED) is not None
            rows.append(pair_features(contrast, float(cosine), soft=soft))
            hard = refusal_of(contrast, BALANCED.hard) is not None
            allowed.append(not hard and not soft and cosine >= LEAST)
        self.x = np.array(rows)
        self.allowed = np.array(allowed)
        self.near = self.cosines >= LEAST

    def served(self, weights: Floats, threshold: float) -> np.ndarray:
        return self.allowed & (self.x @ weights >= threshold)


def fit_pairs(natural: Rows, traps: Rows) -> Floats:
    x = np.concatenate([natural.x[natural.near], traps.x[traps.allowed]])
    y = np.concatenate([natural.labels[natural.near], traps.labels[traps.allowed]])
    counts = np.ones(len(y))
    counts[int(natural.near.sum()) :] = TRAP_COUNT
    zero = np.zeros(x.shape[1])
    return fit(x, y, counts, prior=zero, precision=np.ones(len(zero))).weights


def report_pairs(weights: Floats, natural: Rows, traps: Rows) -> None:
    ranked = np.sort(-natural.cosines)
    for threshold in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0):
        served = natural.served(weights, threshold)
        hits = int(served.sum())
        static = natural.cosines >= -ranked[hits - 1]
        of_traps = traps.served(weights, threshold)
        wrong, safe = (of_traps[traps.labels == label].mean() for label in (0, 1))
        print(
            f"score {threshold:.2f}: hit {served.mean():.3f}, precision "
            f"{natural.labels[served].mean():.3f} (cosine {-ranked[hits - 1]:.3f}: "
            f"{natural.labels[static].mean():.3f}); traps served {wrong:.3f}, safe {safe:.3f}"
        )


class Fixed(Acceptance):
    """Serves by a fixed careful rule, so that what the store holds does not depend on the fit."""

    def judge(self, question: Wording, candidates: Sequence[Candidate]) -> Verdict:
        verdict = super().judge(question, candidates)
        named = dict(zip(NEIGHBOUR_FEATURES, verdict.features, strict=False))
        accept = (
            not verdict.alone
            and bool(verdict.features)
            and named["cosine"] > -0.5
            and named["margin"] > 0.7
            and named["vote"] > 0.6
        )
        return replace(verdict, accept=accept, shadow=False)

    @property
    def refit_due(self) -> bool:
        return False


class Watched(Cache):
    """Keeps the features of every request, and whether its candidate was right."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rows: list[tuple[tuple[float, ...], float]] = []

    def ask(self, text: str, intent: str, vector: Vectors) -> None:
        judge = self.acceptance.judge

        def watching(question: Wording, candidates: Sequence[Candidate]) -> Verdict:
            verdict = judge(question, candidates)
            if verdict.features and verdict.best is not None and not verdict.alone:
                right = self.intents[verdict.best.ident] == intent
                self.rows.append((verdict.features, float(right)))
            return verdict

        self.acceptance.judge = watching
        try:
            super().ask(text, intent, vector)
        finally:
            del self.acceptance.judge


def fit_neighbours(
    stream: Sequence[tuple[str, str]], vectors: dict[str, Vectors], pair: Floats, seeds: range
) -> Floats:
    rows: list[tuple[tuple[float, ...], float]] = []
    prior = replace(SHIPPED, pair=tuple(float(weight) for weight in pair))
    for seed in seeds:
        shuffled = list(stream)
        Random(seed).shuffle(shuffled)
        cache = Watched(Fixed(seed=seed, prior=prior), len(next(iter(vectors.values()))))
        for text, intent in shuffled:
            cache.ask(text, intent, vectors[text])
        rows += cache.rows
    x = np.array([row for row, _ in rows])
    y = np.array([right for _, right in rows])
    zero = np.zeros(x.shape[1])
    return fit(x, y, np.ones(len(y)), prior=zero, precision=np.ones(len(zero))).weights


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--stream", type=Path, required=True)
    args = parser.parse_args()
    stream = read_stream(args.stream)
    natural = halves(read_pairs(args.pairs))
    traps: list[list[Pair]] = []
    for half in (0, 1):
        texts = [pair[side] for pair in natural[half] for side in ("a", "b")]
        texts += [text for text, intent in stream if half_of(intent) == half]
        traps.append([dict(pair) for pair in make(texts, per_kind=150, seed=half)])
    texts = [p[side] for half in (*natural, *traps) for p in half for side in ("a", "b")]
    vectors = encoded([*texts, *(text for text, _ in stream)])
    weights = fit_pairs(Rows(natural[0], vectors), Rows(traps[0], vectors))
    print("pair", dict(zip(PAIR_FEATURES, weights.round(ROUND).tolist(), strict=True)))
    report_pairs(weights, Rows(natural[1], vectors), Rows(traps[1], vectors))
    develop = [row for row in stream if half_of_intent(row[1]) == 0]
    neighbours = fit_neighbours(develop, vectors, weights.round(ROUND), range(11, 14))
    print(
        "neighbours", dict(zip(NEIGHBOUR_FEATURES, neighbours.round(ROUND).tolist(), strict=True))
    )


if __name__ == "__main__":
    main()
