"""Which answer the same words were given before: asked again, they need no look-up and no race."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

__all__ = ["Alias", "Aliases"]

_MOST = 10_000


class Alias(NamedTuple):
    """Where the answer is, and what the look-up said of it.

    Attributes:
        key: the store's key of the answer.
        reason: of the verdict.
        score: of the verdict, 0 to 1.
    """

    key: str
    reason: str
    score: float


class Aliases:
    """The last requests that were answered by meaning; safe under threads.

    Example:
        >>> aliases = Aliases()
        >>> aliases.remember("request", Alias("answer", "score", 0.9))
        >>> aliases.get("request").key
        'answer'
    """

    def __init__(self) -> None:
        self._aliases: OrderedDict[str, Alias] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str | None) -> Alias | None:
        """What a request was given before, if it was."""
        return self._aliases.get(key) if key is not None else None

    def remember(self, key: str, alias: Alias) -> None:
        """A request was answered; the oldest is forgotten where there are too many."""
        with self._lock:
            self._aliases[key] = alias
            self._aliases.move_to_end(key)
            if len(self._aliases) > _MOST:
                self._aliases.popitem(last=False)

    def forget(self, answers: Collection[str]) -> None:
        """These answers are not to be given any more."""
        with self._lock:
            for key in [key for key, alias in self._aliases.items() if alias.key in answers]:
                del self._aliases[key]
