"""The normal form of a question: what differs in form only meets, what may mean more does not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache.requests.normal import normalised
from agentperf_core.cache.requests.normal_words import CONTRACTIONS, NUMBERS, OPENERS

SAME = [
    ("What is the capital of France?", "what is the capital of france"),
    ("What is the capital of France?", "  What is  the capital\tof France ?? ".replace(" ??", "?")),
    ("What is the capital of France?", "What's the capital of France"),
    ("What is the capital of France?", "Whats the capital of France."),
    ("What is the capital of France?", "Hi, what is the capital of France?"),
    ("What is the capital of France?", "Hello! Please tell me what's the capital of France."),
    ("What is the capital of France?", "What is the capital of France? Thanks!"),
    ("What is the capital of France?", "What is the capital of France, please?"),
    ("What is the capital of France?", "I would like to know what is the capital of France"),
    ("How do I reset my password?", "please how do i reset my password"),
    ("How do I reset my password?", "Could you please tell me how do I reset my password?"),
    ("Explain why the sky is blue.", "Can you please explain why the sky is blue?"),
    ("Why doesn't my card work?", "why does not my card work"),
    ("Why doesn\u2019t my card work?", "Why doesn't my card work?"),
    ("I can't log in, what should I do?", "I cannot log in, what should I do"),
    ("How far is twenty-five miles in km?", "How far is 25 miles in km?"),
    ("What are the seven wonders?", "What are the 7 wonders?"),
    ("How long is one day on Mars?", "How long is 1 day on Mars?"),
    ("Does it rain in April?", "does it rain in april"),
    ("What does “full” mean?", "What does “full” mean?"),
    ("Ｗhat is the ﬁrst law?", "What is the first law?"),  # noqa: RUF001 - the case itself
]

APART = [
    ("What is C?", "What is C++?"),
    ("What is C?", "What is C#?"),
    ("What is C?", "What is c?"),
    ("What is the price of Apple?", "What is the price of apple?"),
    ("How do I get a Visa?", "How do I get a visa?"),
    ("Where is Turkey?", "Where is turkey?"),
    ("What is the US?", "What is the us?"),
    ("What is WHO?", "What is who?"),
    ("Can I cancel?", "Can't I cancel?"),
    ("Can I cancel?", "I can cancel."),
    ("You are open?", "You are open."),
    ("Is it open?", "Is it not open?"),
    ("What is 5!", "What is 5?"),
    ("What is n!", "What is n?"),
    ("What is 10²?", "What is 102?"),
    ("What is ½ cup?", "What is 12 cup?"),
    ("What is 5%?", "What is 5?"),
    ("What is -5?", "What is 5?"),
    ("What is +5?", "What is 5?"),
    ("What is $5?", "What is 5?"),
    ("What is $5?", "What is €5?"),
    ("What is 1.5?", "What is 15?"),
    ("What is 1,000?", "What is 1000?"),
    ("What is its plural?", "What is it's plural?"),
    (
        "What is the difference between its and it's?",
        "What is the difference between its and it is?",
    ),
    ("Is there no one here?", "Is there no 1 here?"),
    ("Who directed Seven?", "Who directed 7?"),
    ("How do you say thank you?", "How do you say?"),
    ("How do you spell please?", "How do you spell?"),
    ("What does 'please' mean?", "What does please mean?"),
    ("Hello world in Python, how?", "world in Python, how?"),
    ("Can you swim?", "Swim?"),
    ("Do you know why?", "Why?"),
    ("Should we eat, Grandma?", "Should we eat Grandma?"),
    ("Translate to German: It is five.", "Translate to German: it's 5"),
    ("Is this right: its?", "Is this right: it's?"),
    ("What is the id_1 for?", "What is the id_2 for?"),
    ("Why does my code `x = 1` fail?", "Why does my code `x=1` fail?"),
    ("What is the U.S.?", "What is the US?"),
    ("Where is ORDER-17?", "Where is order-17?"),
    ("What is the difference between ! and ?", "What is the difference between !"),
    ("Please Please Me, when was that?", "Me, when was that?"),
    ("How many is seven?", "How many is eight?"),
    ("Is May the best month?", "Is may the best month?"),
    ("What should I do?", "What shouldn't I do?"),
    ("What would she have done?", "What would he have done?"),
]

UNTOUCHED = [
    "",
    "   ",
    "?",
    "Was kostet das? Danke!",
    "Où est la gare ?",
    "¿Cuánto es cinco más dos?",
    "これは何ですか？",  # noqa: RUF001 - the case itself
    "Сколько будет дважды два?",
    "WHAT IS THE CAPITAL OF FRANCE?",
    "How does this work?\n\n    def f(x):\n        return x",
    'What does "It\'s five." mean?',
    "What is {{name}}?",
    "How is <b>this</b> shown?",
    "Rewrite this, please: Hello There",
    "Please proofread my letter. Thanks!",
    "What is x = 5?",
    "Why is https://example.com/Is-It down?",
    "What is the meaning of " + "very " * 300 + "long?",
]


@pytest.mark.parametrize(("one", "two"), SAME, ids=[two[:40] for _, two in SAME])
def test_what_differs_in_form_only_has_one_form(one: str, two: str):
    assert normalised(one) == normalised(two)


@pytest.mark.parametrize(("one", "two"), APART, ids=[f"{a} {b}"[:60] for a, b in APART])
def test_what_may_differ_in_meaning_stays_apart(one: str, two: str):
    assert normalised(one) != normalised(two)


@pytest.mark.parametrize("text", UNTOUCHED, ids=lambda text: text[:30] or "empty")
def test_what_no_rule_is_safe_for_stays_as_it_is(text: str):
    assert normalised(text) == text


WORDS = st.sampled_from(
    sorted(OPENERS)
    + sorted(CONTRACTIONS)
    + sorted(NUMBERS)
    + ["What", "How", "Please", "Hi,", "thanks", "one", "No", "not", "day", "C++", "-5", "5%", "$3"]
    + ["Apple", "apple", "US", "us", "order-17", "id_1", "!", "?", "please?", "1.5", "€4", "Paris"]
)
QUESTIONS = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)


@given(QUESTIONS | st.text(max_size=60))
def test_a_normal_form_is_its_own_normal_form(text: str):
    """Else the entry of a form would be found by one spelling of it and not by the other."""
    assert normalised(normalised(text)) == normalised(text)


@given(QUESTIONS)
def test_numbers_signs_and_negations_survive(text: str):
    """Nothing that carries a figure, a sign, a currency or a "not" is ever dropped or added."""

    def spelled(question: str) -> list[str]:
        words = [CONTRACTIONS.get(w, NUMBERS.get(w, w)) for w in question.lower().split()]
        return re.findall(
            r"[-+$€]?\d[\d.,%]*\d%?|[-+$€]?\d%?|\bnot\b|\bcannot\b|\bno\b", " ".join(words)
        )

    found, before = spelled(normalised(text)), spelled(text)
    if "one" not in text.lower():
        assert found == before


@given(st.text(max_size=80))
def test_any_text_has_a_form_and_none_becomes_empty(text: str):
    assert bool(normalised(text).strip()) == bool(text.strip())


@given(QUESTIONS, st.sampled_from(["?", "!", ".", " "]))
def test_letters_are_only_lost_with_good_manners(text: str, end: str):
    """A content word of the question is in its form, too."""
    form = normalised(text + end)
    for word in ("C++", "-5", "5%", "$3", "Apple", "order-17", "id_1", "US"):
        assert (word in text.split()) == (
            word in form.rstrip(".?!").split() or word in form.split()
        )
