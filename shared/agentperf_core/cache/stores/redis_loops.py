"""Async Redis clients, one per event loop, closed before their loop ends."""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from agentperf_core.cache.stores.redis_clients import Client

__all__ = ["AsyncClients", "BoundClient"]

T = TypeVar("T")

_CONNECTIONS = 50  # per event loop; more would only wait for each other inside the server
_OPENING_S = 2.0  # for a connection that nobody waits for: far away, with TLS, or a busy server
_EACH_S = 0.001  # for every further command of a pipeline; a server that is there needs far less


@dataclass(slots=True, eq=False)
class BoundClient:
    """An async client, and how many of its connections may be in use.

    A command whose time is up takes the connection with it that it was opening. So where opening
    takes longer than a command may, connections are opened behind, for the commands after it.

    Attributes:
        ready: connections that are being opened; `None` when there are none to wait for.
        limit_s: seconds that a command may take; `None` if the client sees to that itself.
        busy: commands under way.
    """

    client: Client
    places: asyncio.Semaphore
    closer: AsyncGenerator[None]
    ready: asyncio.Task[Any] | None
    limit_s: float | None
    busy: int = 0

    async def within(self, answer: Awaitable[T], *, commands: int = 1) -> T:
        """What so many commands are answered.

        Raises:
            TimeoutError: if that takes too long.
        """
        self.busy += 1
        try:
            if self.limit_s is None:
                return await answer
            return await _within(self.limit_s + (commands - 1) * _EACH_S, answer)
        except (TimeoutError, asyncio.CancelledError):
            self._open_behind()
            raise
        finally:
            self.busy -= 1

    async def opened(self) -> None:
        """Wait for connections that are being opened.

        Raises:
            TimeoutError: if that takes longer than a command may; they go on being opened.
        """
        ready = self.ready
        if ready is None:
            return
        try:
            # Shielded: this look-up may run out of its budget, the next one finds it ready.
            opening = asyncio.shield(ready)
            await (opening if self.limit_s is None else _within(self.limit_s, opening))
        finally:
            if ready.done():
                self.ready = None

    def _open_behind(self) -> None:
        pool = getattr(self.client, "connection_pool", None)  # a cluster has one per node
        if pool is None or self.ready is not None:
            return
        self.ready = asyncio.get_running_loop().create_task(_opened(pool, self.busy))
        self.ready.add_done_callback(_look_at)


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
            await bound.opened()
        return bound

    async def aclose(self) -> None:
        """Close the running loop's client."""
        bound = self._bound.get(asyncio.get_running_loop())
        if bound is not None:
            await bound.closer.aclose()

    async def _bind(self, loop: AbstractEventLoop) -> BoundClient:
        client = self._open()
        limit_s = _whole_limit(client) if self._owned and not self._cluster else None
        closer = self._until_the_loop_ends(loop, client)
        await anext(closer)  # goes on at once: no other task of this loop can come in between
        ready = loop.create_task(self._learn(loop, client)) if self._cluster else None
        if ready is not None:
            ready.add_done_callback(_look_at)
        bound = BoundClient(client, asyncio.Semaphore(_CONNECTIONS), closer, ready, limit_s)
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


def _whole_limit(client: Client) -> float | None:
    """Take the time-out of every read and write from a client, to be that of a whole command.

    Given one, redis-py makes a task for every write (`asyncio.wait_for`), which takes 35 of the
    90 us of a GET on Python 3.11; a timer around everything takes 9. That of the connection goes,
    too: what is opened behind may take longer.
    """
    settings = client.connection_pool.connection_kwargs
    limit_s: float | None = settings.get("socket_timeout")
    settings["socket_timeout"] = settings["socket_connect_timeout"] = None
    return limit_s


async def _within(limit_s: float, answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(limit_s):
            return await answer
    except TimeoutError as error:
        raise TimeoutError(f"Redis did not answer within {limit_s} s") from error


async def _opened(pool: Any, count: int) -> None:
    """Open so many connections and put them into the pool; what fails shows at the next command."""
    opened: list[Any] = []

    async def one() -> None:
        opened.append(await pool.get_connection())

    try:
        async with asyncio.timeout(_OPENING_S):
            await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
    finally:
        for connection in opened:
            await pool.release(connection)


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
