"""An in-process store: what is asked for often and lately stays, each entry for its own time.

Own code because no library takes a time to live per entry, the caller's clock and a bound on bytes
together: cachetools and theine own their clocks (and cost 4 to 7 times a plain LRU per access),
cachebox evicts the entry nearest to its end. Which entries stay is decided in `admission`.
"""

from __future__ import annotations

import heapq
import math
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from agentperf_core.cache.stores.admission import TinyLfu
from agentperf_core.cache.stores.base import jittered
from agentperf_core.cache.stores.leases import Leases
from agentperf_core.cache.stores.never_waits import NeverWaits
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError, require_positive

__all__ = ["MemoryStore"]

# Bytes beside those of the key and the value, measured with tracemalloc on 10,000 entries: the
# entry, its place and end, the counters of its popularity (341); for a tag, its index (202 to 245).
_OVERHEAD, _PER_TAG = 340, 240
_SWEEP = 32  # expired entries forgotten per step, so that no single call pays for thousands


class _Entry(NamedTuple):
    value: bytes
    expires: float | None
    tags: tuple[str, ...]
    size: int


class MemoryStore(NeverWaits):
    """Keeps values under a bound on number and bytes; safe under threads and asyncio.

    A full store weighs a new value against what would have to go for it by how often `get` asked
    for either (W-TinyLFU): a value that nobody asks for again does not push out one that many ask
    for. Values above a tenth of `max_bytes` get in only when they were asked for more often than
    all that they replace.

    Args:
        max_entries: how many values at most.
        max_bytes: how many bytes at most, keys and overhead counted.
        ttl_jitter: the share by which a time to live may be cut, below 1; the cut depends on the
            key alone. Values stored together then do not all end together. Off by default because
            `CachePolicy.ttl_jitter` does it for every kind of store.
        clock: where the time comes from.

    Raises:
        ConfigError: if a bound is not positive, or the jitter not a share.

    Example:
        >>> store = MemoryStore(max_entries=2)
        >>> store.set("a", b"1", ttl_s=None, tags=["order:7"])
        >>> store.get("a")
        b'1'
        >>> store.invalidate("order:7")
        1
    """

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int = 256 * 1024 * 1024,
        ttl_jitter: float = 0.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        require_positive(max_entries=max_entries, max_bytes=max_bytes)
        if not 0 <= ttl_jitter < 1:
            msg = f"ttl_jitter must be a share from 0 to below 1, got {ttl_jitter!r}; try 0.1"
            raise ConfigError(msg)
        self._max_bytes = max_bytes
        self._jitter = ttl_jitter
        self._clock = clock
        self._entries = TinyLfu[_Entry](max_entries, max_bytes)
        self._ends: list[tuple[float, str]] = []  # a heap; an end may be that of a former value
        self._next_end = math.inf
        self._tagged: dict[str, set[str]] = {}
        self._leases = Leases(clock)
        # Re-entrant: the garbage collector may close a generator that uses this store, in here.
        # What such a guest reads is a miss; what it writes waits until the host is done.
        self._lock = threading.RLock()
        self._busy = False
        self._later: deque[Callable[[], int]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes in use, keys and overhead counted."""
        return self._entries.size

    def get(self, key: str) -> bytes | None:
        """The value, or `None` if it is absent or expired."""
        with self._lock:
            if self._busy:
                return None
            self._busy = True
            try:
                entry = self._entries.get(key)
                if entry is None or entry.expires is None:
                    return None if entry is None else entry.value
                now = self._clock.monotonic()
                if now >= self._next_end:
                    self._sweep(now, _SWEEP)
                if now < entry.expires:
                    return entry.value
                self._forget(key)
                return None
            finally:
                self._busy = False
                if self._later:
                    self._catch_up()

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        """Keep a value, if it is worth its room."""
        kept = tuple(tags)
        self._write(lambda: self._put(key, value, ttl_s, kept))

    def delete(self, key: str) -> bool:
        """Forget one value; whether it was there."""
        return self._write(lambda: self._forget_live([key])) > 0

    def invalidate(self, tag: str) -> int:
        """Forget every entry with this tag; how many could still have been served."""
        return self._write(lambda: self._forget_live(list(self._tagged.get(tag, ()))))

    def clear(self) -> int:
        """Forget everything but the leases; how many could still have been served."""
        return self._write(lambda: self._forget_live([key for key, _ in self._entries.items()]))

    def scan(self, prefix: str = "") -> Iterator[str]:
        """The live keys that start with `prefix`, as they are now."""
        found: list[str] = []
        self._write(lambda: self._collect(prefix, found))
        return iter(found)

    def try_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Become the leader for a key; whether `holder` is it now."""
        return self._leases.try_lead(key, holder, ttl_s)

    def keep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Let the lease go on, if `holder` still has it."""
        return self._leases.keep_leading(key, holder, ttl_s)

    def stop_leading(self, key: str, holder: str) -> None:
        """End the lease if `holder` still has it."""
        self._leases.stop_leading(key, holder)

    def _write(self, work: Callable[[], int]) -> int:
        with self._lock:
            if self._busy:
                self._later.append(work)
                return 0
            self._busy = True
            try:
                return work()
            finally:
                self._busy = False
                if self._later:
                    self._catch_up()

    def _catch_up(self) -> None:
        while self._later:
            self._write(self._later.popleft())

    def _put(self, key: str, value: bytes, ttl_s: float | None, tags: tuple[str, ...]) -> int:
        now = self._clock.monotonic()
        self._sweep(now, _SWEEP)
        old = self._entries.peek(key)
        if old is not None:
            self._untag(key, old)
        size = _OVERHEAD + sys.getsizeof(key) + sys.getsizeof(value)
        size += sum(_PER_TAG + sys.getsizeof(tag) for tag in tags)
        # Written so that a time of NaN keeps nothing, too.
        if size > self._max_bytes or not (ttl_s is None or ttl_s > 0):
            self._entries.pop(key)
            return 0
        expires = None if ttl_s is None else now + jittered(ttl_s, key, self._jitter)
        entry = _Entry(value, expires, tags, size)
        for tag in tags:
            self._tagged.setdefault(tag, set()).add(key)
        if expires is not None:
            heapq.heappush(self._ends, (expires, key))
        for name, gone in self._entries.put(key, entry):
            self._untag(name, gone)
        self._tidy()
        return 1

    def _sweep(self, now: float, most: float) -> None:
        ends = self._ends
        while ends and ends[0][0] <= now and most > 0:
            end, key = heapq.heappop(ends)
            entry = self._entries.peek(key)
            if entry is not None and entry.expires == end:
                self._forget(key)
            most -= 1
        self._next_end = ends[0][0] if ends else math.inf

    def _tidy(self) -> None:
        if len(self._ends) > 2 * len(self._entries) + 64:
            found = self._entries.items()
            self._ends = [(e.expires, key) for key, e in found if e.expires is not None]
            heapq.heapify(self._ends)
        self._next_end = self._ends[0][0] if self._ends else math.inf

    def _forget(self, key: str) -> bool:
        entry = self._entries.pop(key)
        if entry is not None:
            self._untag(key, entry)
        return entry is not None

    def _forget_live(self, keys: list[str]) -> int:
        self._sweep(self._clock.monotonic(), math.inf)
        return sum(self._forget(key) for key in keys)

    def _collect(self, prefix: str, into: list[str]) -> int:
        self._sweep(self._clock.monotonic(), math.inf)
        into += [key for key, _ in self._entries.items() if key.startswith(prefix)]
        return len(into)

    def _untag(self, key: str, entry: _Entry) -> None:
        for tag in entry.tags:
            keys = self._tagged.get(tag)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._tagged[tag]
