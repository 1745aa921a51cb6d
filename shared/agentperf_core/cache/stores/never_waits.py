"""The async half of a store whose sync half neither waits nor fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from agentperf_core.cache.stores.base import LeaseStore, Store

__all__ = ["NeverWaits"]


class NeverWaits:
    """Gives a store in this process its async methods: they call the sync ones.

    Example:
        >>> import asyncio
        >>> from agentperf_core.cache import MemoryStore
        >>> issubclass(MemoryStore, NeverWaits), asyncio.run(MemoryStore().aget("absent"))
        (True, None)
    """

    in_process = True

    async def aget(self: Store, key: str) -> bytes | None:
        """Like `get`."""
        return self.get(key)

    async def aset(
        self: Store, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        """Like `set`."""
        self.set(key, value, ttl_s, tags)

    async def adelete(self: Store, key: str) -> bool:
        """Like `delete`."""
        return self.delete(key)

    async def ainvalidate(self: Store, tag: str) -> int:
        """Like `invalidate`."""
        return self.invalidate(tag)

    async def aclear(self: Store) -> int:
        """Like `clear`."""
        return self.clear()

    async def ascan(self: Store, prefix: str = "") -> AsyncIterator[str]:
        """Like `scan`."""
        for key in self.scan(prefix):
            yield key

    async def atry_lead(self: LeaseStore, key: str, holder: str, ttl_s: float) -> bool:
        """Like `try_lead`."""
        return self.try_lead(key, holder, ttl_s)

    async def akeep_leading(self: LeaseStore, key: str, holder: str, ttl_s: float) -> bool:
        """Like `keep_leading`."""
        return self.keep_leading(key, holder, ttl_s)

    async def astop_leading(self: LeaseStore, key: str, holder: str) -> None:
        """Like `stop_leading`."""
        self.stop_leading(key, holder)
