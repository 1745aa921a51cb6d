"""A Redis that restarts, hangs, refuses or holds something else is a miss, never an exception."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from redis_servers import started

from agentperf_core.bench.servers import RedisServer, redis_cluster
from agentperf_core.cache.stores.guarded import GuardedStore
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.redis_layout import framed
from agentperf_core.clock import FakeClock
from agentperf_core.events import EventBus, Fault

OPEN_S = 5.0
QUICK_S = 0.2  # where a test waits for an answer that does not come
BUSY_S = 10.0


@dataclass
class Bench:
    """A guarded store, and what its guard reported."""

    store: GuardedStore
    clock: FakeClock
    faults: list[Fault]

    @property
    def kinds(self) -> list[str]:
        return [type(fault.error).__name__ for fault in self.faults]

    def wait_for_the_breaker(self) -> None:
        self.clock.advance(OPEN_S)


def bench_of(url: str, *, timeout_s: float = BUSY_S, failures: int = 3, **options: Any) -> Bench:
    bus, clock, faults = EventBus(), FakeClock(), list[Fault]()
    bus.subscribe(lambda event: faults.append(event) if isinstance(event, Fault) else None)
    inner = RedisStore(url, timeout_s=timeout_s, bus=bus, **options)
    guard = GuardedStore(
        inner, budget_s=timeout_s, failures=failures, open_s=OPEN_S, clock=clock, bus=bus
    )
    return Bench(guard, clock, faults)


@pytest.fixture
async def bench(own_server: RedisServer) -> AsyncIterator[Bench]:
    bench = bench_of(own_server.url)
    yield bench
    await inner_of(bench).aclose()


@pytest.fixture
def other(own_server: RedisServer) -> Iterator[Any]:
    with redis.Redis.from_url(own_server.url) as client:
        yield client


def inner_of(bench: Bench) -> RedisStore:
    assert isinstance(bench.store.inner, RedisStore)
    return bench.store.inner


class Sync:
    """The sync half of a store, awaitable, so that each story is told once."""

    def __init__(self, store: GuardedStore) -> None:
        self.store = store

    async def get(self, key: str) -> bytes | None:
        return await asyncio.to_thread(self.store.get, key)

    async def set(self, key: str, value: bytes) -> None:
        await asyncio.to_thread(self.store.set, key, value, None, ["tag"])

    async def lead(self, key: str) -> bool:
        return await asyncio.to_thread(self.store.try_lead, key, "me", 60.0)


class Async:
    def __init__(self, store: GuardedStore) -> None:
        self.store = store

    async def get(self, key: str) -> bytes | None:
        return await self.store.aget(key)

    async def set(self, key: str, value: bytes) -> None:
        await self.store.aset(key, value, None, ["tag"])

    async def lead(self, key: str) -> bool:
        return await self.store.atry_lead(key, "me", 60.0)


Half = Callable[[GuardedStore], "Sync | Async"]
both = pytest.mark.parametrize("half", [Sync, Async])
SOCKETS = Path("/proc/net/tcp")
sees_sockets = pytest.mark.skipif(not SOCKETS.exists(), reason="no table of sockets to look at")


@both
async def test_a_restart_forgets_and_no_call_notices(
    half: Half, bench: Bench, own_server: RedisServer
):
    """The old connections are dead; the next call finds that out before it asks."""
    store = half(bench.store)
    await store.set("a", b"1")
    assert await store.get("a") == b"1"
    await asyncio.to_thread(own_server.restart)
    assert await store.get("a") is None
    await store.set("a", b"2")
    assert await store.get("a") == b"2"
    assert bench.kinds == []


@both
async def test_a_server_that_is_gone_is_a_miss_and_soon_not_asked(
    half: Half, bench: Bench, own_server: RedisServer
):
    store = half(bench.store)
    await store.set("a", b"1")
    own_server.stop()
    for _ in range(10):
        assert await store.get("a") is None
        await store.set("b", b"2")
    assert len(bench.faults) == 3
    assert set(bench.kinds) <= {"ConnectionError", "TimeoutError"}
    assert await store.lead("a") is True, "nobody waits for a leader that cannot be named"
    own_server.start()
    bench.wait_for_the_breaker()
    assert await store.get("a") is None, "it lost everything, and it answers"
    await store.set("a", b"3")
    assert await store.get("a") == b"3"


@both
async def test_a_server_that_hangs_is_a_miss_and_serves_again_when_it_wakes(
    half: Half, own_server: RedisServer, other: Any
):
    other.set("agentperf:e:a", framed(b"1", ()))
    bench = bench_of(own_server.url, timeout_s=QUICK_S)
    store = half(bench.store)
    own_server.pause()
    for _ in range(5):
        assert await store.get("a") is None
    assert bench.kinds == ["TimeoutError"] * 3
    own_server.resume()
    while await store.get("a") != b"1":  # a busy machine may need more than one trial
        bench.wait_for_the_breaker()
    assert not bench.store.breaker.is_open
    await inner_of(bench).aclose()


async def all_keys(store: RedisStore) -> list[str]:
    return [key async for key in store.ascan()]


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.aget("a"),
        lambda store: store.aset("a", b"1", None, ["tag"]),
        lambda store: store.ainvalidate("tag"),
        all_keys,
    ],
    ids=["one command", "a pipeline", "a flow", "a scan"],
)
async def test_an_awaited_command_is_given_up_in_time_also_without_a_guard(
    ask: Callable[[RedisStore], Awaitable[object]], own_server: RedisServer
):
    store = RedisStore(own_server.url, timeout_s=QUICK_S)
    own_server.pause()
    with pytest.raises(TimeoutError, match=r"did not answer within 0\.20?1? s"):
        await ask(store)
    own_server.resume()
    await store.aclose()


async def test_the_time_out_of_a_url_wins_over_that_of_the_store(own_server: RedisServer):
    store = RedisStore(f"{own_server.url}?socket_timeout={QUICK_S}", timeout_s=BUSY_S)
    own_server.pause()
    with pytest.raises(TimeoutError, match=f"within {QUICK_S} s"):
        await store.aget("a")
    own_server.resume()
    await store.aclose()


@both
@sees_sockets
async def test_a_server_that_dies_during_a_call_is_a_miss(half: Half, own_server: RedisServer):
    bench = bench_of(own_server.url)
    store = half(bench.store)
    await store.set("a", b"1")
    own_server.pause()  # it has the question, and no time to answer
    asked = asyncio.create_task(store.get("a"))
    await eventually(lambda: waits_for_an_answer(own_server))
    own_server.stop()
    assert await asked is None
    assert bench.kinds == ["ConnectionError"]
    await inner_of(bench).aclose()


@sees_sockets
async def test_a_call_that_was_given_up_leaves_no_answer_to_the_next(
    bench: Bench, own_server: RedisServer
):
    """The late answer to one key must not be taken for that of another."""
    inner = inner_of(bench)
    await inner.aset("a", b"1", None)
    await inner.aset("b", b"2", None)
    own_server.pause()
    asked = asyncio.create_task(inner.aget("a"))
    await eventually(lambda: waits_for_an_answer(own_server))
    asked.cancel()
    own_server.resume()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert [await inner.aget(key) for key in "bab"] == [b"2", b"1", b"2"]


@both
async def test_a_wrong_password_is_a_miss_and_never_shown(
    half: Half, locked_server: RedisServer, caplog: pytest.LogCaptureFixture
):
    secret = "not-the-password-0815"  # not a secret: the server asks for another one
    url = f"redis://:{secret}@127.0.0.1:{locked_server.port}/0"
    bench = bench_of(url)
    store = half(bench.store)
    with caplog.at_level(logging.DEBUG):
        assert await store.get("a") is None
        await store.set("a", b"1")
    assert set(bench.kinds) == {"AuthenticationError"}
    shown = [caplog.text, repr(bench.store.inner), *map(repr, bench.faults)]
    shown += [str(fault.error) for fault in bench.faults]
    assert not [text for text in shown if secret in text]
    await inner_of(bench).aclose()


@both
async def test_the_right_password_is_all_that_is_needed(half: Half, locked_server: RedisServer):
    """Also with characters that a URL has to encode."""
    bench = bench_of(locked_server.url)
    store = half(bench.store)
    await store.set("a", b"1")
    assert await store.get("a") == b"1"
    assert locked_server.password
    assert locked_server.password not in repr(bench.store.inner)
    await inner_of(bench).aclose()


def as_list(client: Any, key: str) -> None:
    client.rpush(key, "1", "2")


def as_hash(client: Any, key: str) -> None:
    client.hset(key, mapping={"a": "1"})


def as_another_hash(client: Any, key: str) -> None:
    client.hset(key, mapping={"p": "not a value of ours"})


def as_plain_text(client: Any, key: str) -> None:
    client.set(key, "somebody else's text")


def as_empty(client: Any, key: str) -> None:
    client.set(key, b"")


def as_older_version(client: Any, key: str) -> None:
    client.set(key, bytes([framed(b"", ())[0] - 1, 0]) + b"value of an older version")


@both
@pytest.mark.parametrize(
    "leave", [as_list, as_hash, as_another_hash, as_plain_text, as_empty, as_older_version]
)
async def test_what_is_not_ours_is_a_miss_that_says_so_and_is_overwritten(
    half: Half, leave: Callable[[Any, str], None], bench: Bench, other: Any
):
    """A value that cannot be read is no failure of the server: the breaker stays closed."""
    leave(other, "agentperf:e:a")
    store = half(bench.store)
    for _ in range(5):
        assert await store.get("a") is None
    assert len(bench.faults) == 5
    assert {fault.where for fault in bench.faults} == {"cache.store"}
    assert not bench.store.breaker.is_open
    await store.set("a", b"1")
    assert await store.get("a") == b"1"


@both
async def test_a_tag_that_is_not_ours_keeps_the_entry_out(half: Half, bench: Bench, other: Any):
    """An entry that could not be forgotten with its tag is not kept at all."""
    other.set("agentperf:t:tag", "somebody else's")
    store = half(bench.store)
    await store.set("a", b"1")
    assert bench.kinds == ["ResponseError"]
    assert await store.get("a") is None


def test_an_error_does_not_quote_what_is_cached(own_server: RedisServer, other: Any):
    """redis-py puts the command into the message of an error in a pipeline."""
    other.set("agentperf:t:tag", "somebody else's")
    store = RedisStore(own_server.url, timeout_s=BUSY_S)
    with pytest.raises(redis.ResponseError) as caught:
        store.set("a", b"a private answer", None, ["tag"])
    assert "private" not in str(caught.value)
    store.close()


@both
async def test_a_cluster_that_lost_a_node_is_a_miss(half: Half):
    for cluster in started(redis_cluster()):
        bench = bench_of(cluster.url, cluster=True, timeout_s=1.0, failures=10_000)
        store = half(bench.store)
        keys = [f"key-{number}" for number in range(30)]
        for key in keys:
            await store.set(key, b"1")
        assert [await store.get(key) for key in keys] == [b"1"] * 30
        cluster.nodes[2].stop()
        answers = [await store.get(key) for key in keys]
        assert set(answers) <= {b"1", None}
        assert None in answers
        await inner_of(bench).aclose()


@both
async def test_a_cluster_that_is_not_there_is_a_miss(half: Half, own_server: RedisServer):
    """Not even its slots are known; each look-up tries to learn them."""
    bench = bench_of(own_server.url, cluster=True, failures=10)
    own_server.stop()
    store = half(bench.store)
    for _ in range(5):
        assert await store.get("a") is None
        await store.set("a", b"1")
    assert len(bench.faults) == 10
    await inner_of(bench).aclose()


async def test_a_cluster_that_hangs_at_first_is_learnt_once_it_answers():
    """A look-up that was given up does not stop the look at the slots, and leaves no noise."""
    for cluster in started(redis_cluster()):
        bench = bench_of(cluster.url, cluster=True, failures=10_000)
        impatient = GuardedStore(bench.store.inner, budget_s=QUICK_S, bus=EventBus())
        for node in cluster.nodes:
            node.pause()
        assert await impatient.aget("a") is None
        for node in cluster.nodes:
            node.resume()
        while await bench.store.aget("a") != b"1":  # a node that was away comes back by and by
            await bench.store.aset("a", b"1", None)
        await inner_of(bench).aclose()


def waits_for_an_answer(server: RedisServer) -> bool:
    """Whether bytes lie in a socket of a paused server, as the system's own table says."""
    port = f":{server.port:04X}"
    rows = [line.split() for line in SOCKETS.read_text(encoding="ascii").splitlines()[1:]]
    return any(row[1].endswith(port) and int(row[4].split(":")[1], 16) > 0 for row in rows)


async def eventually(is_so: Callable[[], bool]) -> None:
    """Ask until it is so; the test's own time limit is the bound."""
    while not is_so():  # noqa: ASYNC110 - another process has no event to wait for
        await asyncio.sleep(0.005)
