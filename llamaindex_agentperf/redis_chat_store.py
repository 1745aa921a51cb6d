"""A chat store in Redis for `Memory(chat_store=...)`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from agentperf_core.cache.conversations import RedisConversations
from agentperf_core.errors import ConfigError
from llamaindex_agentperf.chat_store import AgentPerfChatStore

__all__ = ["RedisAsyncChatStore"]


class RedisAsyncChatStore(AgentPerfChatStore):
    """A chat store in Redis for `Memory(chat_store=...)`: pipelined, order kept, safe to share.

    Args:
        redis_url: `redis://...`, `rediss://...`, `unix://...` or `redis+cluster://...`; default
            `redis://localhost:6379/0`.
        client, async_client: clients of redis-py to use instead, see `RedisConversations`.
        **fields: those of `AgentPerfChatStore`.

    Raises:
        ConfigError: if the address is not that of a Redis, or an argument is no field.
        MissingExtra: if redis-py is not installed.

    Example:
        >>> store = RedisAsyncChatStore("redis://chats.example", ttl_s=30 * 86400)
        >>> store.conversations.store
        RedisConversations('redis://chats.example:6379', namespace='agentperf')
    """

    address: str = Field(default="redis://localhost:6379/0", repr=False)

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        client: Any = None,
        async_client: Any = None,
        **fields: Any,
    ) -> None:
        if client is not None or async_client is not None:
            fields["conversations"] = RedisConversations(
                client=client,
                async_client=async_client,
                namespace=fields.get("namespace", "agentperf"),
                ttl_s=fields.get("ttl_s"),
            )
        if redis_url is not None:
            fields["address"] = redis_url
        super().__init__(**fields)

    def checked_address(self) -> str:
        """The address, if it is that of a Redis.

        Raises:
            ConfigError: if it is not.
        """
        address = super().checked_address()
        if address.partition(":")[0].lower() in {"memory", "sqlite"}:
            msg = f"redis_url must be the address of a Redis, got {address!r}; see its docstring"
            raise ConfigError(msg)
        return address


RedisAsyncChatStore.__module__ = "llamaindex_agentperf"
