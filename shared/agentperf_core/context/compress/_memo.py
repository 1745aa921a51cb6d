"""Results by what was asked."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from agentperf_core.context.compress.records import Compressed

__all__ = ["Memo"]


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
        # The text, what is left of it, and the pieces that were taken out.
        size = 1000 + 3 * sum(map(sys.getsizeof, key[0]))
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
