"""Guards for every test: no network beyond this machine, no blocking call on an event loop."""

from __future__ import annotations

import inspect
import ipaddress
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

_SUITES = ("conversation_states", "conversations", "leases", "stores", "stores_async", "vectors")
for _suite in _SUITES:
    pytest.register_assert_rewrite(f"agentperf_core.testing.{_suite}")
pytest_plugins = ["redis_servers"]

# No wall-clock limits on examples: a busy machine is no reason for a test to fail.
settings.register_profile(
    "agentperf", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("agentperf")

_HERE = Path(__file__).parent


class NetworkUsedError(AssertionError):
    """A test tried to reach something that is not on this machine."""


def _is_local(host: object) -> bool:
    if host in {None, "", b"", "localhost", b"localhost", socket.gethostname()}:
        return True
    try:
        address = ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(scope="session", autouse=True)
def _only_loopback() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction] - autouse
    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_local(address[0]):
                raise NetworkUsedError(address)
            return method(self, address)

        return connect

    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_local(host):
            raise NetworkUsedError(host)
        return resolve(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(autouse=True)
def _no_blocking_on_the_loop(  # pyright: ignore[reportUnusedFunction] - autouse
    request: pytest.FixtureRequest,
) -> Iterator[None]:
    """Async tests of the core fail when the core blocks their loop.

    The frameworks block in places of their own (lazy imports, environment files), the bench room
    owns its loops, and the accounting room loads its price data once: none of that is our subject.
    """
    room = Path(str(request.path)).relative_to(_HERE).parts[0]
    test = getattr(request.node, "function", None)
    if room not in {"core", "conformance"} or not inspect.iscoroutinefunction(test):
        yield
        return
    with blockbuster_ctx(
        "agentperf_core",
        excluded_modules=["agentperf_core.accounting", "agentperf_core.bench"],
    ):
        yield


@pytest.fixture(autouse=True)
def _no_luck(  # pyright: ignore[reportUnusedFunction] - autouse
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which semantic hits are kept back as checks (3 in 100) is drawn: the same ones each time.

    A test that sets a seed of its own gets it.
    """

    def drawn(seed: int | None) -> Random:
        return Random(1 if seed is None else seed)

    monkeypatch.setattr("agentperf_core.cache.semantic.acceptance.Random", drawn)
