"""Vectors in Redis, searched by its query engine: one index for many processes and machines.

===============================  ===================================================
`ns:v:DIM`                       a flat index of all scopes, found by a tag
`ns:v:DIM:SCOPE`                 an HNSW index of one large scope (`SCOPE` is a digest)
`ns:v:DIM:SCOPE:IDENT`           an entry: a hash of `v`, the vector, `p`, the payload, and
                                 `s`, the scope's tag
===============================  ===================================================

Measured with 100,000 vectors of 384 numbers on Redis 7.4, 8 neighbours, median of a search: a scope
of 2,500 by its tag 0.6 ms in the flat index and 3 ms in an HNSW index for all; one of 50,000 by its
tag 20 ms, in an HNSW index of its own 0.3 ms. An index of its own takes 2.2 MB of the server from
the first vector on. So small scopes share the flat one, and a large scope gets its own.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from agentperf_core.cache.stores.redis_layout import Command
from agentperf_core.cache.stores.redis_transport import Transport
from agentperf_core.cache.vectors.base import RemoteMatch, Vector
from agentperf_core.cache.vectors.exact import check_count
from agentperf_core.cache.vectors.redis_commands import (
    PUT,
    Place,
    count,
    create,
    is_complete,
    knn_own,
    knn_shared,
    matches,
    says,
    total,
)
from agentperf_core.cache.vectors.units import checked_vector
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.flow import Flow, Step

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

__all__ = ["RedisVectorIndex"]

_WEEK_S = 7 * 24 * 3600
_LONGEST_MS = 10**15
_LARGE = 5000
_LOOK_EVERY_S = 60.0
_MOST_REMEMBERED = 10_000
_UNLINKED_AT_ONCE = 500


class RedisVectorIndex:
    """Vectors in Redis 8, Redis Stack or another server with the query engine.

    Implements `RemoteVectorIndex`; give what `RedisStore` takes. Every method is a flow, which
    `agentperf_core.flow.run` and `arun` drive.

    Args:
        url: `redis://...`, `rediss://...` or `unix://...`; default `redis://localhost:6379/0`.
        client: a `redis.Redis`, instead of `url`.
        async_client: the same of `redis.asyncio`.
        namespace: what our keys and indexes begin with; `clear` touches no others.
        timeout_s: seconds for every connection, read and write; awaited, for a whole command.
        large: from how many vectors on a scope gets an index of its own, which is forgotten with
            its entries when nobody searched or added to it for a week.
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
        timeout_s: float = 0.05,
        large: int = _LARGE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        require_positive(large=large)
        if not namespace.replace("-", "").replace("_", "").replace(".", "").isalnum():
            msg = f"a namespace is letters, digits and any of _ . -, got {namespace!r}; rename it"
            raise ConfigError(msg)
        self._namespace = namespace
        self._large = large
        self._clock = clock
        self._redis = Transport(
            url=url,
            client=client,
            async_client=async_client,
            timeout_s=timeout_s,
            cluster=False,
            tracking=False,
        )
        # What this process knows: indexes that exist, scopes that have their own, and when it
        # looked last.
        self._made: set[str] = set()
        self._own: set[str] = set()
        self._looked: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"RedisVectorIndex({self._redis.where}, namespace={self._namespace!r})"

    def available(self) -> Flow[str | None]:
        """Why the server cannot do this, as a sentence, or `None` if it can."""
        way_out = "keep the vectors in process, or use one Redis 8 or Redis Stack"
        if self._redis.is_cluster:
            return f"the query engine searches one node, and this is a cluster; {way_out}"
        try:
            yield from self._redis.one(("FT._LIST",))
        except self._redis.refusal:
            return f"this Redis has no query engine (no FT commands for this user); {way_out}"
        return None

    def add(
        self, scope: str, ident: str, vector: Vector, *, payload: bytes, ttl_s: float | None
    ) -> Flow[None]:
        """Add a unit vector; see `RemoteVectorIndex.add`."""
        row = checked_vector(vector, len(vector))
        place = self._place(scope, len(row))
        if ttl_s is not None and ttl_s <= 0:
            yield from self.remove(scope, ident, dim=len(row))
            return
        yield from self._make(place.shared, f"{place.shared}:", ("FLAT",), len(row))
        ends = "" if ttl_s is None else max(1, int(min(ttl_s * 1000, _LONGEST_MS)))
        yield from self._redis.one(
            ("EVAL", PUT, 1, place.entry(ident), row.tobytes(), payload, place.tag, ends)
        )
        yield from self._give_own(place)

    def remove(self, scope: str, ident: str, *, dim: int) -> Flow[None]:
        """Forget an entry; see `RemoteVectorIndex.remove`."""
        yield from self._redis.one(("UNLINK", self._place(scope, dim).entry(ident)))

    def search(self, scope: str, vector: Vector, k: int) -> Flow[list[RemoteMatch]]:
        """The `k` nearest of a scope; see `RemoteVectorIndex.search`."""
        check_count(k)
        query = checked_vector(vector, len(vector))
        place = self._place(scope, len(query))
        yield from self._find_own(place)
        answer: Any = None
        if place.own in self._own:
            answer = yield from self._asked(place.own, knn_own(place, query, k))
        if answer is None:
            self._own.discard(place.own)
            answer = yield from self._asked(place.shared, knn_shared(place, query, k))
        return [] if answer is None else list(matches(answer, len(place.entry(""))))

    def clear(self) -> Flow[int]:
        """Forget every entry of this namespace; how many there were."""
        self._forget()
        names: list[bytes] = yield from Step(self._names, self._anames)
        unlinked = 0
        for start in range(0, len(names), _UNLINKED_AT_ONCE):
            some = names[start : start + _UNLINKED_AT_ONCE]
            answers = yield from self._redis.all([("UNLINK", name) for name in some])
            unlinked += sum(answers)
        listed: list[Any] = yield from self._redis.one(("FT._LIST",))
        for index in listed:
            name = index if isinstance(index, bytes) else str(index).encode()
            if name.startswith(self._prefix().encode()):
                # Somebody else may be faster.
                yield from self._asked(name.decode(), ("FT.DROPINDEX", name))
        return unlinked

    # Indexes

    def _prefix(self) -> str:
        return f"{self._namespace}:v:"

    def _place(self, scope: str, dim: int) -> Place:
        text = scope.encode("utf-8", "surrogatepass")
        tag = hashlib.blake2b(text, digest_size=16).hexdigest()
        return Place(shared=f"{self._prefix()}{dim}", tag=tag, dim=dim)

    def _make(self, name: str, prefix: str, kind: tuple[str, ...], dim: int) -> Flow[None]:
        if name in self._made:
            return
        try:
            yield from self._redis.one(create(name, prefix, kind, dim))
        except self._redis.refusal as error:
            if not says(error, "already exists"):
                raise
        self._made.add(name)

    def _find_own(self, place: Place) -> Flow[None]:
        """Once a minute: whether somebody has given this scope an index of its own."""
        if place.own in self._own or not self._due(place.own):
            return
        known: Any = yield from self._asked(place.own, ("FT.INFO", place.own))
        if known is not None and is_complete(known):
            self._own.add(place.own)

    def _give_own(self, place: Place) -> Flow[None]:
        """Once a minute: whether this scope is large enough for an index of its own."""
        if place.own in self._made or not self._due(f"{place.own}:"):
            return
        counted: Any = yield from self._asked(place.shared, count(place))
        if counted is not None and total(counted) > self._large:
            life = ("HNSW", "TEMPORARY", str(_WEEK_S))
            yield from self._make(place.own, f"{place.own}:", life, place.dim)

    def _due(self, what: str) -> bool:
        now = self._clock.monotonic()
        if now < self._looked.get(what, now):
            return False
        if len(self._looked) > _MOST_REMEMBERED:
            self._forget()
        self._looked[what] = now + _LOOK_EVERY_S
        return True

    def _asked(self, name: str, command: Command) -> Flow[Any]:
        """The answer, or `None` if there is no such index."""
        try:
            return (yield from self._redis.one(command))
        except self._redis.refusal as error:
            if not says(error, "no such index", "unknown index name"):
                raise
            # Nothing was ever added, or it went idle, or somebody emptied the server.
            self._made.discard(name)
            return None

    def _forget(self) -> None:
        self._made.clear()
        self._own.clear()
        self._looked.clear()

    def _names(self) -> list[bytes]:
        return list(self._redis.names(f"{self._prefix()}*".encode()))

    async def _anames(self) -> list[bytes]:
        return [name async for name in self._redis.anames(f"{self._prefix()}*".encode())]
