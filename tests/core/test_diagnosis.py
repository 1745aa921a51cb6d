"""Advice: each rule fires with the right figure and the saving that a hand computation gives."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_tools import agent_like_langchain, agent_like_llamaindex, random_traces, span, trace

from agentperf_core.telemetry import Finding, LatencyReport, SpanKind, Thresholds, Trace, diagnose
from agentperf_core.telemetry.advice import RULES, estimates, fixes
from agentperf_core.types import Usage

AGENT, CHAIN, LLM, TOOL = SpanKind.AGENT, SpanKind.CHAIN, SpanKind.LLM, SpanKind.TOOL

# Nothing fires: each test lowers what it is about.
QUIET = Thresholds(
    llm_seconds=1e9, llm_share=1.0, tool_seconds=1e9, steps=10**9, request_tokens=10**9
)


def findings(*runs: Trace, thresholds: Thresholds | None = None, **options: Any):
    found = diagnose(LatencyReport(runs), thresholds, **options)
    return {finding.rule: finding for finding in found}


class Prices:
    """USD per token by model, input and output alike; cached input costs a tenth."""

    def __init__(self, **per_token: str) -> None:
        self.per_token = {model: Decimal(price) for model, price in per_token.items()}

    def price(self, usage: Usage, model: str, *, provider: str | None = None) -> Decimal | None:
        price = self.per_token.get(model)
        if price is None:
            return None
        full = usage.uncached_input_tokens + usage.cache_write_tokens + usage.output_tokens
        return price * full + price * usage.cached_input_tokens / 10


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch) -> Prices:
    stub = Prices(big="0.01", small="0.001")
    monkeypatch.setattr(estimates, "PRICES", stub)
    return stub


def agent(*llm_seconds: float, rest: float = 0.0, **fields: Any) -> Trace:
    """An agent that calls its model so often, one call after the other, and then works alone."""
    spans, now = [], 0.0
    for number, seconds in enumerate(llm_seconds):
        spans.append(span(f"l{number}", "a", now, now + seconds, LLM, **fields))
        now += seconds
    return trace(span("a", None, 0, now + rest, AGENT), *spans)


# Slow model


def test_a_model_that_takes_most_of_the_run():
    found = findings(agent(4.5, 4.5, rest=1), thresholds=Thresholds(llm_seconds=5))["slow-model"]
    assert "Model calls took 90% of the time (9.00 s)." in found.evidence
    assert (found.severity, found.saving_s) == ("high", 4.5)
    assert found.basis == "assuming a model that takes 50% of today's time per call"


def test_a_share_at_the_threshold_is_not_over_it():
    assert findings(agent(4, 4, rest=2)) == {}
    assert "slow-model" in findings(agent(4, 4, rest=2), thresholds=Thresholds(llm_share=0.79))


def test_one_call_over_the_limit():
    run = agent(6, 1, rest=20)
    found = findings(run)["slow-model"]
    assert "1 of them over 5 s (longest 6.00 s, big)" in found.evidence
    assert "slow-model" not in findings(run, thresholds=Thresholds(llm_seconds=6))


def test_the_assumed_speed_can_be_set():
    assert findings(agent(8, rest=1), faster_than=0.25)["slow-model"].saving_s == 6.0


def test_a_faster_model_that_was_measured_replaces_the_assumption():
    """Only the slow model's calls get shorter: the fast one is not twice as fast as itself."""
    run = trace(
        span("a", None, 0, 11, AGENT),
        span("slow", "a", 0, 10, LLM, model="big"),
        span("fast", "a", 10, 11, LLM, model="small"),
    )
    found = findings(run, faster_than=0.5)["slow-model"]
    assert found.saving_s == 9.0
    assert found.basis == "every call at the speed of small, here 10.0 times that of big"


def test_with_three_models_each_is_compared_with_the_fastest():
    run = trace(
        span("a", None, 0, 15, AGENT),
        span("l1", "a", 0, 8, LLM, model="slow"),
        span("l2", "a", 8, 12, LLM, model="middle"),
        span("l3", "a", 12, 14, LLM, model="fast"),
        span("l4", "a", 14, 15, LLM, model="unknown", usage=None),
    )
    assert findings(run)["slow-model"].saving_s == (8 - 2) + (4 - 2)


def test_calls_beside_each_other_save_once():
    run = trace(
        span("a", None, 0, 8, AGENT),
        span("l1", "a", 0, 8, LLM),
        span("l2", "a", 0, 8, LLM),
    )
    assert findings(run)["slow-model"].saving_s == 4.0


def test_the_price_of_a_cheaper_model_that_the_user_names(prices: Prices):
    run = agent(9, cost_usd=Decimal("1.10"))  # 110 tokens at 0.01
    assert findings(run, cheaper_model="small")["slow-model"].saving_usd == Decimal("0.990")
    assert findings(run, cheaper_model="unheard-of")["slow-model"].saving_usd is None
    assert findings(run)["slow-model"].saving_usd is None


# Repeated requests


def repeating(*hashes: str | None, **fields: Any) -> Trace:
    spans = [
        span(f"l{n}", "a", n, n + 1, LLM, attributes={"input_hash": h} if h else {}, **fields)
        for n, h in enumerate(hashes)
    ]
    return trace(span("a", None, 0, len(hashes) + 1, AGENT), *spans)


def test_requests_that_were_made_before(prices: Prices):
    found = findings(repeating("x", "y", "x", "x", None, cost_usd=Decimal(1)), thresholds=QUIET)
    finding = found["repeated-requests"]
    assert finding.evidence == "2 of 5 model calls repeat an earlier one."
    assert (finding.saving_s, finding.saving_usd) == (2.0, Decimal(2))
    assert finding.fix == fixes.EXACT_CACHE


def test_a_repetition_in_a_later_run_counts_although_its_ids_are_the_same():
    """Ids are unique within one trace only: these two runs share all of theirs."""
    found = findings(repeating("x"), repeating("x"), thresholds=QUIET)["repeated-requests"]
    assert (found.evidence, found.saving_s) == ("1 of 2 model calls repeat an earlier one.", 1.0)


def test_the_same_input_to_another_model_is_no_repetition():
    run = trace(
        span("a", None, 0, 3, AGENT),
        span("l1", "a", 0, 1, LLM, model="big", attributes={"input_hash": "x"}),
        span("l2", "a", 1, 2, LLM, model="small", attributes={"input_hash": "x"}),
    )
    assert findings(run, thresholds=QUIET) == {}


def test_trying_again_after_a_failure_is_no_repetition():
    """No cache would have answered: a failed call leaves nothing to be served."""
    run = repeating("x", "x")
    failed = replace(run.spans[1], status="error", usage=None)
    assert findings(replace(run, spans=(run.root, failed, run.spans[2])), thresholds=QUIET) == {}


def test_a_repetition_without_a_price_saves_an_unknown_amount():
    found = findings(repeating("x", "x"), thresholds=QUIET)["repeated-requests"]
    assert found.saving_usd is None


# Tools


@pytest.mark.parametrize("build", [agent_like_langchain, agent_like_llamaindex])
def test_tools_of_one_turn_that_waited_for_each_other(build):
    found = findings(build(serial=True), thresholds=QUIET)["serial-tools"]
    assert found.evidence == "In 1 turns tools waited for each other (1.00 s of parallelism lost)."
    assert found.saving_s == 1.0
    assert found.severity == "low"  # one second of five is not more than a fifth


@pytest.mark.parametrize("build", [agent_like_langchain, agent_like_llamaindex])
def test_tools_that_ran_together_need_no_advice(build):
    assert findings(build(serial=False), thresholds=QUIET) == {}


def test_a_saving_below_the_threshold_is_left_out():
    run = agent_like_langchain(serial=True)
    assert "serial-tools" in findings(run, thresholds=replace(QUIET, min_saving_s=1.0))
    assert findings(run, thresholds=replace(QUIET, min_saving_s=1.01)) == {}


def tools(*calls: tuple[str, float, str | None], status: str = "ok") -> Trace:
    spans, now = [], 0.0
    for number, (name, seconds, mark) in enumerate(calls):
        attributes = {"input_hash": mark} if mark else {}
        spans += [
            span(f"l{number}", "a", now, now, LLM),
            span(
                f"t{number}",
                "a",
                now,
                now + seconds,
                TOOL,
                name=name,
                attributes=attributes,
                status=status,
            ),
        ]
        now += seconds
    return trace(span("a", None, 0, now, AGENT), *spans)


def test_a_tool_over_the_limit():
    run = tools(("slow", 3, "x"), ("slow", 1, "y"), ("fast", 1, "z"))
    found = findings(run)["slow-tool"]
    assert found.evidence == "Tool 'slow' took over 2 s in 1 of 2 calls (longest 3.00 s)."
    assert (found.saving_s, found.fix) == (None, {})
    assert "slow-tool" not in findings(run, thresholds=Thresholds(tool_seconds=3))


def test_a_slow_tool_with_the_same_arguments_again_should_be_cached():
    found = findings(tools(("slow", 3, "x"), ("slow", 4, "x"), ("fast", 1, "x")))["slow-tool"]
    assert "Cache its results" in found.advice
    assert (found.saving_s, found.basis) == (4.0, "1 repeated calls replayed at zero length")
    assert found.fix == fixes.CACHED_TOOL


def test_a_tool_that_failed_before_is_not_cached():
    found = findings(tools(("slow", 3, "x"), ("slow", 3, "x"), status="error"))["slow-tool"]
    assert found.saving_s is None


def test_each_slow_tool_is_a_finding_of_its_own():
    found = diagnose(LatencyReport((tools(("b", 3, None), ("a", 3, None)),)))
    assert [f.evidence.split("'")[1] for f in found if f.rule == "slow-tool"] == ["a", "b"]


# Many steps


def test_more_turns_than_the_limit():
    run = agent(*[1.0] * 4, 2.0, rest=5)
    found = findings(run, thresholds=replace(QUIET, steps=3))["many-steps"]
    assert found.evidence == "1 runs took more than 3 model turns (most: 5)."
    assert (found.saving_s, found.severity) == (3.0, "high")  # turns four and five
    assert found.basis == "2 turns beyond the limit replayed at zero length"
    assert findings(run, thresholds=replace(QUIET, steps=5)) == {}


def test_the_default_limit_is_ten_turns():
    assert "many-steps" not in findings(agent(*[0.1] * 10, rest=9))
    assert "many-steps" in findings(agent(*[0.1] * 11, rest=9))


# Long prompts


def prompts(*sizes: int, cached: int = 0, per_token: float = 0.0001, **fields: Any) -> Trace:
    """Streamed calls of two seconds whose TTFT is 0.1 s and `per_token` seconds a token."""
    spans = []
    for n, size in enumerate(sizes):
        usage = Usage.from_totals(input_tokens=size, output_tokens=10, cached_input_tokens=cached)
        ttft = round((0.1 + per_token * usage.uncached_input_tokens) * 1e9)
        spans.append(
            span(
                f"l{n}",
                "a",
                5 * n,
                5 * n + 4,
                LLM,
                usage=usage,
                chunks=1,
                chunk_ns=(ttft,),
                **fields,
            )
        )
    return trace(span("a", None, 0, 5 * len(sizes), AGENT), *spans)


LIMIT = replace(QUIET, request_tokens=10_000)


def test_prompts_over_the_limit(prices: Prices):
    run = prompts(1_000, 2_000, 3_000, 4_000, 12_000, 20_000, cost_usd=Decimal(1))
    found = findings(run, thresholds=LIMIT)["long-prompts"]
    assert found.evidence == "2 requests had over 10,000 input tokens (most: 20,000)."
    assert found.saving_s == pytest.approx(12_000 * 0.0001)  # 2,000 and 10,000 tokens too many
    assert found.saving_usd == Decimal("120.00")
    assert found.severity == "low"  # two of six requests


def test_a_prompt_at_the_limit_is_not_over_it():
    assert findings(prompts(*[10_000] * 5), thresholds=LIMIT) == {}


def test_cached_tokens_are_cheaper_to_leave_in(prices: Prices):
    """Half of the 10,000 tokens too many are cached: they cost a tenth and take no time."""
    run = prompts(1_000, 2_000, 3_000, 4_000, 20_000, cost_usd=Decimal(1))
    halves = Usage.from_totals(input_tokens=20_000, output_tokens=10, cached_input_tokens=10_000)
    half = replace(run.spans[-1], usage=halves, chunk_ns=(round(1.1 * 1e9),))
    found = findings(replace(run, spans=(*run.spans[:-1], half)), thresholds=LIMIT)["long-prompts"]
    assert found.saving_usd == Decimal("55.00")
    assert found.saving_s == pytest.approx(0.5)


def test_without_a_trend_the_seconds_are_unknown():
    found = findings(prompts(20_000, 20_000), thresholds=LIMIT)["long-prompts"]
    assert found.saving_s is None
    assert "seconds unknown" in found.basis
    assert found.severity == "high"


def test_two_runs_with_the_same_ids_are_not_confused():
    """The saving of one run's long prompt must not be taken off its namesake in another run."""
    short, long = prompts(1_000, 2_000, 3_000, 4_000, 5_000), prompts(20_000)
    found = findings(short, long, thresholds=LIMIT)["long-prompts"]
    assert found.saving_s == pytest.approx(1.0)


# Streaming


def test_a_final_answer_that_was_not_streamed():
    streamed = span("l1", "a", 0, 4, LLM, chunks=2, chunk_ns=(1_000_000_000, 2_000_000_000))
    run = trace(span("a", None, 0, 12, AGENT), streamed, span("l2", "a", 4, 12, LLM))
    found = findings(run, thresholds=replace(QUIET, llm_seconds=5))["no-streaming"]
    assert found.evidence == "1 final answers (8.00 s each) were not streamed."
    assert found.saving_s == 6.0  # the first token came after a quarter of the streamed call


def test_without_any_streamed_call_the_saving_is_unknown():
    found = findings(agent(8.0), thresholds=replace(QUIET, llm_seconds=5))["no-streaming"]
    assert (found.saving_s, found.basis) == (None, "")


def test_a_quick_answer_need_not_be_streamed():
    assert "no-streaming" not in findings(agent(4.0, rest=9), thresholds=Thresholds())


# All of it


@pytest.mark.parametrize(
    "runs",
    [
        (),
        (trace(span("r", None, 0, 0)),),
        (trace(span("l", None, 3, 3, LLM, attributes={"input_hash": "x"})),) * 3,
        (trace(span("r", None, 0, 2, AGENT, status="error", error="ValueError: x")),),
        (
            trace(
                span("r", None, 0, 9, AGENT, status="error"),
                span("l", "r", 0, 9, LLM, status="error", usage=None, model=None),
                span("t", "r", 9, 9, TOOL, status="unfinished"),
            ),
        ),
    ],
    ids=["no runs", "zero length", "zero-length calls", "failed at once", "failed inside"],
)
def test_empty_zero_length_and_failed_runs_are_fine(runs: tuple[Trace, ...]):
    zero = Thresholds(llm_seconds=0, llm_share=0, tool_seconds=0, steps=0, request_tokens=0)
    for thresholds in (None, zero):
        for finding in diagnose(LatencyReport(runs), thresholds):
            assert str(finding)


@given(st.lists(random_traces(), max_size=3))
def test_no_saving_is_negative_or_longer_than_the_runs(runs: list[Trace]):
    zero = Thresholds(llm_seconds=0, llm_share=0, tool_seconds=0, steps=0, request_tokens=0)
    report = LatencyReport(tuple(runs))
    for finding in diagnose(report, zero):
        if finding.rule != "no-streaming":  # saves the reader's time, not the run's
            assert 0 <= (finding.saving_s or 0) <= report.wall_s + 1e-9


def test_findings_come_by_severity_and_then_by_saving():
    run = trace(
        span("a", None, 0, 30, AGENT),
        span("l1", "a", 0, 20, LLM),
        span("t1", "a", 20, 23, TOOL, name="small", attributes={"input_hash": "x"}),
        span("t2", "a", 23, 27, TOOL, name="small", attributes={"input_hash": "x"}),
    )
    found = diagnose(LatencyReport((run,)))
    order = [(f.severity != "high", -(f.saving_s or 0)) for f in found]
    assert order == sorted(order)
    assert found[0].rule == "slow-model"


def test_a_finding_reads_as_sentences():
    finding = Finding(
        rule="x",
        severity="low",
        evidence="This is slow.",
        advice="Do that.",
        saving_s=1.5,
        saving_usd=Decimal("0.01"),
        basis="a guess",
    )
    assert str(finding) == "This is slow. Do that. (saves about 1.50 s and $0.0100: a guess)"
    assert str(replace(finding, saving_s=None, saving_usd=None)) == "This is slow. Do that."


def test_the_report_passes_its_arguments_on():
    report = LatencyReport((agent(8, rest=1),))
    assert report.diagnose(Thresholds(), faster_than=0.25) == diagnose(report, faster_than=0.25)


def test_every_rule_has_been_seen_here():
    assert {rule.__name__ for rule in RULES} == {  # pyright: ignore[reportFunctionMemberAccess] - rules are functions
        "slow_model",
        "repeated_requests",
        "serial_tools",
        "slow_tools",
        "many_steps",
        "long_prompts",
        "no_streaming",
    }


def resolve(dotted: str) -> object:
    """The object that a dotted name stands for: the longest importable module, then attributes."""
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[cut:], module)
    raise ModuleNotFoundError(dotted)


NAMES = sorted(
    {
        dotted
        for name in fixes.__all__
        for fix in [getattr(fixes, name)]
        if isinstance(fix, Mapping)
        for dotted in fix.values()
    }
)


@pytest.mark.parametrize("dotted", NAMES)
def test_every_fix_that_is_named_exists(dotted: str):
    assert resolve(dotted) is not None


def test_every_fix_names_both_frameworks():
    for name in fixes.__all__:
        assert set(getattr(fixes, name)) == {"langchain", "llamaindex"}
