"""The exact cache: one call per answer, every decision on record, and no way to break a call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from exact_tools import (
    REQUEST,
    USAGE,
    Answer,
    BoomError,
    Codec,
    Model,
    World,
    drive_async,
    drive_sync,
)
from flight_tools import WatchedFlight, in_threads, outcome

from agentperf_core.cache import (
    AnswerFacts,
    CacheDecision,
    CachePolicy,
    CacheRequest,
    ExactCache,
    Hit,
    Lease,
    MemoryStore,
    request_key,
)
from agentperf_core.cache.codec import unpack
from agentperf_core.events import DecisionMade
from agentperf_core.flow import Flow, Step, arun, run


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=[drive_sync, drive_async], ids=["run", "arun"])
def drive(request: pytest.FixtureRequest) -> Callable[[Flow[Any]], Any]:
    return request.param


# Hit, miss, bypass


def test_the_second_equal_request_is_served(world: World, drive):
    cache, model = world.cache(), Model(world.clock)
    first = drive(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(10)
    second = drive(cache.answer(REQUEST, model.step, world.codec))
    assert (first.text, second.text, model.calls) == ("answer 1", "answer 1", 1)
    assert first.decision == CacheDecision(
        outcome="miss", reason="answered and stored", key="k" * 16
    )
    assert second.decision == CacheDecision(
        outcome="hit",
        reason="an equal request was answered before",
        key="k" * 16,
        entry="k" * 16,
        age_s=10.0,
        saved_usage=USAGE,
        saved_s=1.0,
    )
    assert world.decisions() == ["miss", "hit"]


def test_every_hit_is_a_copy_of_its_own(world: World, drive):
    cache, model = world.cache(), Model(world.clock)
    drive(cache.answer(REQUEST, model.step, world.codec))
    copies = [drive(cache.answer(REQUEST, model.step, world.codec)).copy for _ in range(3)]
    assert copies == [1, 2, 3]


def test_another_request_is_another_answer(world: World, drive):
    cache, model = world.cache(), Model(world.clock)
    texts = [
        drive(cache.answer(CacheRequest(key), model.step, world.codec)).text for key in ("a", "b")
    ]
    assert texts == ["answer 1", "answer 2"]


def test_a_request_that_cannot_be_cached_goes_through_and_says_why(world: World, drive):
    cache, model = world.cache(), Model(world.clock)
    request = CacheRequest(None, bypass="temperature 1 asks for variety")
    answers = [drive(cache.answer(request, model.step, world.codec)) for _ in range(2)]
    assert [answer.text for answer in answers] == ["answer 1", "answer 2"]
    assert answers[0].decision == CacheDecision(
        outcome="bypass", reason="temperature 1 asks for variety"
    )
    assert world.decisions() == ["bypass", "bypass"]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"finish_reason": "length"}, "it is not whole (finish reason 'length')"),
        ({"refused": True}, "it is a refusal"),
        ({"empty": True}, "it is empty"),
        ({"invalid": True}, "its tool calls could not be parsed"),
    ],
)
def test_an_answer_that_is_refused_is_returned_and_not_stored(
    world: World, drive, facts: dict[str, Any], reason: str
):
    cache, model = world.cache(), Model(world.clock, **facts)
    answers = [drive(cache.answer(REQUEST, model.step, world.codec)) for _ in range(2)]
    assert model.calls == 2
    assert {(a.decision.outcome, a.decision.reason) for a in answers} == {("bypass", reason)}


def test_an_answer_expires_with_the_policy_s_time_to_live(world: World, drive):
    cache, model = world.cache(policy=CachePolicy(ttl_s=60)), Model(world.clock)
    drive(cache.answer(REQUEST, model.step, world.codec))
    world.clock.advance(59)
    assert drive(cache.answer(REQUEST, model.step, world.codec)).text == "answer 1"
    world.clock.advance(1)
    assert drive(cache.answer(REQUEST, model.step, world.codec)).text == "answer 2"


def test_the_decision_on_the_bus_is_plain_data(world: World, drive):
    cache, model = world.cache(), Model(world.clock)
    for _ in range(2):
        drive(cache.answer(REQUEST, model.step, world.codec))
    hit = world.events[-1]
    assert isinstance(hit, DecisionMade)
    assert (hit.room, hit.outcome) == ("cache", "hit")
    assert hit.details["saved_usage"]["output_tokens"] == 10


def test_an_error_of_the_call_reaches_the_caller_and_stores_nothing(world: World, drive):
    cache, model = world.cache(), Model(world.clock)

    def fail() -> Answer:
        raise BoomError("provider down")

    async def fail_later() -> Answer:
        fail()
        raise AssertionError

    with pytest.raises(BoomError, match="provider down"):
        drive(cache.answer(REQUEST, Step(fail, fail_later), world.codec))
    assert drive(cache.answer(REQUEST, model.step, world.codec)).text == "answer 1"
    assert len(cache._flight) == 0


# A store that fails


class BrokenStore(MemoryStore):
    """Raises wherever it is told to."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self._broken = broken

    def get(self, key: str) -> bytes | None:
        return self._do("get", lambda: MemoryStore.get(self, key))

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        self._do("set", lambda: MemoryStore.set(self, key, value, ttl_s, tags))

    async def aget(self, key: str) -> bytes | None:
        return self.get(key)

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        self.set(key, value, ttl_s, tags)

    def _do(self, what: str, action: Callable[[], Any]) -> Any:
        if what in self._broken:
            raise ConnectionError(f"{what}: store down")
        return action()


@pytest.mark.parametrize(
    ("broken", "calls", "faults"),
    [(("get",), 2, 2), (("set",), 2, 2), (("get", "set"), 2, 4)],
    ids=["get", "set", "both"],
)
def test_a_store_that_raises_is_a_miss_and_a_counted_fault(
    world: World, drive, broken: tuple[str, ...], calls: int, faults: int
):
    cache, model = world.cache(BrokenStore(*broken)), Model(world.clock)
    texts = [drive(cache.answer(REQUEST, model.step, world.codec)).text for _ in range(2)]
    assert (texts, model.calls) == (["answer 1", "answer 2"], calls)
    assert world.faults() == ["cache.store"] * faults
    assert world.bus.faults() == {"cache.store": faults}


def test_followers_are_served_even_if_the_store_is_down(world: World):
    flight = WatchedFlight()
    cache, model = world.cache(BrokenStore("get", "set")), Model(world.clock)
    cache._flight = flight

    def slow() -> Answer:
        flight.wait_for(10)
        return model.call()

    found = in_threads(
        10, lambda: run(cache.answer(REQUEST, Step(slow, model.later), world.codec)).text
    )
    assert (found, model.calls) == (["answer 1"] * 10, 1)


@pytest.mark.parametrize(
    "poison",
    [b"", b"garbage", b'{"v":99}', b'{"v":1,"at":1,"took":1,"usage":null,"body":"x"}'],
    ids=["empty", "garbage", "version", "body"],
)
def test_poisoned_bytes_are_a_miss_and_are_replaced(world: World, drive, poison: bytes):
    store = MemoryStore(clock=world.clock)
    cache, model = world.cache(store), Model(world.clock)
    store.set("k" * 64, poison, ttl_s=None)
    assert drive(cache.answer(REQUEST, model.step, world.codec)).text == "answer 1"
    assert world.faults() == ["cache.decode"]
    assert unpack(store.get("k" * 64) or b"").body == {"text": "answer 1"}
    assert drive(cache.answer(REQUEST, model.step, world.codec)).text == "answer 1"


# A codec that fails


def test_an_answer_that_cannot_be_decoded_is_a_miss(world: World, drive):
    class Undecodable(Codec):
        def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> Answer:
            raise KeyError("text")

    cache, model = world.cache(), Model(world.clock)
    texts = [drive(cache.answer(REQUEST, model.step, Undecodable())).text for _ in range(2)]
    assert texts == ["answer 1", "answer 2"]
    assert world.faults() == ["cache.decode"]


@pytest.mark.parametrize("method", ["facts", "encode"])
def test_an_answer_that_cannot_be_encoded_is_returned_and_not_stored(
    world: World, drive, method: str
):
    def broken(_: Answer) -> Any:
        raise TypeError("no")

    setattr(world.codec, method, broken)
    cache, model = world.cache(), Model(world.clock)
    answer = drive(cache.answer(REQUEST, model.step, world.codec))
    assert (answer.text, answer.decision.outcome) == ("answer 1", "bypass")
    assert world.faults() == ["cache.encode"]


def test_an_answer_that_is_no_plain_data_is_returned_and_not_stored(world: World, drive):
    world.codec.encode = lambda answer: {"object": object()}  # pyright: ignore[reportAttributeAccessIssue] - broken on purpose
    cache, model = world.cache(), Model(world.clock)
    answer = drive(cache.answer(REQUEST, model.step, world.codec))
    assert (answer.decision.outcome, answer.decision.reason) == ("bypass", "not plain data")


def test_an_answer_that_cannot_be_marked_is_returned_as_it_is(world: World, drive):
    def broken(answer: Answer, decision: CacheDecision) -> Answer:
        raise AttributeError("frozen")

    world.codec.mark = broken
    cache, model = world.cache(), Model(world.clock)
    answer = drive(cache.answer(REQUEST, model.step, world.codec))
    assert (answer.text, answer.decision) == ("answer 1", None)
    assert world.faults() == ["cache.mark"]


# Equal requests at the same time


def watched(world: World, **options: Any) -> tuple[ExactCache, WatchedFlight]:
    cache, flight = world.cache(**options), WatchedFlight()
    cache._flight = flight
    return cache, flight


def test_a_hundred_threads_make_one_call(world: World):
    cache, flight = watched(world)
    model = Model(world.clock)

    def slow() -> Answer:
        flight.wait_for(100)
        return model.call()

    step = Step(slow, model.later)
    found = in_threads(100, lambda: run(cache.answer(REQUEST, step, world.codec)))
    assert {answer.text for answer in found} == {"answer 1"}
    assert (model.calls, len(flight)) == (1, 0)
    outcomes = sorted(world.decisions())
    assert outcomes == ["coalesced"] * 99 + ["miss"]
    assert len({answer.copy for answer in found}) == 100, "each caller has a copy of its own"


async def test_a_hundred_tasks_make_one_call_also_when_the_first_fails(world: World):
    cache, flight = watched(world)
    model = Model(world.clock)
    attempts = 0

    async def slow() -> Answer:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.to_thread(flight.wait_for, 100)
            raise BoomError
        return await model.later()

    step = Step(model.call, slow)
    found = await asyncio.gather(
        *(arun(cache.answer(REQUEST, step, world.codec)) for _ in range(100)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, BoomError) for answer in found) == 1
    assert sum(isinstance(answer, Answer) for answer in found) == 99
    assert (attempts, model.calls, len(flight)) == (2, 1, 0)


def test_a_coalesced_answer_says_what_it_saved(world: World):
    cache, flight = watched(world)
    model = Model(world.clock)

    def slow() -> Answer:
        flight.wait_for(2)
        return model.call()

    found = in_threads(
        2, lambda: run(cache.answer(REQUEST, Step(slow, model.later), world.codec)).decision
    )
    shared = next(decision for decision in found if decision.outcome == "coalesced")
    assert (shared.saved_s, shared.saved_usage, shared.age_s) == (1.0, USAGE, 0.0)
    assert shared.reason == "an equal request was in flight"


def test_the_error_of_two_failed_calls_reaches_everyone(world: World):
    cache, flight = watched(world)
    attempts = 0

    def slow() -> Answer:
        nonlocal attempts
        attempts += 1
        number = attempts
        if number == 1:
            flight.wait_for(20)
        raise BoomError(number)

    step = Step(slow, Model(world.clock).later)
    found = in_threads(20, lambda: run(cache.answer(REQUEST, step, world.codec)))
    assert sorted(error.args[0] for error in found) == [1] + [2] * 19
    assert (attempts, len(flight)) == (2, 0)


def test_an_answer_that_may_not_be_stored_is_not_shared_either(world: World):
    cache, flight = watched(world)
    model = Model(world.clock, finish_reason="length")
    first = threading.Event()

    def slow() -> Answer:
        if not first.is_set():
            first.set()
            flight.wait_for(5)
        return model.call()

    step = Step(slow, model.later)
    found = in_threads(5, lambda: run(cache.answer(REQUEST, step, world.codec)).text)
    assert len(set(found)) == model.calls == 5
    assert len(flight) == 0


def test_the_time_spent_waiting_is_not_taken_for_the_model_s(world: World):
    """A follower whose answer could not be shared makes its own call: one second, not eleven."""
    store = MemoryStore(clock=world.clock)
    cache, flight = watched(world, store=store)
    model = Model(world.clock)
    lease = run(cache.acquire(REQUEST, world.codec))
    assert isinstance(lease, Lease)
    found: list[Any] = []
    follower = threading.Thread(
        target=lambda: found.append(run(cache.answer(REQUEST, model.step, world.codec)))
    )
    follower.start()
    flight.wait_for(2)
    world.clock.advance(10)
    run(lease.finish(Answer("cut off", AnswerFacts(finish_reason="length"))))
    follower.join()
    assert unpack(store.get("k" * 64) or b"").took_s == 1.0


def test_a_caller_that_looked_just_before_the_answer_was_stored_is_served(world: World):
    """It finds no entry, is held up, and joins when the flight is over: it must look again."""

    class HeldUp(MemoryStore):
        hold: Callable[[], None] | None = None

        def get(self, key: str) -> bytes | None:
            found = super().get(key)
            hold, self.hold = self.hold, None
            if hold is not None:
                hold()
            return found

    store = HeldUp(clock=world.clock)
    cache, model = world.cache(store), Model(world.clock)

    def other_caller() -> None:
        run(cache.answer(REQUEST, model.step, world.codec))

    store.hold = other_caller
    answer = run(cache.answer(REQUEST, model.step, world.codec))
    assert (answer.text, model.calls, world.decisions()) == ("answer 1", 1, ["miss", "hit"])
    assert len(cache._flight) == 0


async def test_a_caller_cancelled_while_it_looks_again_leaves_no_slot(world: World):
    class Stuck(MemoryStore):
        gets = 0

        async def aget(self, key: str) -> bytes | None:
            self.gets += 1
            if self.gets == 1:
                await arun(cache.answer(REQUEST, model.step, world.codec))
                return None
            if self.gets == 3:
                stuck.set()
                await asyncio.Event().wait()
            return await super().aget(key)

    stuck = asyncio.Event()
    cache, model = world.cache(Stuck(clock=world.clock)), Model(world.clock)
    task = asyncio.create_task(arun(cache.answer(REQUEST, model.step, world.codec)))
    await stuck.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(cache._flight) == 0


async def test_a_leader_cancelled_while_it_stores_still_serves_the_others(world: World):
    class SlowToStore(MemoryStore):
        async def aset(
            self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
        ) -> None:
            storing.set()
            await asyncio.Event().wait()

    storing = asyncio.Event()
    cache, flight = watched(world, store=SlowToStore(clock=world.clock))
    model = Model(world.clock)

    async def slow() -> Answer:
        await asyncio.to_thread(flight.wait_for, 2)
        return model.call()

    step = Step(model.call, slow)
    leader = asyncio.create_task(arun(cache.answer(REQUEST, step, world.codec)))
    follower = asyncio.create_task(arun(cache.answer(REQUEST, step, world.codec)))
    await storing.wait()
    leader.cancel()
    assert (await follower).text == "answer 1"
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert (model.calls, len(flight)) == (1, 0)


def test_a_request_inside_its_own_call_does_not_deadlock(world: World):
    cache, model = world.cache(), Model(world.clock)

    def nested() -> Answer:
        return run(cache.answer(REQUEST, model.step, world.codec))

    answer = run(cache.answer(REQUEST, Step(nested, model.later), world.codec))
    assert answer.text == "answer 1"
    assert len(cache._flight) == 0


# The two halves, for streams


def test_a_lease_that_is_finished_stores_and_says_so(world: World, drive):
    cache = world.cache()
    lease = drive(cache.acquire(REQUEST, world.codec))
    assert isinstance(lease, Lease)
    with lease:
        world.clock.advance(3)
    decision = drive(lease.finish(Answer("streamed")))
    assert decision.outcome == "miss"
    hit = drive(cache.acquire(REQUEST, world.codec))
    assert isinstance(hit, Hit)
    assert (hit.answer.text, hit.decision.saved_s) == ("streamed", 3.0)


def test_a_lease_that_failed_stores_nothing_and_lets_the_next_try(world: World, drive):
    cache = world.cache()
    lease = drive(cache.acquire(REQUEST, world.codec))
    lease.fail(GeneratorExit())
    lease.fail(BoomError())
    assert isinstance(drive(cache.acquire(REQUEST, world.codec)), Lease)


def test_a_lease_may_fail_after_it_was_finished(world: World, drive):
    """A stream's `finally` runs in every case; what was stored stays."""
    cache = world.cache()
    lease = drive(cache.acquire(REQUEST, world.codec))
    drive(lease.finish(Answer("streamed")))
    lease.fail(GeneratorExit())
    assert isinstance(drive(cache.acquire(REQUEST, world.codec)), Hit)


def test_a_lease_that_is_forgotten_does_not_hold_up_the_next_caller(world: World, drive):
    cache = world.cache()
    drive(cache.acquire(REQUEST, world.codec))
    assert isinstance(drive(cache.acquire(REQUEST, world.codec)), Lease)
    assert outcome(lambda: len(cache._flight)) == 0


def test_tenants_do_not_see_each_other_s_answers(world: World, drive):
    cache, model = world.cache(), Model(world.clock)
    texts = [
        drive(
            cache.answer(
                CacheRequest(request_key(model={}, messages=[], tenant=tenant)),
                model.step,
                world.codec,
            )
        ).text
        for tenant in ("acme", "other", "acme")
    ]
    assert texts == ["answer 1", "answer 2", "answer 1"]
