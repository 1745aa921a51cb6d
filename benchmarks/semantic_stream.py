"""Claim: within a budget of 0.5 % wrong answers of all requests the semantic cache serves more than
any fixed cosine, and the budget holds on every shuffle.

A labelled stream is shuffled, the cache starts empty; every request is looked up, and inserted on
a miss. An answer is right if the intent is the same. On a miss the fresh answer is compared with
those of the neighbours (here by intent; `--label-noise` flips a share of these comparisons); what
is equal becomes an alias. Served answers that are drawn for a shadow check count as misses.

    python benchmarks/semantic_stream.py --data banking77_train.csv.gz --seeds 1 2 3 --json out.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from _semantic import Vectors, encoded, half_of_intent, on_scale, read_stream
from _stream_rules import Tally, rules

from agentperf_core.cache.semantic.acceptance import Acceptance
from agentperf_core.cache.semantic.features import Candidate
from agentperf_core.cache.semantic.verdict import Verdict
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.cache.vectors import new_index

Stream = Sequence[tuple[str, str]]
NEIGHBOURS = 8
BLOCK = 256


@dataclass
class Cache:
    """The shipped acceptance over the shipped index, with intents as answers."""

    acceptance: Acceptance
    dim: int
    noise: float = 0.0
    seed: int = 0
    tally: Tally = field(default_factory=Tally)
    shadows: int = 0
    judge_us: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        self.index = new_index(self.dim)
        self.rng = Random(self.seed)
        self.texts: list[str] = []
        self.intents: list[str] = []
        self.answers: list[str] = []

    def ask(self, text: str, intent: str, vector: Vectors) -> None:
        self.tally.requests += 1
        found = self.index.search(vector, NEIGHBOURS) if self.texts else []
        near = [Candidate(i, self.answers[i], self.texts[i], cosine) for i, cosine in found]
        question = Wording.of(text)
        start = time.perf_counter()
        verdict = self.acceptance.judge(question, near)
        self.judge_us.append((time.perf_counter() - start) * 1e6)
        if verdict.accept and not verdict.shadow and verdict.best is not None:
            self.tally.hits += 1
            self.tally.wrong += self.intents[verdict.best.ident] != intent
            return
        self.shadows += verdict.shadow
        answer = self._learned(verdict, intent) or f"answer {len(self.texts)}"
        self.index.add(len(self.texts), vector)
        self.texts.append(text)
        self.intents.append(intent)
        self.answers.append(answer)
        if self.acceptance.refit_due:
            self.acceptance.refit()

    def _learned(self, verdict: Verdict, intent: str) -> str | None:
        """The known answer that the fresh one equals, if one does."""
        if verdict.best is None:
            return None
        same = self._equal(verdict.best, intent)
        self.acceptance.learn(verdict, same)
        if same:
            return verdict.best.answer
        return next((r.answer for r in verdict.rivals if self._equal(r, intent)), None)

    def _equal(self, candidate: Candidate, intent: str) -> bool:
        equal = self.intents[candidate.ident] == intent
        return not equal if self.noise and self.rng.random() < self.noise else equal


def run_stream(stream: Stream, vectors: dict[str, Vectors], cache: Cache) -> None:
    """Feed a stream to the cache."""
    for text, intent in stream:
        cache.ask(text, intent, vectors[text])


def run_rules(
    stream: Stream, vectors: dict[str, Vectors], *, max_error: float, seed: int
) -> dict[str, dict[str, float]]:
    """Feed it to every rule to compare with."""
    compared = rules(max_error, seed)
    matrix = np.stack([vectors[text] for text, _ in stream])
    for start in range(0, len(stream), BLOCK):
        cosines = matrix[start : start + BLOCK] @ matrix[: start + BLOCK].T
        for offset, (_, intent) in enumerate(stream[start : start + BLOCK]):
            for rule in compared.values():
                rule.ask(start + offset, intent, cosines[offset])
    return {name: rule.tally.as_json() for name, rule in compared.items()}


def averaged(results: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over the seeds, and the largest error."""
    keys = ("hit_rate", "error_rate", "wrong_per_hit")
    means = {key: statistics.fmean(result[key] for result in results) for key in keys}
    return means | {"worst_error_rate": max(result["error_rate"] for result in results)}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run every seed and put the results together."""
    rows = read_stream(args.data, args.split)
    if args.half:
        rows = [row for row in rows if half_of_intent(row[1]) == (args.half == "confirm")]
    vectors = encoded((text for text, _ in rows), model=args.model)
    dim = len(next(iter(vectors.values())))
    per_seed: list[dict[str, float]] = []
    compared: list[dict[str, dict[str, float]]] = []
    for seed in args.seeds:
        stream = list(rows)
        Random(seed).shuffle(stream)
        acceptance = Acceptance(max_error=args.max_error, profile=args.profile, seed=seed)
        on_scale(acceptance, model=args.model)
        cache = Cache(acceptance, dim, noise=args.label_noise, seed=seed)
        run_stream(stream, vectors, cache)
        times = sorted(cache.judge_us)
        result = cache.tally.as_json() | {
            "seed": seed,
            "shadow_rate": cache.shadows / len(stream),
            "judge_us_p50": times[len(times) // 2],
            "judge_us_p95": times[len(times) * 95 // 100],
        }
        per_seed.append(result)
        print(json.dumps(result))
        if not args.no_baselines:
            compared.append(run_rules(stream, vectors, max_error=args.max_error, seed=seed))
    baselines = {name: averaged([run[name] for run in compared]) for name in (compared or [{}])[0]}
    return averaged(per_seed) | {
        "per_seed": per_seed,
        "baselines": baselines,
        "requests": len(rows),
        "intents": len({intent for _, intent in rows}),
        "max_error": args.max_error,
        "label_noise": args.label_noise,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="CSV: split,text,intent")
    parser.add_argument("--split", help="only rows of this split")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--max-error", type=float, default=0.005)
    parser.add_argument("--label-noise", type=float, default=0.0)
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--half", choices=("develop", "confirm"), help="intents of one half only")
    parser.add_argument("--model", help="another encoder, by name or path")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    result = measure(args)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=2), encoding="utf-8")
    print(f"hit {result['hit_rate']:.1%}, error {result['error_rate']:.2%}", end="")
    print(f" (worst {result['worst_error_rate']:.2%}) of {result['requests']:,} requests")
    for name, rule in result["baselines"].items():
        print(f"{name:12s} hit {rule['hit_rate']:.1%}, error {rule['error_rate']:.2%}")


if __name__ == "__main__":
    main()
