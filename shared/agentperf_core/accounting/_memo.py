"""A memory for counts, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from agentperf_core.errors import ConfigError

__all__ = ["Memo"]


class Memo:
    """Counts by content, bounded in bytes, the least recently used dropped first."""

    # Key tuple, entry of the ordered dict and the numbers: 270 measured with tracemalloc.
    ENTRY_BYTES = 400

    def __init__(self, limit: int) -> None:
        if limit < 0:
            msg = f"a memo holds 0 bytes or more, got {limit!r}; pass 0 to turn it off"
            raise ConfigError(msg)
        self.limit = limit
        self.bytes = 0
        self._entries: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()
        # Re-entrant: the garbage collector may end an abandoned stream, and its span, in here.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable, size: int, count: Callable[[], int]) -> int:
        """The count under `key`, counted now if it is not held; `size` is what the key weighs."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
                return found[0]
        counted = count()  # outside the lock: a long text must not stop other threads
        size += self.ENTRY_BYTES
        if size <= self.limit:
            with self._lock:
                if key not in self._entries:
                    self._entries[key] = (counted, size)
                    self.bytes += size
                while self.bytes > self.limit:
                    self.bytes -= self._entries.popitem(last=False)[1][1]
        return counted
