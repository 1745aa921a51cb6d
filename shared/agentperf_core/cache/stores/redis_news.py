"""What is new in a Redis store, in order: who wants to know need not look at everything again."""

from __future__ import annotations

from agentperf_core.cache.stores.redis_layout import Layout
from agentperf_core.cache.stores.redis_transport import Transport

__all__ = ["RedisNews"]


class RedisNews:
    """Short texts by channel, the last thousands of each, in a stream of any Redis or cluster.

    Sync: for work behind the calls.

    Args:
        redis: the clients of the store.
        layout: the keys of its namespace.
    """

    def __init__(self, redis: Transport, layout: Layout) -> None:
        self._redis = redis
        self._layout = layout

    def announce(self, channel: str, text: str) -> bytes:
        """Add to a channel; the place of what was added."""
        place, _ = self._redis.send_all(self._layout.announce(channel, text))
        return place

    def since(self, channel: str, place: bytes) -> tuple[bytes, list[str]] | None:
        """What was added after a place, and the place of the last of it.

        Returns:
            `None` if the channel no longer reaches back to the place.
        """
        found: list[tuple[bytes, dict[bytes, bytes]]] = self._redis.send(
            self._layout.news(channel, place)
        )
        if not found or found[0][0] != place:
            return None
        texts = [fields[b"t"].decode("utf-8", "surrogatepass") for _, fields in found[1:]]
        return found[-1][0], texts
