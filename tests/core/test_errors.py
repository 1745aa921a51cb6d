"""Errors: one tree, one sentence with rule, value and way out, data as attributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from agentperf_core.cache import CachePolicy, ExactCache, MemoryStore
from agentperf_core.cache.codec import unpack
from agentperf_core.clock import FakeClock
from agentperf_core.errors import (
    AgentPerfError,
    CodecError,
    ConfigError,
    MissingExtra,
    TraceFileError,
    require_positive,
)
from agentperf_core.optional import require
from agentperf_core.telemetry import LatencyReport, Recorder, Thresholds, diagnose, quantile
from agentperf_core.telemetry.tracefile import loads
from agentperf_core.types import Usage


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ConfigError, ValueError),
        (MissingExtra, ImportError),
        (TraceFileError, ValueError),
        (CodecError, ValueError),
    ],
)
def test_every_error_is_ours_and_the_builtin_that_people_catch(error: type, builtin: type):
    assert issubclass(error, AgentPerfError)
    assert issubclass(error, builtin)


def test_an_error_of_ours_is_no_builtin_catch_all():
    assert not issubclass(AgentPerfError, (ValueError, ImportError, RuntimeError))


def test_missing_extra_carries_the_module_and_the_extra():
    error = MissingExtra("text", module="torch", extra="local")
    assert (str(error), error.name, error.extra) == ("text", "torch", "local")


def test_trace_file_error_carries_path_line_and_what_was_readable():
    error = TraceFileError("text", path=Path("a.json"), line=7, kept=(1, 2))
    assert (str(error), error.path, error.line, error.kept) == ("text", Path("a.json"), 7, (1, 2))


@dataclass(frozen=True)
class Case:
    """A call that breaks a rule, and the rule, the value and the way out in its message."""

    name: str
    call: Callable[[], object]
    rule: str
    value: str
    way_out: str
    error: type[AgentPerfError] = ConfigError


CASES = [
    Case("bound", lambda: require_positive(size=0), "size must be > 0", "0", "leave it out"),
    Case("nan", lambda: require_positive(size=float("nan")), "must be > 0", "nan", "leave it out"),
    Case("text", lambda: CachePolicy(ttl_s=cast("Any", "60")), "must be > 0", "'60'", "leave it"),
    Case(
        "not a store",
        lambda: ExactCache(cast("Any", {})),
        "needs the methods of Store",
        "a dict without set",
        "give a MemoryStore()",
    ),
    Case(
        "span kind of start",
        lambda: Recorder().start(1, "llmm", "x"),
        "kind must be one of ['agent', 'chain', 'llm'",
        "'llmm'",
        "use SpanKind",
    ),
    Case("clock", lambda: FakeClock().advance(-2.5), "cannot go back", "-2.5", "pass seconds >= 0"),
    Case("usage", lambda: Usage(output_tokens=-1), "are >= 0", "-1", "Usage.from_totals"),
    Case(
        "reasoning",
        lambda: Usage(output_tokens=1, reasoning_tokens=2),
        "reasoning is part of output",
        "(0, 0, 0, 1, 2)",
        "Usage.from_totals",
    ),
    Case("recorder", lambda: Recorder(max_spans=0), "max_spans must be > 0", "0", "leave it out"),
    Case(
        "span kind",
        lambda: Recorder().span("llmm", "x").__enter__(),
        "kind must be one of ['agent', 'chain', 'llm'",
        "'llmm'",
        "use SpanKind",
    ),
    Case("store", lambda: MemoryStore(max_bytes=-5), "max_bytes must be > 0", "-5", "leave it out"),
    Case("ttl", lambda: CachePolicy(ttl_s=0), "ttl_s must be > 0", "0", "leave it out"),
    Case(
        "thresholds",
        lambda: Thresholds(llm_share=1.5),
        "llm_share <= 1",
        "llm_share=1.5",
        "defaults",
    ),
    Case("threshold below zero", lambda: Thresholds(steps=-1), ">= 0", "steps=-1", "defaults"),
    Case(
        "faster",
        lambda: diagnose(LatencyReport(()), faster_than=2.0),
        "a part between 0 and 1",
        "2.0",
        "0.5 means twice as fast",
    ),
    Case("quantile", lambda: quantile([], 0.5), "at least one value", "0 values", "check the"),
    Case("quantile q", lambda: quantile([1.0], 1.5), "0 <= q <= 1", "1.5", "check the"),
    Case(
        "codec",
        lambda: unpack(b"garbage"),
        "must be an entry of this pack",
        "b'garbage'",
        "clear the cache",
        CodecError,
    ),
    Case(
        "trace",
        lambda: loads("hello\n"),
        "is not a whole span",
        "line 1",
        "kept in .kept",
        TraceFileError,
    ),
    Case(
        "extra",
        lambda: require("no_such_module", extra="local", purpose="the engine"),
        "the engine needs",
        "'no_such_module'",
        "pip install 'agentperf-pack[local]'",
        MissingExtra,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_message_names_the_rule_the_value_and_the_way_out(case: Case):
    with pytest.raises(case.error) as caught:
        case.call()
    message = str(caught.value)
    assert case.rule in message
    assert case.value in message
    assert case.way_out in message
    assert "\n" not in message


def test_positive_values_and_none_pass():
    require_positive(entries=1, seconds=0.001, unlimited=None)


def test_the_first_wrong_bound_is_the_one_that_is_named():
    with pytest.raises(ConfigError, match="second must be > 0"):
        require_positive(first=1, second=0, third=0)
