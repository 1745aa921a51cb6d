"""Conversations in Redis: shared by processes and machines, one round trip per operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentperf_core.cache.conversations.base import Batch, Kept, State, page
from agentperf_core.cache.conversations.given import require_text
from agentperf_core.cache.conversations.redis_layout import ConversationLayout, kept_of
from agentperf_core.cache.stores.redis_layout import Command
from agentperf_core.cache.stores.redis_transport import Transport
from agentperf_core.errors import CodecError, ConfigError, require_instance, require_positive
from agentperf_core.flow import Flow, Step

if TYPE_CHECKING:
    from redis import Redis, RedisCluster
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio import RedisCluster as AsyncRedisCluster

__all__ = ["RedisConversations"]


class RedisConversations:
    """A `ConversationStore` in Redis 6.2 or later, or Valkey; many messages are one round trip.

    Clients are given or opened as by `RedisStore`. A server that evicts
    (`maxmemory-policy allkeys-*`, and `volatile-*` with a `ttl_s`) loses conversations: use one
    that does not.

    Args:
        url: `redis://...`, `rediss://...` or `unix://...`; default `redis://localhost:6379/0`.
        client: a `redis.Redis` or `redis.RedisCluster`, instead of `url`.
        async_client: the same of `redis.asyncio`.
        namespace: what our keys begin with.
        ttl_s: seconds that a conversation is kept after the last write; default for ever.
        timeout_s: seconds for every connection, read and write; awaited, for a whole command.
        cluster: whether `url` names a node of a Redis Cluster.

    Raises:
        ConfigError: for arguments that exclude each other or cannot be used.
        MissingExtra: if redis-py is not installed.

    Example:
        >>> RedisConversations("redis://:secret@chats.example/0", namespace="support")
        RedisConversations('redis://chats.example:6379/0', namespace='support')
    """

    in_process = False

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Redis | RedisCluster | None = None,
        async_client: AsyncRedis | AsyncRedisCluster | None = None,
        namespace: str = "agentperf",
        ttl_s: float | None = None,
        timeout_s: float = 1.0,
        cluster: bool = False,
    ) -> None:
        require_positive(ttl_s=ttl_s)
        require_text("leave it out for the default", namespace=namespace)
        require_instance(str, "write it as redis://localhost:6379/0", url=url)
        _check_clients(client=client, async_client=async_client)
        self._layout = ConversationLayout(namespace, ttl_s)
        self._redis = Transport(
            url=url,
            client=client,
            async_client=async_client,
            timeout_s=timeout_s,
            cluster=cluster,
            tracking=False,
        )

    def __repr__(self) -> str:
        return f"RedisConversations({self._redis.where}, namespace={self._layout.namespace!r})"

    def append(self, name: str, batch: Batch, *, again: bool = False) -> Flow[int]:
        """Add messages at the end."""
        return self._write("again" if again else "append", name, batch)

    def replace(self, name: str, batch: Batch) -> Flow[int]:
        """Forget all messages and add these."""
        return self._write("replace", name, batch)

    def read(
        self, name: str, *, state: State | None = None, limit: int | None = None, offset: int = 0
    ) -> Flow[list[Kept]]:
        """Messages in order."""
        if limit is not None and limit <= 0:
            return []
        if state is not None:
            command = self._layout.read_state(name, state, limit, offset)
            return kept_of((yield from self._ask(command)), state)
        active, archived = yield from self._ask(self._layout.read(name))
        found = kept_of(archived, "archived") + kept_of(active, "active")
        return page(sorted(found, key=lambda kept: kept.id), limit, offset)

    def count(self, name: str, *, state: State | None = None) -> Flow[int]:
        """How many messages there are."""
        return (yield from self._ask(self._layout.count(name, state)))

    def archive(self, name: str, count: int) -> Flow[list[Kept]]:
        """Archive the oldest active messages."""
        if count <= 0:
            return []
        return kept_of((yield from self._ask(self._layout.archive(name, count))), "archived")

    def take(self, name: str, count: int) -> Flow[list[Kept]]:
        """Forget the oldest active messages."""
        if count <= 0:
            return []
        return kept_of((yield from self._ask(self._layout.take(name, count))), "active")

    def remove(self, name: str, ident: int) -> Flow[Kept | None]:
        """Forget one message."""
        found = yield from self._ask(self._layout.remove(name, ident))
        if not found:
            return None
        return kept_of(found[1:], "active" if found[0] == 1 else "archived")[0]

    def forget(self, name: str, *, state: State | None = None) -> Flow[int]:
        """Forget messages of one state or all."""
        return (yield from self._ask(self._layout.forget(name, state)))

    def names(self, prefix: str = "") -> Flow[list[str]]:
        """The names of conversations that have messages (SCAN)."""
        pattern = self._layout.pattern(prefix)

        async def alisted() -> Sequence[bytes]:
            return [key async for key in self._redis.anames(pattern)]

        keys = yield from Step(lambda: list(self._redis.names(pattern)), alisted)
        return list(dict.fromkeys(map(self._layout.name_of, keys)))

    def close(self) -> None:
        """Close the own sync client; it opens again when it is used again."""
        self._redis.close()

    async def aclose(self) -> None:
        """Close the own clients of this event loop and of threads."""
        await self._redis.aclose()

    def _ask(self, command: Command) -> Flow[Any]:
        try:
            return (yield from self._redis.one(command))
        except self._redis.refusal as error:
            if "WRONGTYPE" not in str(error):
                raise
            # No outage: the server answers, and other conversations are fine.
            msg = (
                "a conversation in Redis must be two lists, got a key of another kind under its "
                "name; take another namespace"
            )
            raise CodecError(msg) from error

    def _write(self, how: str, name: str, batch: Batch) -> Flow[int]:
        return int((yield from self._ask(self._layout.write(how, name, batch))))


def _check_clients(**clients: object) -> None:
    for name, client in clients.items():
        if client is not None and not callable(getattr(client, "execute_command", None)):
            msg = f"{name} must be a client of redis-py, got {client!r}; give an address as url="
            raise ConfigError(msg)
