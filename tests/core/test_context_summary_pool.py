"""Trimmers of many conversations, each known by what it says."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from conversations import WORDS, broken_histories, histories, objections, said
from hypothesis import given
from hypothesis import strategies as st
from summary_tools import Scribe, chat

from agentperf_core.context import (
    ContextOverflow,
    SummarizingTrimmer,
    SummarySettings,
    TrimmerPool,
    WindowSettings,
)
from agentperf_core.types import Message


def pool_of(limit: int = 200, **fields: Any) -> TrimmerPool:
    window = WindowSettings(max_tokens=limit, counter=WORDS)
    return TrimmerPool(window, SummarySettings(summarize=Scribe(), tokens=32), **fields)


def followed(pool: TrimmerPool, history: Sequence[Message], **fields: Any) -> SummarizingTrimmer:
    marks = [(one.role, one.text, one.tool_call_id) for one in history]
    return pool.follow(marks, history.__getitem__, **fields)


def grown(pool: TrimmerPool, history: Sequence[Message], **fields: Any) -> SummarizingTrimmer:
    trimmer = followed(pool, history[:1], **fields)
    for end in range(2, len(history) + 1):
        trimmer = followed(pool, history[:end], **fields)
        trimmer.begin()
        trimmer.settle()
    return trimmer


def test_a_conversation_that_goes_on_is_read_only_where_it_is_new():
    pool, history = pool_of(), chat(0, 20)
    grown(pool, history)
    read: list[int] = []

    def at(place: int) -> Message:
        read.append(place)
        return longer[place]

    longer = [*history, said("user", 3, "more")]
    marks = [(one.role, one.text, one.tool_call_id) for one in longer]
    view = pool.follow(marks, at).view()
    assert read == [40]
    assert view.summary is not None


def test_after_a_restart_the_state_is_taken_up():
    history = chat(0, 30)
    trimmer = grown(pool_of(), history)
    state = json.loads(json.dumps(trimmer.state()))
    again = followed(pool_of(), history, state=state)
    assert again.view().messages == trimmer.view().messages
    assert again.view().coverage == trimmer.view().coverage


def test_a_conversation_that_went_on_elsewhere_is_taken_up_from_there():
    here, there = pool_of(), pool_of()
    history = chat(0, 60)
    grown(here, history[:50])
    state = grown(there, history).state()
    assert followed(here, history, state=state).state() == state


def test_a_state_that_is_behind_changes_nothing():
    pool, history = pool_of(), chat(0, 60)
    early = grown(pool, history[:50]).state()
    state = grown(pool, history).state()
    assert followed(pool, history, state=early).state() == state


def test_a_branch_of_a_conversation_begins_with_the_state_that_it_has():
    pool, history = pool_of(), chat(0, 60)
    early = grown(pool, history[:60]).state()
    grown(pool, history)
    branch = [*history[:60], said("user", 4, "other")]
    assert followed(pool, branch, state=early).state() == early


def test_what_is_beside_takes_its_room():
    history = chat(0, 30)
    assert followed(pool_of(), history, beside=60).view().tokens <= 140
    with pytest.raises(ContextOverflow):
        followed(pool_of(), [said("system", 40), *history], beside=120)


def test_a_conversation_that_overflowed_is_read_anew():
    pool = pool_of()
    history = [said("system", 180), *chat(0, 2)]
    for _ in range(2):
        with pytest.raises(ContextOverflow):
            followed(pool, history)
    assert followed(pool, history[1:]).view().left_out == 0


def test_keys_tell_conversations_with_one_beginning_apart():
    pool, history = pool_of(), chat(0, 30)
    one = grown(pool, history, key="one")
    two = followed(pool, [*history[:2], said("user", 3)], key="two")
    assert one is not two
    assert followed(pool, history, key="one") is one


def test_a_conversation_whose_messages_are_marked_anew_is_known_by_what_it_says():
    scribe = Scribe()
    window = WindowSettings(max_tokens=200, counter=WORDS)
    pool = TrimmerPool(window, SummarySettings(summarize=scribe, tokens=32))
    history = chat(0, 40)
    trimmer = pool.follow([], history.__getitem__)
    for end in range(1, len(history) + 1):
        marks = [(end, place) for place in range(end)]
        trimmer = pool.follow(marks, history.__getitem__)
        trimmer.begin()
        trimmer.settle()
    assert trimmer.view().coverage.share == 1.0
    seen = [message.text for message in scribe.seen]
    assert len(seen) == len(set(seen)), "nothing is summarised twice"
    other = [said("user", 6, "other"), *history[1:]]
    assert pool.follow([("x", n) for n in range(80)], other.__getitem__) is not trimmer


def test_the_conversation_looked_at_longest_ago_is_forgotten():
    pool, history = pool_of(conversations=2), chat(0, 3)
    first = followed(pool, history, key=1)
    followed(pool, history, key=2)
    assert followed(pool, history, key=1) is first
    followed(pool, history, key=3)
    assert followed(pool, history, key=1) is first
    assert followed(pool, history, key=2) is not first


@given(broken_histories(), st.integers(160, 400))
def test_what_comes_in_broken_is_shown_whole(history: list[Message], limit: int):
    pool = pool_of(limit)
    for end in range(1, len(history) + 1):
        view = followed(pool, history[:end]).view()
        assert view.tokens <= limit
        last = history[end - 1]
        if last.role != "tool" and not last.tool_calls and last.text.strip():
            found = [one for one in objections(view.messages) if not one.startswith("begins")]
            assert found == []


@given(histories(), st.integers(160, 400))
def test_a_pool_shows_what_a_trimmer_shows(history: list[Message], limit: int):
    window = WindowSettings(max_tokens=limit, counter=WORDS)
    trimmer = SummarizingTrimmer(window, SummarySettings(summarize=Scribe(), tokens=32))
    trimmer.extend(history)
    assert followed(pool_of(limit), history).view().messages == trimmer.view().messages


def test_many_threads_share_a_pool():
    pool = pool_of()
    views: dict[int, Any] = {}

    def talk(number: int) -> None:
        history = [said("user", 3, f"t{number}."), *chat(0, 20)]
        views[number] = grown(pool, history).view()

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({view.left_out for view in views.values()}) == 1
    assert all(view.summary is not None for view in views.values())
