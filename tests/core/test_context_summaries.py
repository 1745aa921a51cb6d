"""Summaries of what left the window: beside the conversation, complete, and never instead of it."""

from __future__ import annotations

import asyncio
import json
import threading
from decimal import Decimal
from typing import Any, cast

import pytest
from conversations import WORDS, histories, objections, said
from hypothesis import given
from hypothesis import strategies as st
from summary_tools import Scribe, chat, trimmer_of

from agentperf_core.accounting.deadline import deadline
from agentperf_core.context import (
    SummarizingTrimmer,
    Summary,
    SummarySettings,
    Trimmed,
    WindowSettings,
    Written,
)
from agentperf_core.context.summaries.records import each_place
from agentperf_core.errors import ConfigError
from agentperf_core.events import DecisionMade, EventBus, Fault
from agentperf_core.types import Message


def texts(view: Trimmed) -> list[str]:
    return [message.text for message in view.messages]


def filled(trimmer: SummarizingTrimmer, turns: int, *, first: int = 0) -> SummarizingTrimmer:
    """Turns with the work that comes after each of them, to its end."""
    for message in chat(first, turns):
        trimmer.add(message)
        trimmer.begin()
        trimmer.settle()
    return trimmer


def faults_of(bus: EventBus) -> list[Fault]:
    found: list[Fault] = []
    bus.subscribe(lambda event: found.append(event) if isinstance(event, Fault) else None)
    return found


def test_the_first_cut_already_shows_a_summary_of_all_that_it_dropped():
    scribe = Scribe()
    trimmer = trimmer_of(scribe)
    before = trimmer.view()
    turn = 0
    while not before.left_out:
        filled(trimmer, 1, first=turn)
        before = trimmer.view()
        turn += 1
    assert before.summary is not None
    assert before.coverage.share == 1.0
    assert before.coverage.pending == 0
    assert len(scribe.asked) == 1


def test_nothing_waits_for_a_summary():
    """The summariser is held: messages are added, shown and cut all the same."""
    scribe = Scribe()
    scribe.gate = threading.Event()
    trimmer = trimmer_of(scribe)
    for message in chat(0, 40):
        trimmer.add(message)
        trimmer.begin()
        assert trimmer.look().summary is None
    view = trimmer.view()
    assert view.left_out == view.coverage.pending > 0
    assert scribe.begun.wait(20)
    assert len(scribe.asked) == 1, "one at a time"
    scribe.gate.set()
    assert trimmer.settle(20)
    assert trimmer.view().summary is None, "adopted at the next cut and not before"
    filled(trimmer, 10, first=40)
    view = trimmer.view()
    assert view.coverage.share == 1.0


def test_a_summary_is_adopted_at_a_cut_and_the_prompt_stays_between_two():
    trimmer = trimmer_of(Scribe())
    before: list[Message] = []
    cuts = changes = 0
    for message in chat(0, 60):
        trimmer.add(message)
        trimmer.begin()
        trimmer.settle()
        view = trimmer.view()
        if len(view.cuts) == cuts:
            assert all(a is b for a, b in zip(before, view.messages, strict=False))
        else:
            changes += 1
        before, cuts = list(view.messages), len(view.cuts)
    assert changes > 3
    assert trimmer.view().coverage.share == 1.0


def test_the_next_summary_extends_the_one_before():
    scribe = Scribe()
    trimmer = filled(trimmer_of(scribe), 40)
    assert len(scribe.asked) > 2
    for _, previous, _ in scribe.asked[1:]:
        assert previous is not None
    assert [one.text for one in scribe.seen] == [
        one.text for one in chat(0, 40)[: len(scribe.seen)]
    ], "each message is summarised once, in order"
    summary = trimmer.view().summary
    assert summary is not None
    assert len(summary.covers) == 1
    assert summary.covers[0][0] == 0


def test_the_summary_stands_behind_the_system_prompt():
    trimmer = trimmer_of(Scribe())
    system = said("system", 3, "s")
    trimmer.add(system)
    shown = filled(trimmer, 20).view().messages
    assert shown[0] is system
    assert shown[1].role == "user"
    assert shown[1].text.startswith("Summary of the earlier part")
    assert shown[2].role == "user"


@pytest.mark.parametrize("says", ["", "  \n", None, 7, Written(text=" ")])
def test_an_answer_that_says_nothing_covers_nothing_and_is_told(says: Any):
    bus = EventBus()
    faults = faults_of(bus)
    trimmer = trimmer_of(lambda *asked: says, bus=bus)
    view = filled(trimmer, 20).view()
    assert view.summary is None
    assert view.failed == "NoSummary"
    assert view.coverage.pending == view.coverage.evicted > 0
    assert view.tokens <= 200
    assert {fault.where for fault in faults} == {"context.summary"}


def test_a_summariser_that_fails_is_asked_again_later_for_all_that_it_missed():
    scribe, bus = Scribe(), EventBus()
    scribe.fails = ConnectionError("down")
    trimmer = filled(trimmer_of(scribe, bus=bus), 60)
    view = trimmer.view()
    assert (view.failed, view.summary) == ("ConnectionError", None)
    assert view.coverage.pending == view.coverage.evicted
    assert len(scribe.asked) < 10, "not at every turn"
    scribe.fails, scribe.asked = None, []
    filled(trimmer, 70, first=60)
    view = trimmer.view()
    assert (view.failed, view.coverage.share) == (None, 1.0)
    assert view.summary is not None
    assert set(each_place(view.summary.covers)) >= set(range(120))


def test_a_summariser_that_hangs_is_given_up_in_time():
    scribe, bus = Scribe(), EventBus()
    scribe.gate = threading.Event()
    trimmer = filled(trimmer_of(scribe, bus=bus, timeout_s=0.001), 20)
    assert trimmer.view().failed == "TimeoutError"
    assert bus.faults()["context.summary"] >= 1
    scribe.gate.set()


async def test_a_summariser_that_hangs_is_given_up_in_time_by_tasks():
    async def hang(messages: Any, previous: Any, most: int) -> str:
        await asyncio.Event().wait()
        return ""

    trimmer = trimmer_of(hang, timeout_s=0.001)
    for message in chat(0, 20):
        trimmer.add(message)
        await trimmer.abegin()
        await trimmer.asettle()
    assert trimmer.view().failed == "TimeoutError"


def test_on_the_critical_path_the_summary_is_there_at_once():
    scribe = Scribe()
    trimmer = trimmer_of(scribe, background=False)
    for message in chat(0, 40):
        trimmer.add(message)
        assert not trimmer.begin()
        assert trimmer.look().coverage.share == 1.0
    assert trimmer.view().summary is not None


async def test_on_the_critical_path_of_a_task_too():
    trimmer = trimmer_of(Scribe(), background=False)
    for message in chat(0, 20):
        trimmer.add(message)
        assert (await trimmer.alook()).coverage.share == 1.0
    assert trimmer.view().summary is not None


def test_a_deadline_of_the_run_bounds_a_summary_that_is_waited_for():
    scribe = Scribe()
    scribe.gate = threading.Event()
    trimmer = trimmer_of(scribe, background=False, timeout_s=1000)
    trimmer.extend(chat(0, 20))
    with deadline(0.001):
        assert trimmer.look().failed == "TimeoutError"
    scribe.gate.set()


async def test_tasks_write_summaries_as_threads_do():
    seen: list[str] = []

    async def summarize(messages: Any, previous: str | None, most: int) -> str:
        await asyncio.sleep(0)
        seen.append(threading.current_thread().name)
        return "so far so good"

    trimmer = trimmer_of(summarize)
    for message in chat(0, 20):
        trimmer.add(message)
        await trimmer.abegin()
        await trimmer.asettle()
    assert trimmer.view().coverage.share == 1.0
    assert set(seen) == {threading.current_thread().name}


async def test_a_plain_function_does_not_block_the_loop():
    scribe = Scribe()
    trimmer = trimmer_of(scribe)
    for message in chat(0, 20):
        trimmer.add(message)
        await trimmer.abegin()
        await trimmer.asettle()
    assert trimmer.view().coverage.share == 1.0


def test_an_awaited_summariser_serves_threads():
    async def summarize(messages: Any, previous: str | None, most: int) -> str:
        await asyncio.sleep(0)
        return "so far so good"

    assert filled(trimmer_of(summarize), 20).view().coverage.share == 1.0


def test_a_loop_per_turn_gets_its_summaries():
    """A task ends with its loop; the next summary is then written in a thread."""
    scribe = Scribe()
    trimmer = trimmer_of(scribe)

    async def turn(number: int) -> None:
        for message in chat(number, 1):
            trimmer.add(message)
        await trimmer.abegin()

    for number in range(40):
        asyncio.run(turn(number))
        trimmer.settle(20)
    assert trimmer.view().coverage.share > 0.5


def test_a_loop_that_is_closed_over_its_task_holds_nothing_up():
    trimmer = trimmer_of(Scribe())

    async def turn(number: int) -> None:
        for message in chat(number, 1):
            trimmer.add(message)
        await trimmer.abegin()

    loop = asyncio.new_event_loop()
    number = 0
    while trimmer._work.aside._job is None:
        loop.run_until_complete(turn(number))
        number += 1
    task = trimmer._work.aside._job
    assert isinstance(task, asyncio.Task)
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    filled(trimmer, 10, first=number)
    assert trimmer.view().coverage.share == 1.0
    task.get_coro().close()


def test_a_summary_that_is_too_long_loses_its_middle_and_says_so():
    trimmer = trimmer_of(lambda *asked: " ".join(f"w{n}" for n in range(500)))
    view = filled(trimmer, 20).view()
    assert view.summary is not None
    assert view.summary.clipped
    assert view.summary.tokens == WORDS.count_message(view.summary.message()) <= 60
    assert view.summary.text.startswith("w0 ")
    assert view.summary.text.endswith(" w499")
    assert view.tokens <= 200


def test_tokens_and_cost_of_all_calls_are_counted():
    view = filled(trimmer_of(Scribe()), 40).view()
    summary = view.summary
    assert summary is not None
    assert summary.calls >= 2
    assert summary.usage is not None
    assert summary.usage.input_tokens == 100 * summary.calls
    assert isinstance(summary.cost_usd, Decimal)
    assert summary.model == "gpt-4o-mini"
    record = view.record()
    assert json.loads(json.dumps(record)) == record
    assert "text" not in record["summary"]


def test_the_bus_is_told_of_cuts_and_summaries_once():
    bus = EventBus()
    told: list[DecisionMade] = []
    bus.subscribe(lambda event: told.append(event) if isinstance(event, DecisionMade) else None)
    trimmer = trimmer_of(Scribe(), bus=bus)
    for message in chat(0, 40):
        trimmer.add(message)
        trimmer.look()
        trimmer.begin()
        trimmer.settle()
    outcomes = [event.outcome for event in told]
    view = trimmer.look()
    assert outcomes.count("cut") == len(view.cuts) > 2
    assert outcomes.count("summarised") >= outcomes.count("cut")
    assert "u0" not in repr([event.details for event in told]), "nothing of what was said"


def test_calls_that_failed_are_paid_for_too():
    scribe = Scribe()
    scribe.says = Written(text=" ", usage=Scribe()([], None, 9).usage, model="gpt-4o-mini")
    trimmer = filled(trimmer_of(scribe), 20)
    scribe.says = None
    summary = filled(trimmer, 40, first=20)._ledger.latest
    assert summary is not None
    assert summary.usage is not None
    assert summary.calls == summary.usage.input_tokens / 100 == len(scribe.asked)


def test_a_price_that_is_not_known_is_not_nothing():
    trimmer = trimmer_of(lambda *asked: "short")
    summary = filled(trimmer, 20).view().summary
    assert summary is not None
    assert (summary.usage, summary.cost_usd) == (None, None)


def test_a_saved_state_goes_on_where_it_was():
    history = chat(0, 50)
    trimmer = filled(trimmer_of(Scribe()), 50)
    state = json.loads(json.dumps(trimmer.state()))
    again = trimmer_of(Scribe())
    again.extend(history)
    again.resume(state)
    assert texts(again.view()) == texts(trimmer.view())
    assert again.view().coverage == trimmer.view().coverage
    assert again.state() == state


def test_a_state_of_an_edited_history_is_not_taken():
    history = chat(0, 50)
    state = filled(trimmer_of(Scribe()), 50).state()
    again = trimmer_of(Scribe())
    again.extend([said("user", 6, "other"), *history[1:]])
    again.resume(state)
    view = again.view()
    assert (view.summary, view.failed) == (None, "HistoryEdited")
    assert view.coverage.pending == view.coverage.evicted > 0


@pytest.mark.parametrize(
    "state", [{"summary": {"text": "x"}}, {"summary": 7}, {"summary": {"covers": "abc"}}]
)
def test_a_state_that_cannot_be_read_is_told_and_costs_nothing_but_itself(state: Any):
    bus = EventBus()
    trimmer = trimmer_of(Scribe(), bus=bus)
    trimmer.extend(chat(0, 50))
    trimmer.resume(state)
    assert bus.faults() == {"context.summary": 1}
    assert trimmer.view().coverage.pending > 0


def test_a_summary_that_was_begun_before_a_resume_is_not_taken():
    scribe = Scribe()
    scribe.gate = threading.Event()
    trimmer = trimmer_of(scribe)
    trimmer.extend(chat(0, 20))
    assert trimmer.begin()
    job = trimmer._work.aside._job
    scribe.begun.wait(20)
    trimmer.resume({})
    scribe.gate.set()
    assert job is not None
    trimmer._work.aside._job = job
    trimmer.settle(20)
    assert trimmer.state() == {"summary": None, "ready": None}


def test_old_turns_can_be_dropped_instead():
    window = WindowSettings(max_tokens=200, counter=WORDS, keep_turns=2)
    trimmer = SummarizingTrimmer(window)
    sizes: set[int] = set()
    for message in chat(0, 40):
        trimmer.add(message)
        assert not trimmer.begin()
        view = trimmer.look()
        assert view.tokens <= 200
        if view.cuts and view.cuts[-1].after == trimmer.added:
            sizes.add(sum(one.role == "user" for one in view.messages))
    assert sizes == {2}
    assert trimmer.view().coverage.pending == trimmer.view().coverage.evicted > 0


def test_turns_that_are_not_kept_are_summarised():
    window = WindowSettings(max_tokens=300, counter=WORDS, keep_turns=3)
    trimmer = SummarizingTrimmer(window, SummarySettings(summarize=Scribe(), tokens=60))
    view = filled(trimmer, 40).view()
    assert view.summary is not None
    assert view.coverage.covered + view.coverage.ready + view.coverage.pending > 0
    assert view.coverage.share > 0.6


def test_a_window_of_messages_has_one_for_the_summary():
    window = WindowSettings(max_messages=8)
    trimmer = SummarizingTrimmer(window, SummarySettings(summarize=Scribe()))
    for message in chat(0, 30):
        trimmer.add(message)
        trimmer.begin()
        trimmer.settle()
        assert len(trimmer.view().messages) == trimmer.view().tokens <= 8
    assert trimmer.view().coverage.share == 1.0


def test_what_a_long_task_leaves_out_is_summarised_too():
    """One turn of many steps: a stub in the window, the steps in the summary."""
    scribe = Scribe()
    trimmer = trimmer_of(scribe)
    trimmer.add(said("user", 5, "task"))
    for number in range(40):
        trimmer.add(said("assistant", 8, f"step{number}."))
        trimmer.begin()
        trimmer.settle()
    view = trimmer.view()
    assert view.coverage.share == 1.0
    assert any("left out" in text for text in texts(view))
    assert texts(view)[1] == said("user", 5, "task").text


class Mischief(Scribe):
    """Fails, says nothing, says too much or does its work, as drawn."""

    def __init__(self, moods: list[str]) -> None:
        super().__init__()
        self.moods = moods

    def __call__(self, messages: Any, previous: str | None, max_tokens: int) -> Any:
        mood = self.moods[len(self.asked) % len(self.moods)]
        self.fails = ValueError("no") if mood == "fail" else None
        self.says = {"empty": " ", "long": "word " * 900}.get(mood)
        return super().__call__(messages, previous, max_tokens)


moods = st.lists(st.sampled_from(["work", "fail", "empty", "long"]), min_size=1, max_size=5)


@given(histories(), st.integers(160, 500), moods, st.booleans(), st.integers(128, 400))
def test_never_over_budget_and_nothing_lost_before_it_is_covered(
    history: list[Message], limit: int, drawn: list[str], background: bool, chunk: int
):
    scribe = Mischief(drawn)
    trimmer = trimmer_of(scribe, limit, background=background, tokens=32, chunk_tokens=chunk)
    for place, message in enumerate(history):
        trimmer.add(message)
        if place % 2:
            trimmer.begin()
            trimmer.settle()
        view = trimmer.look()
        assert view.tokens == sum(map(WORDS.count_message, view.messages)) <= limit
        if message.role != "tool" and not message.tool_calls:
            assert objections(view.messages) == []
        # What is not in the prompt is in its summary, in the next one, or known as missing.
        ledger = trimmer._ledger
        gone = ledger._evicted
        assert len(gone) == view.left_out
        covered = set(each_place(ledger.latest.covers if ledger.latest else ()))
        assert gone <= covered | ledger.pending
        assert not covered & ledger.pending
        said_to = {id(one) for one in scribe.seen if one.origin is None}
        for at in covered:
            whole = history[at]
            assert id(whole) in said_to or WORDS.count_message(whole) > chunk // 2
        coverage = view.coverage
        assert coverage.evicted == coverage.covered + coverage.ready + coverage.pending


@given(histories(), st.integers(160, 500))
def test_with_a_summariser_that_works_all_of_what_was_evicted_is_covered(
    history: list[Message], limit: int
):
    trimmer = trimmer_of(Scribe(), limit, background=False, tokens=32)
    for message in history:
        trimmer.add(message)
        assert trimmer.look().coverage.share == 1.0


@given(histories(), st.integers(160, 500))
def test_a_state_is_the_same_after_json(history: list[Message], limit: int):
    trimmer = trimmer_of(Scribe(), limit, tokens=32)
    for message in history:
        trimmer.add(message)
        trimmer.begin()
        trimmer.settle()
    again = trimmer_of(Scribe(), limit, tokens=32)
    again.extend(history)
    again.resume(json.loads(json.dumps(trimmer.state())))
    assert texts(again.view()) == texts(trimmer.view())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tokens": 5}, "at least 32 tokens"),
        ({"ahead": 0}, "ahead is a share"),
        ({"timeout_s": 0}, "timeout_s must be > 0"),
        ({"tokens": 3000}, "quarter of chunk_tokens"),
        ({"summarize": "gpt-4o"}, "ChatSummarizer"),
        ({"prices": {}}, "prices must be a PriceBook"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fields: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        SummarySettings(**cast("dict[str, Any]", {"summarize": Scribe(), **fields}))


def test_a_window_without_room_for_a_summary_is_refused():
    with pytest.raises(ConfigError, match="more than half"):
        trimmer_of(Scribe(), 100)


def test_a_summary_goes_through_json():
    summary = filled(trimmer_of(Scribe()), 40).view().summary
    assert summary is not None
    assert Summary.of(json.loads(json.dumps(summary.record()))) == summary
