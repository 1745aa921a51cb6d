"""The Redis store beyond the suites: round trips, loops, other people's keys, arguments."""

from __future__ import annotations

import asyncio
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import redis.asyncio as aioredis
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.bench.servers import RedisNodes, RedisServer
from agentperf_core.cache.stores.guarded import GuardedStore
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.redis_layout import framed, unframed
from agentperf_core.errors import CodecError, ConfigError

BUSY_S = 10.0


class CountingProxy:
    """Stands between a store and its server, and counts round trips: a question after an answer."""

    def __init__(self, server: RedisServer) -> None:
        self.round_trips = 0
        self.connections = 0
        self.held: threading.Event | None = None
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Wakes the thread that accepts, where closing alone would not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", self._server.port))
                threading.Thread(target=self._serve, args=(near, far), daemon=True).start()

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, suppress(OSError):
            answers = threading.Thread(target=self._copy, args=(far, near), daemon=True)
            self._asked = False
            answers.start()
            while piece := near.recv(1 << 20):
                if not self._asked:
                    self._asked = True
                    self.round_trips += 1
                far.sendall(piece)
            far.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 20):
                self._asked = False
                if self.held is not None:
                    self.held.wait(30)
                target.sendall(piece)


@pytest.fixture
def proxy(plain_server: RedisServer) -> Iterator[CountingProxy]:
    proxy = CountingProxy(plain_server)
    yield proxy
    proxy.close()


@pytest.fixture
def observer(plain_server: RedisServer) -> Iterator[Any]:
    """Another client of the same server."""
    with redis.Redis.from_url(plain_server.url, driver_info=None) as client:
        yield client


@pytest.fixture
def store(plain_server: RedisServer, namespace: str) -> Iterator[RedisStore]:
    store = RedisStore(plain_server.url, namespace=namespace, timeout_s=BUSY_S)
    yield store
    store.close()


@dataclass(frozen=True)
class Case:
    name: str
    sync: Callable[[RedisStore], object]
    async_: Callable[[RedisStore], Any]


OPERATIONS = [
    Case("get", lambda s: s.get("a"), lambda s: s.aget("a")),
    Case("set", lambda s: s.set("a", b"1", 60.0), lambda s: s.aset("a", b"1", 60.0)),
    Case(
        "set with tags",
        lambda s: s.set("a", b"1", 60.0, ["x", "y", "z"]),
        lambda s: s.aset("a", b"1", 60.0, ["x", "y", "z"]),
    ),
    Case("delete", lambda s: s.delete("a"), lambda s: s.adelete("a")),
    Case("try_lead", lambda s: s.try_lead("a", "me", 1.0), lambda s: s.atry_lead("a", "me", 1.0)),
    Case("stop_leading", lambda s: s.stop_leading("a", "me"), lambda s: s.astop_leading("a", "me")),
]


@pytest.mark.parametrize("case", OPERATIONS, ids=lambda case: case.name)
def test_an_operation_is_one_round_trip(case: Case, proxy: CountingProxy, namespace: str):
    """The first one too: connecting asks nothing."""
    store = RedisStore(proxy.url, namespace=namespace, timeout_s=BUSY_S)
    for count in (1, 2, 3):
        case.sync(store)
        assert proxy.round_trips == count
    store.close()


@pytest.mark.parametrize("case", OPERATIONS, ids=lambda case: case.name)
async def test_an_async_operation_is_one_round_trip(
    case: Case, proxy: CountingProxy, namespace: str
):
    store = RedisStore(proxy.url, namespace=namespace, timeout_s=BUSY_S)
    for count in (1, 2, 3):
        await case.async_(store)
        assert proxy.round_trips == count
    await store.aclose()


@pytest.mark.parametrize("whose", ["ours", "the caller's"])
async def test_a_connection_slower_than_a_command_may_be_is_opened_behind(
    whose: str, proxy: CountingProxy, namespace: str
):
    """Each look-up gave up the connection that it was opening: none ever came to be."""
    url = proxy.url.removesuffix("/0") + "/1"  # choosing a database asks the server something
    client = aioredis.Redis.from_url(url, driver_info=None, socket_timeout=30.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this client is patient
        inner = (
            RedisStore(url, namespace=namespace)
            if whose == "ours"
            else RedisStore(async_client=client, namespace=namespace)
        )
    store = GuardedStore(inner, budget_s=0.05)
    held = proxy.held = threading.Event()
    for _ in range(3):
        assert await store.aget("a") is None
    assert proxy.connections == 2, "that of the first look-up, and one that is kept"
    proxy.held = None
    held.set()
    for _ in range(100):  # one is enough where nothing else runs
        with suppress(TimeoutError):
            await inner.aset("a", b"1", 60.0)
            break
    assert await inner.aget("a") is not None
    assert proxy.connections == 2
    await inner.aclose()
    await client.aclose()


def test_a_hit_is_one_command(own_server: RedisServer):
    """The server's own books say so."""
    store = RedisStore(own_server.url, timeout_s=BUSY_S)
    store.set("a", b"1", None)
    with redis.Redis.from_url(own_server.url) as books:
        books.config_resetstat()
        for _ in range(10):
            assert store.get("a") == b"1"
        calls: dict[str, Any] = books.info("commandstats")
    store.close()
    assert calls.pop("cmdstat_get")["calls"] == 10
    assert not {name for name in calls if not name.startswith(("cmdstat_config", "cmdstat_client"))}


class TestEventLoops:
    async def test_tasks_share_at_most_fifty_connections(
        self, plain_server: RedisServer, namespace: str
    ):
        """redis-py would open one for each, and raise at its bound."""
        store = RedisStore(plain_server.url, namespace=namespace, timeout_s=BUSY_S)
        await store.aset("a", b"1", None)
        answers = await asyncio.gather(*(store.aget("a") for _ in range(400)))
        bound = await store._redis._clients.bound()  # pyright: ignore[reportOptionalMemberAccess]
        pool = bound.client.connection_pool
        assert len(pool._available_connections) <= 50
        assert answers == [b"1"] * 400
        await store.aclose()

    def test_each_loop_has_a_client_that_is_closed_before_it_ends(self, own_server: RedisServer):
        """Without a word from the caller; an open socket would fail this test run."""
        store = RedisStore(own_server.url, timeout_s=BUSY_S)

        async def use() -> bytes | None:
            await store.aset("a", b"1", None)
            return await store.aget("a")

        with redis.Redis.from_url(own_server.url) as books:
            for _ in range(3):
                assert asyncio.run(use()) == b"1"
                eventually(lambda: len(books.client_list()) == 1)
        assert not store._redis._clients._bound  # pyright: ignore[reportOptionalMemberAccess]

    def test_loops_of_several_threads_share_the_store(
        self, plain_server: RedisServer, namespace: str
    ):
        store = RedisStore(plain_server.url, namespace=namespace, timeout_s=BUSY_S)
        store.set("a", b"1", None)
        answers: list[object] = []

        async def use() -> None:
            answers.extend(await asyncio.gather(*(store.aget("a") for _ in range(20))))

        threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [b"1"] * 80
        store.close()

    async def test_a_closed_store_opens_again(self, plain_server: RedisServer, namespace: str):
        store = RedisStore(plain_server.url, namespace=namespace, timeout_s=BUSY_S)
        await store.aset("a", b"1", None)
        await store.aclose()
        assert await store.aget("a") == b"1"
        await store.aclose()

    async def test_a_cluster_of_which_nothing_is_known_serves_many_at_once(
        self, cluster_servers: RedisNodes, namespace: str
    ):
        """All tasks wait for one look at the slots."""
        store = RedisStore(cluster_servers.url, cluster=True, namespace=namespace, timeout_s=BUSY_S)
        answers = await asyncio.gather(*(store.aget(str(number)) for number in range(100)))
        assert answers == [None] * 100
        await store.aclose()


class TestOtherPeoplesKeys:
    def test_clear_touches_our_namespace_alone(self, store: RedisStore, observer: Any):
        namespace = store._layout.namespace
        others = [f"{namespace}", f"{namespace}x:e:a", f"x{namespace}:e:a", f"{namespace}:other"]
        observer.mset(dict.fromkeys(others, "theirs"))
        neighbour = RedisStore(client=impatient(observer), namespace=namespace + "2", timeout_s=60)
        neighbour.set("a", b"1", None, ["tag"])
        store.set("a", b"1", None, ["tag"])
        store.try_lead("a", "me", 60.0)
        assert store.clear() == 1
        assert observer.mget(others) == [b"theirs"] * 4
        assert neighbour.get("a") == b"1"
        assert not list(observer.scan_iter(match=f"{namespace}:[et]:*"))
        neighbour.clear()
        observer.delete(*others)

    def test_no_command_that_stops_the_server(self, own_server: RedisServer):
        """FLUSHDB would be other people's data, KEYS everybody's time."""
        store = RedisStore(own_server.url, timeout_s=BUSY_S)
        for number in range(1_500):
            store.set(str(number), b"1", None, ["tag"])
        assert len(set(store.scan())) == 1_500
        assert store.invalidate("tag") == 1_500
        store.set("a", b"1", None)
        assert store.clear() == 1
        with redis.Redis.from_url(own_server.url) as books:
            used = {name.removeprefix("cmdstat_") for name in books.info("commandstats")}
            assert books.dbsize() == 0
        assert not used & {"flushdb", "flushall", "keys", "smembers"}
        store.close()

    def test_a_tag_ends_with_its_longest_entry(self, store: RedisStore, observer: Any):
        """A tag would otherwise outlive all that it stands for."""
        name = f"{store._layout.namespace}:t:tag"
        store.set("a", b"1", 100.0, ["tag"])
        store.set("b", b"1", 10.0, ["tag"])
        assert 90_000 < observer.pttl(name) <= 100_000
        store.set("c", b"1", None, ["tag"])
        store.set("d", b"1", 10.0, ["tag"])
        assert observer.pttl(name) == -1

    def test_a_tag_lists_a_key_once_however_often_it_is_set(self, store: RedisStore, observer: Any):
        for _ in range(5):
            store.set("a", b"1", 100.0, ["tag"])
        assert observer.zcard(f"{store._layout.namespace}:t:tag") == 1

    def test_what_expired_leaves_its_tag(self, store: RedisStore, observer: Any):
        name = f"{store._layout.namespace}:t:tag"
        observer.zadd(name, {"long gone": 1.0})
        store.set("a", b"1", 100.0, ["tag"])
        assert observer.zrange(name, 0, -1) == [b"a"]


async def test_tracking_asks_the_server_once_and_hears_of_changes(
    stack_server: RedisServer, namespace: str
):
    """redis-py's client-side cache; on RESP3 the server says when a value changes."""
    url = stack_server.url
    store = RedisStore(url, namespace=namespace, tracking=True, timeout_s=BUSY_S)
    other = RedisStore(url, namespace=namespace, timeout_s=BUSY_S)

    def use() -> None:
        other.set("a", b"1", None)
        with redis.Redis.from_url(url) as books:
            books.config_resetstat()
            assert [store.get("a") for _ in range(5)] == [b"1"] * 5
            assert books.info("commandstats")["cmdstat_get"]["calls"] == 1
        other.set("a", b"2", None)
        eventually(lambda: store.get("a") == b"2")
        other.clear()
        eventually(lambda: store.get("a") is None)

    await asyncio.to_thread(use)
    assert await store.aget("a") is None
    await store.aclose()
    await other.aclose()


def test_tracking_needs_a_server_that_can(plain_server: RedisServer):
    """redis-py refuses it below Redis 7.4, in words."""
    if tuple(map(int, plain_server.version.split(".")[:2])) >= (7, 4):
        pytest.skip("the plain server here is recent")
    store = RedisStore(plain_server.url, tracking=True, timeout_s=BUSY_S)
    with pytest.raises(redis.ConnectionError, match=r"7\.4"):
        store.get("a")
    store.close()


class TestArguments:
    SECRET = "s3cr3t-word"

    @pytest.mark.parametrize(
        "url",
        [
            "http://:s3cr3t-word@host/0",
            "redis://:s3cr3t-word/with-slash@host:6379/0",
            "s3cr3t-word",
            "",
        ],
        ids=["other scheme", "password not encoded", "no URL", "empty"],
    )
    def test_a_url_that_is_none_is_refused_without_being_shown(self, url: str):
        if not url:
            assert "localhost" in repr(RedisStore(url))
            return
        with pytest.raises(ConfigError, match="redis://") as caught:
            RedisStore(url)
        assert self.SECRET not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_a_password_is_in_no_representation(self):
        store = RedisStore(f"redis://me:{self.SECRET}@127.0.0.1:6390/2?socket_timeout=1")
        assert repr(store) == "RedisStore('redis://127.0.0.1:6390/2', namespace='agentperf')"

    @pytest.mark.parametrize("namespace", ["", "a:b", "a*", "{a}", "a b", "a\n"])
    def test_a_namespace_that_means_something_to_redis_is_refused(self, namespace: str):
        with pytest.raises(ConfigError, match="namespace"):
            RedisStore(namespace=namespace)

    def test_a_client_that_decodes_is_refused(self):
        with pytest.raises(ConfigError, match="decode_responses"):
            RedisStore(client=redis.Redis(decode_responses=True))

    @pytest.mark.parametrize("name", ["client", "async_client"])
    def test_clients_of_the_other_world_are_refused(self, name: str):
        wrong: Any = aioredis.Redis() if name == "client" else redis.Redis()
        with pytest.raises(ConfigError, match=f"{name} must be"):
            RedisStore(**{name: wrong})

    @pytest.mark.parametrize(
        "more", [{"url": "redis://localhost"}, {"cluster": True}, {"tracking": True}], ids=str
    )
    def test_a_client_and_how_to_make_one_exclude_each_other(self, more: Any):
        with pytest.raises(ConfigError, match=next(iter(more))):
            RedisStore(client=redis.Redis(), **more)

    def test_tracking_a_cluster_is_refused(self):
        with pytest.raises(ConfigError, match=r"tracking= .* cluster="):
            RedisStore(cluster=True, tracking=True)

    def test_a_client_that_would_hold_a_call_up_is_warned_of(self):
        """redis-py's own defaults: five seconds, ten times."""
        with pytest.warns(UserWarning, match="retry=Retry") as caught:
            RedisStore(client=redis.Redis())
        assert caught[0].filename == __file__

    def test_an_async_client_alone_serves_no_sync_code(self):
        store = RedisStore(async_client=impatient(aioredis.Redis()))
        with pytest.raises(ConfigError, match="give client= too"):
            store.get("a")


@given(st.binary(max_size=64), st.lists(st.text(max_size=8), max_size=5))
def test_a_frame_gives_back_what_was_put_in(value: bytes, tags: list[str]):
    assert unframed(framed(value, tags)) == value


@pytest.mark.parametrize("raw", [b"", b"\xa1", b"\xa0\x00value", b"{}", b"\x80\x04pickle"])
def test_what_is_no_frame_of_this_version_is_refused(raw: bytes):
    with pytest.raises(CodecError):
        unframed(raw)


def test_more_tags_than_a_frame_counts_are_refused():
    with pytest.raises(ConfigError, match="255"):
        framed(b"", [str(number) for number in range(256)])
    assert unframed(framed(b"v", [str(number) for number in range(255)])) == b"v"


def impatient(client: Any) -> Any:
    """The same client with settings that the store takes without a warning."""
    client.connection_pool.connection_kwargs |= {
        "socket_timeout": 0.05,
        "socket_connect_timeout": 0.05,
    }
    client.connection_pool.connection_kwargs.pop("retry", None)
    return client


def eventually(is_so: Callable[[], bool]) -> None:
    """Ask until it is so; the test's own time limit is the bound."""
    while not is_so():
        threading.Event().wait(0.005)
