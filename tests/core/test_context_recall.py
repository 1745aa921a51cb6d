"""Recall: what has left the window comes back when it is asked for, and only as much as fits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from conversations import WORDS
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.context._pieces import pieces_of
from agentperf_core.context.lexical import LexicalIndex, terms_of
from agentperf_core.context.recall import Recall
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus
from agentperf_core.types import Message

SAID = [
    "My sister Ana moved to Lisbon.",
    "That is far away!",
    "She works there as a cook.",
    "Our dog was ill last week.",
    "I hope it is better now.",
    "We painted the kitchen yellow.",
]


def filled(**fields: object) -> Recall:
    recall = Recall(WORDS, **fields)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for place, text in enumerate(SAID):
        recall.add(place, Message(role="user" if place % 2 == 0 else "assistant", text=text))
    return recall


def test_what_was_asked_for_comes_with_what_stands_around_it():
    found = filled().find("Where does Ana live?", tokens=40)
    assert found is not None
    assert found.places[:2] == (0, 1)
    assert found.text.splitlines()[:2] == [
        "Earlier in this conversation:",
        "user: My sister Ana moved to Lisbon.",
    ]


def test_recalled_messages_stand_in_the_order_in_which_they_were_said():
    found = filled(neighbours=0).find("Is the kitchen yellow? And is the dog ill?", tokens=200)
    assert found is not None
    assert list(found.places) == sorted(found.places)
    assert {3, 5} <= set(found.places)


@given(st.text(), st.integers(0, 80))
def test_never_more_than_there_is_room_for(question: str, tokens: int):
    found = filled().find(question, tokens=tokens)
    if found is not None:
        assert found.tokens == WORDS.count_message(Message(role="user", text=found.text)) <= tokens
        assert found.places


def test_nothing_is_recalled_that_has_nothing_to_do_with_the_question():
    assert filled().find("quantum chromodynamics", tokens=200) is None
    assert Recall(WORDS).find("anything", tokens=200) is None


def test_a_date_and_a_name_stand_before_what_was_said():
    recall = Recall(WORDS)
    recall.add(0, Message(role="user", text="I like tea.", name="Ana"), date="3 May 2026")
    recall.add(1, Message(role="assistant", text="  "))
    found = recall.find("tea", tokens=50)
    assert found is not None
    assert found.text.splitlines()[1:] == ["[3 May 2026]", "Ana: I like tea."]
    assert len(recall) == 1


def test_a_date_is_said_once_for_all_that_was_said_then():
    """In every line of chat it took a third of the room."""
    recall = Recall(WORDS, neighbours=0)
    days = {"1 May": ("tea one", "tea two"), None: ("tea three",), "2 May": ("tea four",)}
    said = [(day, text) for day, texts in days.items() for text in texts]
    for place, (day, text) in enumerate(said):
        recall.add(place, Message(role="user", text=text), date=day)
    found = recall.find("tea", tokens=60)
    assert found is not None
    assert found.text.splitlines() == [
        "Earlier in this conversation:",
        "[1 May]",
        "user: tea one",
        "user: tea two",
        "[no date]",
        "user: tea three",
        "[2 May]",
        "user: tea four",
    ]
    assert found.tokens == WORDS.count_message(Message(role="user", text=found.text))
    assert recall.find("1 May", tokens=60) is not None


@given(
    st.lists(st.tuples(st.sampled_from([None, "1 May", "2 May"]), st.integers(0, 9)), max_size=20),
    st.integers(0, 60),
)
def test_dates_are_paid_for_out_of_the_same_room(said: list[tuple[str | None, int]], tokens: int):
    recall = Recall(WORDS)
    for place, (day, words) in enumerate(said):
        recall.add(place, Message(role="user", text="tea " * words), date=day)
    found = recall.find("tea", tokens=tokens)
    if found is not None:
        assert found.tokens == WORDS.count_message(Message(role="user", text=found.text)) <= tokens


def test_a_message_comes_back_letter_for_letter():
    """Blanks at its ends were dropped, and a search for the message in the prompt found nothing."""
    recall = Recall(WORDS)
    recall.add(0, Message(role="user", text=" My cat is Miso.  "))
    found = recall.find("cat", tokens=50)
    assert found is not None
    assert found.text.endswith("user:  My cat is Miso.  ")


def test_words_are_found_in_other_forms():
    assert terms_of("studies studying studied") == ["studi"] * 3
    assert terms_of("donation donated donating")[1:] == ["donat"] * 2


def test_meaning_counts_where_there_is_an_encoder():
    def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0] if "dog" in t or "pet" in t else [0.0, 1.0] for t in texts]

    found = filled(embed=embed, neighbours=0).find("How is my pet?", tokens=18)
    assert found is not None
    assert found.places == (3,)


def test_texts_are_encoded_once_and_together():
    asked: list[int] = []

    def embed(texts: Sequence[str]) -> list[list[float]]:
        asked.append(len(texts))
        return [[1.0, 0.5] for _ in texts]

    recall = filled(embed=embed)
    recall.find("dog", tokens=50)
    recall.add(6, Message(role="user", text="One more thing."))
    recall.find("dog", tokens=50)
    assert asked == [7, 2]


def test_an_encoder_that_fails_leaves_the_words():
    bus = EventBus()

    def broken(texts: Sequence[str]) -> list[list[float]]:
        raise ValueError("no model")

    found = filled(embed=broken, bus=bus).find("Where does Ana live?", tokens=40)
    assert found is not None
    assert 0 in found.places
    assert bus.faults() == {"context.recall": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda texts: [[1.0, 0.0]] * (len(texts) - 1),
        lambda texts: [[1.0, 0.0]] * (len(texts) + 1),
        lambda texts: [[1.0] * (n + 1) for n in range(len(texts))],
        lambda texts: None,
    ],
)
def test_an_encoder_that_is_wrong_once_is_asked_again(wrong: Any):
    """A vector too few moved all that came later to another message, for good."""
    bus, answers = EventBus(), [wrong]

    def embed(texts: Sequence[str]) -> Any:
        right: list[list[float]] = [[float("dog" in t or "pet" in t), 0.5] for t in texts]
        return answers.pop()(texts) if answers else right

    recall = filled(embed=embed, bus=bus, neighbours=0)
    recall.find("How is my pet?", tokens=18)
    assert bus.faults() == {"context.recall": 1}
    found = recall.find("How is my pet?", tokens=18)
    assert found is not None
    assert found.places == (3,)


def test_what_it_remembers_can_be_saved():
    recall = Recall(WORDS, neighbours=0)
    recall.add(0, Message(role="user", text="I like tea."), date="1 May")
    recall.add(4, Message(role="assistant", text="And I coffee. "))
    again = Recall(WORDS, neighbours=0)
    again.restore(json.loads(json.dumps(recall.state())))
    assert again.find("tea or coffee", tokens=60) == recall.find("tea or coffee", tokens=60)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Recall(None),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: Recall(WORDS, neighbours=None),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: Recall(WORDS, embed="minilm"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
)
def test_arguments_of_another_kind(make: Any):
    with pytest.raises(ConfigError, match="got"):
        make()


def test_words_of_scripts_without_blanks_are_found():
    assert terms_of("我喜欢绿茶") == ["我喜", "喜欢", "欢绿", "绿茶"]
    index = LexicalIndex()
    for text in ("我喜欢绿茶", "今天下雨了", "他住在北京"):
        index.add(text)
    scores = index.scores("谁喜欢绿茶?")
    assert max(range(3), key=scores.__getitem__) == 0


@given(st.lists(st.text(), max_size=8), st.text())
def test_any_text_can_be_added_and_asked(texts: list[str], question: str):
    index = LexicalIndex()
    for text in texts:
        index.add(text)
    scores = index.scores(question)
    assert len(scores) == len(index) == len(texts)
    assert all(score >= 0 for score in scores)


def test_a_number_of_neighbours_that_means_nothing():
    with pytest.raises(ConfigError, match="neighbours must be a whole number >= 0"):
        Recall(WORDS, neighbours=-1)


def test_a_long_message_comes_back_in_the_piece_that_is_asked_for():
    """A tool's result of thousands of tokens would else take all the room, or find none."""
    recall = Recall(WORDS, neighbours=0)
    rows = [f"Row {n} says that nothing of note happened." for n in range(400)]
    rows[211] = "Row 211 names the pilot, who is Amelia."
    recall.add(7, Message(role="tool", text="\n".join(rows), tool_call_id="c"))
    found = recall.find("Who is the pilot?", tokens=400)
    assert found is not None
    assert found.places == (7,)
    assert "Amelia" in found.text
    assert "Row 3 " not in found.text


@given(st.text(max_size=6000))
def test_pieces_are_the_text(text: str):
    whole = "".join("".join(piece.split()) for piece in pieces_of(text))
    assert whole == "".join(text.split())


def test_of_a_huge_message_the_head_is_remembered():
    recall = Recall(WORDS)
    recall.add(0, Message(role="user", text="word " * 2_000_000))
    assert len(recall) == 64
