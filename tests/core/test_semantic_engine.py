"""Questions searched by the query engine of a real Redis: by all processes at once, safely."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from redis_servers import started
from semantic_tools import Answer, Codec, Desk, asked, bag_of_words

from agentperf_core.bench.servers import RedisNodes, RedisServer, redis_stack
from agentperf_core.cache import CacheRequest, GuardedStore, MemoryStore, RedisStore, TieredStore
from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.inspection import contents, forget, question_of
from agentperf_core.cache.semantic.cache import SemanticCache
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.flow import Step, arun, run

BUSY_S = 20.0
OPEN_S = 5.0
CARD = "How do I reset the PIN of my debit card?"
CARD_AGAIN = "How can I reset the PIN of my debit card?"
MOON = "Is the moon far away from here?"


def cache_on(name: str = "words", **options: Any) -> SemanticCache:
    """A cache that has looked around, as the first call makes it do."""
    settings: dict[str, Any] = {"shadow_share": 0.0, **options}
    cache = SemanticCache(QuestionEmbedder(bag_of_words, name=name), **settings)
    cache._ledger._is_due = True  # no counters: the server may be gone when they are due
    cache.tier.lessons.follow()
    cache.drain()
    return cache


@dataclass
class Process:
    """A cache of its own on a shared server, as a process has one."""

    url: str
    namespace: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    desk: Desk = field(default_factory=Desk)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.checks: list[str] = []
        self.bus = EventBus()
        self.bus.subscribe(self._hear)
        cluster = self.options.pop("cluster", False)
        inner = RedisStore(
            self.url, namespace=self.namespace, timeout_s=BUSY_S, cluster=cluster, bus=self.bus
        )
        self.store = GuardedStore(inner, budget_s=BUSY_S, clock=self.clock, bus=self.bus)
        settings: dict[str, Any] = {"store": self.store, **self.options}
        self.cache = cache_on(clock=self.clock, bus=self.bus, **settings)

    def _hear(self, event: object) -> None:
        if isinstance(event, DecisionMade) and event.room == "cache.index":
            self.said.append((event.room, event.outcome, event.reason))
        if isinstance(event, DecisionMade) and event.room == "cache.check":
            self.checks.append(event.outcome)

    @property
    def places(self) -> list[str]:
        """Where questions were searched, as the bus heard it."""
        return [outcome for _, outcome, _ in self.said]

    def ask(self, text: str, request: CacheRequest | None = None) -> tuple[str, str]:
        request = request if request is not None else asked(text)
        call = Step(self.desk.reply, self.desk.areply, text)
        return self._decided(run(self.cache.answer(request, call, Codec())))

    async def aask(self, text: str) -> tuple[str, str]:
        call = Step(self.desk.reply, self.desk.areply, text)
        answer = await arun(self.cache.answer(asked(text), call, Codec()))
        return await asyncio.to_thread(self._decided, answer)

    def _decided(self, answer: Answer) -> tuple[str, str]:
        self.cache.drain()
        assert answer.decision is not None
        self.last = answer.decision
        return answer.decision.outcome, answer.decision.tier

    def questions(self) -> list[str]:
        return [key for key in self.store.scan("~q:") if not key.endswith(":state")]


SERVED = ("hit", "semantic")
MISSED = ("miss", "exact")


@pytest.fixture
def process(stack_server: RedisServer, namespace: str) -> Iterator[Callable[..., Process]]:
    """Makes processes on one server; at the end nothing of them is left there."""
    yield lambda **options: Process(options.pop("url", stack_server.url), namespace, options)
    with redis.Redis.from_url(stack_server.url) as client:
        indexes: Any = client.execute_command("FT._LIST")
        for index in indexes:
            if index.decode().startswith(f"{namespace}:"):
                client.execute_command("FT.DROPINDEX", index, "DD")


def test_what_one_process_learns_another_finds_at_once(process: Callable[..., Process]):
    """Nothing is read into the other process: it only asks."""
    one, two = process(), process()
    assert one.ask(CARD) == MISSED
    assert two.ask(CARD_AGAIN) == SERVED
    assert two.desk.calls == []
    assert [len(each.cache.tier.memory) for each in (one, two)] == [0, 0]
    assert one.places == two.places == ["redis"]


async def test_awaited_calls_find_it_too(process: Callable[..., Process]):
    one, two = await asyncio.to_thread(lambda: [process(race="never") for _ in range(2)])
    assert await one.aask(CARD) == MISSED
    assert await two.aask(CARD_AGAIN) == SERVED
    assert await two.aask(MOON) == MISSED
    assert await one.aask(MOON) == ("hit", "exact")


def test_a_restart_finds_what_was_learnt(process: Callable[..., Process]):
    process().ask(CARD)
    assert process().ask(CARD_AGAIN) == SERVED


@pytest.mark.parametrize(
    "other",
    [{"tenant": "bob"}, {"system": "You sell cars."}, {"model": {"class": "m", "model": "other"}}],
    ids=["tenant", "system prompt", "model"],
)
def test_another_scope_is_never_found(process: Callable[..., Process], other: dict[str, Any]):
    one, two = process(), process()
    theirs: dict[str, Any] = {"tenant": "alice", **other}
    one.ask(CARD, asked(CARD, **theirs))
    assert two.ask(CARD_AGAIN, asked(CARD_AGAIN, tenant="alice")) == MISSED
    assert two.ask("x", asked(CARD_AGAIN, **theirs))[0] == "hit"


def test_vectors_of_another_encoder_are_not_found(process: Callable[..., Process]):
    one = process()
    one.ask(CARD)
    other = cache_on("another", store=one.store)
    answer = run(
        other.answer(asked(CARD_AGAIN), Step(one.desk.reply, one.desk.areply, ""), Codec())
    )
    other.drain()
    assert answer.decision is not None
    assert answer.decision.outcome == "miss"


def test_a_follow_up_is_found_in_its_own_conversation_only(process: Callable[..., Process]):
    one, two = process(), process()
    cards = (CARD, "At any machine.", "And what does that cost me?")
    loans = ("What is a loan for a house?", "Money.", "And what does that cost me?")
    one.ask("x", asked(*cards))
    again = ("How can I reset the PIN of my debit card?", *cards[1:])
    assert two.ask("y", asked(*loans)) == MISSED
    assert two.ask("z", asked(*again)) == SERVED


def test_a_tag_takes_the_vector_with_the_answer_whoever_forgets_it(
    process: Callable[..., Process], stack_server: RedisServer, namespace: str
):
    """A write of a tool, or the command line, knows the store alone."""
    one, two = process(), process()
    one.ask(CARD, asked(CARD, tags=("cards",)))
    one.ask(MOON)
    assert len(one.questions()) == 2
    with RedisStore(stack_server.url, namespace=namespace, timeout_s=BUSY_S) as plain:
        assert plain.invalidate("cards") == 2
    (left,) = one.questions()
    assert MOON.encode() in (one.store.get(left) or b"")
    assert two.ask(CARD_AGAIN) == MISSED


def test_a_reported_answer_is_taken_from_all(process: Callable[..., Process]):
    one, two, three = process(), process(), process()
    one.ask(CARD)
    assert two.ask(CARD_AGAIN) == SERVED
    assert run(two.cache.report_bad_hit(two.last.entry or "")) == 1
    assert one.questions() == []
    assert [each.ask(CARD_AGAIN)[0] for each in (two, three)] == ["miss", "hit"]
    assert three.last.entry != two.last.entry


def test_a_question_whose_answer_is_gone_is_forgotten_by_all(process: Callable[..., Process]):
    one, two = process(), process()
    one.ask(CARD)
    assert one.last.key is not None
    (answer,) = one.store.scan(one.last.key)
    one.store.delete(answer)
    assert two.ask(CARD_AGAIN) == MISSED
    names = two.questions()
    assert len(names) == 1
    assert CARD_AGAIN.encode() in (two.store.get(names[0]) or b"")


def test_what_was_cleared_is_gone_and_what_comes_after_is_found(process: Callable[..., Process]):
    one, two = process(), process()
    one.ask(CARD)
    run(two.cache.clear())
    assert two.ask(CARD_AGAIN) == MISSED
    assert one.ask(CARD) == SERVED


def test_a_question_goes_after_its_time(process: Callable[..., Process], stack_server: RedisServer):
    """The time is the server's own: the test asks it to expire the key at once."""
    one, two = process(), process()
    one.ask(CARD)
    with redis.Redis.from_url(stack_server.url) as client:
        (key,) = client.scan_iter(match=f"{one.namespace}:e:~q:*:*:*:*")
        assert 3_500_000 < client.pttl(key) <= 3_600_000
        client.pexpire(key, 0)
    assert two.ask(CARD_AGAIN) == MISSED


def test_behind_a_store_in_process_it_is_used_all_the_same(process: Callable[..., Process]):
    one = process()
    tiered = cache_on(store=TieredStore(MemoryStore(), one.store), clock=one.clock)
    one.ask(CARD)
    call = Step(one.desk.reply, one.desk.areply, "x")
    answer = run(tiered.answer(asked(CARD_AGAIN), call, Codec()))
    assert answer.decision is not None
    assert answer.decision.tier == "semantic"


def test_in_process_if_that_is_asked_for(process: Callable[..., Process]):
    one = process(index="process")
    one.ask(CARD)
    assert one.ask(CARD_AGAIN) == SERVED
    assert (len(one.cache.tier.memory), one.places) == (1, [])


def test_a_process_that_searches_for_itself_reads_what_the_others_keep(
    process: Callable[..., Process],
):
    process().ask(CARD)
    assert process(index="process").ask(CARD_AGAIN) == SERVED


def test_shadow_mode_learns_from_what_the_engine_finds(process: Callable[..., Process]):
    one, two = process(), process(mode="shadow", race="never")
    one.desk.topic = two.desk.topic = lambda text: "the PIN"
    one.ask(CARD)
    assert two.ask(CARD_AGAIN) == MISSED
    assert two.cache.tier.acceptance.labels == 1
    assert two.checks == ["right"]


def test_who_looks_into_the_store_sees_the_questions(process: Callable[..., Process]):
    one = process()
    one.ask(CARD)
    (key,) = one.store.scan(one.last.key or "")
    assert question_of(one.store, key) == CARD
    assert contents(one.store).entries["question"] == 1
    assert forget(one.store, key) == 2
    assert one.questions() == []
    assert one.bus.faults() == {}


def test_a_place_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="index must be 'auto' or 'process', got 'redis'"):
        SemanticCache(bag_of_words, index="redis")  # pyright: ignore[reportArgumentType]


CHILD = """
import sys
sys.path.insert(0, sys.argv[3])
from test_semantic_engine import CARD, Process

process = Process(sys.argv[1], sys.argv[2])
print(*process.ask(CARD), *process.places)
"""


def test_two_real_processes_share_the_index(process: Callable[..., Process]):
    one = process()
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, one.url, one.namespace, str(tests)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        timeout=50,
    )
    assert done.stdout.split() == ["miss", "exact", "redis"]
    assert one.ask(CARD_AGAIN) == SERVED


# Without the engine


@pytest.fixture
def plain(plain_server: RedisServer, namespace: str) -> Callable[[], Process]:
    return lambda: Process(plain_server.url, namespace)


def test_a_redis_without_the_engine_is_followed_and_that_is_said(plain: Callable[[], Process]):
    one, two = plain(), plain()
    one.ask(CARD)
    two.clock.advance(5.0)
    two.ask(MOON)
    assert two.ask(CARD_AGAIN) == SERVED
    (said,) = two.said
    assert said[:2] == ("cache.index", "process")
    assert "searched in this process: this Redis has no query engine" in said[2]
    assert two.bus.faults() == {}


def test_a_cluster_is_followed_and_that_is_said(cluster_servers: RedisNodes, namespace: str):
    one, two = (Process(cluster_servers.url, namespace, {"cluster": True}) for _ in range(2))
    one.ask(CARD)
    two.clock.advance(5.0)
    two.ask(MOON)
    assert two.ask(CARD_AGAIN) == SERVED
    assert two.places == ["process"]
    assert "this is a cluster" in two.said[0][2]
    for each in (one, two):
        each.store.inner.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_database_that_the_engine_does_not_index_is_followed(process: Callable[..., Process]):
    one = process()
    two = process(url=one.url.replace("/0", "/1"))
    assert two.places == ["process"]
    assert "refuses an index" in two.said[0][2]
    two.ask(CARD)
    assert two.ask(CARD_AGAIN) == SERVED
    run(two.cache.clear())


class TestAnEngineThatStopsAnswering:
    """A user who may no longer search: the rest of the server goes on."""

    @pytest.fixture
    def admin(self, stack_server: RedisServer, namespace: str) -> Iterator[Any]:
        with redis.Redis.from_url(stack_server.url) as client:
            client.execute_command(
                *("ACL", "SETUSER", namespace, "on", ">pass", "~*", "&*", "+@all")
            )
            yield client
            client.execute_command("ACL", "DELUSER", namespace)

    @pytest.fixture
    def url(self, stack_server: RedisServer, namespace: str) -> str:
        return stack_server.url.replace("redis://", f"redis://{namespace}:pass@")

    def test_the_process_reads_the_questions_and_goes_back_when_it_answers(
        self, process: Callable[..., Process], admin: Any, url: str, namespace: str
    ):
        other, one = process(), process(url=url, follow_s=1.0)
        other.ask(CARD)
        assert one.ask(CARD_AGAIN) == SERVED
        admin.execute_command("ACL", "SETUSER", namespace, "-ft.search")
        for number in range(3):
            assert one.ask(f"What is topic {number} of all the topics?")[0] == "miss"
        assert one.places == ["redis", "open"]
        assert one.bus.faults() == {"cache.index": 3}
        one.clock.advance(OPEN_S - 0.1)  # time to follow, not yet to try again
        one.ask(MOON)
        assert one.ask("How could I reset the PIN of my debit card?") == SERVED
        assert len(one.cache.tier.memory) == 5
        admin.execute_command("ACL", "SETUSER", namespace, "+ft.search")
        one.clock.advance(OPEN_S)
        other.ask("Do you sell stamps for letters?")
        assert one.ask("Would you sell stamps for letters?") == SERVED
        assert one.places == ["redis", "open", "closed"]

    async def test_no_call_waits_for_it(
        self, process: Callable[..., Process], admin: Any, url: str, namespace: str
    ):
        one = await asyncio.to_thread(lambda: process(url=url, race="never"))
        await asyncio.to_thread(admin.execute_command, "ACL", "SETUSER", namespace, "-ft.search")
        assert await one.aask(CARD) == MISSED
        assert await one.aask(MOON) == MISSED
        assert one.bus.faults() == {"cache.index": 3}

    def test_who_may_not_make_an_index_is_told(
        self, process: Callable[..., Process], admin: Any, url: str, namespace: str
    ):
        admin.execute_command("ACL", "SETUSER", namespace, "-ft.create")
        one = process(url=url)
        assert one.places == ["process"]
        assert "no permissions to run the 'FT.CREATE'" in one.said[0][2]


@pytest.fixture
def own_stack() -> Iterator[RedisServer]:
    yield from started(redis_stack())


def test_a_server_that_dies_breaks_no_call_and_serves_again(own_stack: RedisServer, namespace: str):
    """It comes back empty, its indexes too."""
    one = Process(own_stack.url, namespace)
    one.ask(CARD)
    own_stack.stop()
    for number in range(4):
        assert one.ask(f"What is topic {number} of all the topics?")[0] == "miss"
    assert "open" in one.places
    own_stack.start()
    one.clock.advance(OPEN_S)
    one.ask(MOON)
    one.clock.advance(OPEN_S)
    assert one.ask(CARD) == MISSED
    assert one.ask(CARD_AGAIN) == SERVED
    assert len(one.questions()) > 0


def test_an_entry_that_is_not_ours_hides_no_other(
    process: Callable[..., Process], stack_server: RedisServer
):
    one, two = process(), process()
    one.ask(CARD)
    with redis.Redis.from_url(stack_server.url) as client:
        (key,) = client.scan_iter(match=f"{one.namespace}:e:~q:*:*:*:*")
        found: dict[Any, Any] = client.hgetall(key)
        client.hset(key + b"0", mapping={**found, b"p": b"garbage"})
        client.hset(key + b"1", mapping={**found, b"p": found[b"p"][:2] + b"{}"})
    assert two.ask(CARD_AGAIN) == SERVED
    assert two.bus.faults() == {"cache.index": 1}


def test_a_client_of_the_callers_that_speaks_the_newer_protocol(
    stack_server: RedisServer, namespace: str
):
    client = redis.Redis.from_url(stack_server.url, protocol=3, socket_timeout=BUSY_S)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it is patient, and says so
        inner = RedisStore(client=client, namespace=namespace)
    store = GuardedStore(inner, budget_s=BUSY_S)
    caches = [cache_on(store=store) for _ in range(2)]
    desk, tiers = Desk(), list[str]()
    for cache, text in zip(caches, (CARD, CARD_AGAIN), strict=True):
        call = Step(desk.reply, desk.areply, text)
        answer = run(cache.answer(asked(text), call, Codec()))
        cache.drain()
        assert answer.decision is not None
        tiers.append(answer.decision.tier)
    assert tiers == ["exact", "semantic"]
    client.close()
