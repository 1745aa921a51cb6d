"""The published suites on the stores that live outside this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from agentperf_core.bench.servers import RedisNodes, RedisServer
from agentperf_core.cache.stores.base import LeaseStore, Store
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.clock import FakeClock
from agentperf_core.testing import (
    AsyncStoreConformance,
    LeaseConformance,
    MovableClock,
    StoreConformance,
)

BUSY_S = 10.0  # a busy machine is no reason for a test to fail


def impatient(retry: Any) -> dict[str, Any]:
    # Without a name: redis-py would look its own version up on the disk, from the event loop.
    return {
        "socket_timeout": BUSY_S,
        "socket_connect_timeout": BUSY_S,
        "retry": retry(NoBackoff(), 0),
        "driver_info": None,
    }


class Aging:
    """Lets time pass for the keys of a namespace: the server has a clock of its own."""

    def __init__(self, client: Any, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def advance(self, seconds: float) -> None:
        for key in list(self.client.scan_iter(match=f"{self.namespace}:*")):
            left_ms = self.client.pttl(key)
            if left_ms >= 0:
                # Below one it is deleted at once.
                self.client.pexpire(key, left_ms - int(seconds * 1000))


class OutsideSuites(StoreConformance, AsyncStoreConformance, LeaseConformance):
    """All suites; what they do sync inside an async test is done beside the loop here.

    These stores block in their sync methods, and our tests watch event loops for that.
    """

    async def test_sync_and_async_see_the_same_values(self, store: Store) -> None:
        beside = asyncio.to_thread
        await beside(store.set, "sync", b"1", None, ["tag"])
        await store.aset("async", b"2", ttl_s=None, tags=["tag"])
        assert await store.aget("sync") == b"1"
        assert await beside(store.get, "async") == b"2"
        assert await store.adelete("sync") is True
        assert await beside(store.get, "sync") is None
        assert await beside(store.invalidate, "tag") == 1
        assert await store.aget("async") is None

    async def test_a_value_is_there_until_its_time_to_live_is_over_async(
        self, store: Store, clock: MovableClock
    ) -> None:
        await store.aset("key", b"value", ttl_s=30.0)
        await asyncio.to_thread(clock.advance, 15.0)
        assert await store.aget("key") == b"value"
        await asyncio.to_thread(clock.advance, 16.0)
        assert await store.aget("key") is None
        assert await store.adelete("key") is False

    async def test_sync_and_async_leaders_see_each_other(self, store: LeaseStore) -> None:
        beside = asyncio.to_thread
        assert await store.atry_lead("key", "me", 30.0) is True
        assert await beside(store.try_lead, "key", "you", 30.0) is False
        await store.astop_leading("key", "you")
        assert await store.atry_lead("key", "you", 30.0) is False
        assert await store.akeep_leading("key", "you", 30.0) is False
        assert await store.akeep_leading("key", "me", 30.0) is True
        await store.astop_leading("key", "me")
        assert await beside(store.try_lead, "key", "you", 30.0) is True


class TestSQLite(OutsideSuites):
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, tmp_path: Path, clock: FakeClock) -> Iterator[SQLiteStore]:
        with SQLiteStore(tmp_path / "cache.db", clock=clock, timeout_s=BUSY_S) as store:
            yield store


class OnServer(OutsideSuites):
    @pytest.fixture
    def clock(self, client: Any, namespace: str) -> Aging:
        return Aging(client, namespace)


class TestPlainRedis(OnServer):
    @pytest.fixture
    def client(self, plain_server: RedisServer) -> Iterator[Any]:
        with redis.Redis.from_url(plain_server.url) as client:
            yield client

    @pytest.fixture
    async def store(self, plain_server: RedisServer, namespace: str) -> AsyncIterator[RedisStore]:
        store = RedisStore(url=plain_server.url, namespace=namespace, timeout_s=BUSY_S)
        yield store
        await store.aclose()


class TestRedisStack(OnServer):
    @pytest.fixture
    def client(self, stack_server: RedisServer) -> Iterator[Any]:
        with redis.Redis.from_url(stack_server.url) as client:
            yield client

    @pytest.fixture
    async def store(self, stack_server: RedisServer, namespace: str) -> AsyncIterator[RedisStore]:
        store = RedisStore(url=stack_server.url, namespace=namespace, timeout_s=BUSY_S)
        yield store
        await store.aclose()


class TestRedisCluster(OnServer):
    @pytest.fixture
    def client(self, cluster_servers: RedisNodes) -> Iterator[Any]:
        with redis.RedisCluster.from_url(cluster_servers.url) as client:
            yield client

    @pytest.fixture
    async def store(self, cluster_servers: RedisNodes, namespace: str) -> AsyncIterator[RedisStore]:
        url = cluster_servers.url
        store = RedisStore(url=url, cluster=True, namespace=namespace, timeout_s=BUSY_S)
        yield store
        await store.aclose()


class TestGivenClients(OnServer):
    """Clients of the caller's, which keep their own patience."""

    @pytest.fixture
    def client(self, plain_server: RedisServer) -> Iterator[Any]:
        with redis.Redis.from_url(plain_server.url, **impatient(Retry)) as client:
            yield client

    @pytest.fixture
    async def store(
        self, client: Any, plain_server: RedisServer, namespace: str
    ) -> AsyncIterator[RedisStore]:
        settings = impatient(AsyncRetry)
        async with aioredis.Redis.from_url(plain_server.url, **settings) as async_client:
            yield RedisStore(
                client=client, async_client=async_client, namespace=namespace, timeout_s=BUSY_S
            )


class TestSyncClientAlone(OnServer):
    """The async methods use worker threads then."""

    @pytest.fixture
    def client(self, plain_server: RedisServer) -> Iterator[Any]:
        with redis.Redis.from_url(plain_server.url, **impatient(Retry)) as client:
            yield client

    @pytest.fixture
    def store(self, client: Any, namespace: str) -> RedisStore:
        return RedisStore(client=client, namespace=namespace, timeout_s=BUSY_S)
