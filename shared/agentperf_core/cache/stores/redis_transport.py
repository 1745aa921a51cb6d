"""How the Redis store sends commands: sync or async, one or many, to one server or a cluster."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from agentperf_core.cache.stores.redis_clients import Client, checked_client, openers, shown
from agentperf_core.cache.stores.redis_layout import Command
from agentperf_core.cache.stores.redis_loops import AsyncClients
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.flow import Step
from agentperf_core.optional import require

__all__ = ["Transport"]

_DEFAULT_URL = "redis://localhost:6379/0"
_SCANNED = 500  # keys that the server looks at per SCAN; about 0.2 ms of its time


class Transport:
    """The clients of one store, its own or those given; arguments as `RedisStore` takes them.

    Attributes:
        where: for the store's representation, without secrets.
        is_cluster: whether keys live on several nodes.
        refusal: what redis-py raises when the server answers with an error.

    Raises:
        ConfigError: for arguments that exclude each other or cannot be used.
    """

    def __init__(
        self,
        *,
        url: str | None,
        client: Client,
        async_client: Client,
        timeout_s: float,
        cluster: bool,
        tracking: bool,
    ) -> None:
        require_positive(timeout_s=timeout_s)
        redis = require("redis", extra="redis", purpose="RedisStore")
        self.refusal: type[Exception] = redis.ResponseError
        if cluster and tracking:
            msg = "tracking= works with a single server, got cluster= too; leave one of them out"
            raise ConfigError(msg)
        self._timeout_s = timeout_s
        self._tracking = tracking
        self._lock = threading.Lock()
        self._client: Client = None
        self._open: Callable[[], Client] | None = None
        self._clients: AsyncClients | None = None
        given = {"client": client, "async_client": async_client}
        names = [name for name, value in given.items() if value is not None]
        if names:
            _alone(names[0], {"url": url, "cluster": cluster, "tracking": tracking})
            self.where = f"{names[0]}=..."
            self._take(client, async_client)
        else:
            self.where = repr(shown(url or _DEFAULT_URL))
            self._open, aopen = openers(
                url or _DEFAULT_URL, cluster=cluster, timeout_s=timeout_s, tracking=tracking
            )
            self._clients = AsyncClients(aopen, cluster=cluster)
        self.is_cluster = cluster or any(hasattr(given[name], "get_primaries") for name in names)

    def _take(self, client: Client, async_client: Client) -> None:
        # The caller's line in the warning: this, __init__, and that of the store lie between.
        levels = 5
        if client is not None:
            self._client = checked_client(
                client, is_async=False, timeout_s=self._timeout_s, levels=levels
            )
        if async_client is not None:
            checked_client(async_client, is_async=True, timeout_s=self._timeout_s, levels=levels)
            self._clients = AsyncClients(lambda: async_client, owned=False)

    # Steps of flows -------------------------------------------------------------------------------

    def one(self, command: Command) -> Step[Any]:
        """Send one command."""
        return Step(self.send, self.asend, command)

    def all(self, commands: Sequence[Command]) -> Step[list[Any]]:
        """Send several commands in one go, to each node its own."""
        return Step(self.send_all, self.asend_all, commands)

    # Sync -----------------------------------------------------------------------------------------

    def send(self, command: Command) -> Any:
        """Send one command and give its answer."""
        # redis-py's client-side cache has to be told which argument is a key.
        hints = {"keys": [command[1]]} if self._tracking else {}
        return self._sync().execute_command(*command, **hints)

    def send_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands as one pipeline and give their answers; raises the first error."""
        if len(commands) == 1:
            return [self.send(commands[0])]
        with self._sync().pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return _sound(pipe.execute(raise_on_error=False))

    def names(self, pattern: bytes) -> Iterator[bytes]:
        """The keys of Redis that match, on all nodes."""
        yield from self._sync().scan_iter(match=pattern, count=_SCANNED)

    def close(self) -> None:
        """Close the own sync client; the next command opens another."""
        with self._lock:
            if self._open is not None and self._client is not None:
                self._client.close()
                self._client = None

    def _sync(self) -> Client:
        return self._client if self._client is not None else self._opened()

    def _opened(self) -> Client:
        if self._open is None:
            msg = f"this RedisStore has {self.where} alone, for async code; give client= too"
            raise ConfigError(msg)
        # A cluster's client asks for the slots at once, and may have to wait for the answer.
        if not self._lock.acquire(timeout=self._timeout_s):
            msg = "another thread is still waiting for Redis to answer for the first time"
            raise TimeoutError(msg)
        try:
            if self._client is None:
                self._client = self._open()
            return self._client
        finally:
            self._lock.release()

    # Async ----------------------------------------------------------------------------------------

    async def asend(self, command: Command) -> Any:
        """Like `send`."""
        if self._clients is None:
            return await asyncio.to_thread(self.send, command)
        bound = await self._clients.bound()
        async with bound.places:
            return await bound.within(bound.client.execute_command(*command))

    async def asend_all(self, commands: Sequence[Command]) -> list[Any]:
        """Like `send_all`."""
        if len(commands) == 1:
            return [await self.asend(commands[0])]
        if self._clients is None:
            return await asyncio.to_thread(self.send_all, commands)
        bound = await self._clients.bound()
        async with bound.places, bound.client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            answering = pipe.execute(raise_on_error=False)
            return _sound(await bound.within(answering, commands=len(commands)))

    async def anames(self, pattern: bytes) -> AsyncIterator[bytes]:
        """Like `names`."""
        if self._clients is None:
            for name in await asyncio.to_thread(list, self.names(pattern)):
                yield name
            return
        if self.is_cluster:
            bound = await self._clients.bound()
            async for name in bound.client.scan_iter(match=pattern, count=_SCANNED):
                yield name
            return
        cursor = 0
        while True:
            # Not scan_iter: each of the steps has the time of a command.
            cursor, names = await self.asend(("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED))
            for name in names:
                yield name
            if cursor == 0:
                return

    async def aclose(self) -> None:
        """Close the own clients of this loop and of threads."""
        if self._clients is not None:
            await self._clients.aclose()
        self.close()


def _alone(given: str, others: dict[str, object]) -> None:
    for name, value in others.items():
        if value:
            msg = f"{name}= is for the store's own clients, got {given}= too; leave one of them out"
            raise ConfigError(msg)


def _sound(answers: list[Any]) -> list[Any]:
    """The answers, if none is an error.

    redis-py would raise it itself, and put the command into the message: a part of what is cached.
    """
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
