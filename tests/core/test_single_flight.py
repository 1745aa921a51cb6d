"""Single flight: equal calls become one, whoever makes them and however they end."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flight_tools import WatchedFlight, in_threads, outcome

from agentperf_core.accounting.deadline import deadline
from agentperf_core.cache.flight.single import Failed, Landed, Lead, SingleFlight
from agentperf_core.flow import Flow, Step, arun, run


class BoomError(Exception):
    pass


def once(flight: SingleFlight[Any], call: Step[Any], key: str = "key") -> Flow[Any]:
    """Make the call, or wait for the one that makes it."""
    joined = yield from flight.join(key)
    if isinstance(joined, Failed):
        raise joined.error
    if isinstance(joined, Landed):
        return joined.value
    with joined:
        try:
            value = yield from call
        except BaseException as error:
            joined.fail(error)
            raise
    joined.land(value)
    return value


class Model:
    """A model whose first call waits until so many callers have joined; counts its calls."""

    def __init__(self, flight: WatchedFlight, *, until: int, errors: int = 0) -> None:
        self.calls = 0
        self.step: Step[Any] = Step(self.sync, self.later)
        self._flight = flight
        self._until = until
        self._errors = errors
        self._lock = threading.Lock()

    def sync(self) -> str:
        with self._lock:
            self.calls += 1
            number = self.calls
        if number == 1:
            self._flight.wait_for(self._until)
        if number <= self._errors:
            raise BoomError(number)
        return f"answer {number}"

    async def later(self) -> str:
        return await asyncio.to_thread(self.sync)


@pytest.fixture
def flight() -> WatchedFlight:
    return WatchedFlight()


def boom_numbers(outcomes: list[Any]) -> list[int]:
    return [found.args[0] for found in outcomes if isinstance(found, BoomError)]


async def gathered(count: int, call: Callable[[], Flow[Any]]) -> list[Any]:
    return await asyncio.gather(*(arun(call()) for _ in range(count)), return_exceptions=True)


# One call


def test_a_hundred_threads_make_one_call(flight: WatchedFlight):
    model = Model(flight, until=100)
    assert in_threads(100, lambda: run(once(flight, model.step))) == ["answer 1"] * 100
    assert (model.calls, len(flight)) == (1, 0)


async def test_a_hundred_tasks_make_one_call(flight: WatchedFlight):
    model = Model(flight, until=100)
    assert await gathered(100, lambda: once(flight, model.step)) == ["answer 1"] * 100
    assert (model.calls, len(flight)) == (1, 0)


async def test_threads_and_tasks_together_make_one_call(flight: WatchedFlight):
    model = Model(flight, until=60)
    threads = asyncio.to_thread(in_threads, 30, lambda: run(once(flight, model.step)))
    tasks = gathered(30, lambda: once(flight, model.step))
    from_threads, from_tasks = await asyncio.gather(threads, tasks)
    assert from_threads + from_tasks == ["answer 1"] * 60
    assert (model.calls, len(flight)) == (1, 0)


def test_two_event_loops_share_one_call(flight: WatchedFlight):
    model = Model(flight, until=20)

    def one_loop() -> list[Any]:
        return asyncio.run(gathered(10, lambda: once(flight, model.step)))

    assert in_threads(2, one_loop) == [["answer 1"] * 10] * 2
    assert (model.calls, len(flight)) == (1, 0)


def test_different_keys_do_not_wait_for_each_other(flight: WatchedFlight):
    def outer() -> str:
        return run(once(flight, Step(lambda: "inner", never), "other"))

    async def never() -> Any:
        raise AssertionError

    assert run(once(flight, Step(outer, never))) == "inner"


def test_callers_one_after_the_other_each_make_their_call(flight: WatchedFlight):
    model = Model(flight, until=0)
    assert [run(once(flight, model.step)) for _ in range(3)] == [f"answer {n}" for n in (1, 2, 3)]
    assert (flight.landed, len(flight)) == (3, 0)


def test_an_answer_that_may_not_be_shared_is_none_for_the_others(flight: WatchedFlight):
    lead = run(flight.join("key"))
    assert isinstance(lead, Lead)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(run, flight.join("key")) for _ in range(2)]
        flight.wait_for(3)
        lead.land(None)
        assert [future.result() for future in waiting] == [Landed(None)] * 2
    assert len(flight) == 0


# Failures


def test_after_the_first_failure_exactly_one_more_call_serves_the_other_threads(
    flight: WatchedFlight,
):
    model = Model(flight, until=100, errors=1)
    found = in_threads(100, lambda: run(once(flight, model.step)))
    assert boom_numbers(found) == [1]
    assert found.count("answer 2") == 99
    assert (model.calls, len(flight)) == (2, 0)


async def test_after_the_first_failure_exactly_one_more_call_serves_the_other_tasks(
    flight: WatchedFlight,
):
    model = Model(flight, until=100, errors=1)
    found = await gathered(100, lambda: once(flight, model.step))
    assert boom_numbers(found) == [1]
    assert found.count("answer 2") == 99
    assert (model.calls, len(flight)) == (2, 0)


def test_the_second_failure_goes_to_everyone_who_waits(flight: WatchedFlight):
    model = Model(flight, until=50, errors=2)
    found = in_threads(50, lambda: run(once(flight, model.step)))
    assert sorted(boom_numbers(found)) == [1] + [2] * 49
    assert (model.calls, len(flight)) == (2, 0)


async def test_the_second_failure_goes_to_every_task_that_waits(flight: WatchedFlight):
    model = Model(flight, until=50, errors=2)
    found = await gathered(50, lambda: once(flight, model.step))
    assert sorted(boom_numbers(found)) == [1] + [2] * 49
    assert (model.calls, len(flight)) == (2, 0)


def test_callers_after_two_failures_start_afresh(flight: WatchedFlight):
    model = Model(flight, until=2, errors=2)
    in_threads(2, lambda: run(once(flight, model.step)))
    assert run(once(flight, model.step)) == "answer 3"


def test_a_failure_that_nobody_waited_for_leaves_nothing_behind(flight: WatchedFlight):
    model = Model(flight, until=0, errors=3)
    numbers = boom_numbers([outcome(lambda: run(once(flight, model.step))) for _ in range(3)])
    assert numbers == [1, 2, 3], "failures of separate callers do not add up"
    assert run(once(flight, model.step)) == "answer 4"
    assert len(flight) == 0


# Giving up


async def test_a_cancelled_leader_hands_over_without_counting(flight: WatchedFlight):
    """Two leaders are cancelled and one fails: the fourth still gets its try."""
    reached = asyncio.Queue[int]()
    calls = 0

    async def call() -> str:
        nonlocal calls
        calls += 1
        number = calls
        reached.put_nowait(number)
        if number <= 2:
            await asyncio.Event().wait()
        if number == 3:
            raise BoomError(3)
        return f"answer {number}"

    step: Step[Any] = Step(None, call)  # pyright: ignore[reportArgumentType] - async only
    tasks = [asyncio.create_task(arun(once(flight, step))) for _ in range(6)]
    await asyncio.to_thread(flight.wait_for, 6)
    for expected in (1, 2):
        assert await reached.get() == expected
        tasks[expected - 1].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(f) for f in found[:3]] == [asyncio.CancelledError] * 2 + [BoomError]
    assert found[3:] == ["answer 4"] * 3
    assert len(flight) == 0


async def test_a_cancelled_follower_harms_nobody(flight: WatchedFlight):
    release = asyncio.Event()

    async def call() -> str:
        await release.wait()
        return "answer"

    step: Step[Any] = Step(None, call)  # pyright: ignore[reportArgumentType] - async only
    tasks = [asyncio.create_task(arun(once(flight, step))) for _ in range(5)]
    await asyncio.to_thread(flight.wait_for, 5)
    tasks[2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[2]
    release.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [f for f in found if isinstance(f, str)] == ["answer"] * 4
    assert len(flight) == 0


async def test_leader_and_followers_cancelled_leave_no_slot(flight: WatchedFlight):
    async def call() -> str:
        await asyncio.Event().wait()
        return "never"

    step: Step[Any] = Step(None, call)  # pyright: ignore[reportArgumentType] - async only
    tasks = [asyncio.create_task(arun(once(flight, step))) for _ in range(5)]
    await asyncio.to_thread(flight.wait_for, 5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(flight) == 0


def test_a_follower_whose_loop_has_closed_is_passed_over_quietly(
    flight: WatchedFlight, caplog: pytest.LogCaptureFixture
):
    """`asyncio.run` cancels what waits; the leader in another thread must not trip over it."""
    lead = run(flight.join("key"))
    assert isinstance(lead, Lead)

    async def give_up() -> None:
        task = asyncio.create_task(arun(flight.join("key")))
        await asyncio.to_thread(flight.wait_for, 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with caplog.at_level(logging.WARNING):
        asyncio.run(give_up())
        lead.land("answer")
    assert caplog.records == []
    assert len(flight) == 0


def test_a_forgotten_lead_hands_over(flight: WatchedFlight):
    """A stream that is created and never read never runs its own `finally`."""
    leads = [run(flight.join("key"))]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, flight.join("key"))
        flight.wait_for(2)
        leads.clear()
        gc.collect()
        assert isinstance(waiting.result(timeout=30), Lead)


# Waiting for oneself


def test_a_call_that_asks_for_itself_does_not_deadlock(flight: WatchedFlight):
    calls: list[str] = []

    def inner() -> str:
        calls.append("inner")
        return "inner"

    def outer() -> str:
        calls.append("outer")
        return run(once(flight, Step(inner, never)))

    async def never() -> Any:
        raise AssertionError

    assert run(once(flight, Step(outer, never))) == "inner"
    assert (calls, len(flight)) == (["outer", "inner"], 0)


async def test_a_task_that_asks_for_itself_does_not_deadlock(flight: WatchedFlight):
    async def inner() -> str:
        return "inner"

    async def outer() -> str:
        step: Step[Any] = Step(None, inner)  # pyright: ignore[reportArgumentType] - async only
        own = arun(once(flight, step))
        child = asyncio.create_task(arun(once(flight, step)))
        return f"{await own} and {await child}"

    step: Step[Any] = Step(None, outer)  # pyright: ignore[reportArgumentType] - async only
    assert await arun(once(flight, step)) == "inner and inner"
    assert len(flight) == 0


async def test_a_worker_thread_of_the_leader_does_not_deadlock(flight: WatchedFlight):
    """`asyncio.to_thread` takes the context along, so the thread knows who leads."""

    async def outer() -> str:
        return await asyncio.to_thread(lambda: run(once(flight, Step(lambda: "inner", outer))))

    step: Step[Any] = Step(None, outer)  # pyright: ignore[reportArgumentType] - async only
    assert await arun(once(flight, step)) == "inner"


async def test_a_sync_caller_on_the_leader_s_loop_makes_its_own_call(flight: WatchedFlight):
    """It cannot wait: the leader needs the very loop that the caller blocks."""
    release, reached = asyncio.Event(), asyncio.Event()

    async def call() -> str:
        reached.set()
        await release.wait()
        return "async"

    leader = asyncio.create_task(arun(once(flight, Step(lambda: "sync", call))))
    await reached.wait()
    assert run(once(flight, Step(lambda: "sync", call))) == "sync"
    release.set()
    assert await leader == "async"
    assert len(flight) == 0


def test_two_flights_do_not_know_each_other_s_keys():
    """Leading a key in one cache must not keep another cache's callers from waiting."""
    outer_flight, inner_flight = WatchedFlight(), WatchedFlight()
    with ThreadPoolExecutor(1) as pool:
        lead = run(outer_flight.join("key"))
        assert isinstance(lead, Lead)
        with lead:
            inner = run(inner_flight.join("key"))
            assert isinstance(inner, Lead)
            waiting = pool.submit(run, inner_flight.join("key"))
            inner_flight.wait_for(2)
            inner.land("answer")
            assert waiting.result() == Landed("answer")
        lead.land(None)


async def test_a_lead_closed_in_another_context_leaves_quietly(flight: WatchedFlight):
    """An async generator that another task closes."""

    async def stream():
        lead = await arun(flight.join("key"))
        assert isinstance(lead, Lead)
        with lead:
            try:
                yield 1
                yield 2
            except BaseException as error:
                lead.fail(error)
                raise

    opened = stream()
    await asyncio.create_task(anext(opened))
    await asyncio.create_task(opened.aclose())
    assert len(flight) == 0
    again = await arun(flight.join("key"))
    assert isinstance(again, Lead)
    again.land(None)


# A lead is used once


@pytest.mark.parametrize("second", ["land", "fail"])
def test_only_the_first_ending_of_a_lead_counts(flight: WatchedFlight, second: str):
    lead = run(flight.join("key"))
    assert isinstance(lead, Lead)
    lead.land("answer")
    newer = run(flight.join("key"))
    assert isinstance(newer, Lead)
    lead.land("again") if second == "land" else lead.fail(BoomError())
    assert len(flight) == 1, "the newer flight goes on"
    newer.land(None)
    assert (len(flight), flight.landed) == (0, 2)


def test_many_rounds_of_threads_leave_no_slot(flight: WatchedFlight):
    """Failures, answers and newcomers in every order: nobody hangs, nothing is left."""
    for turn in range(30):
        model = Model(flight, until=0, errors=turn % 3)
        found = in_threads(8, lambda model=model: run(once(flight, model.step)))
        assert len(found) == 8
        assert len(flight) == 0


# Leading without waiting


def test_whoever_does_not_want_to_wait_leads_only_if_nobody_does() -> None:
    flight = SingleFlight[str]()
    lead = flight.lead_now("key")
    assert lead is not None
    assert flight.lead_now("key") is None
    assert flight.lead_now("other") is not None
    with lead:
        assert flight.lead_now("key") is None, "not from inside its own call either"
    lead.land("answer")
    again = flight.lead_now("key")
    assert again is not None
    again.fail(ValueError())
    assert len(flight) == 0


@pytest.mark.parametrize(
    "drive", [run, lambda flow: asyncio.run(arun(flow))], ids=["sync", "async"]
)
def test_nobody_waits_past_the_deadline_of_its_own_run(drive: Callable[[Any], Any]):
    """The one that leads may have no deadline, and take minutes."""
    flight = SingleFlight[str]()
    leading = run(flight.join("key"))
    with deadline(0.01):
        joined = drive(flight.join("key"))
    assert isinstance(joined, Lead)
    assert isinstance(leading, Lead)
    leading.land("late")
