"""The plain table: what it says of full, empty, failed and odd runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.telemetry import (
    Finding,
    LatencyReport,
    Recorder,
    Span,
    SpanKind,
    Trace,
)
from agentperf_core.telemetry.report import render, table
from agentperf_core.telemetry.report._format import clean, seconds, share, usd
from agentperf_core.types import Usage

FINDING = Finding(
    rule="cache",
    severity="high",
    evidence="Model calls took 80 % of the run.",
    advice="Cache what repeats.",
    fix={"LangChain": "ResponseCacheMiddleware"},
    saving_s=1.5,
    saving_usd=Decimal("0.0125"),
    basis="2 of 4 calls repeat",
)


def price(usage: Usage, model: str, provider: str | None) -> Decimal | None:
    return None if model == "unpriced" else Decimal(usage.total_tokens) / 1_000_000


def span(start: float, end: float, **fields: Any) -> Span:
    fields = {"id": "root", "parent_id": None, "kind": SpanKind.AGENT, "name": "agent"} | fields
    return Span(start_ns=round(start * 1e9), end_ns=round(end * 1e9), **fields)


def run(*spans: Span, **fields: Any) -> Trace:
    return Trace(id=spans[0].id, started_at=0.0, spans=spans, **fields)


def recorded(runs: int, *, model: str = "m") -> LatencyReport:
    """Agent runs with one streamed model call, two tools one after the other, and a cache hit."""
    clock = FakeClock()
    recorder = Recorder(clock=clock, pricer=price)
    for n in range(runs):
        recorder.start(f"a{n}", SpanKind.AGENT, "support")
        clock.advance(0.01)
        recorder.start(f"l{n}", SpanKind.LLM, model, parent_id=f"a{n}", model=model)
        for _ in range(2):
            clock.advance(0.5)
            recorder.chunk(f"l{n}")
        recorder.end(
            f"l{n}",
            usage=Usage(
                uncached_input_tokens=1000,
                cached_input_tokens=200,
                output_tokens=51,
                reasoning_tokens=20,
            ),
        )
        for tool in ("find", "read"):
            recorder.start(f"{tool}{n}", SpanKind.TOOL, tool, parent_id=f"a{n}")
            clock.advance(0.25)
            recorder.end(f"{tool}{n}")
        recorder.start(f"c{n}", SpanKind.LLM, model, parent_id=f"a{n}", model=model)
        recorder.end(f"c{n}", usage=Usage(uncached_input_tokens=77), cache={"of": "llm"})
        recorder.end(f"a{n}")
    return recorder.report()


@pytest.fixture
def no_advice(monkeypatch):
    monkeypatch.setattr("agentperf_core.telemetry.report.text.diagnose", lambda report: [])


@pytest.mark.usefixtures("no_advice")
def test_every_figure_of_a_report_is_in_the_text():
    text = render(recorded(2))
    for expected in (
        "2 runs, 3.02 s wall time in total",
        "* too few values for a bound at 95 % confidence: do not rely on it",
        "LLM                 2 calls, 2 cache hits",
        "tokens              2,400 in (400 cached), 102 out (40 reasoning)",
        "cost                $0.0025",
        "saved by cache      154 tokens",
        "tools               4 calls, 500 ms lost because calls waited for each other",
        "framework overhead  20 ms (0.7 %)",
        "steps               2 per run",
        "errors              none",
    ):
        assert expected in text
    assert re.search(r"llm +2 +2\.00 s +2\.00 s +2\.00 s +66 %", text)
    assert re.search(r"time to first token +2 +500 ms", text)
    assert re.search(r"time per output token +2 +10 ms", text)


@dataclass
class Case:
    id: str
    runs: int
    expected: str


@pytest.mark.parametrize(
    "case",
    [
        Case("one", 1, r"run +1 +1\.51 s \* +1\.51 s \* +1\.51 s \*"),
        Case("few", 12, r"run +12 +1\.51 s \(1\.51 s to 1\.51 s\) +1\.51 s \* +1\.51 s \*"),
        Case(
            "enough for p95, not for p99",
            80,
            r"run +80 +1\.51 s \(.*?\) +1\.51 s \(1\.51 s to 1\.51 s\) +1\.51 s \*",
        ),
    ],
    ids=lambda case: case.id,
)
@pytest.mark.usefixtures("no_advice")
def test_percentiles_say_what_the_sample_is_too_small_for(case):
    assert re.search(case.expected, render(recorded(case.runs)))


@pytest.mark.usefixtures("no_advice")
def test_a_price_that_is_unknown_is_never_zero():
    assert "cost                unknown (1 unpriced call)" in render(recorded(1, model="unpriced"))


@pytest.mark.usefixtures("no_advice")
def test_unpriced_calls_are_counted_beside_the_cost():
    both = LatencyReport(recorded(1).traces + recorded(1, model="unpriced").traces)
    assert "$0.0013 + 1 unpriced call" in render(both)


@pytest.mark.usefixtures("no_advice")
def test_a_run_of_zero_length_divides_nothing_by_zero():
    text = render(LatencyReport((run(span(0, 0)),)))
    assert "1 run, 0 s wall time in total" in text
    assert "framework overhead  0 s (0.0 %)" in text


@pytest.mark.usefixtures("no_advice")
def test_failed_unfinished_and_cut_runs_are_named():
    failed = run(span(0, 1, status="error", error="TimeoutError: secret prompt"))
    open_ = run(span(0, 1, id="open", status="unfinished"), dropped=3)
    text = render(LatencyReport((failed, open_)))
    assert "2 runs (1 failed, 1 unfinished)" in text
    assert "3 spans did not fit the recorder's bound and are missing here" in text
    assert "errors              1 x TimeoutError in agent" in text


@pytest.mark.usefixtures("no_advice")
def test_error_messages_stay_out_because_they_may_quote_a_prompt():
    failed = run(span(0, 1, status="error", error="TimeoutError: secret prompt"))
    assert "secret" not in render(LatencyReport((failed,)))


@pytest.mark.usefixtures("no_advice")
def test_a_name_cannot_forge_a_line():
    failed = run(span(0, 1, name="x\nERROR forged", status="error", error="E: e"))
    assert "\nERROR" not in render(LatencyReport((failed,)))


def test_advice_comes_last_with_its_saving_and_its_fix(monkeypatch):
    monkeypatch.setattr("agentperf_core.telemetry.report.text.diagnose", lambda report: [FINDING])
    text = render(recorded(1))
    advice = " ".join(text.partition("\nadvice\n")[2].split())
    assert advice == (
        "- Model calls took 80 % of the run. Cache what repeats. (saves about 1.50 s and $0.0125: "
        "2 of 4 calls repeat) Use ResponseCacheMiddleware (LangChain)"
    )
    assert all(len(line) <= 100 for line in text.partition("\nadvice\n")[2].splitlines())


def test_advice_beyond_the_first_is_counted_not_dropped(monkeypatch):
    monkeypatch.setattr(
        "agentperf_core.telemetry.report.text.diagnose", lambda report: [FINDING] * 11
    )
    text = render(recorded(1))
    assert text.count("Cache what repeats.") == 8
    assert text.endswith("- 3 more: report.diagnose() has them all")


def test_str_of_a_real_report_is_the_text_with_real_advice():
    report = recorded(3)
    assert str(report) == render(report)
    assert str(report).isascii()


def test_a_report_without_runs_says_so():
    assert str(LatencyReport(())) == "0 runs recorded: nothing to report"


def test_table_aligns_figures_right_and_words_left():
    text = table(["tool", "calls", "share"], [["read", 12, "7.0 %"], ["f", None, "<0.1 %"]])
    assert text.splitlines() == [
        "tool  calls   share",
        "----  -----  ------",
        "read     12   7.0 %",
        "f            <0.1 %",
    ]


def test_table_counts_wide_characters_as_two_cells():
    lines = table(["工具", "n"], [["ab", 1], ["查询订单", 2]]).splitlines()
    assert lines[2:] == ["ab        1", "查询订单  2"]


def test_table_says_which_row_does_not_fit():
    with pytest.raises(ConfigError, match="one cell per header"):
        table(["a", "b"], [["only one"]])


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="ascii", categories=["L", "N"])), min_size=3, max_size=3
        )
    )
)
def test_a_table_is_one_line_per_row_and_never_wider_than_its_rule(rows):
    lines = table(["one", "two", "three"], rows).split("\n")
    widths = [len(part) for part in lines[1].split("  ")]
    assert all(len(line) <= sum(widths) + 4 for line in lines)
    assert len(lines) == len(rows) + 2


@given(st.floats(0, 1e6))
def test_seconds_never_print_more_than_twelve_characters(value):
    """The waterfall reserves that much room beside a bar."""
    assert len(seconds(value)) <= 12


@given(st.floats(1e-5, 3000))
def test_seconds_keep_at_least_two_digits_of_the_value(value):
    text = seconds(value)
    unit = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
    if "min" not in text:
        number, name = text.split()
        assert float(number) * unit[name] == pytest.approx(value, rel=0.05)


@given(st.decimals(Decimal("1e-9"), Decimal(1_000_000), allow_nan=False))
def test_a_cost_above_zero_never_prints_as_zero(amount):
    assert Decimal(usd(amount).replace("$", "").replace(",", "")) > 0


@given(st.floats(1e-9, 1))
def test_a_share_above_zero_never_prints_as_zero(part):
    assert share(part) != "0.0 %"


@given(st.text())
def test_clean_text_is_one_printable_line(text):
    assert clean(text).isprintable()
    assert len(clean(text)) <= 200
