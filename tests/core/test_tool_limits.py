"""Places for calls: of all tools, of each tool, of a group; by priority; at a rate."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.flow import arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.limits import Limits, Permit


async def settle() -> None:
    """Let everything that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_no_place_waits_for_one():
    limits = Limits(max_concurrency=1)
    first = await arun(limits.enter("a"))
    second = asyncio.create_task(arun(limits.enter("b")))
    await settle()
    assert (limits.running, limits.waiting, second.done()) == (1, 1, False)
    limits.leave(first)
    limits.leave(await second)
    assert (limits.running, limits.waiting) == (0, 0)


async def test_a_tool_at_its_own_limit_lets_others_pass():
    limits, narrow = Limits(), ToolPolicy(max_concurrency=1)
    first = await arun(limits.enter("narrow", narrow))
    second = asyncio.create_task(arun(limits.enter("narrow", narrow)))
    await settle()
    limits.leave(await arun(limits.enter("other")))
    assert not second.done()
    limits.leave(first)
    limits.leave(await second)


async def test_one_call_of_an_exclusive_group_at_a_time_in_order():
    limits, group = Limits(), ToolPolicy(exclusive="files")
    held = await arun(limits.enter("cd", group))
    order: list[str] = []

    async def enter(name: str) -> None:
        permit = await arun(limits.enter(name, group))
        order.append(name)
        limits.leave(permit)

    tasks = [asyncio.create_task(enter(name)) for name in ("mkdir", "mv", "ls")]
    await settle()
    assert order == []
    limits.leave(held)
    await asyncio.gather(*tasks)
    assert order == ["mkdir", "mv", "ls"]


async def test_the_higher_priority_goes_first_when_places_are_scarce():
    limits, order = Limits(max_concurrency=1), list[float]()
    held = await arun(limits.enter("x"))

    async def enter(priority: float) -> None:
        permit = await arun(limits.enter("x", priority=priority))
        order.append(priority)
        limits.leave(permit)

    tasks = [asyncio.create_task(enter(p)) for p in (1, 5, 3)]
    await settle()
    limits.leave(held)
    await asyncio.gather(*tasks)
    assert order == [5, 3, 1]


async def test_who_is_cancelled_while_waiting_takes_no_place():
    limits = Limits(max_concurrency=1)
    held = await arun(limits.enter("x"))
    waiter = asyncio.create_task(arun(limits.enter("x")))
    await settle()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    limits.leave(held)
    assert (limits.running, limits.waiting) == (0, 0)


async def test_who_is_cancelled_just_as_it_gets_a_place_gives_it_back():
    limits = Limits(max_concurrency=1)
    held = await arun(limits.enter("x"))
    waiter = asyncio.create_task(arun(limits.enter("x")))
    await settle()
    limits.leave(held)  # the place is given, the task has not gone on
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert limits.running == 0


def test_nobody_waits_longer_than_the_deadline_leaves():
    limits = Limits(max_concurrency=1)
    held = run(limits.enter("x"))
    with pytest.raises(TimeoutError):
        run(limits.enter("x", wait_s=0.01))
    limits.leave(held)
    assert (limits.running, limits.waiting) == (0, 0)


def test_threads_and_loops_wait_in_one_line():
    limits = Limits(max_concurrency=1)
    held = run(limits.enter("x"))

    async def in_loop() -> None:
        limits.leave(await arun(limits.enter("x")))

    with ThreadPoolExecutor(2) as pool:
        ends = [
            pool.submit(lambda: limits.leave(run(limits.enter("x")))),
            pool.submit(asyncio.run, in_loop()),
        ]
        while limits.waiting < 2:
            threading.Event().wait(0.001)
        limits.leave(held)
        for end in ends:
            end.result(30)
    assert limits.running == 0


def test_a_rate_spreads_starts_after_a_second_of_burst():
    clock = FakeClock(start=100)
    limits = Limits(clock=clock)
    pauses = [limits._reserve("x", 4.0, None) for _ in range(6)]
    assert pauses == pytest.approx([0, 0, 0, 0, 0.25, 0.5])
    clock.advance(10)
    assert limits._reserve("x", 4.0, None) == 0
    assert limits._reserve("other", 4.0, None) == 0


def test_a_start_that_would_come_too_late_is_not_taken():
    clock = FakeClock(start=100)
    limits = Limits(clock=clock)
    policy = ToolPolicy(rate=1)
    limits.leave(run(limits.enter("x", policy)))
    with pytest.raises(TimeoutError):
        run(limits.enter("x", policy, wait_s=0.5))
    clock.advance(1)
    limits.leave(run(limits.enter("x", policy, wait_s=0.5)))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=30), st.data())
def test_no_limit_is_ever_exceeded_and_nobody_is_forgotten(
    calls: list[tuple[str, int]], data: st.DataObject
):
    policies = {
        "a": ToolPolicy(max_concurrency=2),
        "b": ToolPolicy(exclusive="g"),
        "c": ToolPolicy(exclusive="g", max_concurrency=1),
    }
    limits = Limits(max_concurrency=3)

    async def scenario() -> None:
        inside: list[tuple[str, Permit]] = []
        entered = 0

        async def enter(tool: str, priority: int) -> None:
            nonlocal entered
            permit = await arun(limits.enter(tool, policies[tool], priority=priority))
            inside.append((tool, permit))
            entered += 1

        tasks = [asyncio.create_task(enter(tool, priority)) for tool, priority in calls]
        while entered < len(calls):
            await settle()
            names = [tool for tool, _ in inside]
            assert len(names) <= 3
            assert names.count("a") <= 2
            assert names.count("b") + names.count("c") <= 1
            assert inside, "somebody waits and nobody runs"
            place = data.draw(st.integers(0, len(inside) - 1))
            limits.leave(inside.pop(place)[1])
        for _, permit in inside:
            limits.leave(permit)
        await asyncio.gather(*tasks)

    asyncio.run(scenario())
    assert (limits.running, limits.waiting) == (0, 0)


def test_a_bound_that_means_nothing():
    with pytest.raises(ConfigError, match="max_concurrency"):
        Limits(max_concurrency=0)
