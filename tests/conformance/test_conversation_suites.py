"""The published suite on the conversation stores of this pack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from agentperf_core.bench.servers import RedisNodes, RedisServer
from agentperf_core.cache.conversations import (
    MemoryConversations,
    RedisConversations,
    SQLiteConversations,
)
from agentperf_core.clock import FakeClock
from agentperf_core.testing import AwaitedConversationConformance, ConversationConformance
from agentperf_core.testing.conversations import TTL_S

BUSY_S = 10.0  # a busy machine is no reason for a test to fail


class Aging:
    """Lets time pass for the keys of a namespace: the server has a clock of its own."""

    def __init__(self, client: Any, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def advance(self, seconds: float) -> None:
        for key in list(self.client.scan_iter(match=f"{self.namespace}:*")):
            left_ms = self.client.pttl(key)
            if left_ms >= 0:
                self.client.pexpire(key, left_ms - int(seconds * 1000))


class InMemory:
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> MemoryConversations:
        return MemoryConversations(ttl_s=TTL_S, clock=clock)


class TestMemory(InMemory, ConversationConformance):
    pass


class TestMemoryAwaited(InMemory, AwaitedConversationConformance):
    pass


class InFile:
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def store(self, tmp_path: Path, clock: FakeClock) -> Iterator[SQLiteConversations]:
        path = tmp_path / "talks.db"
        store = SQLiteConversations(path, ttl_s=TTL_S, clock=clock, timeout_s=BUSY_S)
        yield store
        store.close()


class TestSQLite(InFile, ConversationConformance):
    pass


class TestSQLiteAwaited(InFile, AwaitedConversationConformance):
    pass


class OnServer:
    @pytest.fixture
    def client(self, plain_server: RedisServer) -> Iterator[Any]:
        with redis.Redis.from_url(plain_server.url) as client:
            yield client

    @pytest.fixture
    def clock(self, client: Any, namespace: str) -> Aging:
        return Aging(client, namespace)

    @pytest.fixture
    def store(self, plain_server: RedisServer, namespace: str) -> Iterator[RedisConversations]:
        store = RedisConversations(
            plain_server.url, namespace=namespace, ttl_s=TTL_S, timeout_s=BUSY_S
        )
        yield store
        store.close()


class TestRedis(OnServer, ConversationConformance):
    pass


class TestRedisAwaited(OnServer, AwaitedConversationConformance):
    pass


class TestRedisCluster(ConversationConformance):
    @pytest.fixture
    def client(self, cluster_servers: RedisNodes) -> Iterator[Any]:
        with redis.RedisCluster.from_url(cluster_servers.url) as client:
            yield client

    @pytest.fixture
    def clock(self, client: Any, namespace: str) -> Aging:
        return Aging(client, namespace)

    @pytest.fixture
    def store(self, cluster_servers: RedisNodes, namespace: str) -> Iterator[RedisConversations]:
        store = RedisConversations(
            cluster_servers.url, namespace=namespace, ttl_s=TTL_S, timeout_s=BUSY_S, cluster=True
        )
        yield store
        store.close()
