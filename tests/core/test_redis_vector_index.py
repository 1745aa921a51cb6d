"""Vectors in a real Redis with the query engine: sync, async, by scope, gone after their time."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from agentperf_core.bench.servers import (
    RedisServer,
    ServerUnavailable,
    plain_redis,
    redis_stack,
)
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.vectors import Vector, VectorError
from agentperf_core.cache.vectors.redis import RedisVectorIndex
from agentperf_core.cache.vectors.redis_commands import is_complete
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, arun, run

redis = pytest.importorskip("redis")
DIM = 16
# A busy machine takes longer than the 50 ms that a cache gives itself.
PATIENT_S = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    try:
        with redis_stack() as server:
            yield server
    except ServerUnavailable as error:
        pytest.skip(f"no Redis with the query engine: {error}")


@pytest.fixture
def index(server: RedisServer) -> Iterator[RedisVectorIndex]:
    index = RedisVectorIndex(server.url, timeout_s=PATIENT_S)
    yield index
    run(index.clear())


def unit(seed: int, dim: int = DIM) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(dim, dtype=np.float32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def fill(index: RedisVectorIndex, count: int, scope: str = "scope") -> None:
    for seed in range(count):
        run(index.add(scope, f"entry {seed}", unit(seed), payload=b"\xff%d" % seed, ttl_s=60))


def idents(index: RedisVectorIndex, scope: str, seed: int, k: int = 3) -> list[str]:
    return [match.ident for match in run(index.search(scope, unit(seed), k))]


def test_it_says_that_it_can(index: RedisVectorIndex):
    assert run(index.available(DIM)) is None


def test_the_nearest_come_first_with_cosine_and_payload(index: RedisVectorIndex):
    fill(index, 30)
    found = run(index.search("scope", unit(7), 4))
    cosines = {f"entry {seed}": float(unit(seed) @ unit(7)) for seed in range(30)}
    assert [match.ident for match in found] == sorted(cosines, key=lambda one: -cosines[one])[:4]
    for match in found:
        assert match.cosine == pytest.approx(cosines[match.ident], abs=1e-5)
    assert found[0].payload == b"\xff7"


async def test_sync_and_async_see_the_same_entries(server: RedisServer, index: RedisVectorIndex):
    await arun(index.add("scope", "async", unit(1), payload=b"a", ttl_s=None))
    assert [match.ident for match in await arun(index.search("scope", unit(1), 1))] == ["async"]
    await arun(index.remove("scope", "async", dim=DIM))
    assert await arun(index.search("scope", unit(1), 1)) == []
    assert await arun(index.available(DIM)) is None
    assert await arun(index.clear()) == 0


def test_another_scope_or_size_is_never_found(index: RedisVectorIndex):
    fill(index, 3, "one")
    run(index.add("one", "longer", unit(0, 20), payload=b"", ttl_s=None))
    assert idents(index, "two", 0) == []
    assert "longer" not in idents(index, "one", 0, k=10)
    assert [match.ident for match in run(index.search("one", unit(0, 20), 5))] == ["longer"]


def test_another_namespace_is_never_found_and_never_cleared(
    server: RedisServer, index: RedisVectorIndex
):
    other = RedisVectorIndex(server.url, namespace="other", timeout_s=PATIENT_S)
    fill(index, 3)
    run(other.add("scope", "theirs", unit(0), payload=b"", ttl_s=None))
    assert [match.ident for match in run(other.search("scope", unit(0), 5))] == ["theirs"]
    client = redis.Redis.from_url(server.url)
    client.set("agentperf:e:v", "foreign")
    assert run(index.clear()) == 3
    assert client.get("agentperf:e:v") == b"foreign"
    assert idents(index, "scope", 0) == []
    assert len(run(other.search("scope", unit(0), 5))) == 1
    assert run(other.clear()) == 1


def test_an_entry_goes_after_its_time(index: RedisVectorIndex, server: RedisServer):
    """The time is the server's own: the test asks it to expire the key at once."""
    fill(index, 2)
    client = redis.Redis.from_url(server.url)
    (key,) = client.scan_iter(match="agentperf:e:~v:*:entry 0")
    assert 50_000 < client.pttl(key) <= 60_000
    client.pexpire(key, 0)
    assert idents(index, "scope", 0) == ["entry 1"]


def test_without_time_left_nothing_is_kept(index: RedisVectorIndex):
    fill(index, 1)
    run(index.add("scope", "entry 0", unit(0), payload=b"", ttl_s=0))
    assert idents(index, "scope", 0) == []


def test_adding_again_replaces(index: RedisVectorIndex):
    run(index.add("scope", "one", unit(1), payload=b"old", ttl_s=None))
    run(index.add("scope", "one", unit(2), payload=b"new", ttl_s=None))
    (match,) = run(index.search("scope", unit(2), 5))
    assert (match.ident, match.payload) == ("one", b"new")
    assert match.cosine == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("ident", ["a:b", "ä/ö?*[x]", "", "\ud800", "a b\n{c}"])
def test_idents_and_scopes_of_any_text_come_back(index: RedisVectorIndex, ident: str):
    run(index.add(ident, ident, unit(1), payload=b"", ttl_s=None))
    assert [match.ident for match in run(index.search(ident, unit(1), 1))] == [ident]


def test_an_emptied_server_is_an_empty_index_that_fills_again(
    index: RedisVectorIndex, server: RedisServer
):
    fill(index, 2)
    redis.Redis.from_url(server.url).flushall()
    assert idents(index, "scope", 0) == []
    fill(index, 2)
    assert idents(index, "scope", 1, k=1) == ["entry 1"]


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_large_scope_gets_an_index_of_its_own(server: RedisServer, protocol: int):
    clock = FakeClock()
    client = redis.Redis.from_url(server.url, protocol=protocol, socket_timeout=PATIENT_S)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it is patient, and says so
        index = RedisVectorIndex(client=client, large=10, clock=clock)
    fill(index, 30)
    fill(index, 3, "small")

    def indexes() -> int:
        return len(client.execute_command("FT._LIST"))

    before = indexes()
    assert idents(index, "scope", 7, k=1) == ["entry 7"]
    clock.advance(61)
    fill(index, 30)
    fill(index, 3, "small")
    assert indexes() == before + 1
    assert idents(index, "small", 1, k=5)[0] == "entry 1"
    _until_indexed(client)
    clock.advance(61)
    assert idents(index, "scope", 7, k=1) == ["entry 7"]
    run(index.add("scope", "new", unit(99), payload=b"", ttl_s=None))
    assert idents(index, "scope", 99, k=1) == ["new"]
    assert run(index.clear()) == 34
    assert idents(index, "scope", 7) == []
    client.close()


def _until_indexed(client: Any) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        names = client.execute_command("FT._LIST")
        infos = [client.execute_command("FT.INFO", name) for name in names]
        if all(is_complete(info) for info in infos):
            return
        threading.Event().wait(0.01)
    raise AssertionError("the server did not index in time")


def test_two_processes_make_the_same_index_at_once(server: RedisServer, index: RedisVectorIndex):
    other = RedisVectorIndex(server.url, timeout_s=PATIENT_S)
    run(index.add("scope", "a", unit(1), payload=b"", ttl_s=None))
    run(other.add("scope", "b", unit(2), payload=b"", ttl_s=None))
    assert set(idents(index, "scope", 1)) == set(idents(other, "scope", 1)) == {"a", "b"}


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_client_of_the_callers_may_speak_either_protocol(server: RedisServer, protocol: int):
    client = redis.Redis.from_url(
        server.url,
        protocol=protocol,
        socket_timeout=PATIENT_S,
        socket_connect_timeout=PATIENT_S,
        retry=None,
    )
    index = RedisVectorIndex(client=client, timeout_s=PATIENT_S)
    fill(index, 3)
    assert idents(index, "scope", 2, k=1) == ["entry 2"]
    assert run(index.clear()) == 3
    client.close()


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    with RedisStore(server.url, namespace="shop", timeout_s=PATIENT_S) as store:
        yield store
        store.clear()


def test_entries_belong_to_the_store_that_has_the_namespace(store: RedisStore):
    """Its values, its keys, and forgotten by it: who invalidates knows nothing of vectors."""
    index = store.vectors("~q:")
    for seed in range(3):
        tags = ("all", f"tag {seed}")
        run(index.add("s", f"id {seed}", unit(seed), payload=b"%d" % seed, ttl_s=60, tags=tags))
    names = [index.key("s", f"id {seed}", dim=DIM) for seed in range(3)]
    assert sorted(store.scan("~q:")) == sorted(names)
    assert store.get(names[1]) == b"1"
    assert store.delete(names[0]) is True
    assert store.invalidate("tag 1") == 1
    assert [match.ident for match in run(index.search("s", unit(0), 5))] == ["id 2"]
    assert store.invalidate("all") == 1
    run(index.add("s", "id 4", unit(4), payload=b"4", ttl_s=None))
    assert store.clear() == 1
    assert run(index.search("s", unit(4), 5)) == []


async def test_they_do_so_async_too(server: RedisServer):
    async with RedisStore(server.url, namespace="shop", timeout_s=PATIENT_S) as store:
        index = store.vectors("~q:")
        await arun(index.add("s", "id", unit(1), payload=b"1", ttl_s=None, tags=["tag"]))
        assert await store.aget(index.key("s", "id", dim=DIM)) == b"1"
        assert await store.ainvalidate("tag") == 1
        assert await arun(index.search("s", unit(1), 5)) == []


def test_an_entry_that_lost_its_tag_stays(store: RedisStore):
    index = store.vectors("~q:")
    run(index.add("s", "id", unit(1), payload=b"1", ttl_s=None, tags=["tag"]))
    run(index.add("s", "id", unit(1), payload=b"2", ttl_s=None))
    assert store.invalidate("tag") == 0
    assert [match.payload for match in run(index.search("s", unit(1), 5))] == [b"2"]


def test_an_entry_that_could_not_be_forgotten_with_its_tag_is_not_kept(
    store: RedisStore, server: RedisServer
):
    with redis.Redis.from_url(server.url) as client:
        client.set("shop:t:tag", "somebody else's")
        index = store.vectors("~q:")
        with pytest.raises(redis.ResponseError):
            run(index.add("s", "id", unit(1), payload=b"1", ttl_s=None, tags=["tag"]))
        client.delete("shop:t:tag")
    assert run(index.search("s", unit(1), 5)) == []


@pytest.mark.parametrize(
    "flow",
    [
        lambda index, vector: index.add("s", "i", vector, payload=b"", ttl_s=None),
        lambda index, vector: index.search("s", vector, 1),
    ],
    ids=["add", "search"],
)
def test_a_vector_that_is_not_finite_is_refused(flow: Any):
    index = RedisVectorIndex("redis://127.0.0.1:1/0")
    bad = unit(1).copy()
    bad[0] = float("inf")
    with pytest.raises(VectorError):
        run(flow(index, bad))


def test_a_server_without_the_query_engine_says_so():
    try:
        with plain_redis() as server:
            index = RedisVectorIndex(server.url, timeout_s=PATIENT_S)
            said = run(index.available(DIM))
    except ServerUnavailable as error:
        pytest.skip(f"no plain Redis: {error}")
    assert said is not None
    assert "no query engine" in said
    assert "Redis 8" in said


def test_a_server_that_is_gone_raises_what_its_client_raises():
    """Who uses the index guards it: a sentence about missing modules would be wrong."""
    flows: list[Flow[Any]] = [
        (index := RedisVectorIndex("redis://127.0.0.1:1/0")).available(DIM),
        index.search("scope", unit(1), 1),
    ]
    for flow in flows:
        with pytest.raises(redis.ConnectionError):
            run(flow)


@pytest.mark.parametrize("wrong", [{"namespace": "a:b"}, {"namespace": ""}, {"large": 0}])
def test_arguments_that_mean_nothing_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigError):
        RedisVectorIndex("redis://127.0.0.1:1/0", **wrong)
