"""The semantic tier in `cache_latency.py`: look-ups without the encoder, and what a miss costs.

Vectors are known ones (clusters of random unit vectors, as many numbers as all-MiniLM-L6-v2 has),
so that what is measured is the search and the decision. `bench_vectors.py` compares the search with
other indexes, on real questions where the data is there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
from _cache_common import Call, Figures, awaited_samples, cpu_samples, wall_samples
from numpy.typing import NDArray

from agentperf_core.cache import AnswerFacts, CacheDecision, CachePolicy, CacheRequest, MessageParts
from agentperf_core.cache.answers import Question
from agentperf_core.cache.requests.build import build_request
from agentperf_core.cache.semantic.cache import SemanticCache
from agentperf_core.cache.semantic.memory import Asked, Remembered
from agentperf_core.flow import Step, arun, run

DIM = 384
SIZES = (10_000, 100_000)
QUERIES = 200
MODEL_S = 0.05
ENCODER_S = 0.01
POLICY = CachePolicy(normalise=True)


class Codec:
    """Answers are texts."""

    def facts(self, answer: str) -> AnswerFacts:
        return AnswerFacts(finish_reason="stop", text=answer)

    def encode(self, answer: str) -> Mapping[str, Any]:
        return {"text": answer}

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> str:
        return body["text"]

    def mark(self, answer: str, decision: CacheDecision) -> str:
        return answer


def requested(text: str) -> CacheRequest:
    return build_request(policy=POLICY, model={"model": "m"}, messages=[MessageParts("user", text)])


def scope_of(text: str) -> Question:
    question = requested(text).question
    assert question is not None
    return question


def clusters(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors around a few thousand centres, and queries near some of them."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((max(size // 20, 1), DIM), dtype=np.float32)
    spread = rng.standard_normal((size, DIM), dtype=np.float32)
    stored = centres[np.arange(size) % len(centres)] + np.float32(0.6) * spread
    chosen = rng.integers(0, size, QUERIES)
    noise = rng.standard_normal((QUERIES, DIM), dtype=np.float32)
    queries = stored[chosen] + np.float32(0.5) * noise
    return unit(stored), unit(queries)


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def look_ups(size: int) -> Figures:
    stored, queries = clusters(size)
    texts = [f"What about parcel {chr(97 + i % 26)}{i}?" for i in range(QUERIES)]
    vectors = dict(zip(texts, queries, strict=True))

    def known(asked: Sequence[str]) -> list[NDArray[np.float32]]:
        return [vectors[text] for text in asked]

    cache = SemanticCache(known, policy=POLICY, max_questions=size)
    questions = [scope_of(text) for text in texts]
    scope, memory = questions[0].scope, cache.tier.memory
    started = time.process_time()
    for number, vector in enumerate(stored):
        text = f"How do I send order {number % 97} back?"
        said = f"About order {number}."
        found = Remembered(
            key=f"{number:064x}", answer=str(number), text=text, parent=None, said=said
        )
        memory.add(scope, found, Asked(vector, None))
    index: Any = memory._rooms[scope, False].index
    index.settle()  # the graph of a large scope is built behind the calls
    built_s = time.process_time() - started
    for question in questions:  # the encoder's part is over before the clock starts
        run(cache.tier.look(question))
    nearest = (queries @ stored.T).argmax(axis=1)
    hits = sum(
        int(memory.nearest(scope, Asked(query, None), 8)[0].ident == best)
        for query, best in zip(queries, nearest, strict=True)
    )
    turn, other = count(), count()
    calls: Mapping[str, Call] = {
        "search alone": lambda: memory.nearest(
            scope, Asked(queries[next(other) % QUERIES], None), 8
        ),
        "look-up: search and decision": lambda: run(
            cache.tier.look(questions[next(turn) % QUERIES])
        ),
    }
    wall = wall_samples(calls, rounds=5 * QUERIES, unit="ms").figures()
    cpu = cpu_samples(calls, loops=QUERIES, rounds=5).figures()
    return {
        **wall,
        **{f"{name}, CPU": row for name, row in cpu.items()},
        "nearest found, share": hits / QUERIES,
        "filling the scope, CPU seconds": round(built_s, 2),
    }


def on_a_miss() -> Figures:
    """Wall time of a miss beside a call past the cache; model and encoder wait as long as told."""
    rng = np.random.default_rng(3)

    def encoder(texts: Sequence[str]) -> NDArray[np.float32]:
        time.sleep(ENCODER_S)
        return rng.standard_normal((len(texts), DIM), dtype=np.float32)

    async def model() -> str:
        await asyncio.sleep(MODEL_S)
        return "An answer."

    def never() -> str:
        raise AssertionError

    fresh = count()

    def asking(cache: SemanticCache) -> Callable[[], Any]:
        def ask() -> Any:
            request = requested(f"Who may open parcel number {next(fresh)}?")
            return arun(cache.answer(request, Step(never, model), Codec()))

        return ask

    async def measured() -> Figures:
        raced = SemanticCache(encoder, policy=POLICY)
        waited = SemanticCache(encoder, policy=replace(POLICY), race="never")
        samples = await awaited_samples(
            {
                "no cache": model,
                "SemanticCache": asking(raced),
                'SemanticCache, race="never"': asking(waited),
            },
            rounds=60,
            unit="ms",
        )
        for cache in (raced, waited):
            cache.drain(5.0)
        found = dict(samples.figures())
        bare = found["no cache"]["median_ms"]
        for name in list(found)[1:]:
            found[name] = {
                **found[name],
                "added_best_ms": round(found[name]["best_ms"] - found["no cache"]["best_ms"], 2),
                "added_median_ms": round(found[name]["median_ms"] - bare, 2),
            }
        return found

    return asyncio.run(measured())


def figures() -> Figures:
    found: dict[str, Any] = {
        f"look_up_without_encoder_{size}_in_scope": look_ups(size) for size in SIZES
    }
    name = f"miss_model_{MODEL_S * 1e3:.0f}ms_encoder_{ENCODER_S * 1e3:.0f}ms"
    return {**found, name: on_a_miss()}
