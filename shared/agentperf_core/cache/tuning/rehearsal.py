"""What the semantic tier would do with questions whose answers are known, setting by setting.

The shipped acceptance runs over the data as it does behind a cache; what is counted is what it
would serve by meaning and how much of that is wrong, as shares of all requests. Pairs are judged by
themselves, cold and after learning from other pairs of the file. A stream fills an empty cache that
learns as it goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any
from zlib import crc32

from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.requests.normal import normalised
from agentperf_core.cache.semantic.acceptance import Acceptance
from agentperf_core.cache.semantic.features import Candidate
from agentperf_core.cache.semantic.scale import PROBES, background_of
from agentperf_core.cache.semantic.verdict import Verdict
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.cache.tuning.data import Data, Pair, Request, texts_of
from agentperf_core.cache.tuning.stream import StreamRun
from agentperf_core.cache.tuning.trials import Done, Trial, share_of
from agentperf_core.cache.vectors import Vector, VectorError
from agentperf_core.errors import ConfigError

__all__ = ["Tuning"]

Progress = Callable[[int], None]

_AT_ONCE = 256
_MANY_PAIRS = 2000  # from here on half of them teach enough


class Tuning:
    """Labelled questions with their vectors, ready for trials.

    Args:
        data: from `read_data`.
        embedder: what the cache will use.
        seed: of the order of a stream, `None` for that of the file; and of shadow checks.
        progress: told how many questions have been encoded.

    Attributes:
        requests: how many requests the data stand for.
        equal: how many of them the exact tiers serve anyway.
        refused: questions that the encoder could not take.

    Raises:
        ConfigError: if the encoder takes none of the questions.

    Example:
        >>> def letters(texts: list[str]) -> list[list[float]]:
        ...     return [[text.count(letter) for letter in "aeiou"] for text in texts]
        >>> pairs = [Pair("What is a loan?", "What's a loan?", True)]
        >>> tuning = Tuning(pairs, QuestionEmbedder(letters, name="letters"), seed=1)
        >>> tuning.requests, tuning.equal
        (1, 1)
    """

    def __init__(
        self,
        data: Data,
        embedder: QuestionEmbedder,
        *,
        seed: int | None,
        progress: Progress | None = None,
    ) -> None:
        self._seed = 0 if seed is None else seed
        self._vectors, error = _encoded(texts_of(data), embedder, progress)
        probes, _ = _encoded(PROBES, embedder, None)
        self._background = background_of(list(probes.values()))
        if not self._vectors:
            msg = f"the encoder must take the questions, got {error}; check --embedder"
            raise ConfigError(msg) from error
        self.refused = len(texts_of(data)) - len(self._vectors)
        self._pairs = [row for row in data if isinstance(row, Pair)]
        self._stream = [row for row in data if isinstance(row, Request)]
        if seed is not None:
            Random(seed).shuffle(self._stream)  # noqa: S311 - an order, nothing secret
        self.requests = len(data)
        self.equal = self._equal()

    @property
    def is_stream(self) -> bool:
        """Whether the data are a stream of requests."""
        return bool(self._stream)

    def trials(
        self, *, max_error: float, guards: str, progress: Progress | None = None
    ) -> list[Trial]:
        """Try one setting: one trial on a stream, two on pairs, as shipped and after learning.

        Args:
            max_error: the budget.
            guards: name of the guard profile.
            progress: told how many requests were judged.

        Raises:
            ConfigError: if the setting is none.
        """
        told = _counting(progress)

        def trial(done: Iterable[Done], *, learnt: bool) -> Trial:
            kept = list(told(done))
            served = share_of([(one.group, one.served) for one in kept])
            wrong = share_of([(one.group, one.wrong) for one in kept])
            return Trial(
                max_error=max_error,
                guards=guards,
                learnt=learnt,
                requests=len(kept),
                served=served,
                wrong=wrong,
            )

        options: dict[str, Any] = {"max_error": max_error, "profile": guards, "seed": self._seed}
        if self.is_stream:
            return [trial(self._streamed(self._acceptance(**options)), learnt=True)]
        options["shadow_share"] = 0.0
        cold = self._acceptance(**options)
        return [
            trial((self._tried(cold, pair) for pair in self._pairs), learnt=False),
            trial(self._crossed(options), learnt=True),
        ]

    def learnt(self, *, max_error: float, guards: str) -> Acceptance:
        """An acceptance that has learnt from all of the data."""
        acceptance = self._acceptance(max_error=max_error, profile=guards, seed=self._seed)
        if self.is_stream:
            for _ in self._streamed(acceptance):
                pass
        else:
            self._teach(acceptance, self._pairs)
        acceptance.refit()
        return acceptance

    # Pairs ----------------------------------------------------------------------------------------

    def _crossed(self, options: dict[str, Any]) -> Iterator[Done]:
        """Every pair judged by an acceptance that has learnt from the others."""
        parts = 2 if len(self._pairs) >= _MANY_PAIRS else 5
        folds = defaultdict[int, list[Pair]](list)
        for pair in self._pairs:
            folds[crc32(pair.cached.encode()) % parts].append(pair)
        for chosen, held_out in folds.items():
            acceptance = self._acceptance(**options)
            others = [pair for fold, pairs in folds.items() if fold != chosen for pair in pairs]
            self._teach(acceptance, others)
            for pair in held_out:
                yield self._tried(acceptance, pair)

    def _acceptance(self, **options: Any) -> Acceptance:
        """An acceptance that knows the encoder's scale, as that of a cache does."""
        made = Acceptance(**options)
        made.observe_background(self._background)
        return made

    def _teach(self, acceptance: Acceptance, pairs: Sequence[Pair]) -> None:
        for number, pair in enumerate(pairs):
            verdict = self._judged(acceptance, pair)
            if verdict is None:
                continue
            # An answer per pair: pairs have no history with each other.
            best = verdict.best and replace(verdict.best, answer=f"pair {number}")
            acceptance.learn(replace(verdict, best=best, propensity=1.0, shadow=False), pair.same)
            if acceptance.refit_due:
                acceptance.refit()
        acceptance.refit()

    def _tried(self, acceptance: Acceptance, pair: Pair) -> Done:
        verdict = self._judged(acceptance, pair)
        served = verdict is not None and verdict.accept
        return Done(pair.cached, served, served and not pair.same)

    def _judged(self, acceptance: Acceptance, pair: Pair) -> Verdict | None:
        if normalised(pair.cached) == normalised(pair.query):
            return None
        cached, query = self._vectors.get(pair.cached), self._vectors.get(pair.query)
        if cached is None or query is None:
            return None
        known = Candidate(0, "cached", pair.cached, float(cached @ query))
        return acceptance.judge(Wording.of(pair.query), [known])

    # Streams --------------------------------------------------------------------------------------

    def _streamed(self, acceptance: Acceptance) -> Iterator[Done]:
        run = StreamRun(acceptance, len(next(iter(self._vectors.values()))))
        known = set[str]()
        for request in self._stream:
            form, vector = normalised(request.text), self._vectors.get(request.text)
            if form in known or vector is None:
                yield Done(request.intent, served=False, wrong=False)
                continue
            wrong = run.ask(request, vector)
            if wrong is None:
                known.add(form)
            yield Done(request.intent, wrong is not None, bool(wrong))

    def _equal(self) -> int:
        if not self.is_stream:
            return sum(normalised(p.cached) == normalised(p.query) for p in self._pairs)
        return len(self._stream) - len({normalised(request.text) for request in self._stream})


def _encoded(
    texts: Sequence[str], embedder: QuestionEmbedder, progress: Progress | None
) -> tuple[dict[str, Vector], VectorError | None]:
    """The vectors of the texts that have one, and the last reason why one has none."""
    vectors: dict[str, Vector] = {}
    problem: VectorError | None = None
    for start in range(0, len(texts), _AT_ONCE):
        some = texts[start : start + _AT_ONCE]
        for text, future in [(text, embedder.submit(text)) for text in some]:
            try:
                vectors[text] = future.result()
            except VectorError as error:
                problem = error
        if progress is not None:
            progress(start + len(some))
    return vectors, problem


def _counting(progress: Progress | None) -> Callable[[Iterable[Done]], Iterator[Done]]:
    number = 0

    def told(done: Iterable[Done]) -> Iterator[Done]:
        nonlocal number
        for one in done:
            yield one
            number += 1
            if progress is not None:
                progress(number)

    return told
