"""Serving within a budget of errors, and learning what may be served."""

from __future__ import annotations

import json
import math
import threading
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache.semantic.acceptance import Acceptance, Verdict
from agentperf_core.cache.semantic.features import (
    NEIGHBOUR_FEATURES,
    PAIR_FEATURES,
    Candidate,
    neighbourhood,
)
from agentperf_core.cache.semantic.prior import SHIPPED
from agentperf_core.cache.semantic.scale import PROBES, Scale, background_of
from agentperf_core.cache.semantic.verdict import estimate_error
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.errors import ConfigError

ASKED = "How can I reset my password?"
STORED = "How do I reset my password?"


def candidate(cosine: float = 0.97, *, ident: int = 0, answer: str = "A", text: str = STORED):
    return Candidate(ident, answer, text, cosine)


def judge(acceptance: Acceptance, *candidates: Candidate, asked: str = ASKED) -> Verdict:
    return acceptance.judge(Wording.of(asked), candidates)


class World:
    """Requests whose right answer is known to us.

    Nearer and more agreed on is likelier right, but how likely is not what the shipped weights
    believe (`harm` moves it, in logits), so that only learning keeps the budget.
    """

    def __init__(self, seed: int, *, harm: float) -> None:
        self.random = Random(seed)
        self.harm = harm

    def request(self) -> tuple[list[Candidate], bool]:
        r = self.random
        top = r.uniform(0.5, 0.99)
        agreed = r.randint(0, 7)
        cosines = sorted((r.uniform(top - 0.25, top - 0.02) for _ in range(7)), reverse=True)
        answers = ["A"] * agreed + [f"B{n}" for n in range(7 - agreed)]
        found = [candidate(top, ident=0)] + [
            candidate(cosine, ident=n + 1, answer=answer)
            for n, (answer, cosine) in enumerate(zip(answers, cosines, strict=True))
        ]
        logit = 20 * (top - 0.85) + agreed - 1.0 - self.harm
        return found, r.random() < 1 / (1 + math.exp(-logit))


def served_wrong(acceptance: Acceptance, world: World, requests: int) -> tuple[float, float]:
    hits = wrong = 0
    for _ in range(requests):
        found, right = world.request()
        verdict = judge(acceptance, *found)
        if verdict.accept and not verdict.shadow:
            hits += 1
            wrong += not right
        else:
            acceptance.learn(verdict, right)
            if acceptance.refit_due:
                acceptance.refit()
    return hits / requests, wrong / requests


def test_a_cold_cache_serves_a_safe_rewording():
    verdict = judge(Acceptance(seed=1), candidate())
    assert verdict.accept
    assert verdict.reason == "score"
    assert verdict.score >= verdict.threshold


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("How do I not reset my password?", "negation"),
        ("How do I reset my username?", "slot"),
        ("Who painted the ceiling of the chapel?", "score"),
    ],
)
def test_a_cold_cache_says_why_it_does_not_serve(asked: str, reason: str):
    verdict = judge(Acceptance(seed=1), candidate(0.9 if reason == "slot" else 0.62), asked=asked)
    assert not verdict.accept
    assert verdict.reason == reason
    assert verdict.best == candidate(0.9 if reason == "slot" else 0.62)


def test_nothing_near_is_no_candidate():
    verdict = judge(Acceptance())
    assert (verdict.accept, verdict.reason, verdict.best) == (False, "no-candidate", None)
    Acceptance().learn(verdict, same=True)  # no label, no harm


def test_the_nearest_entry_that_no_guard_forbids_is_judged():
    """A trap right beside the question must not hide a good entry, and counts as its rival."""
    trap = candidate(0.99, ident=1, answer="B", text="How do I not reset my password?")
    verdict = judge(Acceptance(seed=1), trap, candidate(0.97))
    assert verdict.best == candidate(0.97)
    assert verdict.rivals == (trap,)


def test_a_smaller_budget_asks_for_a_higher_score():
    thresholds = [
        judge(Acceptance(max_error=e), candidate()).threshold for e in (0.02, 0.005, 0.001)
    ]
    assert thresholds == sorted(thresholds)
    assert len(set(thresholds)) == 3


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("harm", [-2.0, 0.0, 2.0])
def test_the_budget_holds_in_worlds_that_the_shipped_weights_do_not_know(seed: int, harm: float):
    acceptance = Acceptance(max_error=0.02, seed=seed)
    world = World(seed, harm=harm)
    served_wrong(acceptance, world, 1500)
    hits, wrong = served_wrong(acceptance, world, 2500)
    # The budget is kept in the mean: two standard errors of a count of 50 are left to luck.
    assert wrong <= 0.02 + 2 * math.sqrt(0.02 / 2500)
    assert hits > 0.02


def test_more_is_served_where_near_entries_are_right():
    rates = {
        harm: served_wrong(Acceptance(max_error=0.02, seed=3), World(3, harm=harm), 3000)[0]
        for harm in (-2.0, 2.0)
    }
    assert rates[-2.0] > rates[2.0] + 0.1


def test_a_reported_answer_is_never_served_again():
    acceptance = Acceptance(seed=1)
    verdict = judge(acceptance, candidate())
    acceptance.learn_bad_hit(verdict)
    assert judge(acceptance, candidate()).reason == "reported"
    acceptance.learn_bad_hit("C")
    assert not judge(acceptance, candidate(answer="C")).accept
    again = Acceptance.from_state(json.loads(json.dumps(acceptance.state())), seed=1)
    assert judge(again, candidate(answer="C")).reason == "reported"


def test_what_was_learned_survives_a_restart_as_plain_json():
    acceptance = Acceptance(max_error=0.02, seed=7)
    world = World(7, harm=0.0)
    served_wrong(acceptance, world, 1200)
    again = Acceptance.from_state(
        json.loads(json.dumps(acceptance.state())), max_error=0.02, seed=7
    )
    assert again.labels == acceptance.labels
    assert again.estimate() == acceptance.estimate()
    for _ in range(50):
        found, _right = world.request()
        old, new = judge(acceptance, *found), judge(again, *found)
        assert (old.accept, old.threshold) == (new.accept, new.threshold)
        assert old.score == pytest.approx(new.score, abs=0.01)


def test_a_state_of_another_version_is_a_fresh_start():
    assert Acceptance.from_state({"version": 99}).labels == 0


def test_shadow_checks_are_a_share_of_the_accepted():
    acceptance = Acceptance(seed=5, shadow_share=0.2)
    verdicts = [judge(acceptance, candidate()) for _ in range(1000)]
    assert all(verdict.accept for verdict in verdicts)
    assert 150 < sum(verdict.shadow for verdict in verdicts) < 250
    assert {verdict.propensity for verdict in verdicts} == {0.2}
    assert not any(judge(Acceptance(shadow_share=0.0), candidate()).shadow for _ in range(50))


def test_the_error_estimate_comes_from_shadow_checks():
    acceptance = Acceptance(seed=5, shadow_share=0.5)
    for number in range(400):
        verdict = judge(acceptance, candidate())
        if verdict.shadow:
            acceptance.learn(verdict, same=number % 10 != 0)
    estimate = acceptance.estimate()
    assert estimate.low < estimate.rate < estimate.high
    assert estimate.labels > 100


def test_a_cache_that_only_watches_learns_what_serving_would_have_done():
    """Every request is checked, whether it was drawn for a shadow check or not."""
    acceptance = Acceptance(seed=5, shadow_share=0.03)
    for number in range(400):
        acceptance.learn(judge(acceptance, candidate()), same=number % 10 != 0)
    estimate = acceptance.estimate()
    assert estimate.labels == 400
    assert estimate.rate == pytest.approx(0.1 * 0.97)
    assert acceptance.state()["counts"] == {
        "requests": 400, "served": 0, "checked": 400, "wrong": 40,
    }  # fmt: skip


def test_what_is_not_accepted_is_not_a_check():
    acceptance = Acceptance(seed=5)
    acceptance.learn(judge(acceptance, candidate(0.5)), same=False)
    assert acceptance.state()["counts"] == {
        "requests": 1, "served": 0, "checked": 0, "wrong": 0,
    }  # fmt: skip


OTHERS = [
    ("How do I track my parcel?", "How do I cancel my subscription?"),
    ("How can I change the address of my account?", "How do I delete the profile of my account?"),
    ("What is the fee for a cash withdrawal?", "What is the limit for a bank transfer?"),
    ("Which visa do I need for a trip to Japan?", "Which vaccine do I need for a trip to Kenya?"),
    ("Can I get a card?", "Can I get a virtual card?"),
]


@pytest.mark.parametrize("cosine", [0.78, 0.82, 0.86, 0.9])
@pytest.mark.parametrize("background", [None, 0.75])
def test_an_encoder_to_which_everything_is_alike_is_not_believed(
    cosine: float, background: float | None
):
    acceptance = Acceptance(seed=1)
    if background is not None:
        acceptance.observe_background([background] * 28)
    crowd = [candidate(cosine - 0.01 * n, ident=n, text=OTHERS[n][0]) for n in range(5)]
    for stored, asked in OTHERS:
        assert not judge(acceptance, candidate(cosine, text=stored), asked=asked).accept
        assert not judge(acceptance, *crowd, asked=asked).accept


def test_other_words_wait_until_the_scale_is_known():
    acceptance = Acceptance(seed=1)
    near, asked = candidate(0.9, text="Why was my card payment declined?"), "Why was it declined?"
    unknown = judge(acceptance, near, asked=asked)
    assert (unknown.accept, unknown.reason) == (False, "unknown-scale")
    acceptance.observe_background([0.1] * 28)
    assert judge(acceptance, near, asked=asked).accept


def test_a_background_like_that_of_the_shipped_weights_changes_no_cosine():
    scale = Scale()
    scale.observe([0.17] * 28)
    assert scale.known
    assert scale.of(0.83) == 0.83


@given(st.floats(0.0, 0.95), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_the_scale_keeps_the_order_and_never_raises_a_cosine(
    background: float, one: float, other: float
):
    scale = Scale()
    scale.observe([background] * 28)
    low, high = sorted((one, other))
    assert scale.of(low) <= scale.of(high)
    assert scale.of(high) <= high + 1e-9
    assert scale.of(1.0) == pytest.approx(1.0)


def test_a_few_cosines_do_not_make_a_scale():
    scale = Scale()
    scale.observe([0.9] * 3)
    assert not scale.known
    assert scale.of(0.95) == 0.95


def test_the_probes_give_enough_to_know_the_scale():
    scale = Scale()
    scale.observe(background_of(list(np.eye(len(PROBES), dtype=np.float32))))
    assert scale.known
    assert scale.background == 0.0


def test_without_checks_the_estimate_admits_that_anything_is_possible():
    assert estimate_error(wrong=0, checked=0, served=50, requests=100).high == 0.5
    assert estimate_error(wrong=0, checked=0, served=0, requests=0).high == 0.0


@pytest.mark.parametrize(
    "options",
    [
        {"max_error": 0.0},
        {"max_error": 1.0},
        {"max_error": math.nan},
        {"shadow_share": 1.0},
        {"profile": "lax"},
    ],
)
def test_options_that_cannot_mean_anything_are_refused(options: dict[str, float | str]):
    with pytest.raises(ConfigError):
        Acceptance(**options)  # pyright: ignore[reportArgumentType] - wrong on purpose


def test_threads_may_judge_learn_and_refit_at_once():
    acceptance = Acceptance(max_error=0.02, seed=2)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            served_wrong(acceptance, World(seed, harm=0.0), 400)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert acceptance.labels > 0


def test_the_shipped_weights_fit_the_features():
    assert len(SHIPPED.pair) == len(PAIR_FEATURES)
    assert len(SHIPPED.neighbours) == len(NEIGHBOUR_FEATURES)
    row = neighbourhood(0, [candidate()], pair=1.0, record=0.0, soft=False)
    assert len(row) == len(NEIGHBOUR_FEATURES)
