"""Vectors in Redis, searched by its query engine: one index for many processes and machines.

=========================  =========================================================
`ns:e:NAME:DIM`            a flat index of all scopes, found by a tag
`ns:e:NAME:DIM:SCOPE`      an HNSW index of one large scope (`SCOPE` is a digest)
`ns:e:NAME:DIM:SCOPE:ID`   an entry: a hash of `v`, the vector, `p`, the payload in the
                           frame of a store's values, and `s`, the scope's tag
=========================  =========================================================

Entries are entries of the store of the same namespace: its `get` gives the payload, and its tags,
its `delete` and its `clear` forget them, whoever calls them.

Measured with 100,000 vectors of 384 numbers on Redis 7.4, 8 neighbours, median of a search: a scope
of 2,500 by its tag 0.6 ms in the flat index and 3 ms in an HNSW index for all; one of 50,000 by its
tag 20 ms, in an HNSW index of its own 0.3 ms. An index of its own takes 2.2 MB of the server from
the first vector on. So small scopes share the flat one, and a large scope gets its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agentperf_core.cache.stores.redis_layout import Layout
from agentperf_core.cache.stores.redis_steps import BATCH
from agentperf_core.cache.stores.redis_steps import put as put_tagged
from agentperf_core.cache.stores.redis_transport import Transport
from agentperf_core.cache.vectors.base import RemoteMatch, Vector
from agentperf_core.cache.vectors.exact import check_count
from agentperf_core.cache.vectors.redis_commands import (
    Place,
    knn_own,
    knn_shared,
    matches,
    put,
    says,
)
from agentperf_core.cache.vectors.redis_indexes import RedisIndexes
from agentperf_core.cache.vectors.units import checked_vector
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, Step

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

__all__ = ["RedisVectorIndex", "StoredVectors"]

_LARGE = 5000


class StoredVectors:
    """Vectors among the entries of a Redis store; implements `RemoteVectorIndex`.

    Args:
        redis: the clients of the store.
        layout: the keys of its namespace.
        name: what the keys of the entries begin with.
        large: from how many vectors on a scope gets an index of its own, which is forgotten when
            nobody searched or added to it for a week.
        clock: when to look again how large a scope is.
    """

    def __init__(
        self,
        redis: Transport,
        layout: Layout,
        name: str,
        *,
        large: int = _LARGE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        require_positive(large=large)
        self._redis = redis
        self._layout = layout
        self._name = name
        self._indexes = RedisIndexes(redis, large=large, clock=clock)

    def available(self, dim: int) -> Flow[str | None]:
        """Why the server cannot search vectors of `dim` numbers, or `None` if it can."""
        way_out = "keep the vectors in process, or use one Redis 8 or Redis Stack"
        if self._redis.is_cluster:
            return f"the query engine searches one node, and this is a cluster; {way_out}"
        try:
            yield from self._indexes.make_shared(self._place("", dim))
        except self._redis.refusal as error:
            if says(error, "unknown command"):
                return f"this Redis has no query engine; {way_out}"
            # Another database than 0, or a user who may not.
            return f"this Redis refuses an index ({error}); {way_out}"
        return None

    def add(
        self,
        scope: str,
        ident: str,
        vector: Vector,
        *,
        payload: bytes,
        ttl_s: float | None,
        tags: Sequence[str] = (),
    ) -> Flow[None]:
        """Add a unit vector; see `RemoteVectorIndex.add`."""
        row = checked_vector(vector, len(vector))
        place = self._place(scope, len(row))
        if ttl_s is not None and ttl_s <= 0:
            yield from self.remove(scope, ident, dim=len(row))
            return
        yield from self._indexes.make_shared(place)
        setting = put(place, ident, row, payload, ttl_s=ttl_s, tags=tags)
        key = place.key(ident)
        yield from put_tagged(self._redis, self._layout, key, setting, ttl_s=ttl_s, tags=tags)
        # The entry is kept; a server that does not answer here will not answer a search either.
        with suppress(self._redis.refusal):
            yield from self._indexes.give_own(place)

    def remove(self, scope: str, ident: str, *, dim: int) -> Flow[None]:
        """Forget an entry; see `RemoteVectorIndex.remove`."""
        yield from self._redis.one(self._layout.delete(self._place(scope, dim).key(ident)))

    def search(self, scope: str, vector: Vector, k: int) -> Flow[list[RemoteMatch]]:
        """The `k` nearest of a scope; see `RemoteVectorIndex.search`."""
        check_count(k)
        query = checked_vector(vector, len(vector))
        place = self._place(scope, len(query))
        answer: Any = None
        if (yield from self._indexes.find_own(place)):
            answer = yield from self._indexes.asked(place.own, knn_own(place, query, k))
        if answer is None:
            answer = yield from self._indexes.asked(place.shared, knn_shared(place, query, k))
        return [] if answer is None else list(matches(answer, place))

    def clear(self) -> Flow[int]:
        """Forget every entry of this name, and its indexes; how many entries there were."""
        names: list[bytes] = yield from Step(self._names, self._anames)
        unlinked = 0
        for start in range(0, len(names), BATCH):
            some = self._layout.unlink(names[start : start + BATCH])
            unlinked += sum((yield from self._redis.all(some)))
        yield from self._indexes.drop(self._layout.name(self._name).decode())
        return unlinked

    def key(self, scope: str, ident: str, *, dim: int) -> str:
        """What the store calls an entry."""
        return self._place(scope, dim).key(ident)

    def _place(self, scope: str, dim: int) -> Place:
        text = scope.encode("utf-8", "surrogatepass")
        tag = hashlib.blake2b(text, digest_size=16).hexdigest()
        return Place(self._layout, self._name, tag, dim)

    def _names(self) -> list[bytes]:
        return list(self._redis.names(self._layout.entries(self._name)))

    async def _anames(self) -> list[bytes]:
        return [name async for name in self._redis.anames(self._layout.entries(self._name))]


class RedisVectorIndex(StoredVectors):
    """Vectors in Redis 8, Redis Stack or another server with the query engine.

    Give what `RedisStore` takes. Every method is a flow, which `agentperf_core.flow.run` and `arun`
    drive.

    Args:
        url: `redis://...`, `rediss://...` or `unix://...`; default `redis://localhost:6379/0`.
        client: a `redis.Redis`, instead of `url`.
        async_client: the same of `redis.asyncio`.
        namespace: what our keys and indexes begin with; `clear` touches no others.
        name: what tells these entries from others in the namespace.
        timeout_s: seconds for every connection, read and write; awaited, for a whole command.
        large: see `StoredVectors`.
        clock: when to look again how large a scope is.

    Raises:
        ConfigError: for arguments that exclude each other or cannot be used.
        MissingExtra: if redis-py or numpy is not installed.

    Example:
        >>> index = RedisVectorIndex(url="redis://cache.example/0", namespace="support")
        >>> index
        RedisVectorIndex('redis://cache.example:6379/0', namespace='support')
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Redis | None = None,
        async_client: AsyncRedis | None = None,
        namespace: str = "agentperf",
        name: str = "~v:",
        timeout_s: float = 0.05,
        large: int = _LARGE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        layout = Layout(namespace)
        redis = Transport(
            url=url,
            client=client,
            async_client=async_client,
            timeout_s=timeout_s,
            cluster=False,
            tracking=False,
        )
        super().__init__(redis, layout, name, large=large, clock=clock)

    def __repr__(self) -> str:
        return f"RedisVectorIndex({self._redis.where}, namespace={self._layout.namespace!r})"
