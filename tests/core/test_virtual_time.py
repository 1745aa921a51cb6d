"""Virtual time: waiting takes none, and its order is that of the clock."""

from __future__ import annotations

import asyncio

import pytest

from agentperf_core.testing import VirtualTime


def test_waiting_takes_no_time_and_keeps_its_order():
    time, order = VirtualTime(), list[tuple[float, str]]()

    async def nap(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((time.monotonic(), name))

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for name, seconds in (("long", 86_400.0 * 365), ("short", 0.5), ("none", 0.0)):
                group.create_task(nap(name, seconds))

    time.run(work())
    assert order == [(0.0, "none"), (0.5, "short"), (86_400.0 * 365, "long")]


def test_a_time_out_that_was_not_needed_moves_nothing():
    time = VirtualTime()

    async def work() -> str:
        async with asyncio.timeout(60):
            await asyncio.sleep(1)
        return "in time"

    assert time.run(work()) == "in time"
    assert time.monotonic() == 1.0


def test_time_goes_on_from_one_run_to_the_next_and_errors_come_out():
    time = VirtualTime(start=10.0)

    async def late() -> None:
        async with asyncio.timeout(5):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        time.run(late())
    time.advance(1.0)
    time.run(asyncio.sleep(1))
    assert time.monotonic() == 17.0


def test_what_a_thread_does_is_waited_for_where_no_timer_is_due():
    time = VirtualTime()
    assert time.run(asyncio.to_thread(lambda: "done")) == "done"
    assert time.monotonic() == 0.0
