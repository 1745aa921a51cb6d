"""One scenario table drives both frameworks end to end: real sockets, real SQLite, real agents."""

from __future__ import annotations

from functools import cache

import pytest

from agentperf_core.bench.endpoint import Provider, ScriptedEndpoint
from agentperf_core.bench.workloads import SCENARIO, desk_agents, desk_reply
from agentperf_core.cli.demo import Arm, run_arm
from agentperf_core.telemetry import SpanKind

FRAMEWORKS = ("langchain", "llamaindex")


@cache
def played(framework: str, *, plugins: bool) -> tuple[Arm, int]:
    """One arm of the demo, and the chat requests that its endpoint received."""
    with ScriptedEndpoint(desk_reply, time_scale=0) as endpoint:
        arm = run_arm(
            desk_agents()[framework],
            provider=Provider(endpoint.base_url, "test"),
            model="gpt-4o-mini",
            plugins=plugins,
        )
        return arm, len(endpoint.requests)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_bare_agent_makes_the_calls_that_the_table_says(framework: str):
    arm, requests = played(framework, plugins=False)
    assert len(arm.report.llm_calls) == requests == sum(turn.llm_calls for turn in SCENARIO)
    assert len(arm.report.tool_calls) == sum(turn.tool_calls for turn in SCENARIO)
    assert len(arm.report.cache_hits) == 0


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_with_plugins_repeated_turns_make_no_model_call(framework: str):
    arm, requests = played(framework, plugins=True)
    made = sum(turn.cached_llm_calls for turn in SCENARIO)
    assert len(arm.report.llm_calls) == requests == made
    assert len(arm.report.cache_hits) == sum(turn.llm_calls for turn in SCENARIO) - made


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_turn_is_a_run_of_its_own_with_its_counts(framework: str):
    arm, _ = played(framework, plugins=True)
    assert arm.report.runs == len(SCENARIO)
    for turn, trace in zip(SCENARIO, arm.report.traces, strict=True):
        assert len(list(trace.of_kind(SpanKind.LLM))) == turn.cached_llm_calls, turn
        assert len(list(trace.of_kind(SpanKind.TOOL))) == turn.tool_calls, turn
        assert trace.root.kind is SpanKind.AGENT


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_cached_answer_is_the_same_answer_and_tools_still_write(framework: str):
    bare, _ = played(framework, plugins=False)
    cached, _ = played(framework, plugins=True)
    assert cached.answers == bare.answers
    assert cached.tickets == bare.tickets == 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_hits_are_not_billed_and_calls_are(framework: str):
    bare, _ = played(framework, plugins=False)
    cached, _ = played(framework, plugins=True)
    total = bare.report.usage
    assert cached.report.usage + cached.report.saved_usage == total
    assert bare.report.cost_usd is not None
    assert cached.report.cost_usd is not None
    assert 0 < cached.report.cost_usd < bare.report.cost_usd


def test_both_frameworks_count_alike():
    """Same turns, same answers, same calls; prompts differ only in what the framework adds."""
    langchain, _ = played("langchain", plugins=False)
    llamaindex, _ = played("llamaindex", plugins=False)
    assert langchain.answers == llamaindex.answers
    assert langchain.report.steps == llamaindex.report.steps
    assert langchain.report.usage.output_tokens == llamaindex.report.usage.output_tokens
