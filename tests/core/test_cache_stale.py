"""Time: how long an answer is served, and what an answer past its time is still good for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from exact_tools import REQUEST, Answer, BoomError, Codec, Model, World, drive_async, drive_sync
from flight_tools import WatchedFlight, in_threads
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache import AnswerFacts, CachePolicy, CacheRequest, ExactCache, Hit, Lease
from agentperf_core.cache.codec import Entry, pack
from agentperf_core.cache.exact.lifetimes import freshness, lifetime, rescues
from agentperf_core.cache.exact.refresh import Refresher
from agentperf_core.cache.stores import MemoryStore
from agentperf_core.errors import ConfigError
from agentperf_core.events import DecisionMade
from agentperf_core.flow import Flow, Step, arun, run

STALE = CachePolicy(ttl_s=60, stale_ttl_s=30)
RESCUE = CachePolicy(ttl_s=60, stale_if_error_s=600)
PAST = "an answer past its time, while a new one is made"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=[drive_sync, drive_async], ids=["run", "arun"])
def drive(request: pytest.FixtureRequest) -> Callable[[Flow[Any]], Any]:
    return request.param


def failing(error: BaseException) -> Step[Answer]:
    def fail() -> Answer:
        raise error

    async def fail_later() -> Answer:
        raise error

    return Step(fail, fail_later)


# Lifetimes


@pytest.mark.parametrize(
    ("policy", "expires_at", "expected"),
    [
        (CachePolicy(ttl_s=None), None, (None, None, None)),
        (CachePolicy(ttl_s=None), 1050.0, (1050.0, 1050.0, 50.0)),
        (CachePolicy(ttl_s=60), None, (1060.0, 1060.0, 60)),
        (CachePolicy(ttl_s=60), 1050.0, (1050.0, 1050.0, 50.0)),
        (CachePolicy(ttl_s=60), 2000.0, (1060.0, 1060.0, 60)),
        (CachePolicy(ttl_s=60, stale_ttl_s=30), None, (1060.0, 1090.0, 90)),
        (CachePolicy(ttl_s=60, stale_ttl_s=30), 1070.0, (1060.0, 1070.0, 70.0)),
        (
            CachePolicy(ttl_s=60, stale_ttl_s=30, stale_if_error_s=100),
            None,
            (1060.0, 1160.0, 160),
        ),
        (CachePolicy(ttl_s=60), 990.0, (990.0, 990.0, -10.0)),
    ],
)
def test_an_entry_ends_with_the_policy_or_with_what_it_is_built_on(
    policy: CachePolicy, expires_at: float | None, expected: tuple[Any, ...]
):
    assert lifetime(policy, "key", 1000.0, expires_at) == expected


@given(st.text(), st.floats(0, 0.99), st.floats(1, 1e6))
def test_jitter_only_shortens_and_is_the_same_in_every_process(key: str, share: float, ttl: float):
    policy = CachePolicy(ttl_s=ttl, ttl_jitter=share)
    life = lifetime(policy, key, 0.0, None)
    assert life == lifetime(policy, key, 0.0, None)
    assert life.keep_s is not None
    assert ttl * (1 - share) * 0.999 <= life.keep_s <= ttl


def test_jitter_spreads_entries_that_were_made_together():
    policy = CachePolicy(ttl_s=100, ttl_jitter=0.5)
    ends = {lifetime(policy, f"key {n}", 0.0, None).keep_s for n in range(100)}
    assert len(ends) == 100
    assert min(end for end in ends if end) < 60
    assert max(end for end in ends if end) > 90


@given(
    st.floats(0, 500),
    st.builds(
        CachePolicy,
        ttl_s=st.floats(1, 100),
        stale_ttl_s=st.floats(0, 100),
        stale_if_error_s=st.floats(0, 100),
        ttl_jitter=st.floats(0, 0.9),
    ),
    st.none() | st.floats(1, 300),
)
def test_nothing_is_given_past_what_it_is_built_on(
    age: float, policy: CachePolicy, expires: float | None
):
    life = lifetime(policy, "key", 0.0, expires)
    entry = Entry(body={}, made_at=0.0, took_s=None, fresh_until=life.fresh_until, until=life.until)
    state = freshness(policy, entry, age)
    assert policy.ttl_s is not None
    if expires is not None and age >= expires:
        assert (state, rescues(policy, entry, age)) == ("over", False)
    if state == "fresh":
        assert age < policy.ttl_s
    if state == "stale":
        assert age < policy.ttl_s + policy.stale_ttl_s
    if rescues(policy, entry, age):
        assert age < policy.ttl_s + policy.stale_if_error_s


def test_a_policy_that_was_shortened_counts_for_what_is_stored_already(world: World, drive):
    store, model = MemoryStore(clock=world.clock), Model(world.clock)
    long = world.cache(store, CachePolicy(ttl_s=3600))
    drive(long.answer(REQUEST, model.step, world.codec))
    world.clock.advance(100)
    short = world.cache(store, CachePolicy(ttl_s=60))
    assert drive(short.answer(REQUEST, model.step, world.codec)).text == "answer 2"


def test_an_answer_expires_with_the_tool_results_that_it_is_built_on(world: World, drive):
    cache, model = world.cache(policy=CachePolicy(ttl_s=3600)), Model(world.clock)
    request = replace(REQUEST, expires_at=world.clock.time() + 10)
    drive(cache.answer(request, model.step, world.codec))
    world.clock.advance(8)
    assert drive(cache.answer(request, model.step, world.codec)).text == "answer 1"
    world.clock.advance(1)
    assert drive(cache.answer(request, model.step, world.codec)).text == "answer 2"


def test_an_answer_built_on_what_has_expired_meanwhile_is_not_stored(world: World, drive):
    """The call takes a second; the price that it talks about holds for half of that."""
    cache, model = world.cache(), Model(world.clock)
    request = replace(REQUEST, expires_at=world.clock.time() + 0.5)
    answer = drive(cache.answer(request, model.step, world.codec))
    assert (answer.decision.outcome, answer.decision.reason) == (
        "bypass",
        "what it is built on has expired",
    )


def test_the_policy_of_the_route_says_how_long(world: World, drive):
    cache, model = world.cache(policy=CachePolicy(ttl_s=3600)), Model(world.clock)
    request = replace(REQUEST, policy=CachePolicy(ttl_s=5))
    drive(cache.answer(request, model.step, world.codec))
    world.clock.advance(5)
    assert drive(cache.answer(request, model.step, world.codec)).text == "answer 2"


# Stale while a new one is made


def test_a_stale_answer_is_served_at_once_and_renewed_behind(world: World):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    call = failing(BoomError())

    def ask() -> Answer:
        return run(cache.answer(REQUEST, call, world.codec, refresh=model.step))

    run(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    stale = ask()
    cache.drain()
    fresh = ask()
    assert (stale.text, fresh.text, model.calls) == ("answer 1", "answer 2", 2)
    assert stale.decision is not None
    assert (stale.decision.stale, stale.decision.reason, stale.decision.age_s) == (True, PAST, 60.0)
    assert fresh.decision is not None
    assert (fresh.decision.stale, fresh.decision.age_s) == (False, 0.0)
    assert world.decisions() == ["miss", "hit", "refresh", "hit"]
    assert cache.stats().refreshes == cache.stats().stale == cache.stats().misses == 1
    assert len(cache._flight) == 0


async def test_the_same_on_an_event_loop(world: World):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    step = failing(BoomError())
    await arun(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    stale = await arun(cache.answer(REQUEST, step, world.codec, refresh=model.step))
    await cache.adrain()
    fresh = await arun(cache.answer(REQUEST, step, world.codec, refresh=model.step))
    assert (stale.text, fresh.text, model.calls) == ("answer 1", "answer 2", 2)


def test_a_stream_s_acquire_does_the_same(world: World):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    run(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    got = run(cache.acquire(REQUEST, world.codec, refresh=model.step))
    cache.drain()
    assert isinstance(got, Hit)
    assert (got.decision.stale, model.calls) == (True, 2)


def test_past_the_stale_time_the_caller_waits_for_a_new_one(world: World, drive):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    drive(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(90)
    answer = drive(cache.answer(REQUEST, model.step, world.codec, refresh=failing(BoomError())))
    assert (answer.text, answer.decision.outcome) == ("answer 2", "miss")


def test_without_a_detached_call_a_stale_answer_is_not_served(world: World, drive):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    drive(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    assert drive(cache.answer(REQUEST, model.step, world.codec)).text == "answer 2"
    world.clock.advance(60)
    assert drive(cache.recall("k" * 64, world.codec)) is None


def test_many_callers_of_a_stale_answer_make_one_new_one(world: World):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    run(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    release = threading.Event()

    def slow() -> Answer:
        assert release.wait(30)
        return model.call()

    refresh = Step(slow, model.later)
    step = failing(BoomError())
    found = in_threads(
        20, lambda: run(cache.answer(REQUEST, step, world.codec, refresh=refresh)).text
    )
    release.set()
    cache.drain()
    assert (found, model.calls) == (["answer 1"] * 20, 2)


async def test_many_tasks_do_too(world: World):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    await arun(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    step = failing(BoomError())
    found = await asyncio.gather(
        *(arun(cache.answer(REQUEST, step, world.codec, refresh=model.step)) for _ in range(20))
    )
    await cache.adrain()
    assert ({answer.text for answer in found}, model.calls) == ({"answer 1"}, 2)


def test_a_refresh_that_fails_is_a_fault_and_the_next_caller_tries_again(world: World):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    run(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    for _ in range(2):
        answer = run(cache.answer(REQUEST, model.step, world.codec, refresh=failing(BoomError())))
        cache.drain()
        assert answer.text == "answer 1"
    assert world.faults() == ["cache.refresh"] * 2
    assert len(cache._flight) == 0


async def test_a_refresh_whose_loop_ends_hands_over(world: World):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    await arun(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)

    async def for_ever() -> Answer:
        await asyncio.Event().wait()
        return Answer("never")

    refresh = Step(model.call, for_ever)
    await arun(cache.answer(REQUEST, model.step, world.codec, refresh=refresh))
    await asyncio.sleep(0)
    (task,) = cache._refresher._running
    assert isinstance(task, asyncio.Task)
    assert task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(cache._flight) == 0
    await arun(cache.answer(REQUEST, model.step, world.codec, refresh=model.step))
    await cache.adrain()
    assert model.calls == 2


def test_a_refused_new_answer_leaves_the_old_one(world: World):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    run(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    cut_off = Model(world.clock, finish_reason="length")
    texts = [
        run(cache.answer(REQUEST, model.step, world.codec, refresh=cut_off.step)).text
        for _ in range(2)
    ]
    cache.drain()
    assert texts == ["answer 1", "answer 1"]
    event = next(e for e in world.events if isinstance(e, DecisionMade) and e.outcome == "refresh")
    assert "it is not whole" in event.reason


def test_what_it_is_built_on_ends_the_stale_time_too(world: World, drive):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    request = replace(REQUEST, expires_at=world.clock.time() + 70)
    drive(cache.answer(request, model.step, world.codec))
    world.clock.advance(69)
    answer = drive(cache.answer(request, model.step, world.codec, refresh=failing(BoomError())))
    assert answer.text == "answer 2"


def test_only_so_many_refreshes_run_at_once(world: World):
    refresher, release, running = Refresher(most=2), threading.Event(), list[bool]()

    def job() -> Flow[None]:
        running.append(release.wait(30))
        yield from ()

    begun = [run(iter(refresher.begin(job))) for _ in range(4)]
    release.set()
    refresher.drain()
    assert (begun, running) == ([True, True, False, False], [True, True])
    assert run(iter(refresher.begin(job)))
    refresher.drain()


def test_a_refresh_that_finds_no_room_leaves_the_key_to_the_next(world: World):
    cache, model = world.cache(policy=STALE), Model(world.clock)
    cache._refresher._most = 0
    run(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    answer = run(cache.answer(REQUEST, model.step, world.codec, refresh=model.step))
    assert (answer.text, model.calls, len(cache._flight)) == ("answer 1", 1, 0)


def test_a_refresh_that_cannot_even_begin_costs_nobody_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """A thread pool takes no work while the interpreter goes down."""
    cache, model = world.cache(policy=STALE), Model(world.clock)

    def begin(_: object) -> Step[bool]:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(cache._refresher, "begin", begin)
    run(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(60)
    answer = run(cache.answer(REQUEST, model.step, world.codec, refresh=model.step))
    assert (answer.text, world.faults(), len(cache._flight)) == ("answer 1", ["cache.refresh"], 0)


# Stale instead of an error


def test_an_answer_past_its_time_is_better_than_an_error(world: World, drive):
    cache, model = world.cache(policy=RESCUE), Model(world.clock)
    drive(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(500)
    answer = drive(cache.answer(REQUEST, failing(BoomError("down")), world.codec))
    assert (answer.text, answer.decision.outcome) == ("answer 1", "hit")
    assert answer.decision.stale
    assert answer.decision.reason == (
        "the call failed (BoomError), so an answer past its time is given"
    )
    assert len(cache._flight) == 0


def test_past_its_time_for_errors_the_error_is_raised(world: World, drive):
    cache, model = world.cache(policy=RESCUE), Model(world.clock)
    drive(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(660)
    with pytest.raises(BoomError):
        drive(cache.answer(REQUEST, failing(BoomError()), world.codec))


def test_a_call_that_takes_too_long_to_fail_is_not_rescued_either(world: World):
    """The clock is read when the call has failed, not when it began."""
    cache, model = world.cache(policy=RESCUE), Model(world.clock)
    run(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(600)

    def slow() -> Answer:
        world.clock.advance(60)
        raise BoomError

    with pytest.raises(BoomError):
        run(cache.answer(REQUEST, Step(slow, model.later), world.codec))


def test_without_the_policy_an_error_is_an_error(world: World, drive):
    cache, model = world.cache(policy=CachePolicy(ttl_s=60, stale_ttl_s=600)), Model(world.clock)
    drive(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(100)
    with pytest.raises(BoomError):
        drive(cache.answer(REQUEST, failing(BoomError()), world.codec))


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_whoever_gives_up_wants_no_stale_answer(world: World, error: type[BaseException]):
    cache, model = world.cache(policy=RESCUE), Model(world.clock)
    run(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(100)
    with pytest.raises(error):
        run(cache.answer(REQUEST, failing(error()), world.codec))


def test_everybody_who_waited_for_two_failed_calls_gets_the_stale_answer(world: World):
    cache, flight = world.cache(policy=RESCUE), WatchedFlight()
    cache._flight = flight
    model = Model(world.clock)
    run(cache.answer(REQUEST, model.step, world.codec))
    flight._joined = 0
    world.clock.advance(100)
    attempts: list[int] = []

    def slow() -> Answer:
        attempts.append(1)
        if len(attempts) == 1:
            flight.wait_for(10)
        raise BoomError

    step = Step(slow, model.later)
    found = in_threads(10, lambda: run(cache.answer(REQUEST, step, world.codec)).text)
    assert (found, len(attempts)) == (["answer 1"] * 10, 2)


def test_a_stream_that_cannot_be_opened_is_rescued_by_its_lease(world: World, drive):
    cache, model = world.cache(policy=RESCUE), Model(world.clock)
    drive(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(100)
    lease = drive(cache.acquire(REQUEST, world.codec))
    assert isinstance(lease, Lease)
    hit = lease.rescue(BoomError())
    assert hit is not None
    assert (hit.answer.text, hit.decision.stale) == ("answer 1", True)
    assert isinstance(drive(cache.acquire(REQUEST, world.codec)), Lease)


# Sizes, tags, wordings, versions


def test_an_answer_that_is_too_large_is_returned_and_not_stored(world: World, drive):
    cache, model = world.cache(policy=CachePolicy(max_bytes=150)), Model(world.clock)
    big = Step(
        lambda: Answer("x" * 100), lambda: asyncio.sleep(0, Answer("x" * 100, AnswerFacts()))
    )
    answer = drive(cache.answer(REQUEST, big, world.codec))
    assert answer.decision.outcome == "bypass"
    assert "more than max_bytes=150" in answer.decision.reason
    assert drive(cache.answer(REQUEST, model.step, world.codec)).text == "answer 1"


def test_answers_are_forgotten_by_tag(world: World, drive):
    cache, model = world.cache(), Model(world.clock)
    one, two = CacheRequest("1", tags=("order:1",)), CacheRequest("2", tags=("order:2",))
    for request in (one, two):
        drive(cache.answer(request, model.step, world.codec))
    assert drive(cache.invalidate("order:1")) == 1
    texts = [drive(cache.answer(request, model.step, world.codec)).text for request in (one, two)]
    assert texts == ["answer 3", "answer 2"]
    assert drive(cache.clear()) == 2
    assert drive(cache.recall("2", world.codec)) is None


def test_an_answer_that_was_wrong_is_forgotten_by_its_entry(world: World, drive):
    cache, model = world.cache(), Model(world.clock)
    for request in (REQUEST, CacheRequest("other" * 8)):
        drive(cache.answer(request, model.step, world.codec))
    served = drive(cache.answer(REQUEST, model.step, world.codec)).decision
    assert drive(cache.report_bad_hit(served.entry)) == 1
    assert drive(cache.report_bad_hit(served.entry)) == 0
    assert drive(cache.answer(REQUEST, model.step, world.codec)).text == "answer 3"
    assert drive(cache.recall("other" * 8, world.codec)) is not None
    with pytest.raises(ConfigError, match="entry must be the entry of a CacheDecision, got ''"):
        drive(cache.report_bad_hit(""))


def test_the_same_question_in_another_form_is_a_hit_of_the_normalised_tier(world: World, drive):
    cache, model = world.cache(), Model(world.clock)
    one, two = CacheRequest("slot", wording="one"), CacheRequest("slot", wording="two")
    drive(cache.answer(one, model.step, world.codec))
    tiers = [drive(cache.answer(r, model.step, world.codec)).decision for r in (one, two)]
    assert [decision.tier for decision in tiers] == ["exact", "normalised"]
    assert tiers[1].reason == "the same question in another form was answered before"
    assert dict(cache.stats().hits) == {"exact": 1, "normalised": 1}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"v":1,"at":1,"took":1,"usage":null,"body":{}}', "it is of another version"),
        (b"AP1j{}", "it is of another version"),
        (b"AP2jgarbage", "it cannot be read"),
        (pack(Entry(body={"other": 1}, made_at=2e9, took_s=None)), "it does not fit the adapter"),
    ],
)
def test_a_value_that_cannot_be_used_is_a_miss_with_a_counted_reason(
    world: World, drive, raw: bytes, reason: str
):
    store = MemoryStore(clock=world.clock)
    cache, model = world.cache(store), Model(world.clock)
    store.set("k" * 64, raw, None)
    assert drive(cache.answer(REQUEST, model.step, world.codec)).decision.outcome == "miss"
    assert dict(cache.stats().discarded) == {reason: 1}
    assert world.faults() == ["cache.decode"]


def test_questions_are_stored_only_where_somebody_wants_them(world: World):
    from agentperf_core.cache.answers import Question

    request = replace(REQUEST, question=Question("scope", "why?", "what?"))
    for keep in (False, True):
        cache: ExactCache = world.cache(keep_questions=keep)
        run(cache.answer(request, Model(world.clock).step, Codec()))
        entry = run(cache.look(request))
        assert entry is not None
        assert entry.question == (request.question if keep else None)
