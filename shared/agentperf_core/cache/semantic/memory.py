"""The questions that a cache has answers to, by scope, with their vectors; in this process.

A scope is one index: everything that must match exactly is compared before any vector is. The
first question of a conversation and a follow-up are kept apart, since one of them means something
without what was said before and the other does not.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from agentperf_core.cache.vectors import VectorIndex, new_index
from agentperf_core.errors import require_positive
from agentperf_core.optional import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Asked", "Near", "Remembered", "SemanticMemory", "placed", "question_cosine"]

# Follow-ups: how alike the turns before must be. Measured on the dialogues of the MeanCache paper,
# 0.75 lets no follow-up of another conversation pass; the rest is margin for weaker encoders.
_SAME_PARENT = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A question whose answer is in the store.

    Attributes:
        key: the store's key of the answer.
        answer: which answer it is: questions whose answers agree share this id.
        text: the question.
        parent: what the user said before it, `None` at the start of a conversation.
        said: the text of the answer, to compare fresh answers with.
    """

    key: str
    answer: str
    text: str
    parent: str | None
    said: str


class Asked(NamedTuple):
    """Unit vectors of a question, and of what the user said before it."""

    question: NDArray[np.float32]
    parent: NDArray[np.float32] | None = None


class Near(NamedTuple):
    """A remembered question, and how alike it is."""

    ident: int
    remembered: Remembered
    cosine: float


@dataclass(slots=True)
class _Room:
    index: VectorIndex
    entries: dict[int, Remembered] = field(default_factory=dict[int, Remembered])
    # Of follow-ups only: their index holds both turns in one vector.
    asked: dict[int, Asked] = field(default_factory=dict[int, "Asked"])


class SemanticMemory:
    """Nearest questions by scope; the oldest go first. Safe under threads.

    Args:
        max_entries: how many questions at most, over all scopes.

    Raises:
        ConfigError: if `max_entries` is not positive.
    """

    def __init__(self, *, max_entries: int = 100_000) -> None:
        require_positive(max_entries=max_entries)
        self.max_entries = max_entries
        self._rooms: dict[tuple[str, bool], _Room] = {}
        self._places: OrderedDict[int, tuple[str, bool]] = OrderedDict()
        self._by_key: dict[str, set[int]] = {}
        self._next = 0
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def size(self, scope: str, *, follow_up: bool) -> int:
        """How many questions of a scope are known."""
        room = self._rooms.get((scope, follow_up))
        return len(room.entries) if room is not None else 0

    def nearest(self, scope: str, asked: Asked, k: int) -> list[Near]:
        """The `k` most alike questions of a scope, best first.

        Of follow-ups only those whose parents are alike, too.
        """
        with self._lock:
            room = self._rooms.get((scope, asked.parent is not None))
            if room is None:
                return []
            found = room.index.search(placed(asked), k)
            near = [
                Near(ident, room.entries[ident], cosine)
                for ident, score in found
                if ident in room.entries
                and (cosine := question_cosine(asked, room.asked.get(ident), score)) is not None
            ]
        near.sort(key=lambda one: -one.cosine)
        return near

    def add(self, scope: str, remembered: Remembered, asked: Asked) -> None:
        """Remember a question; the oldest of all is forgotten where there is no room."""
        vector = placed(asked)
        with self._lock:
            place = (scope, asked.parent is not None)
            room = self._rooms.get(place)
            if room is None:
                room = self._rooms[place] = _Room(new_index(len(vector)))
            ident, self._next = self._next, self._next + 1
            room.index.add(ident, vector)
            room.entries[ident] = remembered
            if asked.parent is not None:
                room.asked[ident] = asked
            self._places[ident] = place
            self._by_key.setdefault(remembered.key, set()).add(ident)
            while len(self._places) > self.max_entries:
                self._drop(next(iter(self._places)))

    def forget(self, key: str) -> int:
        """Forget every question whose answer is stored under `key`; how many there were."""
        with self._lock:
            idents = sorted(self._by_key.get(key, ()))
            for ident in idents:
                self._drop(ident)
            return len(idents)

    def find(self, entry: str) -> Iterator[Remembered]:
        """The questions whose answer's key begins with `entry`, as decisions name it."""
        with self._lock:
            idents = [
                i for key, held in self._by_key.items() if key.startswith(entry) for i in held
            ]
            return iter([self._rooms[self._places[ident]].entries[ident] for ident in idents])

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._rooms.clear()
            self._places.clear()
            self._by_key.clear()

    def _drop(self, ident: int) -> None:
        place = self._places.pop(ident)
        room = self._rooms[place]
        remembered = room.entries.pop(ident)
        room.asked.pop(ident, None)
        held = self._by_key[remembered.key]
        held.discard(ident)
        if not held:
            del self._by_key[remembered.key]
        if room.entries:
            room.index.remove(ident)
        else:
            del self._rooms[place]


def placed(asked: Asked) -> NDArray[np.float32]:
    """What stands in the index: the question, or both turns as one unit vector."""
    if asked.parent is None:
        return asked.question
    numpy = require("numpy", extra="semantic")
    both: NDArray[np.float32] = numpy.concatenate((asked.question, asked.parent))
    return both * numpy.float32(math.sqrt(0.5))


def question_cosine(asked: Asked, other: Asked | None, score: float) -> float | None:
    """How alike the questions alone are; `None` if what was said before them is another matter."""
    if asked.parent is None:
        return score
    if other is None or other.parent is None or float(asked.parent @ other.parent) < _SAME_PARENT:
        return None
    return float(asked.question @ other.question)
