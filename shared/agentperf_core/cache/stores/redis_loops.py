"""Async Redis clients, one per event loop, closed before their loop ends."""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agentperf_core.cache.stores.redis_clients import Client

__all__ = ["AsyncClients", "BoundClient"]

_CONNECTIONS = 50  # per event loop; more would only wait for each other inside the server


@dataclass(slots=True, eq=False)
class BoundClient:
    """An async client, and how many of its connections may be in use."""

    client: Client
    places: asyncio.Semaphore
    closer: AsyncGenerator[None]
    ready: asyncio.Task[Any] | None


class AsyncClients:
    """One client per running event loop, closed before its loop ends.

    A connection belongs to the loop that opened it. A loop says goodbye to its async generators
    (`asyncio.run`, `asyncio.Runner` and uvicorn do; so does uvloop), so each client lives in one.
    """

    def __init__(
        self, open_client: Callable[[], Client], *, cluster: bool = False, owned: bool = True
    ) -> None:
        self._open = open_client
        self._cluster = cluster
        self._owned = owned
        self._bound: dict[AbstractEventLoop, BoundClient] = {}
        self._lock = threading.Lock()

    async def bound(self) -> BoundClient:
        """The client of the running loop; a cluster's has learnt who has which slot."""
        loop = asyncio.get_running_loop()
        bound = self._bound.get(loop) or await self._bind(loop)
        if bound.ready is not None:
            # Shielded: the first look-up may run out of its budget, the next one finds it ready.
            await asyncio.shield(bound.ready)
            bound.ready = None
        return bound

    async def aclose(self) -> None:
        """Close the running loop's client."""
        bound = self._bound.get(asyncio.get_running_loop())
        if bound is not None:
            await bound.closer.aclose()

    async def _bind(self, loop: AbstractEventLoop) -> BoundClient:
        client = self._open()
        closer = self._until_the_loop_ends(loop, client)
        await anext(closer)  # goes on at once: no other task of this loop can come in between
        ready = loop.create_task(self._learn(loop, client)) if self._cluster else None
        if ready is not None:
            ready.add_done_callback(_look_at)
        bound = BoundClient(client, asyncio.Semaphore(_CONNECTIONS), closer, ready)
        with self._lock:
            # Loops that were closed without a goodbye: their sockets end with the garbage.
            for ended in [one for one in self._bound if one.is_closed()]:
                del self._bound[ended]
            self._bound[loop] = bound
        return bound

    async def _learn(self, loop: AbstractEventLoop, client: Client) -> None:
        try:
            await client.initialize()
        except BaseException:
            self._forget(loop)  # the next look-up begins anew
            raise

    async def _until_the_loop_ends(
        self, loop: AbstractEventLoop, client: Client
    ) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._forget(loop)
            if self._owned:
                with suppress(Exception):
                    await _close(client)

    def _forget(self, loop: AbstractEventLoop) -> None:
        with self._lock:
            self._bound.pop(loop, None)


def _look_at(task: asyncio.Task[Any]) -> None:
    # All who waited may have been given up by now, and asyncio logs what nobody looked at.
    if not task.cancelled():
        task.exception()


async def _close(client: Client) -> None:
    await client.aclose()
    # A cluster's aclose() does nothing while it wants to learn the slots anew, after a node failed
    # (redis-py 8.1), and leaves its connections open.
    nodes = getattr(client, "nodes_manager", None)
    if nodes is not None:
        await nodes.aclose()
        await nodes.aclose("startup_nodes")
