"""Conversations by session and tenant: what they give, and what an outage does to them."""

from __future__ import annotations

import asyncio
import copy
import math
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from outage_tools import Breakable, Outage, record, texts

from agentperf_core.bench.servers import RedisServer
from agentperf_core.cache import SQLiteStore
from agentperf_core.cache.conversations import (
    Batch,
    Conversations,
    ConversationUnavailable,
    MemoryConversations,
    RedisConversations,
    SQLiteConversations,
    conversations_from,
    open_conversations,
)
from agentperf_core.cache.conversations.codec import pack, unpack
from agentperf_core.clock import FakeClock
from agentperf_core.errors import CodecError, ConfigError
from agentperf_core.events import DecisionMade, EventBus, Fault
from agentperf_core.flow import Flow, Step, run
from agentperf_core.testing.stores import in_threads


def test_sessions_and_tenants_stay_apart() -> None:
    """No session name of one tenant can be made to name another tenant's."""
    conversations = Conversations()
    places = [("a", "b"), ("b", "a"), ("", "3:a:b"), ("3:a", "b"), ("a:b", "c"), ("a", "b:c")]
    for tenant, session in places:
        conversations.of(session, tenant=tenant).append(record(f"{tenant}/{session}"))
    for tenant, session in places:
        found = conversations.of(session, tenant=tenant).read()
        assert texts(found) == [f"{tenant}/{session}"]
    assert conversations.sessions(tenant="a") == ["b", "b:c"]
    assert conversations.sessions() == ["3:a:b"]


def test_what_was_said_has_a_place_a_state_and_a_time() -> None:
    """The time is that of the store's clock."""
    clock = FakeClock(epoch=1000.0)
    talk = Conversations(MemoryConversations(clock=clock)).of("s")
    assert talk.append(record("one", "two")) is True
    assert talk.append([]) is True
    first, second = talk.read()
    assert (first.id, first.at, first.state) == (1_000_000_000, 1000.0, "active")
    assert second.id == first.id + 1
    assert texts(talk.archive_oldest(1)) == ["one"]
    assert (talk.count(), talk.count(state="active"), talk.count(state="archived")) == (2, 1, 1)
    assert texts(talk.read(state="active")) == ["two"]
    removed = talk.remove(second.id)
    assert removed is not None
    assert removed.record == {"text": "two"}
    assert talk.remove(second.id) is None
    talk.replace(record("three", "four"))
    assert texts(talk.drop_oldest(1)) == ["three"]
    assert talk.clear() == 1


async def test_every_method_has_an_async_one() -> None:
    """They do the same."""
    async with Conversations() as conversations:
        talk = conversations.of("s")
        assert await talk.aappend(record("one", "two", "three")) is True
        assert texts(await talk.aread(limit=1, offset=1)) == ["two"]
        assert await talk.acount() == 3
        assert texts(await talk.aarchive_oldest(1)) == ["one"]
        assert texts(await talk.adrop_oldest(1)) == ["two"]
        assert await conversations.asessions() == ["s"]
        await talk.areplace(record("x"))
        (said,) = await talk.aread()
        assert await talk.aremove(said.id) is not None
        assert await talk.aclear() == 0
    assert talk.aread.__name__ == "aread"


@pytest.mark.parametrize("value", [{"a": {1, 2}}, {"a": object()}, {1: "a"}, {"a": math.nan}])
def test_only_plain_data_is_kept(value: dict[Any, Any]) -> None:
    """What would not come back as it was is refused, and nothing of its batch is kept."""
    talk = Conversations().of("s")
    with pytest.raises(CodecError, match="plain JSON data"):
        talk.append([{"text": "fine"}, value])
    assert talk.read() == []


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_messages_of_any_size_come_back(size: int) -> None:
    """Large ones are packed."""
    value = {"text": "ä" * size, "n": [1, None, {"deep": True}]}
    assert unpack(pack(value)) == value


def test_what_cannot_be_read_is_left_out_and_told() -> None:
    """A poisoned or damaged message takes no agent down, and its neighbours stay."""
    bus = EventBus()
    store = MemoryConversations()
    talk = Conversations(store, bus=bus).of("s")
    talk.append(record("one"))
    for number, raw in enumerate([b"", b"cos\nsystem", b"AC1j{", b"AC1jx", b"AC1z\0", b"AC2j{}"]):
        run(store.append("0::s", Batch(f"{number:016d}", (raw, pack({"text": "next"})))))
    assert texts(talk.read()) == ["one", *["next"] * 6]
    assert bus.faults() == {"cache.conversations.codec": 6}


def test_a_conversation_goes_on_while_its_store_is_down() -> None:
    """What was read and said stays readable, in order, and is stored when the store is back."""
    case = Outage()
    case.talk.append(record("before"))
    assert texts(case.talk.read()) == ["before"]
    case.down()
    assert case.talk.append(record("during")) is False
    assert texts(case.talk.read()) == ["before", "during"]
    assert texts(case.talk.read(state="active", limit=1, offset=1)) == ["during"]
    assert (case.talk.count(), case.talk.waiting, case.all.waiting) == (2, 1, 1)
    assert case.talk.archive_oldest(1) == []
    assert case.all.is_down
    case.down(False)
    assert case.talk.append(record("after")) is True
    assert (case.all.waiting, case.all.is_down) == (0, False)
    others = Conversations(case.store).of("s", tenant="t")
    assert texts(others.read()) == ["before", "during", "after"]


def test_an_outage_is_told_once() -> None:
    """One fault when it begins, one decision when it ends, however many calls lie between."""
    case = Outage()
    case.talk.read()
    case.down()
    for number in range(10):
        case.talk.append(record(f"{number}"))
    assert [type(event) for event in case.told] == [Fault]
    assert case.store.asked < 5  # a breaker keeps most of them from waiting
    case.down(False)
    case.talk.read()
    assert [type(event) for event in case.told] == [Fault, DecisionMade]


def test_a_lost_history_is_not_taken_for_an_empty_one() -> None:
    """A conversation that was not read here raises, unless it is asked to go on."""
    case = Outage()
    case.down()
    case.talk.append(record("during"))
    with pytest.raises(ConversationUnavailable, match="session 's' cannot be read"):
        case.talk.read()
    going_on = Outage(when_down="go_on")
    going_on.down()
    going_on.talk.append(record("during"))
    assert texts(going_on.talk.read()) == ["during"]


def test_who_forgets_is_told_that_it_was_not_done() -> None:
    """Nothing is forgotten or replaced later, when nobody expects it any more."""
    case = Outage()
    case.talk.append(record("kept"))
    case.down()
    for change in (case.talk.clear, lambda: case.talk.replace(record("x"))):
        with pytest.raises(ConversationUnavailable, match="cannot be changed"):
            change()
    with pytest.raises(ConversationUnavailable, match="sessions cannot be listed"):
        case.all.sessions(tenant="t")


def test_an_answer_that_was_lost_doubles_nothing() -> None:
    """A batch that was stored, though nobody heard of it, is not stored again."""
    case = Outage()
    case.store.loses_answers = True
    assert case.talk.append(record("once")) is False
    case.store.loses_answers = False
    assert texts(case.talk.read()) == ["once"]
    assert case.talk.append(record("twice")) is True
    assert texts(case.talk.read()) == ["once", "twice"]


async def test_a_cancelled_append_is_not_lost() -> None:
    """Nobody knows how far it came: it is tried again, and doubles nothing."""
    case = Outage()
    gate = asyncio.Event()

    class Slow(Breakable):
        def append(self, name: str, batch: Batch, *, again: bool = False) -> Flow[int]:
            yield from Step(lambda: None, gate.wait)
            return (yield from super().append(name, batch, again=again))

    case.all.store = Slow()
    saying = asyncio.create_task(case.talk.aappend(record("said")))
    await asyncio.sleep(0)
    saying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saying
    gate.set()
    assert texts(await case.talk.aread()) == ["said"]


async def test_nobody_overtakes_what_waits() -> None:
    """What is said while the rest is being stored comes behind it, and is read at once."""
    case = Outage(failures=1000)
    await case.talk.aappend(record("0"))
    case.down()
    for number in range(1, 4):
        await case.talk.aappend(record(f"{number}"))
    case.down(False)
    gate, slow = asyncio.Event(), case.store.append

    def append(name: str, batch: Batch, *, again: bool = False) -> Flow[int]:
        yield from Step(lambda: None, gate.wait)
        return (yield from slow(name, batch, again=again))

    case.store.append = append  # type: ignore[method-assign] # pyright: ignore[reportAttributeAccessIssue]
    reading = asyncio.create_task(case.talk.aread())
    await asyncio.sleep(0)
    assert await case.talk.aappend(record("4")) is False
    assert texts(await case.talk.aread()) == ["0", "1", "2", "3", "4"]
    gate.set()
    assert texts(await reading) == ["0", "1", "2", "3", "4"]
    assert case.all.waiting == 0
    assert texts(await Conversations(case.store).of("s", tenant="t").aread()) == list("01234")


def test_threads_that_find_the_store_again_at_once_lose_and_double_nothing() -> None:
    """One of them stores what waits; the others go on behind it."""
    case = Outage(failures=1000)
    case.down()
    for number in range(20):
        case.talk.append(record(f"{number}"))
    case.down(False)
    errors = in_threads(lambda number: case.talk.append(record(f"{20 + number}")), 20)
    case.talk.read()
    found = texts(Conversations(case.store).of("s", tenant="t").read())
    assert errors == []
    assert found[:20] == [f"{number}" for number in range(20)]
    assert sorted(map(int, found)) == list(range(40))


def test_what_is_copied_with_it_shares_the_store() -> None:
    """Frameworks copy memories deeply; locks and connections have no copies."""
    conversations = Conversations()
    assert copy.deepcopy({"memory": conversations})["memory"] is conversations


def test_what_is_not_ours_in_redis_is_no_message(plain_server: RedisServer, namespace: str) -> None:
    """It takes nobody down."""
    with (
        redis.Redis.from_url(plain_server.url) as client,
        open_conversations(plain_server.url, namespace=namespace, timeout_s=10.0) as conversations,
    ):
        talk = conversations.of("s")
        talk.append(record("one"))
        (key,) = list(client.scan_iter(match=f"{namespace}:*"))
        client.rpush(key, b"something else")
        talk.append(record("two"))
        assert texts(talk.read()) == texts(talk.read(state="active")) == ["one", "two"]


def test_closing_stores_what_waits() -> None:
    """If the store is back by then."""
    case = Outage()
    case.down()
    case.talk.append(record("said"))
    case.down(False)
    case.all.close()
    assert texts(Conversations(case.store).of("s", tenant="t").read()) == ["said"]


def test_what_waits_is_remembered_however_many_conversations_there_are() -> None:
    """Only what is stored as well may be dropped from hand."""
    case = Outage(in_hand=1)
    case.down()
    for number in range(5):
        case.all.of(f"{number}").append(record("said"))
    assert case.all.waiting == 5
    case.down(False)
    for number in range(5):
        assert texts(case.all.of(f"{number}").read()) == ["said"]


def test_addresses(tmp_path: Path) -> None:
    """One line of configuration; passwords are not shown."""
    with open_conversations(f"sqlite:{tmp_path}/talks.db", ttl_s=60) as conversations:
        assert conversations.of("s").append(record("hi")) is True
    with open_conversations(f"sqlite:{tmp_path}/talks.db") as conversations:
        assert texts(conversations.of("s").read()) == ["hi"]
    shown = repr(open_conversations("redis+cluster://me:secret@chats.example"))
    assert "chats.example" in shown
    assert "secret" not in shown
    assert isinstance(open_conversations("memory:").store, MemoryConversations)
    with pytest.raises(ConfigError, match="address of a store"):
        open_conversations("mongodb://me:secret@db.example")


def test_an_address_is_opened_once(tmp_path: Path) -> None:
    """Whoever makes a history per request does not open a connection per request."""
    address = f"sqlite:{tmp_path}/talks.db"
    assert conversations_from(address) is conversations_from(address)
    assert conversations_from(address, ttl_s=5.0) is not conversations_from(address)
    assert conversations_from("memory:") is not conversations_from("memory:")
    given = Conversations()
    assert conversations_from(given) is given
    assert conversations_from(given.store).store is given.store
    conversations_from(address).close()


def test_bad_arguments() -> None:
    """The mistake is named, with the way out."""
    with pytest.raises(ConfigError, match="when_down must be 'raise' or 'go_on'"):
        Conversations(when_down="shrug")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="a session and a tenant"):
        Conversations().of("")
    with pytest.raises(ConfigError, match="got a list"):
        conversations_from([])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="ttl_s must be > 0"):
        MemoryConversations(ttl_s=0)


def test_a_cache_file_is_no_file_of_conversations(tmp_path: Path) -> None:
    """A cache's file may be emptied by a later version: no conversation goes into it."""
    with SQLiteStore(tmp_path / "cache.db"):
        pass
    with pytest.raises(ConfigError, match="must be a file of conversations of ours"):
        SQLiteConversations(tmp_path / "cache.db")
    SQLiteConversations(tmp_path / "talks.db").close()
    with pytest.raises(ConfigError, match="must be a cache of ours"):
        SQLiteStore(tmp_path / "talks.db")


def write(address: str, namespace: str, writer: int) -> None:
    with open_conversations(address, namespace=namespace, timeout_s=10.0) as conversations:
        talk = conversations.of("shared")
        for turn in range(4):
            assert talk.append(record(f"{writer}-{turn}-0", f"{writer}-{turn}-1")) is True


class TestFiftyProcesses:
    """Fifty writers on one session, ten at a time in processes of their own, lose nothing."""

    @pytest.fixture(params=["sqlite", "redis"])
    def address(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
        if request.param == "sqlite":
            yield f"sqlite:{tmp_path}/talks.db"
        else:
            server: RedisServer = request.getfixturevalue("plain_server")
            yield server.url

    def test_nothing_is_lost(self, address: str, namespace: str) -> None:
        """Every message is there once, and each writer's in order."""
        with multiprocessing.get_context("spawn").Pool(5) as pool:
            pool.starmap(write, [(address, namespace, writer) for writer in range(50)], chunksize=1)
        with open_conversations(address, namespace=namespace, timeout_s=10.0) as conversations:
            found = [
                tuple(map(int, text.split("-")))
                for text in texts(conversations.of("shared").read())
            ]
        assert len(found) == 400
        assert sorted(found) == [(w, t, p) for w in range(50) for t in range(4) for p in range(2)]
        for at in range(0, 400, 2):
            assert found[at][:2] == found[at + 1][:2]


def test_a_server_that_stops_and_comes_back(own_server: RedisServer, namespace: str) -> None:
    """The conversation stays whole through a real outage."""
    store = RedisConversations(own_server.url, namespace=namespace, timeout_s=5.0)
    clock = FakeClock()
    with Conversations(store, clock=clock, bus=EventBus()) as conversations:
        talk = conversations.of("s")
        talk.append(record("before"))
        talk.read()
        own_server.pause()
        quick = RedisConversations(own_server.url, namespace=namespace, timeout_s=0.05)
        conversations.store = quick
        assert talk.append(record("during")) is False
        assert texts(talk.read()) == ["before", "during"]
        own_server.resume()
        clock.advance(10.0)
        conversations.store = store
        assert talk.append(record("after")) is True
        assert texts(talk.read()) == ["before", "during", "after"]
        quick.close()


def test_one_round_trip_for_many_messages(plain_server: RedisServer, namespace: str) -> None:
    """A hundred messages are appended, and read, in one go each."""
    with (
        redis.Redis.from_url(plain_server.url) as client,
        open_conversations(plain_server.url, namespace=namespace, timeout_s=10.0) as conversations,
    ):

        def reads() -> int:
            stats: Any = client.info("stats")
            return stats["total_reads_processed"]

        talk = conversations.of("s")
        talk.append(record("warm"))
        before = reads()
        talk.append(record(*"x" * 100))
        assert len(talk.read(state="active")) == 101
        assert reads() - before == 3  # one of them asks for the number
