"""The store protocol: bytes under a key, sync and async, forgotten after their time to live."""

from __future__ import annotations

from typing import Protocol

from agentperf_core.errors import ConfigError

__all__ = ["Store", "checked"]

_METHODS = ("get", "set", "clear", "aget", "aset", "aclear")


class Store(Protocol):
    """Where a cache keeps bytes.

    A store may forget anything at any time, and may raise: the caches count a failing store as a
    miss. Values are opaque bytes and are given back as they came.
    """

    def get(self, key: str) -> bytes | None:
        """The value, or `None` if it is absent or expired."""
        ...

    async def aget(self, key: str) -> bytes | None:
        """Like `get`."""
        ...

    def set(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Keep a value for `ttl_s` seconds, `None` for as long as there is room."""
        ...

    async def aset(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Like `set`."""
        ...

    def clear(self) -> None:
        """Forget everything that was stored through this store."""
        ...

    async def aclear(self) -> None:
        """Like `clear`."""
        ...


def checked(store: Store) -> Store:
    """The store, if it has all methods: else every call would fail, and be a silent miss.

    Raises:
        ConfigError: if a method is missing.
    """
    missing = [name for name in _METHODS if not callable(getattr(store, name, None))]
    if missing:
        # The type only: the representation of a store may hold the password of its server.
        msg = (
            f"a store needs the methods of Store, got a {type(store).__name__} without "
            f"{', '.join(missing)}; give a MemoryStore() or a class that has them"
        )
        raise ConfigError(msg)
    return store
