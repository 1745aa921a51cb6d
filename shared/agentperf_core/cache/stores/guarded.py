"""A store that cannot break or hold up a call: failures are misses, within a budget of time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from agentperf_core.breaker import Breaker
from agentperf_core.cache.stores.base import Store, checked, lease_store
from agentperf_core.cache.stores.guard import BUDGET_S, Guard
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.events import BUS, EventBus

__all__ = ["GuardedStore", "guarded"]


class GuardedStore:
    """Puts a budget and a circuit breaker around a store that may fail or hang.

    `get`, `set` and the leases never raise: what fails, and what takes longer than the budget, is
    reported on the bus as a fault of `cache.store`, and counts as a miss. After `failures` in a row
    the store is not asked for `open_s` seconds, then once, see `Breaker`. Without an answer about a
    lease the caller leads: nobody waits for somebody who may not be there.

    Async calls are given up when the budget is spent. A sync call cannot be; it runs as long as the
    store's own time-outs let it, and is counted as a failure if that was over the budget. `delete`,
    `invalidate`, `clear` and `scan` are passed on as they are: who clears wants to know.

    Args:
        store: what to guard.
        budget_s: seconds that a call may take.
        failures: how many failures in a row open the breaker.
        open_s: seconds until an open breaker lets a call through.
        clock: where the time comes from; that of the budget is the event loop's.
        bus: receives the faults, and a `DecisionMade` of the room `"cache.store"` with the outcome
            `"open"` or `"closed"` when the breaker turns.

    Raises:
        ConfigError: if a number is not positive.

    Example:
        >>> from agentperf_core.cache import MemoryStore
        >>> store = GuardedStore(MemoryStore())  # pointless but harmless: it never fails
        >>> store.set("a", b"1", ttl_s=None)
        >>> store.get("a")
        b'1'
    """

    in_process = False
    is_guarded = True

    def __init__(
        self,
        store: Store,
        *,
        budget_s: float = BUDGET_S,
        failures: int = 3,
        open_s: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        self.inner = checked(store)
        self.budget_s = budget_s
        self._leases = lease_store(store)
        self._guard = Guard(
            "the store",
            where="cache.store",
            budget_s=budget_s,
            failures=failures,
            open_s=open_s,
            clock=clock,
            bus=bus,
        )

    @property
    def breaker(self) -> Breaker:
        """Whether the store is asked at all."""
        return self._guard.breaker

    @property
    def has_leases(self) -> bool:
        """Whether the store has leases; without, everybody leads."""
        return self._leases is not None

    def get(self, key: str) -> bytes | None:
        """The value, or `None` if it is absent, expired, or the store has no answer."""
        return self._guard.call(None, self.inner.get, key)

    async def aget(self, key: str) -> bytes | None:
        """Like `get`."""
        return await self._guard.acall(None, self.inner.aget, key)

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        """Keep a value, if the store can."""
        self._guard.call(None, self.inner.set, key, value, ttl_s, tags)

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        """Like `set`."""
        await self._guard.acall(None, self.inner.aset, key, value, ttl_s, tags)

    def try_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Become the leader for a key; also true if the store has no answer."""
        if self._leases is None:
            return True
        return self._guard.call(True, self._leases.try_lead, key, holder, ttl_s)

    async def atry_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `try_lead`."""
        if self._leases is None:
            return True
        return await self._guard.acall(True, self._leases.atry_lead, key, holder, ttl_s)

    def keep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Let the lease go on, if `holder` still has it; also true if the store has no answer."""
        if self._leases is None:
            return True
        return self._guard.call(True, self._leases.keep_leading, key, holder, ttl_s)

    async def akeep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `keep_leading`."""
        if self._leases is None:
            return True
        return await self._guard.acall(True, self._leases.akeep_leading, key, holder, ttl_s)

    def stop_leading(self, key: str, holder: str) -> None:
        """End the lease if `holder` still has it; it ends by itself if the store cannot."""
        if self._leases is not None:
            self._guard.call(None, self._leases.stop_leading, key, holder)

    async def astop_leading(self, key: str, holder: str) -> None:
        """Like `stop_leading`."""
        if self._leases is not None:
            await self._guard.acall(None, self._leases.astop_leading, key, holder)

    def delete(self, key: str) -> bool:
        """The store's own `delete`, errors included."""
        return self.inner.delete(key)

    async def adelete(self, key: str) -> bool:
        """Like `delete`."""
        return await self.inner.adelete(key)

    def invalidate(self, tag: str) -> int:
        """The store's own `invalidate`, errors included."""
        return self.inner.invalidate(tag)

    async def ainvalidate(self, tag: str) -> int:
        """Like `invalidate`."""
        return await self.inner.ainvalidate(tag)

    def clear(self) -> int:
        """The store's own `clear`, errors included."""
        return self.inner.clear()

    async def aclear(self) -> int:
        """Like `clear`."""
        return await self.inner.aclear()

    def scan(self, prefix: str = "") -> Iterator[str]:
        """The store's own `scan`, errors included."""
        return self.inner.scan(prefix)

    def ascan(self, prefix: str = "") -> AsyncIterator[str]:
        """Like `scan`."""
        return self.inner.ascan(prefix)


def guarded(store: Store, *, clock: Clock = SYSTEM_CLOCK, bus: EventBus = BUS) -> Store:
    """The store, with a guard around it if it needs one and has none.

    A class that sees to its own failures says so with `is_guarded = True`.

    Example:
        >>> from agentperf_core.cache import MemoryStore
        >>> memory = MemoryStore()
        >>> guarded(memory) is memory
        True
    """
    if store.in_process or getattr(store, "is_guarded", False):
        return store
    return GuardedStore(store, clock=clock, bus=bus)
