"""Which indexes a query engine has for the vectors of a name, as far as this process knows."""

from __future__ import annotations

from typing import Any

from agentperf_core.cache.stores.redis_layout import Command
from agentperf_core.cache.stores.redis_transport import Transport
from agentperf_core.cache.vectors.redis_commands import (
    Place,
    count,
    create,
    is_complete,
    says,
    total,
)
from agentperf_core.clock import Clock
from agentperf_core.flow import Flow

__all__ = ["RedisIndexes"]

_WEEK_S = 7 * 24 * 3600
_LOOK_EVERY_S = 60.0
_MOST_REMEMBERED = 10_000


class RedisIndexes:
    """Makes indexes, and finds out about those that others have made.

    Args:
        redis: the clients.
        large: from how many vectors on a scope gets an index of its own.
        clock: when to look again how large a scope is.
    """

    def __init__(self, redis: Transport, *, large: int, clock: Clock) -> None:
        self._redis = redis
        self._large = large
        self._clock = clock
        # What this process knows: indexes that exist, scopes that have their own, and when it
        # looked last.
        self._made: set[str] = set()
        self._own: set[str] = set()
        self._looked: dict[str, float] = {}

    def make_shared(self, place: Place) -> Flow[None]:
        """Make the index of all scopes, if it is not there."""
        yield from self._make(place.shared, ("FLAT",), place.dim)

    def give_own(self, place: Place) -> Flow[None]:
        """Once a minute: whether this scope is large enough for an index of its own."""
        if place.own in self._made or not self._due(f"{place.own}:"):
            return
        counted: Any = yield from self.asked(place.shared, count(place))
        if counted is not None and total(counted) > self._large:
            yield from self._make(place.own, ("HNSW", "TEMPORARY", str(_WEEK_S)), place.dim)

    def find_own(self, place: Place) -> Flow[bool]:
        """Whether this scope has an index of its own that is complete; asks once a minute."""
        if place.own not in self._own and self._due(place.own):
            known: Any = yield from self.asked(place.own, ("FT.INFO", place.own))
            if known is not None and is_complete(known):
                self._own.add(place.own)
        return place.own in self._own

    def asked(self, name: str, command: Command) -> Flow[Any]:
        """The answer of an index, or `None` if there is no such one."""
        try:
            return (yield from self._redis.one(command))
        except self._redis.refusal as error:
            if not says(error, "no such index", "unknown index name"):
                raise
            # Nothing was ever added, or it went idle, or somebody emptied the server.
            self._made.discard(name)
            self._own.discard(name)
            return None

    def drop(self, beginning: str) -> Flow[None]:
        """Drop the indexes whose name begins so; the entries stay."""
        self._forget()
        listed: list[Any] = yield from self._redis.one(("FT._LIST",))
        for index in listed:
            name = index if isinstance(index, bytes) else str(index).encode()
            if name.startswith(beginning.encode()):
                # Somebody else may be faster.
                yield from self.asked(name.decode(), ("FT.DROPINDEX", name))

    def _make(self, name: str, kind: tuple[str, ...], dim: int) -> Flow[None]:
        if name in self._made:
            return
        try:
            yield from self._redis.one(create(name, f"{name}:", kind, dim))
        except self._redis.refusal as error:
            if not says(error, "already exists"):
                raise
        self._made.add(name)

    def _due(self, what: str) -> bool:
        now = self._clock.monotonic()
        if now < self._looked.get(what, now):
            return False
        if len(self._looked) > _MOST_REMEMBERED:
            self._forget()
        self._looked[what] = now + _LOOK_EVERY_S
        return True

    def _forget(self) -> None:
        self._made.clear()
        self._own.clear()
        self._looked.clear()
