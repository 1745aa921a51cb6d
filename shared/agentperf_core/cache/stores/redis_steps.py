"""What the Redis store does in more than one command, each written once for sync and async."""

from __future__ import annotations

from collections.abc import Sequence

from agentperf_core.cache.stores.redis_layout import Command, Layout, unframed
from agentperf_core.cache.stores.redis_transport import Transport
from agentperf_core.errors import CodecError
from agentperf_core.events import EventBus
from agentperf_core.flow import Flow

__all__ = ["BATCH", "get", "invalidate", "put"]

BATCH = 500  # keys per pipeline of the slow methods; about 1 ms of the server's time


def get(redis: Transport, layout: Layout, key: str, bus: EventBus) -> Flow[bytes | None]:
    """The value of a key; what is not ours is reported, and none."""
    try:
        raw: bytes | None = yield from redis.one(layout.get(key))
        return None if raw is None else unframed(raw)
    except CodecError as error:
        odd: Exception = error
    except redis.refusal as error:
        if not str(error).startswith("WRONGTYPE"):
            raise
        odd = error
        beside = yield from _beside(redis, layout, key)
        if beside is not None:
            return beside
    # A miss, and no failure of the server: the guard shall go on asking for other keys.
    bus.fault("cache.store", odd)
    return None


def _beside(redis: Transport, layout: Layout, key: str) -> Flow[bytes | None]:
    try:
        raw: bytes | None = yield from redis.one(layout.get_beside(key))
        return None if raw is None else unframed(raw)
    except (CodecError, redis.refusal):
        return None


def put(
    redis: Transport,
    layout: Layout,
    key: str,
    setting: Command,
    *,
    ttl_s: float | None,
    tags: Sequence[str],
) -> Flow[None]:
    """Send what keeps a key, after its tags were entered."""
    tagging = layout.tag(key, ttl_s, tags) if tags else []
    if tagging and redis.is_cluster:
        # Other nodes answer for other tags: no value may be there before all its tags are.
        yield from redis.all(tagging)
        tagging = []
    try:
        yield from redis.all([*tagging, setting])
    except redis.refusal:
        # A pipeline runs to its end, past a tag that was refused: nothing could invalidate it.
        yield from redis.one(layout.delete(key))
        raise


def invalidate(redis: Transport, layout: Layout, tag: str) -> Flow[int]:
    """Forget every entry with a tag; how many there were."""
    gone = 0
    while True:
        keys: list[bytes] = yield from redis.one(layout.tagged(tag, BATCH))
        if not keys:
            return gone
        *deleted, _ = yield from redis.all(layout.untag(tag, keys))
        gone += sum(deleted)
