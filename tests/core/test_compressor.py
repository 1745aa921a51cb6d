"""The compressor: strategies in order, failures that cost nothing, the same answer every time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from conversations import WORDS
from hypothesis import given
from hypothesis import strategies as st
from test_compress_extractive import SHOP
from test_compress_text import TEXTS

from agentperf_core.context import Window, WindowSettings
from agentperf_core.context.compress import (
    CleanUp,
    Compressor,
    Extractive,
    MessageCompressor,
    Reduced,
    Rewriting,
    Task,
    compressed_oversize,
)
from agentperf_core.errors import ConfigError
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.flow import Flow
from agentperf_core.types import Message, ToolCall

QUERY = "Are returns accepted?"


def only(*strategies: Any, **options: Any) -> Compressor:
    settings: dict[str, Any] = {"ratio": 2, "bus": EventBus(), **options}
    return Compressor(strategies, counter=WORDS, **settings)


class Counting:
    """Keeps the first half, and counts how often it is asked."""

    name = "counting"

    def __init__(self) -> None:
        self.asked = 0

    def compress(self, task: Task) -> Flow[Reduced]:
        self.asked += 1
        yield from ()
        words = task.text.split()
        return Reduced(" ".join(words[: len(words) // 2]))


def test_strategies_have_their_turn_until_the_text_fits():
    never = Counting()
    found = only(CleanUp(), Extractive(), never).compress(f"Please note: {SHOP}", query=QUERY)
    assert [(step.strategy, step.outcome) for step in found.steps] == [
        ("clean-up", "applied"),
        ("extractive", "applied"),
    ]
    assert found.fits
    assert found.before == 51
    assert found.tokens <= found.target == 25
    assert never.asked == 0


def test_a_text_that_fits_is_not_touched():
    text = "Please   keep it.  "
    found = Compressor(counter=WORDS).compress(text, tokens=10)
    assert (found.text, found.steps, found.ratio) == (text, (), 1.0)
    assert Compressor(counter=WORDS, min_tokens=100).compress(SHOP).text == SHOP


@pytest.mark.parametrize(
    ("strategy", "outcome", "reason"),
    [
        (lambda text, tokens, query: 1 / 0, "failed", "it raised ZeroDivisionError"),
        (lambda text, tokens, query: "", "refused", "nothing was left"),
        (lambda text, tokens, query: None, "failed", "it raised TypeError"),
        (lambda text, tokens, query: text + " more", "kept", ""),
    ],
    ids=["raises", "empty", "no text", "longer"],
)
def test_a_strategy_that_fails_leaves_the_text_as_it_was(strategy: Any, outcome: str, reason: str):
    found = only(strategy).compress(SHOP)
    assert found.text == SHOP
    assert [(step.outcome, step.reason) for step in found.steps] == [(outcome, reason)]
    assert len(found.faults) == (outcome != "kept")


def test_after_a_failure_the_next_strategy_does_it():
    bus = EventBus()
    found = only(lambda text, tokens, query: 1 / 0, Extractive(), bus=bus).compress(
        SHOP, query=QUERY
    )
    assert found.fits
    assert found.faults == ("<lambda>: it raised ZeroDivisionError",)
    assert bus.faults() == {"context.compress": 1}


def test_what_was_done_without_is_told_even_where_nothing_came_of_it():
    class Degraded:
        name = "degraded"

        def compress(self, task: Task) -> Flow[Reduced]:
            yield from ()
            return Reduced(task.text, degraded="the embedder failed")

    found = only(Degraded()).compress(SHOP)
    assert [step.outcome for step in found.steps] == ["kept"]
    assert found.faults == ("degraded: the embedder failed",)


async def test_async_functions_are_strategies_of_async_callers():
    async def shorter(text: str, tokens: int, query: str) -> str:
        await asyncio.sleep(0)
        return " ".join(text.split()[:tokens])

    assert (await only(shorter).acompress(SHOP, tokens=3)).text == "The shop stands"
    assert only(shorter).compress(SHOP, tokens=3).faults == ("shorter: it raised TypeError",)


def test_a_text_is_compressed_once():
    counting = Counting()
    compressor = only(counting)
    first = compressor.compress(SHOP, query=QUERY)
    assert compressor.compress(SHOP, query=QUERY) == first
    assert counting.asked == 1
    compressor.compress(SHOP, query="another")
    assert counting.asked == 2


def test_a_failure_is_remembered_too_so_that_what_was_sent_stays_the_same():
    answers = iter([None, "Oslo."])
    compressor = only(lambda text, tokens, query: next(answers))
    assert compressor.compress(SHOP).text == SHOP
    assert compressor.compress(SHOP).text == SHOP


def test_the_memory_is_bounded_and_can_be_turned_off():
    counting = Counting()
    off = only(counting, memo_bytes=0)
    off.compress(SHOP)
    off.compress(SHOP)
    assert counting.asked == 2
    small = only(counting := Counting(), memo_bytes=5000)
    for number in [*range(10), 0, 9]:
        small.compress(f"{SHOP} {number}")
    assert counting.asked == 11


def test_threads_that_come_at_once_get_one_answer():
    barrier = threading.Barrier(4)
    count = iter(range(100))

    def other(text: str, tokens: int, query: str) -> str:
        barrier.wait(10)
        return f"answer {next(count)}"

    compressor = only(other)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(compressor.compress(SHOP).text))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


def test_results_and_events_hold_numbers_and_nothing_of_the_text():
    bus = EventBus()
    seen: list[Any] = []
    bus.subscribe(seen.append)
    found = only(Extractive(), bus=bus).compress(SHOP, query=QUERY)
    event = seen[0]
    assert isinstance(event, DecisionMade)
    assert (event.room, event.outcome) == ("context", "compressed")
    assert event.details == found.record()
    assert "Oslo" not in repr(event)
    assert found.record()["steps"][0]["removed"] == {"sentence": len(found.removed[0].pieces)}


@given(TEXTS, st.integers(1, 30))
def test_the_usual_strategies_never_make_a_text_longer(text: str, tokens: int):
    compressor = Compressor(counter=WORDS)
    found = compressor.compress(text, tokens=tokens)
    assert found.tokens == WORDS.count_text(found.text) <= found.before
    assert asyncio.run(Compressor(counter=WORDS).acompress(text, tokens=tokens)) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0.5}, "ratio says how many times smaller, at least 1, got 0.5"),
        ({"ratio": 0}, "ratio must be > 0"),
        ({"max_tokens": 0}, "max_tokens must be > 0"),
        ({"min_tokens": -1}, "min_tokens must be a whole number >= 0, got -1"),
        ({"strategies": []}, "a compressor needs a strategy"),
        ({"strategies": [Extractive]}, "a strategy has compress"),
        ({"strategies": ["clean-up"]}, "a strategy has compress"),
        ({"counter": len}, "counter must be a TokenCounter"),
        ({"ratio": None}, "ratio must be a number >= 0, got None"),
        ({"ratio": float("nan")}, "ratio must be a number >= 0, got nan"),
        ({"max_tokens": 99.5}, "max_tokens must be a whole number >= 1, got 99.5"),
        ({"min_tokens": None}, "min_tokens must be a whole number >= 0, got None"),
        ({"min_tokens": "x"}, "min_tokens must be a whole number >= 0, got 'x'"),
        ({"memo_bytes": None}, "memo_bytes must be a whole number >= 0, got None"),
        ({"strategies": len}, r"strategies are a list, got <built-in function len>; put it in a"),
        ({"strategies": Extractive()}, "strategies are a list, got "),
        ({"strategies": "abc"}, "strategies are a list, got 'abc'"),
    ],
)
def test_settings_that_cannot_mean_anything_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        Compressor(**options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("abc", r"texts are a list of strings, got 'abc'; put it in a list"),
        (None, "texts are a list of strings, got None"),
        ({"a": "b"}, "texts are a list of strings, got {'a': 'b'}"),
        (["a", 3], "a text is a string, got 3"),
    ],
)
def test_one_text_is_no_list_of_letters(given: Any, message: str):
    """`compress_all("abc")` compressed three texts of a letter each."""
    with pytest.raises(ConfigError, match=message):
        Compressor().compress_all(given)


def test_what_is_no_text_is_refused_before_any_strategy_sees_it():
    wrong: Any = None
    with pytest.raises(ConfigError, match="a text is a string, got None"):
        Compressor().compress(wrong)
    with pytest.raises(ConfigError, match="query is a string, got None"):
        Compressor().compress(SHOP, query=wrong)
    with pytest.raises(ConfigError, match=r"tokens must be a whole number >= 1, got 1\.5"):
        Compressor().compress(SHOP, tokens=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wrong = [b"x" * 10**6]
    with pytest.raises(ConfigError) as refused:
        Compressor().compress_all(wrong)
    assert len(str(refused.value)) < 200


# A model's shorter words.

FACTS = "In 2019, as far as anybody can tell, Ana Lima did not sell `item_7` to the people of Oslo."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("In 2019 Ana Lima did not sell `item_7` to Oslo.", ""),
        ("In 2019 Ana Lima never sold `item_7` in Oslo.", ""),
        ("In 2019 Ana Lima sold `item_7` in Oslo, never elsewhere.", "lost 1 negation"),
        ("In 2019 Ana Lima sold `item_7` to Oslo.", "lost 1 negation"),
        ("Ana Lima did not sell `item_7` to Oslo.", "lost 1 number"),
        ("In 2019 she did not sell `item_7`.", "lost 2 names"),
        ("In 2019 Ana Lima did not sell it to Oslo.", "lost 1 code"),
        ("In 2019 Ana Lima did not sell 3 `item_7` to Oslo.", "has 1 number of its own"),
        ("  ", "returned nothing"),
    ],
)
def test_other_words_are_taken_only_if_every_fact_is_in_them(answer: str, reason: str):
    found = only(Rewriting(lambda prompt: answer)).compress(FACTS)
    assert found.text == (FACTS if reason else answer)
    assert [reason in fault for fault in found.faults] == ([True] if reason else [])


def test_the_marks_around_the_text_are_no_part_of_the_answer():
    found = only(Rewriting(lambda prompt: "<text>Ana came.</text>")).compress("So Ana came in.")
    assert found.text == "Ana came."


def test_the_model_is_asked_for_the_target_and_the_query():
    asked: list[str] = []
    only(Rewriting(lambda prompt: asked.append(prompt) or "")).compress(
        SHOP + " {words}", query=QUERY, tokens=20
    )
    assert "at most 15 words" in asked[0]
    assert QUERY in asked[0]
    assert "{words}" in asked[0]  # what the text says stays as it is


def test_some_facts_may_be_lost_where_that_is_asked_for():
    model = Rewriting(lambda prompt: "Ana Lima did not sell `item_7` to Oslo.", keep=0.75)
    assert only(model).compress(FACTS).fits


async def test_an_async_model_serves_async_callers():
    async def aask(prompt: str) -> str:
        return "In 2019 Ana Lima did not sell `item_7` to Oslo."

    assert (await only(Rewriting(aask=aask)).acompress(FACTS)).ratio > 1.5
    assert only(Rewriting(aask=aask)).compress(FACTS).faults == ("rewriting: it raised TypeError",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "rewriting needs a model"),
        ({"ask": "x"}, "ask must be a function, got 'x'"),
        ({"ask": str, "aask": 3}, "aask must be a function, got 3"),
        ({"ask": str, "prompt": "Shorter!"}, "has {text} in it"),
        ({"ask": str, "prompt": None}, "a prompt for rewriting is a string, got None"),
        ({"ask": str, "keep": 2}, "keep is a share between 0 and 1, got 2"),
        ({"ask": str, "keep": None}, "keep must be a number >= 0, got None"),
    ],
)
def test_a_rewriting_that_cannot_work_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        Rewriting(**options)


# Conversations.


def conversation(*queries: str) -> list[Message]:
    found = [Message(role="system", text="Be kind.")]
    for number, query in enumerate(queries):
        call = ToolCall(f"c{number}", "search", {})
        found += [
            Message(role="user", text=query),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", text=f"{number} {SHOP}", tool_call_id=call.id),
            Message(role="assistant", text="So it is."),
        ]
    return found


def shorter(**options: Any) -> MessageCompressor:
    return MessageCompressor(Compressor(ratio=4, counter=WORDS), **options)


def test_a_result_is_compressed_for_what_had_been_asked_before_it():
    found = shorter().shorten(conversation("When was it founded?", QUERY))
    assert "founded" in found.messages[3].text
    assert "Returns" not in found.messages[3].text
    assert "Returns" in found.messages[7].text
    assert found.saved > 60


@pytest.mark.parametrize("forgets", [False, True])
def test_what_was_sent_is_sent_again_letter_for_letter(forgets: bool):
    """Each call's prompt begins with the one before, in another process as well."""
    whole = conversation("When was it founded?", QUERY, "Is there coffee?")
    one = shorter()
    before: tuple[Message, ...] = ()
    for upto in range(1, len(whole) + 1):
        sent = (shorter() if forgets else one).shorten(whole[:upto]).messages
        assert sent[: len(before)] == before
        before = sent


def test_other_messages_are_the_same_objects():
    given = conversation(QUERY)
    found = shorter().shorten(given)
    assert [a is b for a, b in zip(given, found.messages, strict=True)] == [
        True, True, True, False, True,
    ]  # fmt: skip


def test_blocks_that_are_no_text_stay():
    picture = {"type": "image", "url": "https://a.org/b.png"}
    given = [Message(role="tool", text=SHOP, tool_call_id="c", blocks=(picture,), origin=object())]
    found = shorter().shorten(given).messages[0]
    assert found.blocks == (picture,)
    assert found.tool_call_id == "c"
    assert found.text != SHOP


def test_tools_can_be_left_alone_by_name():
    given = conversation(QUERY)
    assert shorter(skip_tools={"search"}).shorten(given).messages == tuple(given)
    assert shorter(skip_tools={"other"}).shorten(given).saved > 0


def test_a_users_documents_are_compressed_for_the_question_under_them():
    given = [Message(role="user", text=f"{SHOP}\n\n{QUERY}"), Message(role="user", text=SHOP)]
    found = shorter(roles=("user",)).shorten(given).messages
    assert found[0].text.endswith(f"\n\n{QUERY}")
    assert "Returns" in found[0].text
    assert len(found[0].text) < len(SHOP)
    assert found[1].text == SHOP


@given(st.integers(30, 120), st.lists(st.sampled_from([SHOP, "one two", "x " * 300]), min_size=1))
def test_a_window_compresses_one_message_that_is_too_large_and_never_overflows(
    most: int, texts: list[str]
):
    oversize = compressed_oversize(Compressor(counter=WORDS))
    window = Window(WindowSettings(max_tokens=most, counter=WORDS, oversize=oversize))
    for text in texts:
        window.add(Message(role="user", text=f"{text}\n\n{QUERY}"))
        assert sum(map(WORDS.count_message, window.messages())) == window.tokens <= most
    if most > 40 and texts[-1] == SHOP:
        assert "Returns are accepted" in window.messages()[-1].text


@pytest.mark.parametrize(
    "options",
    [
        {"roles": ("assistant",)},
        {"roles": ()},
        {"roles": "tool"},
        {"roles": None},
        {"roles": [["tool"]]},
        {"skip_tools": "search"},
        {"skip_tools": None},
        {"skip_tools": [3]},
    ],
)
def test_roles_and_names_that_cannot_be_meant_are_refused(options: dict[str, Any]):
    with pytest.raises(ConfigError):
        MessageCompressor(**options)


@pytest.mark.parametrize("given", [None, "Hello", ["Hello"], [None], {"messages": []}])
def test_a_conversation_is_a_list_of_messages(given: Any):
    with pytest.raises(ConfigError, match=r"Message is needed here, got "):
        shorter().shorten(given)


def test_a_window_is_told_at_once_that_it_has_no_compressor():
    """`None` came out as an AttributeError in the middle of a conversation."""
    wrong: Any
    for wrong in (None, Extractive()):
        with pytest.raises(ConfigError, match="a Compressor is needed here, got "):
            compressed_oversize(wrong)
