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
from agentperf_core.context.summaries.records import each_place
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.flow import run
from agentperf_core.types import Message, ToolCall

PICTURES = Message(role="user", text="look", blocks=({"type": "image"},) * 6)
"""Cannot be made smaller, and costs more than the windows here have room for."""


def pool_of(limit: int = 200, **fields: Any) -> TrimmerPool:
    window = WindowSettings(max_tokens=limit, counter=WORDS)
    return TrimmerPool(window, SummarySettings(summarize=Scribe(), tokens=32), **fields)


def followed(pool: TrimmerPool, history: Sequence[Message], **fields: Any) -> SummarizingTrimmer:
    marks = [(one.role, one.text, one.tool_call_id) for one in history]
    return pool.follow(marks, history.__getitem__, **fields)


def grown(pool: TrimmerPool, history: Sequence[Message], **fields: Any) -> SummarizingTrimmer:
    return grown_on(pool, history, 1, **fields)


def grown_on(
    pool: TrimmerPool, history: Sequence[Message], known: int, **fields: Any
) -> SummarizingTrimmer:
    trimmer = followed(pool, history[:known], must_fit=False, **fields)
    for end in range(known + 1, len(history) + 1):
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


def test_a_turn_that_overflowed_does_no_harm_once_it_can_leave():
    """Six pictures were refused, and so was everything that was said after them."""
    pool = pool_of()
    history = [*chat(0, 3), PICTURES]
    with pytest.raises(ContextOverflow, match="room for 168"):
        followed(pool, history)
    with pytest.raises(ContextOverflow, match="room for 168"):
        followed(pool, history)
    history += chat(3, 1)
    trimmer = followed(pool, history)
    view = trimmer.view()
    assert list(view.messages) == history[-2:]
    assert view.coverage.pending == view.left_out == 7
    trimmer.begin()
    trimmer.settle()
    assert trimmer.view().coverage.ready == 7, "what left while it overflowed is summarised, too"


@pytest.mark.parametrize("summary", [None, SummarySettings(summarize=Scribe())])
def test_what_overflowed_in_the_middle_of_a_history_that_is_read_anew_has_left(summary: Any):
    window = WindowSettings(max_tokens=300, counter=WORDS)
    history = [*chat(0, 1), PICTURES, *chat(1, 2)]
    view = followed(TrimmerPool(window, summary), history).view()
    assert list(view.messages) == history[-4:]
    assert view.left_out == 3


def test_before_a_question_a_turn_that_does_not_fit_is_not_shown():
    pool = pool_of()
    history = [said("system", 3, "s"), *chat(0, 3), PICTURES, said("assistant", 3)]
    marks: list[Any] = [id(one) for one in history]
    read: list[int] = []

    def at(place: int) -> Message:
        read.append(place)
        return history[place]

    for _ in range(3):
        view = run(pool.before_question(marks, at))
        assert list(view.messages) == history[:1]
        assert view.tokens == WORDS.count_message(history[0])
        assert view.left_out == view.coverage.evicted == 8
    assert read == [*range(9)], "once"
    history += chat(3, 4)
    view = followed(pool, history).view()
    assert list(view.messages)[-8:] == history[-8:]
    pinned = pool_of()
    with pytest.raises(ContextOverflow):
        run(pinned.before_question([1], [said("system", 180)].__getitem__))


def test_summaries_outlive_an_overflow():
    """Its conversation was forgotten at each overflow, and with it what was summarised."""
    scribe = Scribe()
    window = WindowSettings(max_tokens=200, counter=WORDS)
    pool = TrimmerPool(window, SummarySettings(summarize=scribe, tokens=32))
    history = chat(0, 30)
    before = grown(pool, history).view().summary
    assert before is not None
    trimmer = followed(pool, [*history, PICTURES], must_fit=False)
    trimmer.begin()
    trimmer.settle()
    history += [PICTURES, *chat(30, 10)]
    view = grown_on(pool, history, 61).view()
    assert view.summary is not None
    assert set(each_place(view.summary.covers)) > set(each_place(before.covers)) | {60}
    seen = [id(message) for message in scribe.seen]
    assert len(seen) == len(set(seen)), "nothing is summarised twice"


def test_what_a_request_takes_besides_may_overflow_and_the_next_one_go_on():
    pool, history = pool_of(), [said("system", 40), *chat(0, 3)]
    followed(pool, history)
    for _ in range(2):
        with pytest.raises(ContextOverflow):
            followed(pool, history, beside=120)
    for _ in range(7):  # the largest of the last eight requests counts
        followed(pool, history, beside=1, must_fit=False)
    assert followed(pool, history, beside=1).view().tokens <= 200


@given(
    st.lists(st.sampled_from(["picture", "user", "assistant"]), min_size=1, max_size=30),
    st.integers(100, 700),
)
def test_an_overflow_lasts_as_long_as_its_turn_and_loses_nothing(kinds: list[Any], limit: int):
    history = [
        PICTURES if kind == "picture" else said(kind, 6, f"{kind[0]}{number}.")
        for number, kind in enumerate(kinds)
    ]
    pool, alone = pool_of(limit), WindowSettings(max_tokens=limit - 32, counter=WORDS)
    for end in range(1, len(history) + 1):
        try:
            followed(pool, history[:end])
        except ContextOverflow:
            from_question = history[max(_users(history[:end]), default=0) : end]
            assert sum(map(alone.cost, from_question)) > alone.limit
        trimmer = followed(pool, history[:end], must_fit=False)
        trimmer.begin()
        trimmer.settle()
        view, ledger = trimmer.view(), trimmer._ledger
        assert len(view.messages) - (view.summary is not None) + view.left_out >= end
        assert view.coverage.evicted == view.left_out
        latest = ledger.latest
        assert ledger._evicted <= {*each_place(latest.covers if latest else ()), *ledger.pending}


def _users(history: Sequence[Message]) -> list[int]:
    return [place for place, one in enumerate(history) if one.role == "user"]


CALL = Message(role="assistant", tool_calls=(ToolCall("c1", "look", {}),))
RESULT = Message(role="tool", text="sunny", tool_call_id="c1")
LOST = Message(role="tool", text="lost", tool_call_id="zz")
HI, BYE = Message(role="user", text="hi"), Message(role="user", text="bye")


@pytest.mark.parametrize(
    ("history", "kinds", "left_out"),
    [
        ([HI, LOST, BYE], ["orphan_result"], 1),
        ([HI, CALL, BYE], ["missing_result"], 0),
        ([HI, CALL, RESULT, RESULT, BYE], ["duplicate_result"], 1),
        ([HI, CALL, BYE, RESULT], ["moved_result"], 0),
        ([HI, Message(role="assistant"), BYE], ["empty_message"], 1),
    ],
    ids=["orphan", "missing", "duplicate", "moved", "empty"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_the_record_tells_of_repairs(
    history: list[Message], kinds: list[str], left_out: int, at_once: bool
):
    """It said that nothing had been wrong, and that nothing was left out."""
    bus = EventBus()
    pool = pool_of(bus=bus)
    told: list[DecisionMade] = []
    bus.subscribe(lambda event: told.append(event) if isinstance(event, DecisionMade) else None)
    trimmer = followed(pool, history) if at_once else grown(pool, history)
    record = trimmer.look().record()
    assert (record["repairs"], record["left_out"]) == (kinds, left_out)
    assert [(one.outcome, one.details["repairs"]) for one in told] == [("repaired", kinds)]
    followed(pool, [*history, said("user", 3)]).look()
    assert len(told) == 1, "told once"
    assert trimmer.view().coverage.evicted == 0


def test_a_result_that_nobody_gave_is_neither_left_out_nor_summarised():
    """The stub in its place was counted as a message of the conversation."""
    scribe = Scribe()
    window = WindowSettings(max_tokens=200, counter=WORDS)
    pool = TrimmerPool(window, SummarySettings(summarize=scribe, tokens=32))
    history = [HI, CALL, BYE, *chat(0, 30)]
    view = grown(pool, history).view()
    assert view.left_out == view.coverage.evicted == len(history) + 1 - len(view.messages)
    assert not any("no result" in message.text for message in scribe.seen)
    assert view.record()["repairs"] == ["missing_result"]


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
