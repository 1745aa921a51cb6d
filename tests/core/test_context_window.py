"""The window: never too large, always valid, seldom cut, and the same however it was built."""

from __future__ import annotations

from typing import Any

import pytest
from conversations import WORDS, broken_histories, histories, least, objections, said
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.context.records import ContextOverflow
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.sliding import SlidingWindow
from agentperf_core.context.turns import Changed, units_of
from agentperf_core.context.window import Window
from agentperf_core.errors import ConfigError
from agentperf_core.types import Message, ToolCall


def settings(limit: int, **fields: Any) -> WindowSettings:
    return WindowSettings(max_tokens=limit, counter=WORDS, **fields)


def cost(messages: list[Message]) -> int:
    return sum(map(WORDS.count_message, messages))


def texts(window: Window) -> list[str]:
    return [message.text for message in window.messages()]


@st.composite
def fitted_talks(draw: st.DrawFn) -> tuple[list[Message], int]:
    """A conversation, and a limit in which what must be shown of it has room."""
    history = draw(histories())
    return history, max(draw(st.integers(90, 400)), least(history))


@given(fitted_talks(), st.sampled_from([0.3, 0.6, 0.9]))
def test_every_prompt_fits_is_valid_and_holds_what_it_must(
    talk: tuple[list[Message], int], low: float
):
    history, limit = talk
    window = Window(settings(limit, low=low))
    system = [message for message in history if message.role == "system"]
    for place, message in enumerate(history):
        window.add(message)
        shown = window.messages()
        assert window.tokens == cost(shown) <= limit
        assert [one for one in shown if one.role == "system"] == system[: place + 1]
        question = next((m for m in reversed(history[: place + 1]) if m.role == "user"), None)
        # Whole, or where one message is larger than all there is room for, what is left of it.
        said = [one for one in shown if one.role == "user"]
        assert question is None or question in said or any("left out" in m.text for m in said)
        waits = any(call.id for call in message.tool_calls)
        if message.role != "tool" and not waits:
            assert objections(shown) == []


@given(fitted_talks())
def test_between_two_cuts_every_prompt_begins_with_the_one_before(talk: tuple[list[Message], int]):
    history, limit = talk
    window, before, cuts = Window(settings(limit)), list[Message](), 0
    for message in history:
        window.add(message)
        shown = window.messages()
        if len(window.cuts) == cuts:
            assert shown[: len(before)] == before
        before, cuts = shown, len(window.cuts)


@given(fitted_talks())
def test_a_window_built_anew_is_the_same_window(talk: tuple[list[Message], int]):
    history, limit = talk
    one, sliding = Window(settings(limit)), SlidingWindow(settings(limit))
    for place in range(len(history)):
        one.add(history[place])
        assert list(sliding.view(history[: place + 1]).messages) == one.messages()
    fresh = SlidingWindow(settings(limit)).view(history)
    assert list(fresh.messages) == one.messages()
    assert fresh.left_out == len(history) - one.shown


@given(fitted_talks())
def test_what_was_fitted_fits(talk: tuple[list[Message], int]):
    history, limit = talk
    once = SlidingWindow(settings(limit)).view(history).messages
    assert SlidingWindow(settings(limit)).view(once).messages == once


@given(fitted_talks())
def test_unchanged_messages_are_the_objects_that_were_given(talk: tuple[list[Message], int]):
    history, limit = talk
    view = SlidingWindow(settings(limit)).view(history)
    given_ = {id(message) for message in history}
    for message in view.messages:
        assert id(message) in given_ or "left out" in message.text or "cleared" in message.text


@given(fitted_talks())
def test_what_leaves_the_window_is_told_once_as_it_was(talk: tuple[list[Message], int]):
    history, limit = talk
    window = Window(settings(limit), track=True)
    left: dict[int, Message] = {}
    in_part: dict[int, Message] = {}
    for message in history:
        window.add(message)
        for one in window.take_evicted():
            known = in_part if one.shown else left
            assert one.place not in known
            known[one.place] = one.message
    assert all(told[place] is history[place] for told in (left, in_part) for place in told)
    assert len(left) + window.shown == len(history)
    shown = window.messages()
    whole = {id(message) for message in shown}
    for place, message in enumerate(history):
        assert place in left or place in in_part or id(message) in whole


def test_old_tool_results_go_first_then_whole_turns():
    window = Window(settings(100, keep_results=1, low=0.5))
    for number in range(3):
        window.add(said("user", 3, f"u{number}."))
        window.add(said("assistant", 1, tool_calls=(ToolCall(f"c{number}", "look", {"a": 1}),)))
        window.add(said("tool", 16, f"r{number}.", tool_call_id=f"c{number}"))
    kinds = [cut.kind for cut in window.cuts]
    assert kinds == ["cleared", "dropped"]
    assert texts(window)[0].startswith("u1.0") or texts(window)[0].startswith("u2.0")


def test_the_middle_of_a_long_task_becomes_a_stub():
    window = Window(settings(120, keep_results=0, low=0.6))
    window.add(said("user", 5, "task"))
    for number in range(20):
        window.add(said("assistant", 4, f"a{number}."))
    shown = texts(window)
    assert shown[0].startswith("task0")
    assert "earlier messages of this task were left out" in shown[1]
    assert shown[-1].startswith("a19.")
    stubs = [text for text in shown if "left out" in text]
    assert len(stubs) == 1  # a stub of stubs counts what they stood for
    count = int(stubs[0].split()[0].strip("["))
    assert count + sum(text.startswith("a") for text in shown) == 20


def test_a_question_too_large_for_the_window_is_shortened_not_lost():
    window = Window(settings(60))
    window.add(said("system", 5, "s"))
    window.add(said("user", 500, "q"))
    question = texts(window)[1]
    assert question.startswith("q0 q1 ")
    assert question.endswith(" q499")
    assert "left out to fit the context" in question
    assert window.tokens <= 60


def test_megabytes_are_not_counted_whole():
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text) // 4

    from agentperf_core.accounting.tokens import TokenCounter

    window = Window(WindowSettings(max_tokens=1000, counter=TokenCounter(count)))
    window.add(Message(role="user", text="word " * 2_000_000))
    assert max(counted) < 100_000
    assert window.tokens <= 1000


def test_a_message_too_large_is_an_error_where_that_is_wanted():
    window = Window(settings(60, oversize="error"))
    with pytest.raises(ContextOverflow) as caught:
        window.add(said("user", 500))
    assert "cost 504 of 60; raise the limit" in str(caught.value)
    assert (caught.value.needed > 60, caught.value.limit) == (True, 60)


def test_a_function_may_make_a_large_message_smaller():
    asked: list[int] = []

    def compress(message: Message, room: int) -> Message:
        asked.append(room)
        return Message(role=message.role, text="in short")

    window = Window(settings(60, oversize=compress))
    window.add(said("user", 500))
    assert texts(window) == ["in short"]
    assert 0 < asked[0] <= 60


def test_pinned_messages_stay_and_count():
    window = Window(settings(80, pin=lambda message: "keep" in message.text))
    window.add(said("user", 10, "keep"))
    for number in range(12):
        window.add(said("user", 5, f"u{number}."))
        window.add(said("assistant", 5, f"a{number}."))
    shown = texts(window)
    assert shown[0].startswith("keep0")
    assert shown[1].startswith("u")
    assert window.tokens <= 80


def test_the_largest_of_the_last_requests_says_how_much_room_stays_free():
    window = Window(settings(100))
    for number in range(8):
        window.add(said("user", 8, f"u{number}."))
    before = window.tokens
    window.reserve(60)
    assert window.tokens <= 40 < before
    for _ in range(7):
        window.reserve(10)
        assert window.room == 40
    window.reserve(10)  # it stayed small for ever
    assert window.room == 90


def test_a_single_large_request_does_not_keep_a_conversation_small():
    sliding, history, shown = SlidingWindow(settings(100)), list[Message](), list[int]()
    for number in range(20):
        history.append(said("user", 8, f"u{number}."))
        shown.append(sliding.view(history, beside=60 if number == 5 else 0).tokens)
    assert max(shown) <= 100
    assert max(shown[5:13]) <= 40 < shown[-1]


def test_what_no_step_can_make_fit_is_an_error():
    window = Window(settings(40))
    with pytest.raises(ContextOverflow, match="pin less"):
        window.add(said("system", 60))


def test_a_window_of_messages():
    window = Window(WindowSettings(max_messages=6, low=0.5))
    for number in range(20):
        window.add(said("user", 1, f"u{number}."))
        window.add(said("assistant", 1, f"a{number}."))
        assert len(window.messages()) <= 6
    assert texts(window)[0].startswith("u")


def test_a_shortened_message_remembers_what_it_was():
    origin = object()
    window = Window(settings(60))
    window.add(said("user", 500, origin=origin))
    assert window.messages()[0].origin == Changed(origin)


def test_a_conversation_that_comes_in_broken_is_repaired_and_followed():
    sliding = SlidingWindow(settings(200))
    asks = said("assistant", 1, tool_calls=(ToolCall("a", "look", {}),))
    late = Message(role="tool", text="late", tool_call_id="a")
    history = [said("user", 1), asks, said("user", 2, "x"), late]
    view = sliding.view(history)
    assert [one.kind for one in view.repairs] == ["moved_result"]
    assert [one.role for one in view.messages] == ["user", "assistant", "tool", "user"]
    more = sliding.view([*history, said("assistant", 1, "b")])
    assert more.repairs == ()
    assert [one.role for one in more.messages][-1] == "assistant"


def test_an_edited_conversation_is_read_anew():
    sliding = SlidingWindow(settings(200))
    first = said("user", 1)
    sliding.view([first, said("assistant", 1, "old"), said("user", 1, "x")])
    view = sliding.view([first, said("assistant", 1, "new")])
    assert [one.text for one in view.messages] == ["w0", "new0"]


def test_conversations_are_remembered_up_to_a_bound():
    sliding = SlidingWindow(settings(200), conversations=2)
    for number in range(5):
        sliding.view([said("user", 1, f"u{number}.")])
    assert len(sliding._followed) == 2


def test_only_new_messages_are_read():
    read: list[int] = []
    history = [said("user", 1, f"u{number}.") for number in range(10)]

    def message_at(place: int) -> Message:
        read.append(place)
        return history[place]

    sliding = SlidingWindow(settings(500))
    sliding.follow(list(range(9)), message_at)
    read.clear()
    sliding.follow(list(range(10)), message_at)
    assert read == [9]


@pytest.mark.parametrize(
    ("fields", "said_"),
    [
        ({}, "bounded by max_tokens or by max_messages"),
        ({"max_tokens": 5, "max_messages": 5}, "give one"),
        ({"max_tokens": 0}, "max_tokens must be a whole number >= 1, got 0"),
        ({"max_tokens": "9"}, "max_tokens must be a whole number >= 1, got '9'"),
        ({"max_tokens": 50, "low": None}, "low must be a number from 0 to 1, got None"),
        ({"max_tokens": 50, "keep_results": 1.5}, "keep_results must be a whole number"),
        ({"max_tokens": 50, "pin": "x"}, "pin must be a function, got 'x'"),
        ({"max_tokens": 50, "oversize": []}, "oversize is 'cut', 'error' or a function"),
        ({"max_tokens": 50, "counter": None}, "counter must be a TokenCounter"),
        ({"max_tokens": 50, "low": 1.5}, "low must be a number from 0 to 1"),
        ({"max_tokens": 50, "low": 0}, "low must be > 0"),
        ({"max_tokens": 50, "reserve": 50}, "leaves no room"),
        ({"max_tokens": 50, "reserve": -1}, "reserve must be a whole number >= 0, got -1"),
        ({"max_tokens": 50, "oversize": "drop"}, "oversize is 'cut', 'error' or a function"),
        ({"max_tokens": 50, "counter": 7}, "counter must be a TokenCounter"),
    ],
)
def test_settings_that_mean_nothing(fields: dict[str, Any], said_: str):
    with pytest.raises(ConfigError) as caught:
        WindowSettings(**fields)
    assert said_ in str(caught.value)


def test_the_users_own_words_are_shortened_after_what_a_tool_said():
    """The question of a turn that is too long was cut to its marker, and the result stayed."""
    window = Window(settings(60))
    question = said("user", 30)
    window.add(question)
    window.add(said("assistant", 1, tool_calls=(ToolCall("c1", "look", {}),)))
    window.add(said("tool", 25, tool_call_id="c1"))
    shown = window.messages()
    assert shown[0] is question
    assert "left out" in shown[-1].text


def test_a_stub_grows_instead_of_taking_its_own_place():
    """It counted as saved what it cost again, and the step that could go stayed: an overflow."""
    window = Window(settings(90, low=0.9))
    window.add(said("user", 1))
    for step, (words, *ids) in enumerate(((1, "c0"), (1, "c1", "c2"), (5, "c3", "c4"))):
        calls = tuple(ToolCall(one, "look", {"at": one}) for one in ids)
        window.add(said("assistant", words, tool_calls=calls))
        for one in ids:
            window.add(said("tool", 10 if step == 2 else 1, tool_call_id=one))
    assert window.tokens == cost(window.messages()) <= 90
    assert "5 earlier messages of this task" in window.messages()[1].text
    assert objections(window.messages()) == []


@given(histories(), st.sets(st.integers(0, 30), max_size=3))
def test_what_is_pinned_stays_whole_and_the_prompt_valid(history: list[Message], pins: set[int]):
    """Pinned tool results were cleared, pinned messages shortened, and an assistant spoke first."""
    pinned = {id(history[place]) for place in pins if place < len(history)}
    window = Window(settings(200, pin=lambda message: id(message) in pinned))
    for place, message in enumerate(history):
        try:
            window.add(message)
        except ContextOverflow:
            continue  # pinned messages need more than there is
        shown = window.messages()
        assert cost(shown) == window.tokens <= 200
        there = {id(one) for one in shown}
        kept = [one for one in history[: place + 1] if id(one) in pinned and one.role != "tool"]
        assert all(id(one) in there for one in kept)
        if not units_of(history[: place + 1])[-1].pending:
            assert objections(shown) == []


def test_a_pinned_tool_result_is_not_cleared():
    def rules(message: Message) -> bool:
        return "PINNED" in message.text

    window = Window(settings(120, keep_results=0, pin=rules))
    window.add(said("user", 3, "ask"))
    for step in range(6):
        call = ToolCall(f"c{step}", "look", {"at": step})
        window.add(said("assistant", 1, tool_calls=(call,)))
        window.add(said("tool", 20, "PINNED" if step == 0 else "r", tool_call_id=call.id))
    assert any("PINNED19" in text for text in texts(window))
    assert objections(window.messages()) == []


def test_an_assistants_pinned_words_come_behind_somebody_elses():
    window = Window(settings(60, pin=lambda message: "PINNED" in message.text))
    window.add(said("user", 3, "u"))
    window.add(said("assistant", 5, "PINNED"))
    for _ in range(6):
        window.add(said("user", 6, "u"))
        window.add(said("assistant", 6, "a"))
    shown = window.messages()
    assert [one.role for one in shown[:2]] == ["user", "assistant"]
    assert "left out" in shown[0].text
    assert window.tokens == cost(shown) <= 60
    assert objections(shown) == []


@pytest.mark.parametrize("words", [0, 400])
def test_a_call_with_large_arguments_is_cut_like_any_message(words: int):
    """It raised until the user said something else, in the middle of the task."""
    lines = " ".join(f"line{n}" for n in range(500))
    call = ToolCall("c", "write", {"path": "a.py", "parts": [{"text": lines}], "mode": 7})
    window = Window(settings(120))
    window.add(said("user", 3))
    window.add(said("assistant", words, tool_calls=(call,)))
    window.add(said("tool", 1, tool_call_id="c"))
    shown = window.messages()
    assert window.tokens == cost(shown) <= 120
    (sent,) = shown[1].tool_calls
    assert (sent.id, sent.arguments["path"], sent.arguments["mode"]) == ("c", "a.py", 7)
    assert "characters left out" in sent.arguments["parts"][0]["text"]
    assert objections(shown) == []
    assert window.cuts[-1].kind == "shortened"


def test_of_what_was_put_in_nothing_counts_as_left_out():
    """A call without a result gave -1 messages left out."""
    history = [
        said("user", 2, "q1"),
        Message(role="assistant", tool_calls=(ToolCall("c1", "look", {}),)),
        said("user", 2, "q2"),
    ]
    view = SlidingWindow(settings(100)).view(history)
    assert [repair.kind for repair in view.repairs] == ["missing_result"]
    assert len(view.messages) == 4
    assert view.left_out == 0


@given(broken_histories())
def test_there_are_never_fewer_left_out_than_none(history: list[Message]):
    sliding, given_ = SlidingWindow(settings(400)), {id(message) for message in history}
    for place in range(1, len(history) + 1):
        view = sliding.view(history[:place])
        whole = sum(id(message) in given_ for message in view.messages)
        assert 0 <= view.left_out <= place - whole


def test_a_huge_message_says_how_much_was_saved():
    window = Window(WindowSettings(max_tokens=200))
    window.add(Message(role="user", text="some words of a log " * 50_000))
    assert 150_000 < window.cuts[0].tokens < 400_000


def test_an_overflow_names_what_stands_beside():
    window = Window(settings(100))
    window.add(said("system", 20))
    with pytest.raises(ContextOverflow, match="90 are kept free for what stands beside"):
        window.reserve(90)


def test_a_window_is_made_of_settings():
    for wrong in (None, 500, {"max_tokens": 500}):
        with pytest.raises(ConfigError, match="settings must be a WindowSettings"):
            Window(wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="recall must be a RecallSettings, got 'auto'"):
        SlidingWindow(settings(100), recall="auto")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
