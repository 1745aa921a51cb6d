"""Tuning: the shipped acceptance over labelled questions, honest about what the data can show."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from semantic_tools import bag_of_words, minilm

from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.semantic.acceptance import Acceptance
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.cache.tuning.advice import advised, state_to_save
from agentperf_core.cache.tuning.data import Data, Pair, Request, read_data, texts_of
from agentperf_core.cache.tuning.rehearsal import Tuning
from agentperf_core.cache.tuning.trials import Share, Trial, share_of
from agentperf_core.errors import ConfigError

THINGS = ("debit card", "savings account", "mortgage", "pension plan", "travel insurance")
DEEDS = ("open", "close", "renew", "upgrade", "cancel", "change", "find", "share")
SAFE = [
    Pair(f"How do I {deed} my {thing}?", f"How can I {deed} my {thing}?", True)
    for deed, thing in product(DEEDS, THINGS)
]
TRAPS = [
    Pair(f"How do I {deed} my {thing}?", f"How do I not {deed} my {thing}?", False)
    for deed, thing in product(DEEDS, THINGS)
]
STREAM = [
    Request(form.format(deed, thing), f"{deed} {thing}")
    for form, deed, thing in product(
        ("How do I {} my {}?", "How can I {} my {}?", "What should I do to {} my {}?"),
        DEEDS,
        THINGS,
    )
]


def tuned(data: Data, source: object = bag_of_words, *, seed: int | None = 1) -> Tuning:
    return Tuning(data, QuestionEmbedder(source, name="words"), seed=seed)


# Reading ------------------------------------------------------------------------------------------

PAIRS = [Pair("a?", "b?", True), Pair("c?", "d?", False)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"a": "a?", "b": "b?", "label": 1}\n\n{"a": "c?", "b": "d?", "label": 0}\n',
            PAIRS,
        ),
        (
            json.dumps(
                [
                    {"cached": "a?", "query": "b?", "should_hit": True},
                    {"cached": "c?", "query": "d?", "should_hit": False},
                ]
            ),
            PAIRS,
        ),
        ("a,b,label\na?,b?,1\nc?,d?,0\n", PAIRS),
        ("text,intent\na?,x\nb?,oos\n", [Request("a?", "x"), Request("b?", "oos 3")]),
        ('{"text": "a?", "intent": "x"}', [Request("a?", "x")]),
    ],
    ids=["lines", "array", "pairs in CSV", "stream", "stream in lines"],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_form_is_read(text: str, expected: Data, zipped: bool, tmp_path: Path):
    file = tmp_path / "data"
    raw = text.encode("utf-8-sig")
    file.write_bytes(gzip.compress(raw) if zipped else raw)
    assert read_data(file) == expected


def test_only_the_rows_of_a_split_are_read(tmp_path: Path):
    file = tmp_path / "data.csv"
    file.write_text("split,text,intent\ntrain,a?,x\ntest,b?,y\n", encoding="utf-8")
    assert read_data(file, split="test") == [Request("b?", "y")]
    with pytest.raises(ConfigError, match="rows with split 'none'"):
        read_data(file, split="none")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "rows, got none"),
        (b"\xff\xfe\x00", "a text file"),
        (b"\x1f\x8bnot gzip", "a text file"),
        (b'{"a": "x"', "line 1"),
        (b'{"a": "x", "b": "y", "label": 1}\n{"a"', "line 2"),
        (b'{"a": "x", "b": "y"}', "line 1 .'label'."),
        (b'{"a": "x", "b": "y", "label": "perhaps"}', "perhaps"),
        (b'{"a": 7, "b": "y", "label": 1}', "a question is a text"),
        (b"[1]", "entry 1"),
        (b"question,answer\nx,y\n", "line 2"),
        (b"text,topic\nx,y\n", "'intent'"),
    ],
)
def test_other_files_are_refused_with_the_place(raw: bytes, message: str, tmp_path: Path):
    file = tmp_path / "data"
    file.write_bytes(raw)
    with pytest.raises(ConfigError, match=message) as refused:
        read_data(file)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        read_data(tmp_path / "none")


def test_every_question_is_encoded_once():
    assert texts_of([Pair("a?", "b?", True), Pair("b?", "c?", True)]) == ["a?", "b?", "c?"]


# Trials -------------------------------------------------------------------------------------------


def test_pairs_are_tried_as_shipped_and_after_learning():
    seen: list[int] = []
    cold, learnt = tuned([*SAFE, *TRAPS]).trials(
        max_error=0.01, guards="balanced", progress=seen.append
    )
    assert (cold.learnt, learnt.learnt) == (False, True)
    assert cold.served.rate > 0.2
    assert cold.wrong.rate == 0
    assert seen[-1] == 2 * len(SAFE + TRAPS)


def test_what_pairs_teach_is_not_judged_on_the_same_pairs():
    """Labels that are all wrong teach to serve nothing, unless no other pair says so."""
    wrong = [Pair(pair.cached, pair.query, False) for pair in SAFE]
    cold, learnt = tuned(wrong * 3).trials(max_error=0.01, guards="balanced")
    assert cold.wrong.rate > 0.4
    assert learnt.wrong.rate < cold.wrong.rate / 4


def test_a_stream_fills_a_cache_that_learns():
    (trial,) = tuned(STREAM, minilm()).trials(max_error=0.01, guards="balanced")
    assert trial.learnt
    assert trial.served.rate > 0.1
    assert trial.wrong.rate < 0.05
    assert trial.served.low < trial.served.rate < trial.served.high


def test_what_the_exact_tiers_serve_is_not_counted_as_served_by_meaning():
    again = [Request("What is a loan?", "loan"), Request("what's a loan", "loan")] * 5
    tuning = tuned(again)
    (trial,) = tuning.trials(max_error=0.01, guards="balanced")
    assert (tuning.equal, trial.served.rate) == (9, 0)
    assert tuned([Pair("What is a loan?", "What's a loan?", True)]).equal == 1


def test_the_same_seed_gives_the_same_figures_and_the_files_order_none():
    first, second = (tuned(list(STREAM)).trials(max_error=0.01, guards="faq") for _ in range(2))
    assert first == second
    assert tuned(list(STREAM), seed=None).requests == len(STREAM)


def test_questions_that_the_encoder_refuses_are_misses():
    data: Data = [*SAFE, Pair("x" * 9000, "y" * 9000, True)]
    tuning = tuned(data)
    assert tuning.refused == 2
    assert tuning.trials(max_error=0.01, guards="balanced")[0].served.rate < 1


def test_an_encoder_that_takes_nothing_is_refused():
    def broken(texts: Sequence[str]) -> Any:
        raise ConnectionError("no encoder here")

    with pytest.raises(ConfigError, match="the encoder must take the questions"):
        tuned(list(SAFE), broken)


def test_a_budget_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="max_error"):
        tuned(list(SAFE)).trials(max_error=2.0, guards="balanced")


def test_intervals_widen_where_requests_of_a_group_go_the_same_way():
    alone = share_of([(str(n), n % 10 == 0) for n in range(1000)])
    grouped = share_of([(str(n // 100), n // 100 == 0) for n in range(1000)])
    assert alone.rate == grouped.rate == 0.1
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)


def test_without_an_error_the_interval_still_has_room_for_some():
    share = share_of([(str(n), False) for n in range(100)])
    assert (share.rate, share.low) == (0, 0)
    assert 0.03 < share.high < 0.04


# Advice -------------------------------------------------------------------------------------------


def trial(guards: str, served: float, wrong: Share, *, budget: float = 0.01) -> Trial:
    around = Share(served, served - 0.02, served + 0.02)
    return Trial(
        max_error=budget, guards=guards, learnt=True, requests=1000, served=around, wrong=wrong
    )


SURE, OPEN, OVER = Share(0.002, 0.0, 0.008), Share(0.005, 0.0, 0.02), Share(0.03, 0.01, 0.05)


def test_the_setting_that_serves_most_within_the_budget_is_taken():
    trials = [trial("strict", 0.3, SURE), trial("balanced", 0.4, SURE), trial("faq", 0.5, OVER)]
    (advice,) = advised(trials)
    assert (advice.take, advice.is_certain, advice.needed) == (trials[1], True, None)
    assert advice.over == (trials[2],)


def test_a_stricter_profile_is_taken_where_a_looser_one_serves_hardly_more():
    trials = [trial("faq", 0.405, SURE), trial("balanced", 0.4, SURE), trial("strict", 0.3, SURE)]
    assert advised(trials)[0].take == trials[1]


def test_what_is_only_probably_within_the_budget_says_what_would_show_it():
    (advice,) = advised([trial("balanced", 0.4, OPEN), trial("strict", 0.3, OPEN)])
    assert (advice.is_certain, advice.needed) == (False, 9000)


def test_where_nothing_was_wrong_yet_fewer_requests_would_show_it():
    (advice,) = advised([trial("strict", 0.3, Share(0.0, 0.0, 0.03))])
    assert advice.needed == 3000
    assert advised([trial("strict", 0.3, Share(0.01, 0.0, 0.03))])[0].needed is None


def test_what_is_certain_comes_before_what_serves_more():
    trials = [trial("faq", 0.5, OPEN), trial("strict", 0.3, SURE)]
    assert advised(trials)[0].take == trials[1]


def test_where_nothing_keeps_the_budget_nothing_is_taken():
    nothing = trial("strict", 0.0, Share(0.0, 0.0, 0.001))
    assert advised([trial("faq", 0.5, OVER), nothing])[0].take is None


def test_each_budget_gets_its_own_advice():
    trials = [trial("faq", 0.5, SURE), trial("strict", 0.3, SURE, budget=0.009)]
    assert [one.max_error for one in advised(trials)] == [0.009, 0.01]


LEARNT = ("pairs", "crowds")


def test_what_is_saved_has_the_scores_and_no_history():
    taught = tuned([*SAFE, *TRAPS]).learnt(max_error=0.01, guards="balanced")
    state = json.loads(json.dumps(state_to_save(taught)))
    again = Acceptance.from_state(state, max_error=0.01, shadow_share=0.0)
    assert again.labels == taught.labels > 30
    assert again.estimate().labels == 0
    assert {name: state[name] for name in Acceptance().state() if name not in LEARNT} == {
        name: value for name, value in Acceptance().state().items() if name not in LEARNT
    }
    assert np.isfinite(again.judge(Wording.of("Why?"), []).threshold)
