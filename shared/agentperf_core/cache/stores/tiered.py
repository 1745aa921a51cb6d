"""Two stores as one: a small one in this process in front of a shared or lasting one."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TypeAlias

from agentperf_core.cache.stores.base import Store, checked, lease_store
from agentperf_core.cache.stores.guarded import guarded
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, Step, arun, run

__all__ = ["TieredStore"]

# Tag of what came from the second store, whose own tags nobody told us.
_FILLED = "\0filled from the second store"
_STRIPES = 256

_Epoch: TypeAlias = tuple[int, int]


class TieredStore:
    """Asks `l1` first and `l2` only for what is not there; writes go to both.

    What `l2` answers is kept in `l1` for `l1_ttl_s` seconds at most. That is also how long this
    process may go on serving a value that another process has replaced or forgotten in `l2`, or
    whose time is over there (a store does not say how much is left): choose it as short as such an
    answer may be wrong. What is deleted or invalidated through this object is gone at once, also
    for readers on their way; two that write one key at once leave it to `l2` which of them won.

    `l2` gets a `GuardedStore` around it if it has none; while it fails, `l1` serves alone. Leases
    are those of `l2`; `scan` sees what `l2` has.

    Args:
        l1: a store in this process that nobody else uses, such as `MemoryStore()`.
        l2: a store that processes share, or that lasts.
        l1_ttl_s: seconds that `l1` may serve without asking `l2`.
        clock: for the guard.
        bus: for the guard.

    Raises:
        ConfigError: if `l1` is not in this process, or the time not positive.

    Example:
        >>> from agentperf_core.cache import MemoryStore
        >>> shared = MemoryStore()  # stands for Redis or SQLite
        >>> here, there = (TieredStore(MemoryStore(), shared, l1_ttl_s=5.0) for _ in range(2))
        >>> here.set("a", b"1", ttl_s=60.0)
        >>> there.get("a")
        b'1'
    """

    is_guarded = True

    def __init__(
        self,
        l1: Store,
        l2: Store,
        *,
        l1_ttl_s: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        if not checked(l1).in_process:
            msg = (
                f"l1 must be a store in this process, got a {type(l1).__name__}; "
                "give a MemoryStore(), and this one as l2"
            )
            raise ConfigError(msg)
        require_positive(l1_ttl_s=l1_ttl_s)
        self._l1 = l1
        self._l2 = guarded(checked(l2), clock=clock, bus=bus)
        self._leases = lease_store(self._l2)
        self._l1_ttl_s = l1_ttl_s
        # How many writes have ended: what was read from `l2` before one did may be older than it.
        self._epochs = [0] * _STRIPES
        self._epoch = 0
        self._lock = threading.RLock()  # re-entrant for the garbage collector, as in the stores

    @property
    def in_process(self) -> bool:
        """Whether `l2` is in this process, too."""
        return self._l2.in_process

    @property
    def inner(self) -> Store:
        """What outlives this process: `l2`."""
        return self._l2

    @property
    def has_leases(self) -> bool:
        """Whether `l2` has leases; without, everybody leads."""
        return self._leases is not None

    def get(self, key: str) -> bytes | None:
        """The value, or `None` if neither store has it."""
        value = self._l1.get(key)
        return value if value is not None else run(self._fetch(key))

    async def aget(self, key: str) -> bytes | None:
        """Like `get`."""
        value = self._l1.get(key)
        return value if value is not None else await arun(self._fetch(key))

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        """Keep a value in both stores."""
        run(self._put(key, value, ttl_s, tags))

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        """Like `set`."""
        await arun(self._put(key, value, ttl_s, tags))

    def delete(self, key: str) -> bool:
        """Forget one value in both stores; an error of `l2` is raised when `l1` is done."""
        return run(self._delete(key))

    async def adelete(self, key: str) -> bool:
        """Like `delete`."""
        return await arun(self._delete(key))

    def invalidate(self, tag: str) -> int:
        """Forget every entry with this tag in both stores; how many the fuller one had."""
        return run(self._invalidate(tag))

    async def ainvalidate(self, tag: str) -> int:
        """Like `invalidate`."""
        return await arun(self._invalidate(tag))

    def clear(self) -> int:
        """Clear both stores; how many the fuller one had."""
        return run(self._clear())

    async def aclear(self) -> int:
        """Like `clear`."""
        return await arun(self._clear())

    def scan(self, prefix: str = "") -> Iterator[str]:
        """The live keys of `l2`."""
        return self._l2.scan(prefix)

    def ascan(self, prefix: str = "") -> AsyncIterator[str]:
        """Like `scan`."""
        return self._l2.ascan(prefix)

    def try_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Become the leader for a key in `l2`."""
        return self._leases is None or self._leases.try_lead(key, holder, ttl_s)

    async def atry_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `try_lead`."""
        return self._leases is None or await self._leases.atry_lead(key, holder, ttl_s)

    def keep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Let the lease in `l2` go on, if `holder` still has it."""
        return self._leases is None or self._leases.keep_leading(key, holder, ttl_s)

    async def akeep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `keep_leading`."""
        return self._leases is None or await self._leases.akeep_leading(key, holder, ttl_s)

    def stop_leading(self, key: str, holder: str) -> None:
        """End the lease in `l2` if `holder` still has it."""
        if self._leases is not None:
            self._leases.stop_leading(key, holder)

    async def astop_leading(self, key: str, holder: str) -> None:
        """Like `stop_leading`."""
        if self._leases is not None:
            await self._leases.astop_leading(key, holder)

    def _fetch(self, key: str) -> Flow[bytes | None]:
        seen = self._seen(key)
        value = yield from Step(self._l2.get, self._l2.aget, key)
        if value is not None:
            with self._lock:
                if self._seen(key) == seen:
                    self._l1.set(key, value, self._l1_ttl_s, (_FILLED,))
        return value

    def _put(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str]) -> Flow[None]:
        seen = self._seen(key)
        here_s = self._l1_ttl_s if ttl_s is None else min(ttl_s, self._l1_ttl_s)
        kept = False
        try:
            yield from Step(self._l2.set, self._l2.aset, key, value, ttl_s, tags)
            kept = True
        finally:
            with self._lock:
                if kept and self._seen(key) == seen:
                    self._l1.set(key, value, here_s, tags)
                else:  # cancelled, or another write ended meanwhile: which came last is unknown
                    self._l1.delete(key)
                self._epochs[hash(key) % _STRIPES] += 1

    def _delete(self, key: str) -> Flow[bool]:
        here = False
        try:
            there = yield from Step(self._l2.delete, self._l2.adelete, key)
        finally:
            with self._lock:
                here = self._l1.delete(key)
                self._epochs[hash(key) % _STRIPES] += 1
        return there or here

    def _invalidate(self, tag: str) -> Flow[int]:
        here = 0
        try:
            there = yield from Step(self._l2.invalidate, self._l2.ainvalidate, tag)
        finally:
            with self._lock:
                here = self._l1.invalidate(tag)
                self._l1.invalidate(_FILLED)
                self._epoch += 1
        return max(there, here)

    def _clear(self) -> Flow[int]:
        here = 0
        try:
            there = yield from Step(self._l2.clear, self._l2.aclear)
        finally:
            with self._lock:
                here = self._l1.clear()
                self._epoch += 1
        return max(there, here)

    def _seen(self, key: str) -> _Epoch:
        return self._epoch, self._epochs[hash(key) % _STRIPES]
