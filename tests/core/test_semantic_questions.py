"""Which questions stand alone, and what the others lean on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache.semantic.questions import parent_of, self_contained


@pytest.mark.parametrize(
    "text",
    [
        "How do I reset the password of my account?",
        "What is Python?",
        "Who wrote Hamlet?",
        "How tall is Mount Everest?",
        "Is it possible to change my PIN while travelling abroad?",
        "My card was declined at the hotel, why did it happen?",
    ],
)
def test_a_full_question_stands_alone(text: str):
    assert self_contained(text)


@pytest.mark.parametrize(
    "text",
    [
        "and for Berlin?",
        "what about Germany?",
        "Why?",
        "how much does it cost?",
        "Which is better?",
        "What are its advantages?",
        "Can you explain more on this topic?",
        "Translate that to French",
        "thanks, and the price?",
        "Give me an example",
        "continue",
        "",
    ],
)
def test_a_follow_up_does_not(text: str):
    assert not self_contained(text)


def test_the_parent_reaches_back_to_the_last_full_question():
    turns = ["What is Rust?", "Where is the Louvre in Paris?", "and when does it open?", "why?"]
    assert parent_of(turns) == "Where is the Louvre in Paris?\nand when does it open?"


def test_the_parent_is_at_most_three_turns_and_skips_empty_ones():
    assert parent_of(["why?", "how?", " ", "so?", "and?", "then?"]) == "how?\nso?\nand?"
    assert parent_of(["a question"]) is None
    assert parent_of([]) is None


@given(st.lists(st.text(max_size=60), max_size=6))
def test_any_conversation_has_a_parent_made_of_its_earlier_turns(turns: list[str]):
    parent = parent_of(turns)
    assert parent is None or parent.split("\n")[0] in "\n".join(turns[:-1])
