"""Equal calls in flight of tools that keep nothing: one runs for all, as far as they may share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from flight_tools import WatchedFlight, in_threads
from tool_results_tools import CODEC, Desk, Text, TextCodec

from agentperf_core.flow import Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy

READS = ToolPolicy(read_only=True)


class Watched(Desk):
    """A desk whose tool answers only once so many callers have asked."""

    def __init__(self, callers: int) -> None:
        super().__init__()
        self.flight = WatchedFlight()
        self.cache._flight = self.flight
        self.callers = callers

    def step(self, work: Any = None) -> Step[Text]:
        def call() -> Text:
            self.flight.wait_for(self.callers)
            self.calls += 1
            return Text(f"result {self.calls}")

        async def acall() -> Text:
            await asyncio.to_thread(self.flight.wait_for, self.callers)
            self.calls += 1
            return Text(f"result {self.calls}")

        return Step(call, acall)


@pytest.mark.parametrize("policy", [READS, ToolPolicy(idempotent=True)], ids=["reads", "repeats"])
def test_a_hundred_threads_with_one_question_run_the_tool_once(policy: ToolPolicy):
    desk = Watched(100)
    results = in_threads(100, lambda: run(desk.flow(desk.ask(policy))))
    assert results == [Text("result 1")] * 100
    assert desk.calls == 1
    assert sorted(desk.outcomes) == ["bypass", *["coalesced"] * 99]
    assert list(desk.store.scan()) == []


async def test_a_hundred_tasks_with_one_question_run_the_tool_once():
    desk = Watched(100)
    asked = [arun(desk.flow(desk.ask(READS))) for _ in range(100)]
    assert await asyncio.gather(*asked) == [Text("result 1")] * 100
    assert desk.calls == 1


def test_nothing_limits_what_is_built_on_a_result_that_was_only_shared():
    """A time of zero would make the answer worthless as soon as it is given."""
    desk = Watched(2)
    results = in_threads(2, lambda: run(desk.flow(desk.ask(READS))))
    assert [result.decision.expires_at for result in results] == [None, None]
    assert not any(result.decision.stale for result in results)


def test_a_result_that_nobody_waits_for_is_not_even_encoded():
    class NeverEncodes(TextCodec):
        def encode(self, result: Text) -> Mapping[str, Any]:
            raise AssertionError

    desk = Desk()
    got = run(desk.cache.run(desk.ask(READS), desk.step(), NeverEncodes()))
    assert got == Text("result 1", {"n": 1})
    assert desk.faults() == {}


def test_callers_of_two_tenants_or_sessions_share_nothing():
    desk = Watched(4)
    mine = ToolPolicy(read_only=True, cache_scope="session")
    asked = iter(
        [
            desk.ask(READS, tenant="a"),
            desk.ask(READS, tenant="b"),
            desk.ask(mine, session="a"),
            desk.ask(mine, session="b"),
        ]
    )
    in_threads(4, lambda: run(desk.cache.run(next(asked), desk.step(), CODEC)))
    assert desk.calls == 4


def test_a_tool_that_is_not_declared_repeatable_is_never_shared():
    desk = Watched(0)
    in_threads(8, lambda: run(desk.flow(desk.ask(ToolPolicy(timeout_s=1.0)))))
    assert desk.calls == 8
