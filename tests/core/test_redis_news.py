"""News in Redis: who follows others reads what is new, and not the whole server every time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from semantic_tools import Codec, Desk, asked, bag_of_words

from agentperf_core.bench.servers import RedisNodes, RedisServer
from agentperf_core.cache import RedisStore
from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.semantic.cache import SemanticCache
from agentperf_core.cache.stores import redis_layout
from agentperf_core.clock import FakeClock
from agentperf_core.events import EventBus
from agentperf_core.flow import Step, run

BUSY_S = 20.0
FOLLOW_S = 5.0
CARD = "How do I reset the PIN of my debit card?"
CARD_AGAIN = "How can I reset the PIN of my debit card?"


@pytest.fixture
def store(plain_server: RedisServer, namespace: str) -> Iterator[RedisStore]:
    with RedisStore(plain_server.url, namespace=namespace, timeout_s=BUSY_S) as store:
        yield store


def test_what_was_told_after_a_place_is_heard_in_order(store: RedisStore):
    news = store.news
    place = news.announce("channel", "")
    for text in ("one", "two", "\ud800", "one"):
        news.announce("channel", text)
    news.announce("another channel", "three")
    heard = news.since("channel", place)
    assert heard is not None
    last, texts = heard
    assert texts == ["one", "two", "\ud800", "one"]
    assert news.since("channel", last) == (last, [])


def test_a_channel_that_does_not_reach_back_says_so(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
):
    """Who was away for long, or whose server was emptied, has to look at everything."""
    monkeypatch.setattr(redis_layout, "_MOST_NEWS", 10)
    news = store.news
    assert news.since("channel", b"1-1") is None
    place = news.announce("channel", "")
    for number in range(1000):
        news.announce("channel", str(number))
    assert news.since("channel", place) is None
    store.clear()
    assert news.since("channel", place) is None


def test_news_end_by_themselves(store: RedisStore, plain_server: RedisServer, namespace: str):
    store.news.announce("channel", "text")
    with redis.Redis.from_url(plain_server.url) as client:
        assert 0 < client.ttl(f"{namespace}:n:channel") <= 7 * 24 * 3600


class Follower:
    """A process that reads what others have learnt; it looks when it is told to."""

    def __init__(self, url: str, namespace: str, *, cluster: bool = False) -> None:
        self.clock, self.desk, bus = FakeClock(), Desk(), EventBus()
        self.store = RedisStore(url, namespace=namespace, timeout_s=BUSY_S, cluster=cluster)
        self.cache = SemanticCache(
            QuestionEmbedder(bag_of_words, name="words"),
            store=self.store,
            shadow_share=0.0,
            follow_s=FOLLOW_S,
            clock=self.clock,
            bus=bus,
        )
        self.cache._ledger._is_due = True  # no counters: they would be read and written, too
        self.bus = bus

    def look(self) -> None:
        self.clock.advance(FOLLOW_S)
        self.cache.tier.lessons.follow()
        self.cache.drain()

    def ask(self, text: str) -> str:
        call = Step(self.desk.reply, self.desk.areply, text)
        answer = run(self.cache.answer(asked(text), call, Codec()))
        self.cache.drain()
        assert answer.decision is not None
        return answer.decision.outcome


def commands(server: RedisServer) -> dict[str, int]:
    with redis.Redis.from_url(server.url) as books:
        calls: dict[str, Any] = books.info("commandstats")
        books.config_resetstat()
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in calls.items()}


def test_a_process_that_follows_lists_the_server_once(own_server: RedisServer, namespace: str):
    """It listed the keys of the whole server every five seconds, as many as there were."""
    one, two = (Follower(own_server.url, namespace) for _ in range(2))
    two.look()
    commands(own_server)
    for number in range(3):
        one.ask(f"What is topic number {number} of all the topics?")
        two.look()
        two.look()
    assert len(two.cache.tier.memory) == 3
    counts = commands(own_server)
    assert counts["xrange"] == 6
    assert counts.get("scan", 0) == 1, "the first process, when it began"
    assert one.bus.faults() == two.bus.faults() == {}


def test_a_question_of_ones_own_is_not_read_again(own_server: RedisServer, namespace: str):
    one = Follower(own_server.url, namespace)
    one.look()
    one.ask(CARD)
    commands(own_server)
    one.look()
    counts = commands(own_server)
    assert (counts["xrange"], counts.get("get", 0)) == (1, 0)


def test_after_a_gap_everything_is_looked_at(own_server: RedisServer, namespace: str):
    one, two = (Follower(own_server.url, namespace) for _ in range(2))
    two.look()
    one.ask(CARD)
    with redis.Redis.from_url(own_server.url) as client:
        (stream,) = client.scan_iter(match=f"{namespace}:n:*")
        client.delete(stream)
    two.look()
    assert two.ask(CARD_AGAIN) == "hit"
    two.look()
    commands(own_server)
    two.look()
    assert commands(own_server).get("scan", 0) == 0


def test_who_may_not_tell_news_is_followed_as_before(own_server: RedisServer, namespace: str):
    with redis.Redis.from_url(own_server.url) as admin:
        acl = ("ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all", "-@stream")
        admin.execute_command(*acl)
    url = own_server.url.replace("redis://", "redis://app:pass@")
    one, two = (Follower(url, namespace) for _ in range(2))
    two.look()
    one.ask(CARD)
    two.look()
    assert two.ask(CARD_AGAIN) == "hit"
    assert set(two.bus.faults()) == {"cache.semantic"}


def test_on_a_cluster_too(cluster_servers: RedisNodes, namespace: str):
    one, two = (Follower(cluster_servers.url, namespace, cluster=True) for _ in range(2))
    two.look()
    one.ask(CARD)
    two.look()
    assert two.ask(CARD_AGAIN) == "hit"
    for each in (one, two):
        each.store.close()
