"""Real Redis servers for the tests: one of each kind per session, and own ones to break.

A kind that cannot start on this machine skips the tests that need it, with the reason. The servers
of the session are shared: a test keeps to a namespace of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from agentperf_core.bench.servers import (
    RedisNodes,
    RedisServer,
    ServerUnavailable,
    plain_redis,
    redis_cluster,
    redis_stack,
)
from agentperf_core.cache.conversations import Conversations, open_conversations

T = TypeVar("T")


def started(server: AbstractContextManager[T]) -> Iterator[T]:
    with ExitStack() as stack:
        try:
            running = stack.enter_context(server)
        except ServerUnavailable as error:
            pytest.skip(str(error))
        yield running


@pytest.fixture(scope="session")
def plain_server() -> Iterator[RedisServer]:
    """A Redis without modules."""
    yield from started(plain_redis())


@pytest.fixture(scope="session")
def stack_server() -> Iterator[RedisServer]:
    """A Redis with the query engine and JSON."""
    yield from started(redis_stack())


@pytest.fixture(scope="session")
def cluster_servers() -> Iterator[RedisNodes]:
    """A Redis Cluster of three nodes."""
    yield from started(redis_cluster())


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A plain Redis for one test, which may restart, pause or stop it."""
    yield from started(plain_redis())


@pytest.fixture
def locked_server() -> Iterator[RedisServer]:
    """A plain Redis for one test, with a password."""
    yield from started(plain_redis(password=f"pass-{secrets.token_hex(4)}/@ word"))


@pytest.fixture
def namespace() -> str:
    """A part of the shared servers that no other test uses."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(params=["memory", "sqlite", "redis"])
def conversations(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str
) -> Iterator[Conversations]:
    """A home of conversations of each kind."""
    where = {"memory": "memory:", "sqlite": f"sqlite:{tmp_path}/talks.db"}.get(request.param)
    if where is None:
        server: RedisServer = request.getfixturevalue("plain_server")
        where = server.url
    with open_conversations(where, namespace=namespace, timeout_s=10.0) as opened:
        yield opened
