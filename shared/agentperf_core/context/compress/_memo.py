"""Results by what was asked.

The texts themselves are no part of it: one of ten megabytes, held with what was taken out of it,
would be larger than the whole memory, and so be compressed anew at each call of an agent.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from agentperf_core.context.compress.records import Compressed

__all__ = ["Memo", "key_of"]


def key_of(texts: Sequence[str], query: str, tokens: int | None) -> tuple[bytes, int | None]:
    """Equal for two questions if and only if they are the same, whatever their size."""
    found = hashlib.blake2b(digest_size=16)
    for text in (query, *texts):
        said = text.encode("utf-8", "surrogatepass")  # half of a pair is text, too
        found.update(b"%d:" % len(said))
        found.update(said)
    return found.digest(), tokens


class Memo:
    """Results by what was asked, bounded in bytes, the least recently used dropped first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._entries: OrderedDict[Any, tuple[Sequence[Compressed], int]] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Any) -> Sequence[Compressed] | None:
        """What is held under the key."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: Any, found: Sequence[Compressed]) -> Sequence[Compressed]:
        """What is held afterwards: of two who came at once, the first one's."""
        size = sum(1000 + _size(one) for one in found) + 1000
        with self._lock:
            held = self._entries.get(key)
            if held is not None:
                return held[0]
            if size <= self._limit:
                self._entries[key] = (found, size)
                self._bytes += size
            while self._bytes > self._limit:
                self._bytes -= self._entries.popitem(last=False)[1][1]
        return found


def _size(one: Compressed) -> int:
    """Bytes of what is left and of the pieces that were taken out."""
    pieces = (piece for some in one.removed for piece in some.pieces)
    return sys.getsizeof(one.text) + sum(map(sys.getsizeof, pieces))
