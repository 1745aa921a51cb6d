"""A summary without a window of its own: it grows with what another memory gives up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conversations import WORDS
from summary_tools import Scribe, chat

from agentperf_core.context import RollingSummary, Summary, SummarySettings
from agentperf_core.events import EventBus
from agentperf_core.flow import arun, run


def rolling_of(scribe: Any, bus: EventBus | None = None, **options: Any) -> RollingSummary:
    settings = SummarySettings(summarize=scribe, tokens=60, **options)
    return RollingSummary(settings, counter=WORDS, bus=bus or EventBus())


def looked(rolling: RollingSummary) -> Summary | None:
    return run(rolling.looked())


def test_each_batch_extends_the_summary_beside_the_conversation():
    scribe = Scribe()
    rolling = rolling_of(scribe)
    for number in range(4):
        rolling.put(chat(2 * number, 2))
        rolling.begin()
        rolling.settle(20)
    summary = looked(rolling)
    assert summary is not None
    assert summary.covers == ((0, 16),)
    assert rolling.coverage().share == 1.0
    assert [message.text for message in scribe.seen] == [one.text for one in chat(0, 8)]


async def test_asked_for_it_waits():
    rolling = rolling_of(Scribe(), background=False)
    rolling.put(chat(0, 3))
    summary = await arun(rolling.looked())
    assert summary is not None
    assert summary.text == "u0 a0 u1 a1 u2 a2"


def test_what_failed_is_kept_and_saved_and_tried_again():
    scribe = Scribe()
    scribe.fails = ConnectionError("down")
    rolling = rolling_of(scribe)
    rolling.put(chat(0, 2))
    rolling.begin()
    rolling.settle(20)
    assert looked(rolling) is None
    assert rolling.failed == "ConnectionError"
    again = rolling_of(Scribe())
    again.restore(json.loads(json.dumps(rolling.state())), rolling.pending())
    again.begin()
    again.settle(20)
    summary = looked(again)
    assert summary is not None
    assert summary.covers == ((0, 4),)


@pytest.mark.parametrize("adopted", [True, False])
def test_a_saved_one_goes_on_where_it_was(adopted: bool):
    rolling = rolling_of(Scribe())
    rolling.put(chat(0, 3))
    rolling.begin()
    rolling.settle(20)
    if adopted:
        looked(rolling)
    rolling.put(chat(3, 1))
    again = rolling_of(Scribe())
    again.restore(json.loads(json.dumps(rolling.state())), rolling.pending())
    for one in (rolling, again):
        one.begin()
        one.settle(20)
    assert looked(again) is not None
    assert looked(again).text == looked(rolling).text  # type: ignore[union-attr]
    assert again.coverage().evicted == 2 or again.coverage().share == 1.0


@pytest.mark.parametrize("state", [{"summary": 7}, {"summary": {"covers": [[0, 2]]}}])
def test_a_state_that_cannot_be_read_is_told(state: Any):
    bus = EventBus()
    rolling = rolling_of(Scribe(), bus)
    rolling.restore(state, chat(0, 1))
    assert bus.faults()["context.summary"] == 1
    assert looked(rolling) is None
    assert len(rolling.pending()) == 2
