"""The policy: only whole answers of repeatable requests are worth keeping."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agentperf_core.cache import AnswerFacts, CacheDecision, CachePolicy
from agentperf_core.errors import ConfigError
from agentperf_core.types import Usage


@pytest.mark.parametrize(
    ("temperature", "sampled", "refused"),
    [
        (None, False, False),
        (0, False, False),
        (0.0, False, False),
        (0.7, False, True),
        (0.7, True, False),
    ],
)
def test_a_request_that_asks_for_variety_is_not_cached(temperature, sampled, refused):
    reason = CachePolicy(sampled=sampled).refuse_request(temperature=temperature)
    assert (reason is not None) == refused
    if reason:
        assert "temperature 0.7" in reason
        assert "sampled=True" in reason


@pytest.mark.parametrize(
    "finish",
    ["stop", "STOP", "tool_calls", "function_call", "end_turn", "tool_use", "stop_sequence", None],
)
def test_a_whole_answer_is_stored(finish: str | None):
    assert CachePolicy().refuse_answer(AnswerFacts(finish_reason=finish)) is None


@pytest.mark.parametrize(
    "finish", ["length", "max_tokens", "MAX_TOKENS", "content_filter", "safety", "refusal", "error"]
)
def test_an_answer_that_was_cut_off_or_filtered_is_not(finish: str):
    reason = CachePolicy().refuse_answer(AnswerFacts(finish_reason=finish))
    assert reason is not None
    assert repr(finish) in reason


def test_no_finish_reason_from_a_provider_that_always_gives_one_is_a_broken_stream():
    facts = AnswerFacts(provider_reports_finish=True)
    assert CachePolicy().refuse_answer(facts) is not None
    assert CachePolicy().refuse_answer(replace(facts, finish_reason="stop")) is None


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        (AnswerFacts(invalid=True, finish_reason="tool_calls"), "parsed"),
        (AnswerFacts(refused=True, finish_reason="stop"), "refusal"),
        (AnswerFacts(empty=True, finish_reason="stop"), "empty"),
    ],
)
def test_what_is_of_no_use_is_not_stored(facts: AnswerFacts, word: str):
    assert word in (CachePolicy().refuse_answer(facts) or "")


def test_answers_that_ask_for_tools_are_stored_unless_told_otherwise():
    facts = AnswerFacts(finish_reason="tool_calls", tool_calls=2)
    assert CachePolicy().refuse_answer(facts) is None
    assert "tools" in (CachePolicy(tool_calls=False).refuse_answer(facts) or "")


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
def test_a_time_to_live_must_be_positive(ttl: float):
    with pytest.raises(ConfigError, match="ttl_s must be > 0"):
        CachePolicy(ttl_s=ttl)


def test_no_limit_is_allowed():
    assert CachePolicy(ttl_s=None).ttl_s is None


@pytest.mark.parametrize(
    ("outcome", "served"),
    [("hit", True), ("coalesced", True), ("miss", False), ("bypass", False)],
)
def test_served_means_that_no_call_was_made(outcome, served: bool):
    assert CacheDecision(outcome=outcome, reason="x").served is served


def test_a_record_is_plain_json_without_what_is_unknown():
    decision = CacheDecision(
        outcome="hit", reason="x", key="abc", age_s=1.5, saved_usage=Usage(output_tokens=3)
    )
    record = decision.record()
    assert json.loads(json.dumps(record)) == record
    assert record["saved_usage"]["output_tokens"] == 3
    assert "saved_s" not in record


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [
        (CachePolicy(ttl_s=None), None),
        (CachePolicy(ttl_s=60), 60),
        (CachePolicy(ttl_s=60, stale_ttl_s=10, stale_if_error_s=30), 90),
    ],
)
def test_an_entry_is_kept_for_its_stale_time_too(policy: CachePolicy, seconds: float | None):
    assert policy.keep_s == seconds
