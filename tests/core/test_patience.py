"""Waiting for an equal call is bounded: whoever waited long enough calls by itself."""

from __future__ import annotations

import pytest

from agentperf_core.cache import ExactCache
from agentperf_core.cache.flight.single import Landed, Lead, SingleFlight
from agentperf_core.errors import ConfigError
from agentperf_core.flow import arun, run


def test_a_thread_that_waited_long_enough_leads_beside_the_leader() -> None:
    """Two threads that each held a stream open and asked for the other's waited for ever."""
    flight = SingleFlight[str](max_wait_s=0.001)
    leader, other = run(flight.join("key")), run(flight.join("key"))
    assert (type(leader), type(other)) == (Lead, Lead)
    assert isinstance(other, Lead)
    other.land("beside")
    assert len(flight) == 1
    assert isinstance(leader, Lead)
    leader.land("first")
    assert len(flight) == 0


async def test_a_task_does_the_same_and_the_leader_still_lands() -> None:
    flight = SingleFlight[str](max_wait_s=0.001)
    leader = await arun(flight.join("key"))
    assert isinstance(await arun(flight.join("key")), Lead)
    assert isinstance(leader, Lead)
    leader.land("first")
    assert len(flight) == 0


async def test_without_a_bound_nobody_gives_up() -> None:
    flight = SingleFlight[str]()
    leader = await arun(flight.join("key"))
    assert isinstance(leader, Lead)
    leader.land("first")
    again = await arun(flight.join("key"))
    assert isinstance(again, Lead)
    assert not isinstance(again, Landed)


def test_a_bound_that_means_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_wait_s"):
        ExactCache(max_wait_s=0)
