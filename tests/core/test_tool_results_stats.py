"""What a tool-result cache says of itself: every call once, by tool, with the seconds saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flight_tools import in_threads
from tool_results_tools import WRITES, Desk, Text

from agentperf_core.cache import ToolCounts, ToolDecision, ToolStats
from agentperf_core.cache.toolresults import stats as room
from agentperf_core.cache.toolresults.stats import ToolCounter
from agentperf_core.flow import run
from agentperf_core.toolpolicy import ToolPolicy


def decided(outcome: Any, tool: str = "order", **fields: Any) -> ToolDecision:
    return ToolDecision(outcome=outcome, reason=fields.pop("reason", "x"), tool=tool, **fields)


def test_every_call_is_counted_once_and_hits_say_what_they_saved():
    desk = Desk()

    def slow() -> Text:
        desk.clock.advance(1.5)
        return Text("result")

    for _ in range(3):
        run(desk.flow(work=slow))
    run(desk.flow(desk.ask(WRITES)))
    run(desk.flow(desk.ask(None)))
    counts = desk.cache.stats().by_tool["order"]
    assert (counts.hits, counts.misses, counts.coalesced, counts.saved_s) == (2, 1, 0, 3.0)
    assert counts.bypasses == {"it writes": 1, "nothing is declared of the tool": 1}
    assert (counts.calls, counts.served, counts.hit_rate) == (5, 2, 0.4)


def test_a_refresh_behind_a_stale_result_is_no_call():
    """Else one call would be a hit and a miss."""
    policy = ToolPolicy(read_only=True, ttl_s=60.0, stale_ttl_s=600.0)
    desk = Desk()
    run(desk.flow(desk.ask(policy), refresh=True))
    desk.clock.advance(100.0)
    run(desk.flow(desk.ask(policy), refresh=True))
    desk.cache.drain(30)
    counts = desk.cache.stats().total
    assert (counts.calls, counts.hits, counts.misses) == (2, 1, 1)
    assert (counts.stale, counts.refreshes) == (1, 1)


def test_a_call_that_fails_is_in_no_count():
    desk = Desk()

    def fail() -> Text:
        raise LookupError

    with pytest.raises(LookupError):
        run(desk.flow(work=fail))
    assert desk.cache.stats() == ToolStats({})


def test_each_tool_has_its_own_counts_and_the_total_is_their_sum():
    counter = ToolCounter()
    for decision in (
        decided("hit", saved_s=2.0),
        decided("coalesced", saved_s=1.0),
        decided("miss", "search"),
        decided("bypass", "search", reason="it writes"),
    ):
        counter.count(decision)
    stats = counter.snapshot()
    assert stats.by_tool == {
        "order": ToolCounts(hits=1, coalesced=1, saved_s=3.0),
        "search": ToolCounts(misses=1, bypasses={"it writes": 1}),
    }
    assert (stats.total.calls, stats.total.hit_rate, stats.total.saved_s) == (4, 0.5, 3.0)


def test_they_are_json_and_come_back():
    counter = ToolCounter()
    counter.count(decided("hit", saved_s=2.5, stale=True))
    counter.count(decided("bypass", reason="it writes"))
    counter.count_refresh("order")
    stats = counter.snapshot()
    assert ToolStats.of(json.loads(json.dumps(stats.as_dict()))) == stats
    assert stats.as_dict()["hits"] == 1


def test_tools_without_end_are_counted_together(monkeypatch: pytest.MonkeyPatch):
    """A server of tools may make a new name for every user."""
    monkeypatch.setattr(room, "_MOST_TOOLS", 2)
    counter = ToolCounter()
    for number in range(5):
        counter.count(decided("miss", f"tool {number}"))
    counter.count(decided("miss", "tool 0"))
    assert {tool: one.misses for tool, one in counter.snapshot().by_tool.items()} == {
        "tool 0": 2,
        "tool 1": 1,
        "other tools": 3,
    }


def test_threads_lose_no_count():
    desk = Desk()
    run(desk.flow())
    in_threads(16, lambda: [run(desk.flow()) for _ in range(20)])
    assert desk.cache.stats().total.hits == 320
