"""The redis-py clients of a store, quick to give up.

A client of redis-py waits 5 seconds and tries 10 times again by default. For a cache that is wrong:
what does not answer within the budget is a miss, and the guard around the store decides when to ask
again. So our own clients give every read and write the budget and never try again.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from agentperf_core.errors import ConfigError
from agentperf_core.optional import require

__all__ = ["Client", "checked_client", "openers", "shown"]

Client: TypeAlias = Any
"""A `redis.Redis` or `RedisCluster`, sync or asyncio: redis-py types their commands as both."""

_THREADS = 10_000  # threads bound themselves


def openers(
    url: str, *, cluster: bool, timeout_s: float, tracking: bool
) -> tuple[Callable[[], Client], Callable[[], Client]]:
    """What opens a sync client and what opens an async client.

    Args:
        url: as redis-py takes it; its query string wins over our settings.
        cluster: whether the URL is that of a node of a Redis Cluster.
        timeout_s: seconds that every read, write and connection may take.
        tracking: whether the sync client keeps values that the server promises to recall.
    """
    redis = require("redis", extra="redis", purpose="RedisStore")
    backoff = require("redis.backoff", extra="redis").NoBackoff()
    aio = require("redis.asyncio", extra="redis")
    kind = "RedisCluster" if cluster else "Redis"
    # RESP2: the handshake of RESP3 costs one more round trip, and only tracking needs it.
    shared: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "protocol": 2,
        **_anonymous(),
    }
    retry = require("redis.retry", extra="redis").Retry(backoff, 0)
    aretry = require("redis.asyncio.retry", extra="redis").Retry(backoff, 0)
    sync = shared | {"retry": retry, "max_connections": _THREADS}
    async_ = shared | {"retry": aretry}
    if tracking:
        config = require("redis.cache", extra="redis").CacheConfig()
        sync |= {"protocol": 3, "cache_config": config}
    return (
        partial(_opened, getattr(redis, kind), url, sync),
        partial(_opened, getattr(aio, kind), url, async_),
    )


def shown(url: str) -> str:
    """Where a URL points to, without user, password and options.

    Raises:
        ConfigError: if it is no URL of a Redis; the URL is not shown, it may hold a password.

    Example:
        >>> shown("rediss://me:secret@cache.example:6380/1?socket_timeout=1")
        'rediss://cache.example:6380/1'
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts = host = port = None
    if parts is None or parts.scheme not in {"redis", "rediss", "unix"}:
        msg = (
            "url must look like redis://[user:password@]host[:port][/db], rediss://... or "
            "unix://path, with special characters of the password percent-encoded; "
            f"got {len(url)} characters that do not (not shown: they may hold a password)"
        )
        # Not chained: the cause quotes the part that it could not read, perhaps a password.
        raise ConfigError(msg) from None
    where = "" if parts.scheme == "unix" else f"{host or 'localhost'}:{port or 6379}"
    return f"{parts.scheme}://{where}{parts.path}"


def checked_client(client: Client, *, is_async: bool, timeout_s: float, levels: int) -> Client:
    """A client of the caller's, if it can serve here.

    Warns, `levels` calls up, if it may wait longer than the budget: it is used as it is.

    Raises:
        ConfigError: if it is of the other world, or decodes what it reads.
    """
    name, other = ("async_client", "client") if is_async else ("client", "async_client")
    if inspect.iscoroutinefunction(getattr(client, "execute_command", None)) is not is_async:
        world = "a redis.asyncio.Redis or RedisCluster" if is_async else "a redis.Redis"
        msg = f"{name} must be {world}, got a {type(client).__name__}; give that as {other}="
        raise ConfigError(msg)
    if client.get_encoder().decode_responses:
        msg = (
            f"{name} must give bytes, got a {type(client).__name__} with decode_responses=True; "
            "cached values are not text: make one without it"
        )
        raise ConfigError(msg)
    if _is_patient(client, timeout_s):
        warnings.warn(
            f"{name} waits or retries for longer than {timeout_s!r} s when Redis is gone, and a "
            f"call waits with it; give url=, or make it with socket_timeout={timeout_s!r}, "
            f"socket_connect_timeout={timeout_s!r} and retry=Retry(NoBackoff(), 0)",
            UserWarning,
            stacklevel=levels,
        )
    return client


def _is_patient(client: Client, timeout_s: float) -> bool:
    pool = getattr(client, "connection_pool", None)
    settings: Mapping[str, Any] = pool.connection_kwargs if pool else client.get_connection_kwargs()
    retry = getattr(client, "retry", None) if pool is None else settings.get("retry")
    waits_s = [settings.get("socket_timeout"), settings.get("socket_connect_timeout")]
    return bool(retry and retry.get_retries()) or any(
        wait is None or wait > timeout_s for wait in waits_s
    )


def _anonymous() -> dict[str, Any]:
    """Say no library name at the handshake.

    redis-py 7 and 8 look it up on the disk for every connection, on the event loop too; and it
    costs a round trip.
    """
    if find_spec("redis.driver_info") is None:
        return {"lib_name": None, "lib_version": None}
    return {"driver_info": None}


def _opened(kind: Any, url: str, settings: dict[str, Any]) -> Client:
    return kind.from_url(url, **settings)
