"""The store protocol: bytes under a key with tags, sync and async, forgotten after their time.

`Store` is what a cache needs; `LeaseStore` adds the one atomic step that lets several processes
agree on who makes a call. `agentperf_core.testing` has both as test suites to inherit.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

from agentperf_core.errors import ConfigError
from agentperf_core.flow import Step

__all__ = [
    "LeaseStore",
    "Store",
    "checked",
    "jittered",
    "lease_store",
    "listed",
]

_METHODS = (
    *("get", "set", "clear", "aget", "aset", "aclear"),
    *("delete", "invalidate", "scan", "adelete", "ainvalidate", "ascan"),
)
_LEASES = tuple(
    half + name for half in ("", "a") for name in ("try_lead", "keep_leading", "stop_leading")
)


class Store(Protocol):
    """Where a cache keeps bytes.

    A store may forget anything at any time, and may raise: the caches count a failing store as a
    miss. Values are opaque bytes and are given back as they came. Keys and tags are any text; no
    character of them has a meaning.
    """

    @property
    def in_process(self) -> bool:
        """Whether it lives in this process alone: no call can wait or fail, so none is guarded.

        A class attribute is enough.
        """
        ...

    def get(self, key: str) -> bytes | None:
        """The value, or `None` if it is absent or expired."""
        ...

    async def aget(self, key: str) -> bytes | None:
        """Like `get`."""
        ...

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        """Keep a value, in place of what the key had, tags and time included.

        Args:
            key: what to find it by.
            value: what to keep.
            ttl_s: seconds to keep it; `None` for as long as there is room; zero or less keeps
                nothing, and what was there is forgotten.
            tags: what to forget it by, see `invalidate`.
        """
        ...

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        """Like `set`."""
        ...

    def delete(self, key: str) -> bool:
        """Forget one value; whether it was there (an expired one was not)."""
        ...

    async def adelete(self, key: str) -> bool:
        """Like `delete`."""
        ...

    def invalidate(self, tag: str) -> int:
        """Forget every entry with this tag; how many could still have been served."""
        ...

    async def ainvalidate(self, tag: str) -> int:
        """Like `invalidate`."""
        ...

    def clear(self) -> int:
        """Forget what was stored through this store's namespace; how many could be served."""
        ...

    async def aclear(self) -> int:
        """Like `clear`."""
        ...

    def scan(self, prefix: str = "") -> Iterator[str]:
        """The live keys that start with `prefix`, in any order.

        For inspection and rebuilds, not for hot paths. What is stored or forgotten meanwhile may
        or may not be seen; a key may come twice, as in Redis.
        """
        ...

    def ascan(self, prefix: str = "") -> AsyncIterator[str]:
        """Like `scan`."""
        ...


class LeaseStore(Store, Protocol):
    """A store that also lets one of many processes lead: make the call that all wait for.

    Leases have nothing to do with the values: a key may have either, both or none; `scan` does not
    see them, `delete`, `invalidate` and `clear` leave them.
    """

    def try_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Become the leader for a key, atomically (`SET NX PX`).

        Args:
            key: what the call is for.
            holder: who asks; unique to the attempt.
            ttl_s: seconds after which the lease ends by itself, above zero.

        Returns:
            Whether `holder` leads now; false while anybody does, `holder` itself included.
        """
        ...

    async def atry_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `try_lead`."""
        ...

    def keep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Let the lease end `ttl_s` seconds from now, if `holder` still has it; whether it has."""
        ...

    async def akeep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `keep_leading`."""
        ...

    def stop_leading(self, key: str, holder: str) -> None:
        """End the lease if `holder` still has it; one that passed to somebody else stays."""
        ...

    async def astop_leading(self, key: str, holder: str) -> None:
        """Like `stop_leading`."""
        ...


def checked(store: Store) -> Store:
    """The store, if it has all of `Store`: else every call would fail, and be a silent miss.

    Raises:
        ConfigError: if a method is missing.
    """
    missing = [name for name in _METHODS if not callable(getattr(store, name, None))]
    if not hasattr(store, "in_process"):
        missing.append("in_process")
    if missing:
        # The type only: the representation of a store may hold the password of its server.
        msg = (
            f"a store needs the methods of Store, got a {type(store).__name__} without "
            f"{', '.join(missing)}; give a MemoryStore() or a class that has them"
        )
        raise ConfigError(msg)
    return store


def lease_store(store: Store) -> LeaseStore | None:
    """The store as one with leases, or `None` if it has none.

    A wrapper that has the methods for any store says with `has_leases` whether its own store does.

    Example:
        >>> from agentperf_core.cache import MemoryStore
        >>> lease_store(MemoryStore()) is not None
        True
    """
    able = all(callable(getattr(store, name, None)) for name in _LEASES)
    if not able or not getattr(store, "has_leases", True):
        return None
    return store  # pyright: ignore[reportReturnType] - just looked at


def listed(store: Store, prefix: str = "") -> Step[list[str]]:
    """The live keys that start with `prefix`, see `Store.scan`."""

    async def alisted() -> list[str]:
        return [key async for key in store.ascan(prefix)]

    return Step(lambda: list(store.scan(prefix)), alisted)


def jittered(ttl_s: float, key: str, share: float) -> float:
    """A time to live, cut by up to `share` of it: what was stored together ends apart.

    The cut depends on the key alone, so it is the same in every process and every run. Never
    longer than asked for: a promise about age holds.

    Example:
        >>> round(jittered(100.0, "a", 0.1), 1), round(jittered(100.0, "b", 0.1), 1)
        (90.9, 95.6)
        >>> jittered(100.0, "a", 0.0)
        100.0
    """
    if share == 0:
        return ttl_s
    place = zlib.crc32(key.encode("utf-8", "surrogatepass")) / 2**32
    return ttl_s * (1.0 - share * place)
