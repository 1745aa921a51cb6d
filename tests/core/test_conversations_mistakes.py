"""Mistakes of callers: told at once, before any store is asked, and no outage of the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from outage_tools import record, texts

from agentperf_core.bench.servers import RedisServer
from agentperf_core.cache.conversations import (
    Conversation,
    Conversations,
    MemoryConversations,
    RedisConversations,
    open_conversations,
)
from agentperf_core.errors import CodecError, ConfigError
from agentperf_core.events import EventBus


def test_a_mistyped_state_is_refused_and_holds_up_nothing(conversations: Conversations) -> None:
    """All stores say the same of it.

    `state="archive"` once jammed an SQLite conversation for good, so that all that was said after
    it was lost with the process; it was in no state in memory, and archived in Redis.
    """
    talk = conversations.of("s")
    talk.append(record("one"))
    for state in ("archive", "Active", "", None, 0, ["active"]):
        wrong: Any = state
        for change in (talk.append, talk.replace):
            with pytest.raises(ConfigError, match="state must be 'active' or 'archived', got"):
                change(record("two"), state=wrong)
    assert conversations.waiting == 0
    assert talk.append(record("three"), state="archived") is True
    assert texts(talk.read()) == ["one", "three"]


WRONG: dict[str, Callable[[Any], Any]] = {
    "count must be a whole number >= 0, got '5'": lambda talk: talk.archive_oldest("5"),
    "count must be a whole number >= 0, got 1.5": lambda talk: talk.drop_oldest(1.5),
    "count must be a whole number >= 0, got -1": lambda talk: talk.drop_oldest(-1),
    "limit must be a whole number >= 0, got 'x'": lambda talk: talk.read(limit="x"),
    "offset must be a whole number >= 0, got None": lambda talk: talk.read(offset=None),
    "ident must be a whole number >= 0, got 'x'": lambda talk: talk.remove("x"),
    "'active' or 'archived', got 'x'": lambda talk: talk.read(state="x"),
    "'active' or 'archived', got 'y'": lambda talk: talk.count(state="y"),
    "'active' or 'archived', got 'z'": lambda talk: talk.clear(state="z"),
}


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_argument_is_no_outage(conversations: Conversations, said: str) -> None:
    """Three calls such as `archive_oldest("5")` once took the store down for all sessions."""
    talk = conversations.of("s")
    talk.append(record("one"))
    for _ in range(4):
        with pytest.raises(ConfigError, match=said):
            WRONG[said](talk)
    assert not conversations.is_down
    assert conversations.of("other").read() == []
    assert texts(talk.read(state="active")) == ["one"]


@pytest.mark.parametrize("change", [Conversation.drop_oldest, Conversation.archive_oldest])
def test_no_number_is_not_all_of_them(conversations: Conversations, change: Any) -> None:
    """`drop_oldest(None)` once deleted a whole conversation in SQLite."""
    talk = conversations.of("s")
    talk.append(record("one", "two"))
    with pytest.raises(ConfigError, match="count must be a whole number >= 0, got None"):
        change(talk, None)
    assert texts(talk.read(state="active")) == ["one", "two"]


async def test_awaited_methods_check_the_same(conversations: Conversations) -> None:
    """They are the same methods."""
    talk = conversations.of("s")
    wrong: Any = "5"
    with pytest.raises(ConfigError, match="count must be"):
        await talk.adrop_oldest(wrong)
    await conversations.aclose()


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**30])
def test_more_than_any_store_can_count_is_all_there_are(
    conversations: Conversations, number: int
) -> None:
    """A number that is too large for SQLite or Redis was an outage, too."""
    talk = conversations.of("s")
    talk.append(record("one", "two"))
    assert texts(talk.read(state="active", limit=number, offset=1)) == ["two"]
    assert talk.read(offset=number) == talk.read(state="active", offset=number) == []
    assert talk.remove(number) is None
    assert texts(talk.archive_oldest(number)) == ["one", "two"]
    assert talk.drop_oldest(number) == []
    assert not conversations.is_down


@pytest.mark.parametrize("records", [{"role": "user"}, "text", b"raw", None, 5])
def test_records_are_a_list(records: Any) -> None:
    """A single record is a frequent slip, and was an error of `dict` about its first key."""
    talk = Conversations().of("s")
    with pytest.raises(ConfigError, match="records must be a list of Mapping, got"):
        talk.append(records)
    for odd in ("x", None, ["role", "user"]):
        wrong: Any = odd
        with pytest.raises(ConfigError, match="a record must be a mapping, got"):
            talk.append([{"text": "fine"}, wrong])
    assert talk.read() == []


def test_a_message_that_could_not_be_read_again_is_refused() -> None:
    """It was packed, and then left out of every reading as a damaged one."""
    talk = Conversations().of("s")
    with pytest.raises(CodecError, match="at most 67108864 bytes to be kept, got 67108876"):
        talk.append([{"text": "x" * 64 * 1024 * 1024 + "x"}])
    assert talk.read() == []


def test_what_is_no_store_is_told_of_at_once(tmp_path: Path) -> None:
    """An address in place of a store failed at the first append, as a missing method of text."""
    for given, shown in (
        (f"sqlite:{tmp_path}/talks.db", "got a str"),
        (MemoryConversations, "got a type"),
        ({}, "got a dict"),
    ):
        wrong: Any = given
        with pytest.raises(ConfigError, match=rf"{shown}; use open_conversations\("):
            Conversations(wrong)


@pytest.mark.parametrize("address", ["memory:", "sqlite:{}/talks.db", "redis://localhost"])
def test_a_namespace_is_text(address: str, tmp_path: Path) -> None:
    """`None` was an AttributeError here and a TypeError there."""
    wrong: Any = None
    with pytest.raises(ConfigError, match="namespace must be text, got None"):
        open_conversations(address.format(tmp_path), namespace=wrong)
    with pytest.raises(ConfigError, match="tenant must be text, got None"):
        Conversations().sessions(tenant=wrong)


def test_wrong_addresses_and_clients_of_redis() -> None:
    """They were errors from inside of redis-py."""
    wrong: Any = 5
    with pytest.raises(ConfigError, match="url must be a str, got 5"):
        RedisConversations(wrong)
    with pytest.raises(ConfigError, match="client must be a client of redis-py, got 5"):
        RedisConversations(client=wrong)
    with pytest.raises(ConfigError, match="async_client must be a client of redis-py, got 5"):
        RedisConversations(async_client=wrong)


def test_a_key_of_another_kind_is_no_outage(plain_server: RedisServer, namespace: str) -> None:
    """Something else under the name of one conversation took all of them down."""
    bus = EventBus()
    store = RedisConversations(plain_server.url, namespace=namespace, timeout_s=10.0)
    with (
        redis.Redis.from_url(plain_server.url) as client,
        Conversations(store, bus=bus) as conversations,
    ):
        talk = conversations.of("s")
        talk.append(record("gone"))
        (key,) = list(client.scan_iter(match=f"{namespace}:*"))
        client.set(key, "something else")
        for _ in range(4):
            assert talk.append(record("said")) is False
            with pytest.raises(CodecError, match="a key of another kind"):
                talk.read()
        assert not conversations.is_down
        assert bus.faults() == {"cache.conversations.refused": 4}
        assert conversations.of("other").append(record("fine")) is True
        client.delete(key)
        conversations.close()
        assert texts(talk.read()) == ["said"] * 4
