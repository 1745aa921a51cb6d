"""Stores by address: one line of configuration instead of a class per environment.

| address | store |
|---|---|
| `memory:` | `MemoryStore`, in this process alone |
| `sqlite:PATH` | `SQLiteStore`; without a path the file in the user's cache folder |
| `redis://...`, `rediss://...`, `unix://...` | `RedisStore` |
| `redis+cluster://...`, `rediss+cluster://...` | `RedisStore` on a Redis Cluster |
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, cast

from agentperf_core.cache.stores.base import Store
from agentperf_core.cache.stores.memory import MemoryStore
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.cache.stores.sqlite_file import default_path
from agentperf_core.errors import ConfigError

__all__ = ["close_store", "open_store", "parse_address", "without_secrets"]

_FORMS = (
    "memory:, sqlite:PATH, redis://[user:password@]host[:port][/db], rediss://..., unix://path "
    "or redis+cluster://..."
)
_REDIS = frozenset({"redis", "rediss", "unix"})
_CLUSTER = "+cluster"


def open_store(
    url: str,
    *,
    namespace: str = "agentperf",
    timeout_s: float = 0.05,
    must_exist: bool = False,
) -> Store:
    """The store at an address; a server is asked only when the store is used.

    Args:
        url: see the table above.
        namespace: what tells our entries from others in the same file or server.
        timeout_s: seconds that a step may take: connection, read and write, another writer.
        must_exist: refuse a file that is not there, instead of making it.

    Raises:
        ConfigError: if it is no address of a store, or the file cannot be used as one.
        MissingExtra: if the store needs a package that is not installed.

    Example:
        >>> open_store("memory:").in_process
        True
        >>> open_store("redis+cluster://:secret@cache.example:7000", namespace="support")
        RedisStore('redis://cache.example:7000', namespace='support')
    """
    kind, where = parse_address(url)
    if kind == "memory":
        return MemoryStore()
    if kind == "sqlite":
        path = Path(where).expanduser() if where else default_path()
        if must_exist and not path.is_file():
            msg = f"store must be a cache that is there, got {str(path)!r}, no file; check the path"
            raise ConfigError(msg)
        return SQLiteStore(path, namespace=namespace, timeout_s=timeout_s)
    cluster = kind == "cluster"
    return RedisStore(where, namespace=namespace, timeout_s=timeout_s, cluster=cluster)


def parse_address(url: str) -> tuple[Literal["memory", "sqlite", "redis", "cluster"], str]:
    """What kind of store an address is of, and where it is: a path, or a URL for redis-py.

    Raises:
        ConfigError: if it is no address of a store.

    Example:
        >>> parse_address("redis+cluster://cache.example:7000")
        ('cluster', 'redis://cache.example:7000')
    """
    if not isinstance(cast("object", url), str):  # None too: a variable that is not set
        msg = f"url must be the address of a store, got {url!r}; write one of {_FORMS}"
        raise ConfigError(msg)
    scheme, separator, rest = url.strip().partition(":")
    scheme = scheme.lower()
    plain = scheme.removesuffix(_CLUSTER)
    if separator and scheme == "memory" and not rest.strip("/"):
        return "memory", ""
    if separator and scheme == "sqlite" and not rest.startswith("//"):
        return "sqlite", rest
    if separator and plain in _REDIS and (plain == scheme or plain != "unix"):
        return ("redis" if plain == scheme else "cluster"), f"{plain}:{rest}"
    way_out = f"write one of {_FORMS}"
    if scheme == "sqlite":
        way_out = "for a file write sqlite:PATH, without slashes before the path"
    msg = f"store must be the address of a store, got {without_secrets(url)!r}; {way_out}"
    raise ConfigError(msg)


def close_store(store: Store) -> None:
    """Close what a store has open, if it can."""
    close = getattr(store, "close", None)
    if callable(close):
        close()


def without_secrets(url: str) -> str:
    """An address without user, password and options, whatever it is an address of.

    Example:
        >>> without_secrets("mongodb://me:p@ss@db.example/cache?token=t")
        'mongodb://***@db.example/cache'
    """
    # Up to the last @: passwords are often written without the escapes that they need.
    return re.sub(r"(//|:|^)[^:/]*:?[^:]*@", r"\1***@", url.partition("?")[0])
