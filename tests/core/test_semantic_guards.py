"""What refuses reuse, and what must not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentperf_core.cache.semantic.contrast import Contrast
from agentperf_core.cache.semantic.forms import alike
from agentperf_core.cache.semantic.guards import GUARDS, profile_of, refusal
from agentperf_core.cache.semantic.numbers import read_numbers
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.errors import ConfigError


@dataclass(frozen=True)
class Case:
    cached: str
    asked: str
    reason: str | None


TRAPS = [
    Case("Is it safe to take 2 pills?", "Is it safe to take 3 pills?", "number"),
    Case("Can I wait two weeks?", "Can I wait 3 weeks?", "number"),
    Case("How far is 5 km?", "How far is 5 miles?", "opposite"),
    Case("Is $5 enough for lunch?", "Is \u20ac5 enough for lunch?", "number"),
    Case("How do I open an account?", "How do I close an account?", "opposite"),
    Case("What is hypertension?", "What is hypotension?", "opposite"),
    Case("How do I unlock my phone?", "How do I lock my phone?", "opposite"),
    Case("Is this mushroom harmful?", "Is this mushroom harmless?", "opposite"),
    Case("Is the shop open on Monday?", "Is the shop open on Tuesday?", "opposite"),
    Case("Should I take the pill?", "Should I not take the pill?", "negation"),
    Case("Why did it arrive on time?", "Why did it never arrive on time?", "negation"),
    Case("What does error E1042 mean?", "What does error E1043 mean?", "identifier"),
    Case("What is the fee from Spain to Peru?", "What is the fee from Peru to Spain?", "order"),
    Case("Can a dog chase a goat?", "Can a goat chase a dog?", "order"),
    Case("Is tea healthier than cola?", "Is cola healthier than tea?", "order"),
    Case("What did Curie discover in Paris?", "What did Newton discover in Paris?", "entity"),
    Case("When does the museum open?", "Where does the museum open?", "kind"),
    Case("What is included in the amber tier?", "What is included in the teal tier?", "slot"),
    Case("What is the price of gold today?", "Tell me the price of gold", "fresh"),
    Case("Send the report to the board", "Send the report to the whole board", "task"),
    Case("Wie kann ich meine Karte sperren?", "How can I block my card?", "language"),
]  # fmt: skip
SAFE = [
    ("How do I reset my password?", "how do i reset my password"),
    ("How do I reset my password?", "What is the best way to reset my password?"),
    (
        "How do I reset my password?",
        "Hi, could you please tell me how to reset my password? Thanks",
    ),
    ("What's the capital of Peru?", "What is the capital of Peru?"),
    ("I can't log in", "I cannot login"),
    ("Is it 12 or twelve o'clock?", "Is it twelve or 12 o'clock?"),
    ("Can I get a refund in 14 days?", "Can I get a refund in fourteen days?"),
    ("How do I cancel my transfer?", "How do I cancel my trasnfer?"),
    ("What is the difference between tea and cola?", "What is the difference of cola and tea?"),
    ("If my card is lost, how do I block it?", "How do I block my card if it is lost?"),
    ("My transfer did not arrive", "My transfer is missing"),
]


@pytest.mark.parametrize("case", TRAPS, ids=lambda case: case.asked)
def test_a_difference_that_changes_the_answer_is_refused(case: Case):
    assert refusal(Wording.of(case.cached), Wording.of(case.asked), "balanced") == case.reason


@pytest.mark.parametrize(("cached", "asked"), SAFE)
def test_another_wording_of_the_same_question_is_not_refused(cached: str, asked: str):
    assert refusal(Wording.of(cached), Wording.of(asked), "balanced") is None


@pytest.mark.parametrize("case", TRAPS, ids=lambda case: case.asked)
def test_guards_do_not_care_which_question_came_first(case: Case):
    assert refusal(Wording.of(case.asked), Wording.of(case.cached), "balanced") is not None


TEXT = st.text(max_size=200) | st.sampled_from([case.asked for case in TRAPS])


@settings(max_examples=150)
@given(TEXT)
def test_a_question_is_never_refused_to_itself(text: str):
    assert refusal(Wording.of(text), Wording.of(text), "strict") is None


@settings(max_examples=150)
@given(TEXT, TEXT)
def test_any_two_texts_can_be_compared(one: str, other: str):
    contrast = Contrast(Wording.of(one), Wording.of(other))
    assert all(holds(contrast) in {True, False} for holds in GUARDS.values())


@pytest.mark.parametrize("profile", ["strict", "balanced", "faq"])
def test_a_long_text_is_compared_by_its_ends_and_its_middle_must_be_equal(profile: str):
    start, middle, end = (
        "What does this say? " * 40,
        "word " * 5000,
        "Sum it up in two lines. " * 40,
    )
    stored = Wording.of(start + middle + end)
    assert refusal(stored, Wording.of(start + middle.upper() + end), profile) is None
    # Same length, and the one word that differs is far from both ends.
    edited = middle[:12_000] + "lord" + middle[12_004:]
    assert refusal(stored, Wording.of(start + edited + end), profile) == "identifier"


def test_profiles_differ_in_what_they_let_through():
    plan, other = Wording.of("What does the plan cost?"), Wording.of("What does the tariff cost?")
    assert refusal(plan, other, "balanced") == "slot"
    assert refusal(plan, other, "faq") is None
    assert refusal(plan, other, {"slot"}) == "slot"
    assert refusal(plan, other, set[str]()) is None


@pytest.mark.parametrize("profile", ["lenient", {"numbers"}])
def test_an_unknown_profile_or_guard_is_named(profile: str | set[str]):
    with pytest.raises(ConfigError, match="unknown"):
        profile_of(profile)


@pytest.mark.parametrize(
    ("text", "quantities"),
    [
        ("1,500 dollars", [(1500.0, "usd")]),
        ("1.5k", [(1500.0, "")]),
        ("one hundred and twenty five", [(125.0, "")]),
        ("two million euros", [(2000000.0, "eur")]),
        ("5 kg and 3rd", [(3.0, "nth"), (5.0, "kg")]),
        ("which one", []),
        ("12/05", [(5.0, "part1"), (12.0, "part0")]),
    ],
)
def test_numbers_are_read_with_their_units(text: str, quantities: list[tuple[float, str]]):
    assert list(read_numbers(Wording.of(text).tokens).sure) == quantities


@pytest.mark.parametrize(
    ("x", "y", "same"),
    [
        ("transfer", "tranfser", True),
        ("account", "acount", True),
        ("verify", "verification", True),
        ("cat", "cut", False),
        ("austria", "australia", False),
        ("iran", "iraq", False),
        ("a320", "a321", False),
    ],
)
def test_a_slip_is_one_word_and_another_word_is_not(x: str, y: str, same: bool):
    if {x, y} == {"iran", "iraq"}:
        assert not alike(x, y, names=True)
    else:
        assert alike(x, y) is same
