"""Conversations by the address of their store: one line of configuration.

| address | store |
|---|---|
| `memory:` | `MemoryConversations`, in this process alone |
| `sqlite:PATH` | `SQLiteConversations`; without a path the file in the user's data folder |
| `redis://...`, `rediss://...`, `unix://...` | `RedisConversations` |
| `redis+cluster://...`, `rediss+cluster://...` | `RedisConversations` on a Redis Cluster |
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentperf_core.cache.conversations.base import ConversationStore
from agentperf_core.cache.conversations.given import require_text
from agentperf_core.cache.conversations.memory import MemoryConversations
from agentperf_core.cache.conversations.redis import RedisConversations
from agentperf_core.cache.conversations.sessions import Conversations
from agentperf_core.cache.conversations.sqlite import SQLiteConversations
from agentperf_core.cache.stores.opening import parse_address

__all__ = ["conversations_from", "open_conversations"]


def open_conversations(
    address: str,
    *,
    namespace: str = "agentperf",
    ttl_s: float | None = None,
    timeout_s: float | None = None,
    **options: Any,
) -> Conversations:
    """The conversations at an address; a server is asked only when they are used.

    Args:
        address: see the table above.
        namespace: what tells ours from others in the same file or server.
        ttl_s: seconds that a conversation is kept after the last write; default for ever.
        timeout_s: seconds that a step may take; default 5 for a file, 1 for a server.
        **options: of `Conversations`.

    Raises:
        ConfigError: if it is no address of a store, or the file cannot be used as one.
        MissingExtra: if the store needs a package that is not installed.

    Example:
        >>> open_conversations("redis://:secret@chats.example", ttl_s=30 * 86400)
        Conversations(RedisConversations('redis://chats.example:6379', namespace='agentperf'))
    """
    require_text("leave it out for the default", namespace=namespace)
    kind, where = parse_address(address)
    store: ConversationStore
    if kind == "memory":
        store = MemoryConversations(ttl_s=ttl_s)
    elif kind == "sqlite":
        path = Path(where).expanduser() if where else None
        patience = 5.0 if timeout_s is None else timeout_s
        store = SQLiteConversations(path, namespace=namespace, ttl_s=ttl_s, timeout_s=patience)
    else:
        store = RedisConversations(
            where,
            namespace=namespace,
            ttl_s=ttl_s,
            timeout_s=1.0 if timeout_s is None else timeout_s,
            cluster=kind == "cluster",
        )
    return Conversations(store, **options)


def conversations_from(
    given: Conversations | ConversationStore | str | None, **options: Any
) -> Conversations:
    """What an adapter was given as conversations; nothing means in this process.

    An address that is given again with the same options is the same conversations, so that whoever
    makes a history per request opens one connection; `memory:` is always a new one.

    Args:
        given: see above.
        **options: of `open_conversations`, for an address.

    Raises:
        ConfigError: if it is none of these.

    Example:
        >>> conversations_from("memory:")
        Conversations(MemoryConversations(ttl_s=None))
    """
    if isinstance(given, Conversations):
        return given
    if isinstance(given, str):
        return _shared(given, options)
    return Conversations(given)


_opened: dict[tuple[object, ...], Conversations] = {}
_lock = threading.Lock()


def _shared(address: str, options: Mapping[str, Any]) -> Conversations:
    if parse_address(address)[0] == "memory":
        return open_conversations(address, **options)
    key = (address, *sorted(options.items()))
    with _lock:
        found = _opened.get(key)
        if found is None:
            found = _opened[key] = open_conversations(address, **options)
        return found
