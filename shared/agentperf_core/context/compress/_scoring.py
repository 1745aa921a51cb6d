"""How much each unit of a text is worth for a query: by words, by meaning, by the facts in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from agentperf_core.context.compress.facts import NEGATION, protected_spans
from agentperf_core.context.lexical import LexicalIndex, terms_of

__all__ = ["by_meaning", "by_words", "facts_bonus", "scaled", "unit_vector"]

# Chosen on questions of the development half, see `benchmarks/compression.py`; flat around it.
_PARAGRAPH = 0.5
_CENTRAL_TERMS = 24  # of a text, that stand for the query that nobody gave


def by_words(texts: Sequence[str], paragraphs: Sequence[int], query: str) -> list[float]:
    """BM25 of each unit, and a share of that of its paragraph; the best is 1."""
    query = query if terms_of(query) else _central(texts)
    index = LexicalIndex(neighbours=0.25)
    for text in texts:
        index.add(text)
    return _with_paragraphs(scaled(index.scores(query)), texts, paragraphs, query)


def _with_paragraphs(
    scores: list[float], texts: Sequence[str], paragraphs: Sequence[int], query: str
) -> list[float]:
    if len(set(paragraphs)) < 2:
        return scores
    whole = LexicalIndex(neighbours=0.0)
    for _, group in groupby(range(len(texts)), key=paragraphs.__getitem__):
        whole.add(" ".join(texts[at] for at in group))
    ranks = {number: at for at, (number, _) in enumerate(groupby(paragraphs))}
    of_paragraph = scaled(whole.scores(query))
    return scaled(
        [
            score + _PARAGRAPH * of_paragraph[ranks[number]]
            for score, number in zip(scores, paragraphs, strict=True)
        ]
    )


def by_meaning(vectors: Sequence[Sequence[float]], query: Sequence[float]) -> list[float]:
    """Cosine of each unit with the query."""
    asked = unit_vector(query)
    return [_dot(asked, unit_vector(vector)) for vector in vectors]


def facts_bonus(text: str) -> float:
    """Between 0 and 1: how dense a unit is in numbers, names, negations and code."""
    facts = len(protected_spans(text)) + 2 * bool(NEGATION.search(text))
    return min(facts / 6, 1.0)


def scaled(scores: Sequence[float]) -> list[float]:
    """The scores with the best at 1; all 0 if none is above."""
    most = max(scores, default=0.0)
    return [score / most for score in scores] if most > 0 else [0.0] * len(scores)


def unit_vector(vector: Sequence[float]) -> list[float]:
    """The vector at length 1.

    Raises:
        ValueError: if a number of it is none.
    """
    values = [float(value) for value in vector]
    length = math.sqrt(sum(value * value for value in values))
    if not math.isfinite(length):
        msg = "an embedding has numbers that are not finite"
        raise ValueError(msg)
    return [value / length for value in values] if length else values


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(map(float.__mul__, left, right))


def _central(texts: Sequence[str]) -> str:
    """What a text speaks of most: the terms that most of its units share."""
    counts = Counter(term for text in texts for term in set(terms_of(text)))
    # In an order that is the same in every process, as that of equal counts in a set is not.
    ordered = sorted(counts, key=lambda term: (-counts[term], term))
    return " ".join(term for term in ordered[:_CENTRAL_TERMS] if counts[term] > 1)
