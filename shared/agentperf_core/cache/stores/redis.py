"""A store in Redis: shared by processes and machines, one round trip per operation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from agentperf_core.cache.closing import Closing
from agentperf_core.cache.stores.redis_layout import Layout
from agentperf_core.cache.stores.redis_news import RedisNews
from agentperf_core.cache.stores.redis_steps import BATCH, get, invalidate, put
from agentperf_core.cache.stores.redis_transport import Transport
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, arun, run

if TYPE_CHECKING:
    from redis import Redis, RedisCluster
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio import RedisCluster as AsyncRedisCluster

    from agentperf_core.cache.vectors.redis import StoredVectors

__all__ = ["RedisStore"]


class RedisStore(Closing):
    """Keeps values in Redis 6.2 or later, or Valkey; safe under threads, asyncio and processes.

    Give a `url`, and the store opens its own clients when they are needed: one for threads, one per
    event loop. They give every step `timeout_s` and never try again. Or give `client`,
    `async_client` or both: they are used as they are, with their own time-outs, and stay yours to
    close. With a sync client alone, the async methods run it on worker threads.

    A server that evicts (`maxmemory-policy allkeys-*`) may lose the list of a tag's entries before
    the entries: where `invalidate` has to be certain, use `volatile-ttl` or `noeviction`.

    Args:
        url: `redis://...`, `rediss://...` or `unix://...`; default `redis://localhost:6379/0`.
        client: a `redis.Redis` or `redis.RedisCluster`, instead of `url`.
        async_client: the same of `redis.asyncio`.
        namespace: what our keys begin with; `clear` touches no others.
        timeout_s: seconds for every connection, read and write; awaited, for a whole command.
        cluster: whether `url` names a node of a Redis Cluster.
        tracking: keep what was read in process and let the server say when it changes (redis-py's
            client-side cache, 10 000 values). A repeated `get` then asks nobody. Sync only, with
            `url` only (redis-py's asyncio client has none), and Redis 7.4 or later.
        bus: where values that are not ours are reported.

    Raises:
        ConfigError: for arguments that exclude each other or cannot be used.
        MissingExtra: if redis-py is not installed.

    Example:
        >>> store = RedisStore(url="redis://:secret@cache.example/0", namespace="support")
        >>> store
        RedisStore('redis://cache.example:6379/0', namespace='support')
    """

    in_process = False

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Redis | RedisCluster | None = None,
        async_client: AsyncRedis | AsyncRedisCluster | None = None,
        namespace: str = "agentperf",
        timeout_s: float = 0.05,
        cluster: bool = False,
        tracking: bool = False,
        bus: EventBus = BUS,
    ) -> None:
        self._layout = Layout(namespace)
        self._bus = bus
        self._redis = Transport(
            url=url,
            client=client,
            async_client=async_client,
            timeout_s=timeout_s,
            cluster=cluster,
            tracking=tracking,
        )

    def __repr__(self) -> str:
        return f"RedisStore({self._redis.where}, namespace={self._layout.namespace!r})"

    # More than a store ----------------------------------------------------------------------------

    @property
    def news(self) -> RedisNews:
        """What was announced to those who share this namespace."""
        return RedisNews(self._redis, self._layout)

    def vectors(self, name: str) -> StoredVectors:
        """An index of entries that have vectors, for servers with the query engine.

        Args:
            name: what the keys of these entries begin with.
        """
        from agentperf_core.cache.vectors.redis import StoredVectors

        return StoredVectors(self._redis, self._layout, name)

    # Store: each step written once ----------------------------------------------------------------

    def get(self, key: str) -> bytes | None:
        """The value, or `None` if it is absent, expired, or not one of ours."""
        return run(get(self._redis, self._layout, key, self._bus))

    async def aget(self, key: str) -> bytes | None:
        """Like `get`."""
        return await arun(get(self._redis, self._layout, key, self._bus))

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        """Keep a value in place of what was there, of whatever type that is."""
        run(self._set(key, value, ttl_s, tags))

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        """Like `set`."""
        await arun(self._set(key, value, ttl_s, tags))

    def delete(self, key: str) -> bool:
        """Forget one value; whether it was there."""
        return self._redis.send(self._layout.delete(key)) == 1

    async def adelete(self, key: str) -> bool:
        """Like `delete`."""
        return await self._redis.asend(self._layout.delete(key)) == 1

    def invalidate(self, tag: str) -> int:
        """Forget every entry with this tag, in steps of 500; how many there were."""
        return run(invalidate(self._redis, self._layout, tag))

    async def ainvalidate(self, tag: str) -> int:
        """Like `invalidate`."""
        return await arun(invalidate(self._redis, self._layout, tag))

    def clear(self) -> int:
        """Forget what begins with our namespace (SCAN and UNLINK); how many entries there were."""
        names = self._redis.names(self._layout.everything())
        gone, batch = 0, list(islice(names, BATCH))
        while batch:
            gone += self._entries_among(batch, self._redis.send_all(self._layout.unlink(batch)))
            batch = list(islice(names, BATCH))
        return gone

    async def aclear(self) -> int:
        """Like `clear`."""
        gone, batch = 0, list[bytes]()
        async for name in self._redis.anames(self._layout.everything()):
            batch.append(name)
            if len(batch) == BATCH:
                done = await self._redis.asend_all(self._layout.unlink(batch))
                gone += self._entries_among(batch, done)
                batch.clear()
        done = await self._redis.asend_all(self._layout.unlink(batch))
        return gone + self._entries_among(batch, done)

    def scan(self, prefix: str = "") -> Iterator[str]:
        """The live keys that start with `prefix`; a key may come twice."""
        for name in self._redis.names(self._layout.entries(prefix)):
            yield self._layout.key_of(name)

    async def ascan(self, prefix: str = "") -> AsyncIterator[str]:
        """Like `scan`."""
        async for name in self._redis.anames(self._layout.entries(prefix)):
            yield self._layout.key_of(name)

    def try_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Become the leader for a key, if nobody is (`SET NX PX`)."""
        return bool(self._redis.send(self._layout.lead(key, holder, ttl_s)))

    async def atry_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `try_lead`."""
        return bool(await self._redis.asend(self._layout.lead(key, holder, ttl_s)))

    def keep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Let the lease go on, if `holder` still has it (compared and extended in one step)."""
        return bool(self._redis.send(self._layout.keep_leading(key, holder, ttl_s)))

    async def akeep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `keep_leading`."""
        return bool(await self._redis.asend(self._layout.keep_leading(key, holder, ttl_s)))

    def stop_leading(self, key: str, holder: str) -> None:
        """End the lease if `holder` still has it (compared and deleted in one step)."""
        self._redis.send(self._layout.stop_leading(key, holder))

    async def astop_leading(self, key: str, holder: str) -> None:
        """Like `stop_leading`."""
        await self._redis.asend(self._layout.stop_leading(key, holder))

    def close(self) -> None:
        """Close the store's own sync client; it opens again when it is used again."""
        self._redis.close()

    async def aclose(self) -> None:
        """Close the store's own clients of this event loop and of threads."""
        await self._redis.aclose()

    def _set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str]) -> Flow[None]:
        setting = self._layout.set(key, value, ttl_s, tags)
        return put(self._redis, self._layout, key, setting, ttl_s=ttl_s, tags=tags)

    def _entries_among(self, names: Sequence[bytes], gone: Sequence[int]) -> int:
        is_entry = self._layout.is_entry
        return sum(count for name, count in zip(names, gone, strict=True) if is_entry(name))
