"""Clocks: the real one never goes back, the fake one moves only when told to."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.clock import SYSTEM_CLOCK, FakeClock
from agentperf_core.errors import ConfigError


def test_the_fake_clock_stands_still():
    clock = FakeClock()
    assert [clock.monotonic_ns() for _ in range(3)] == [0, 0, 0]


def test_all_readings_of_the_fake_clock_move_together():
    clock = FakeClock(start=2.0, epoch=100.0)
    clock.advance(0.5)
    assert (clock.monotonic_ns(), clock.monotonic(), clock.time()) == (2_500_000_000, 2.5, 102.5)


def test_a_clock_cannot_go_back():
    clock = FakeClock()
    with pytest.raises(ConfigError, match=r"cannot go back: advance\(\) got -1; pass seconds >= 0"):
        clock.advance(-1)
    assert clock.monotonic_ns() == 0


@given(st.lists(st.integers(0, 10**12)))
def test_nanoseconds_do_not_drift(steps: list[int]):
    """Many small steps add up exactly, as seconds in a float would not."""
    clock = FakeClock()
    for step in steps:
        clock.advance(step / 1e9)
    assert clock.monotonic_ns() == sum(round(step / 1e9 * 1e9) for step in steps)


def test_threads_may_advance_one_fake_clock():
    clock = FakeClock()
    threads = [
        threading.Thread(target=lambda: [clock.advance(0.001) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic_ns() == 2_000_000_000


def test_the_system_clock_never_goes_back_and_its_two_readings_are_one_clock():
    before_ns, seconds, after_ns = (
        SYSTEM_CLOCK.monotonic_ns(),
        SYSTEM_CLOCK.monotonic(),
        SYSTEM_CLOCK.monotonic_ns(),
    )
    assert before_ns / 1e9 <= seconds + 1e-6
    assert seconds <= after_ns / 1e9 + 1e-6


def test_the_system_clock_knows_the_epoch():
    assert SYSTEM_CLOCK.time() > 1_700_000_000
