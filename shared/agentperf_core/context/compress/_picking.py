"""Units chosen by worth and by not saying the same twice, until there is no room for the next."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence

from agentperf_core.context.compress.facts import NEGATION
from agentperf_core.context.lexical import terms_of

__all__ = ["picked"]

_LATEST = 48  # chosen units that one is compared with, the latest: no text takes minutes
_SENTENCE = 12  # characters: a line of "5" may count for itself
_NOT = "\0not"
_MISSES = 32  # units in a row that were too long, before there is no room for anything


def picked(
    texts: Sequence[str],
    scores: Sequence[float],
    costs: Sequence[int],
    room: int,
    *,
    diversity: float,
    first: Iterable[int] = (),
) -> list[int]:
    """Places of the units to keep, the best first.

    Maximal marginal relevance (Carbonell and Goldstein 1998): what a unit is worth falls with its
    likeness to the one among the chosen that is most like it. Likeness is that of words: vectors
    would cost more than they tell apart here, where it is about saying the same again.

    Args:
        texts: the units.
        scores: what each is worth.
        costs: tokens of each.
        room: tokens that there are.
        diversity: how much of its worth a repetition loses; with 0, the same may be said again.
        first: units that are chosen before any other.
    """
    chosen: list[int] = []
    for place in first:
        if costs[place] <= room:
            chosen.append(place)
            room -= costs[place]
    likeness = _Likeness(texts)
    said = [" ".join(text.lower().split()) for text in texts]
    taken = set(chosen)
    kept = {said[place] for place in chosen}
    # A worth can only fall while more is chosen, so that one that is still the best after it was
    # worked out anew is the best of all.
    waiting = [(-score, place, 0) for place, score in enumerate(scores) if place not in taken]
    heapq.heapify(waiting)
    misses = 0
    while waiting and room > 0 and misses < _MISSES:
        _, place, seen = waiting[0]
        if seen < len(chosen) and diversity:
            worth = scores[place] - diversity * likeness.most(place, chosen)
            heapq.heapreplace(waiting, (-worth, place, len(chosen)))
            if waiting[0][1] != place:
                continue
        heapq.heappop(waiting)
        if diversity and said[place] in kept and len(said[place]) >= _SENTENCE:
            continue  # word for word the same says nothing at all
        if costs[place] > room:
            misses += 1
            continue
        misses = 0
        chosen.append(place)
        kept.add(said[place])
        room -= costs[place]
    return chosen


class _Likeness:
    """How like a unit is to the chosen ones; a pair is compared once at most."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._terms: dict[int, frozenset[str]] = {}
        self._most: dict[int, tuple[int, float]] = {}

    def most(self, place: int, chosen: Sequence[int]) -> float:
        seen, most = self._most.get(place, (0, 0.0))
        own = self._of(place)
        for other in chosen[max(seen, len(chosen) - _LATEST) :]:
            theirs = self._of(other)
            if own and theirs:
                shared = len(own & theirs)
                most = max(most, shared / math.sqrt(len(own) * len(theirs)))
        self._most[place] = (len(chosen), most)
        return most

    def _of(self, place: int) -> frozenset[str]:
        found = self._terms.get(place)
        if found is None:
            text = self._texts[place]
            found = frozenset(terms_of(text))
            if NEGATION.search(text):
                found |= {_NOT}  # with and without it, words alone are the same
            self._terms[place] = found
        return found
