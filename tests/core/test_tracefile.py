"""Trace files: nothing is lost on the way, and half a file gives back its half."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_tools import agent_like_langchain, random_traces, span, trace

from agentperf_core.errors import TraceFileError
from agentperf_core.telemetry import LatencyReport, Span, SpanKind, Trace
from agentperf_core.telemetry.tracefile import dumps, load, loads, trace_lines
from agentperf_core.types import Usage

LLM = SpanKind.LLM

NS = st.integers(-(2**62), 2**62)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
MAPPING = st.dictionaries(st.text(), JSON, max_size=3)
USAGES = st.builds(
    Usage.from_totals,
    input_tokens=st.integers(0, 10**9),
    output_tokens=st.integers(0, 10**9),
    cached_input_tokens=st.integers(0, 10**9),
    cache_write_tokens=st.integers(0, 10**9),
    reasoning_tokens=st.integers(0, 10**9),
    estimated=st.booleans(),
)
SPANS = st.builds(
    Span,
    id=st.text(),
    parent_id=st.none(),
    kind=st.sampled_from(SpanKind),
    name=st.text(),
    start_ns=NS,
    end_ns=NS,
    status=st.sampled_from(["ok", "error", "cancelled", "unfinished"]),
    error=st.none() | st.text(),
    model=st.none() | st.text(),
    provider=st.none() | st.text(),
    usage=st.none() | USAGES,
    cost_usd=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    chunk_ns=st.lists(st.integers(0, 2**62), max_size=3).map(tuple),
    chunks=st.integers(0, 10**6),
    cache=st.none() | MAPPING,
    attributes=MAPPING,
)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Span, ...]:
    """Spans with an id of their own, each below an earlier one, or one that is missing."""
    spans = draw(st.lists(SPANS, min_size=1, max_size=4, unique_by=lambda s: s.id))
    known: list[str | None] = [None, "missing-" * 3]
    for index, one in enumerate(spans):
        spans[index] = replace(one, parent_id=draw(st.sampled_from(known)))
        known.append(one.id)
    return tuple(spans)


TRACES = st.builds(
    Trace,
    id=st.sampled_from(["a", "b"]) | st.text(),
    started_at=st.floats(0, 2e9),
    spans=trees(),
    dropped=st.integers(0, 10),
)


@given(st.lists(TRACES, max_size=4).map(tuple))
def test_every_field_of_every_span_comes_back(traces: tuple[Trace, ...]):
    """Also runs that share an id, as a user's own ids may."""
    assert loads(dumps(traces)) == traces
    assert loads(dumps(traces).encode("utf-8", "surrogatepass")) == traces


@given(st.lists(TRACES, min_size=1, max_size=3).map(tuple))
def test_lines_read_like_the_document(traces: tuple[Trace, ...]):
    text = "".join(f"{line}\n" for one in traces for line in trace_lines(one))
    assert loads(text) == traces


@given(st.lists(random_traces(), max_size=3).map(tuple))
def test_the_document_is_plain_json_with_one_span_a_line(traces: tuple[Trace, ...]):
    text = dumps(traces)
    spans = json.loads(text)["spans"]
    assert len(spans) == sum(len(one.spans) for one in traces)
    inside = [line.removesuffix(",") for line in text.splitlines()[1:-1] if line]
    assert [json.loads(line) for line in inside] == spans


def test_a_report_comes_back_equal(tmp_path: Path):
    report = LatencyReport((agent_like_langchain(serial=True),))
    assert LatencyReport.from_json(report.to_json()) == report
    assert LatencyReport.load(report.save_json(tmp_path / "trace.json")) == report


def test_no_runs_are_a_whole_file():
    assert loads(dumps(())) == ()


@pytest.mark.parametrize(
    "odd",
    [
        {"text": "half an emoji \ud83d"},
        {"nested": {1: "a", None: "b"}},
        {"decimal": Decimal("1.5")},
        {"path": Path("x")},
        {"large": 2**80},
        {"not a number": float("nan")},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_attributes_that_json_does_not_know_never_break_the_file(odd: dict):
    """A report must be written even if somebody annotated a span with something strange."""
    run = trace(span("r", None, 0, 1, attributes=odd))
    (back,) = loads(dumps([run]))
    assert back.root.attributes.keys() == odd.keys()
    assert (back.id, back.root.name, back.seconds) == ("run", "r", 1.0)


def test_broken_unicode_in_an_error_comes_back():
    """A file name that is no UTF-8 ends up in an OSError's message like this."""
    run = trace(span("r", None, 0, 1, error="FileNotFoundError: 'caf\udce9'"))
    assert loads(dumps([run])) == (run,)


TWO_RUNS = (
    agent_like_langchain(serial=True),
    trace(
        span(
            "r",
            None,
            0,
            1,
            LLM,
            name="größer 你好",
            cost_usd=Decimal("0.00012"),
            chunks=2,
            chunk_ns=(5, 9),
            attributes={"line\nbreak": ["\u2028", 1.5, None]},
        ),
        span("t", "r", 0, 1, error='ValueError: "quoted"\n'),
        id="second",
        dropped=3,
    ),
)


def attempt(raw: bytes) -> tuple[Trace, ...] | TraceFileError:
    try:
        return loads(raw)
    except TraceFileError as error:
        return error


def kept_of(error: TraceFileError) -> tuple[Trace, ...]:
    return tuple(run for run in error.kept if isinstance(run, Trace))


def is_prefix(kept: tuple[Trace, ...], whole: tuple[Trace, ...]) -> bool:
    if not kept:
        return True
    *before, last = kept
    full = whole[len(before)]
    return (
        tuple(before) == whole[: len(before)]
        and (last.id, last.started_at, last.dropped) == (full.id, full.started_at, full.dropped)
        and last.spans == full.spans[: len(last.spans)]
    )


def test_a_document_cut_at_any_byte_is_whole_or_an_error_that_keeps_what_was_there():
    whole = dumps(TWO_RUNS).encode()
    kept_spans = 0
    for cut in range(len(whole) - 1):
        error = attempt(whole[:cut])
        assert isinstance(error, TraceFileError)
        assert 1 <= error.line <= whole[:cut].count(b"\n") + 1
        assert f"line {error.line} of the trace" in str(error)
        assert error.path is None
        kept = kept_of(error)
        assert is_prefix(kept, TWO_RUNS)
        spans = sum(len(run.spans) for run in kept)
        assert spans >= kept_spans, "a longer file never keeps less"
        kept_spans = spans
    assert kept_spans == sum(len(run.spans) for run in TWO_RUNS)
    assert attempt(whole[:-1]) == TWO_RUNS, "only the last line break may be missing"


def test_lines_cut_at_any_byte_are_an_error_or_a_whole_number_of_runs():
    """A file of lines has no end mark: cut between two runs it is a whole file of fewer runs."""
    whole = "".join(f"{line}\n" for run in TWO_RUNS for line in trace_lines(run)).encode()
    for cut in range(len(whole)):
        read = attempt(whole[:cut])
        if isinstance(read, TraceFileError):
            assert is_prefix(kept_of(read), TWO_RUNS)
        else:
            assert read == TWO_RUNS[: len(read)]
            assert read, "an empty file is an error"


def test_the_error_names_the_file_and_the_line(tmp_path: Path):
    path = tmp_path / "half.json"
    whole = dumps(TWO_RUNS)
    path.write_text(whole[: len(whole) // 2], encoding="utf-8")
    with pytest.raises(TraceFileError) as caught:
        load(path)
    line = whole[: len(whole) // 2].count("\n") + 1
    assert (caught.value.path, caught.value.line) == (path, line)
    assert str(caught.value) == (
        f"line {line} of {path} is not a whole span; "
        f"the 1 runs ({line - 2} spans) before it were kept in .kept"
    )
    assert isinstance(caught.value.kept[0], Trace)


def test_a_kept_half_can_be_reported():
    whole = dumps(TWO_RUNS)
    with pytest.raises(TraceFileError) as caught:
        loads(whole[: len(whole) // 2])
    kept = kept_of(caught.value)
    assert LatencyReport(kept).wall_s == 5.0
    assert LatencyReport(kept).diagnose() is not None


RECORD, INNER = map(json.loads, trace_lines(agent_like_langchain(serial=True))[:2])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "hello",
        "{}",
        "[]",
        "null",
        "5",
        '"text"',
        '{"a": 1}',
        "[" * 100_000,
        "\x89PNG\r\n\x1a\n\x00",
        '{"format":"agentperf-trace","version":2,"spans":[\n]}\n',
        '{"format":"other"}',
        "<html></html>",
        json.dumps({"format": "agentperf-trace", "version": 1, "spans": []}, indent=2),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_foreign_file_is_an_error_at_its_first_line(text: str):
    with pytest.raises(TraceFileError) as caught:
        loads(text)
    assert caught.value.kept == ()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", 5),
        ("parent_id", []),
        ("kind", "unheard-of"),
        ("name", None),
        ("start_ns", "soon"),
        ("start_ns", 1.5),
        ("end_ns", None),
        ("status", "fine"),
        ("status", None),
        ("error", {}),
        ("model", 1),
        ("usage", 5),
        ("usage", {"unknown_bucket": 1}),
        ("usage", {"output_tokens": -1}),
        ("usage", {"output_tokens": "1"}),
        ("cost_usd", "much"),
        ("cost_usd", 0.5),
        ("chunks", "2"),
        ("chunk_ns", 5),
        ("chunk_ns", ["soon"]),
        ("cache", "hit"),
        ("attributes", None),
        ("started_at", "today"),
        ("dropped", "some"),
        ("spans", "all"),
        ("trace", None),
        ("trace", []),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_span_with_a_field_of_another_type_is_no_span(name: str, value: object):
    """A file may come from anywhere: what it holds is checked before anything reads it."""
    good, bad = orjson.dumps(RECORD).decode(), orjson.dumps({**RECORD, name: value}).decode()
    with pytest.raises(TraceFileError) as caught:
        loads(f"{bad}\n{good}\n")
    assert (caught.value.line, caught.value.kept) == (1, ())


@pytest.mark.parametrize("name", ["trace", "id", "parent_id", "kind", "name", "start_ns", "status"])
def test_a_span_without_a_field_that_every_span_has_is_no_span(name: str):
    with pytest.raises(TraceFileError):
        loads(orjson.dumps({k: v for k, v in RECORD.items() if k != name}))


@given(st.binary(max_size=200))
def test_any_bytes_are_traces_or_a_trace_file_error(raw: bytes):
    assert isinstance(attempt(raw), (tuple, TraceFileError))


@given(st.data())
def test_a_flipped_byte_never_raises_anything_else(data: st.DataObject):
    raw = bytearray(dumps(TWO_RUNS).encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    read = attempt(bytes(raw))
    if not isinstance(read, TraceFileError):
        assert LatencyReport(read).diagnose() is not None, "what was accepted can be worked with"


@pytest.mark.parametrize(
    "ids",
    [
        [("r", None), ("a", "a")],
        [("r", None), ("a", "b"), ("b", "a")],
        [("r", "r")],
        [("r", None), ("r", "r")],
        [("r", None), ("a", "r"), ("a", "a")],
    ],
    ids=str,
)
def test_spans_in_a_circle_are_refused(ids: list[tuple[str, str | None]]):
    """Whoever walks such a tree would walk for ever."""
    lines = [
        orjson.dumps({**RECORD, "spans": len(ids), "id": id_, "parent_id": parent}).decode()
        if index == 0
        else orjson.dumps({**INNER, "id": id_, "parent_id": parent}).decode()
        for index, (id_, parent) in enumerate(ids)
    ]
    with pytest.raises(TraceFileError):
        loads("\n".join(lines))


def test_a_missing_file_is_the_operating_system_s_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere.json")


def test_lines_of_two_runs_may_be_mixed():
    """Two processes that append to one file keep their lines whole, not their runs together."""
    one, two = (trace_lines(run) for run in TWO_RUNS)
    mixed = [one[0], two[0], *one[1:], *two[1:]]
    assert loads("\n".join(mixed)) == TWO_RUNS
