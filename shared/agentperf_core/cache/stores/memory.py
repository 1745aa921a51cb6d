"""An in-process store: least recently used goes first, each entry has its own time to live.

Own code because no library takes both a per-entry TTL and the caller's clock: cachetools and theine
own theirs (and cost 4 to 7 times as much per access), cachebox evicts the entry nearest to expiry.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive

__all__ = ["MemoryStore"]

_OVERHEAD = 200  # bytes that an entry costs beside its key and value (measured with sys.getsizeof)


class MemoryStore:
    """Keeps values in a dict under a bound on number and bytes; safe under threads and asyncio.

    Args:
        max_entries: how many values at most.
        max_bytes: how many bytes at most, keys and overhead counted.
        clock: where the time comes from.

    Raises:
        ConfigError: if a bound is not positive.

    Example:
        >>> store = MemoryStore(max_entries=2)
        >>> store.set("a", b"1", ttl_s=None)
        >>> store.get("a")
        b'1'
    """

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int = 256 * 1024 * 1024,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        require_positive(max_entries=max_entries, max_bytes=max_bytes)
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[bytes, float | None]] = OrderedDict()
        self._bytes = 0
        # Re-entrant: the garbage collector may close a generator that uses this store, in here.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes in use, keys and overhead counted."""
        return self._bytes

    def get(self, key: str) -> bytes | None:
        """The value, or `None` if it is absent or expired."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            value, expires = entry
            if expires is not None and self._clock.monotonic() >= expires:
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return value

    def set(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Keep a value; one that alone exceeds the bound on bytes is not kept."""
        size = _size(key, value)
        expires = None if ttl_s is None else self._clock.monotonic() + ttl_s
        with self._lock:
            if key in self._entries:
                self._drop(key)
            if size > self._max_bytes:
                return
            self._entries[key] = (value, expires)
            self._bytes += size
            while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    async def aget(self, key: str) -> bytes | None:
        """Like `get`; nothing here waits."""
        return self.get(key)

    async def aset(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Like `set`; nothing here waits."""
        self.set(key, value, ttl_s)

    async def aclear(self) -> None:
        """Like `clear`; nothing here waits."""
        self.clear()

    def _drop(self, key: str) -> None:
        value, _ = self._entries.pop(key)
        self._bytes -= _size(key, value)


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD
