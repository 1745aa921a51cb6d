"""Spans that are asked what they are only when their run is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from agentperf_core.clock import FakeClock
from agentperf_core.events import EventBus
from agentperf_core.telemetry import Closing, Opening, Recorder, SpanKind, Trace
from agentperf_core.types import Usage


class Teller:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def opening(self, name: str) -> Opening:
        self.asked.append(name)
        return Opening(SpanKind.LLM, name, "asked", "acme", {"a": 1, "b": 1, "c": 1})

    def closing(self, tokens: int) -> Closing:
        self.asked.append(f"{tokens} tokens")
        return Closing(Usage(output_tokens=tokens), "answered", None, {"c": 3})


class Sink:
    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def emit(self, trace: Trace) -> None:
        self.traces.append(trace)


def fails(*facts: object) -> Any:
    raise KeyError("figures that nobody has seen before")


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder(clock=FakeClock(), max_traces=2, bus=EventBus())
    yield recorder
    assert recorder.open_runs() == 0


def record(recorder: Recorder, teller: Teller, name: str) -> None:
    assert recorder.start_lazily(name, None, teller.opening, (name,))
    recorder.annotate(name, b=2, c=2)
    recorder.end_lazily(name, teller.closing, (7,))


def test_nothing_is_asked_before_the_run_is_read_and_everything_once(
    recorder: Recorder, teller: Teller
) -> None:
    record(recorder, teller, "l")
    assert teller.asked == []
    (trace,) = recorder.traces()
    assert recorder.traces() == (trace,)
    assert teller.asked == ["l", "7 tokens"]
    span = trace.root
    assert (span.kind, span.name, span.model, span.provider) == (
        SpanKind.LLM,
        "l",
        "asked",
        "acme",
    )
    assert span.usage == Usage(output_tokens=7)
    assert span.attributes == {"a": 1, "b": 2, "c": 3, "response_model": "answered"}


def test_a_run_that_falls_out_unread_is_never_asked(recorder: Recorder, teller: Teller) -> None:
    for name in ("first", "second", "third"):
        record(recorder, teller, name)
    recorder.traces()
    assert teller.asked == ["second", "7 tokens", "third", "7 tokens"]


def test_a_sink_gets_the_run_at_its_end(teller: Teller) -> None:
    sink = Sink()
    record(Recorder(sinks=[sink]), teller, "l")
    assert [trace.root.name for trace in sink.traces] == ["l"]


def test_an_id_that_is_open_is_left_alone(recorder: Recorder, teller: Teller) -> None:
    assert recorder.start_lazily("x", None, teller.opening, ("first",))
    assert not recorder.start_lazily("x", None, teller.opening, ("again",))
    assert recorder.is_open("x")
    recorder.end_lazily("x")
    recorder.end_lazily("x")
    assert not recorder.is_open("x")
    assert [[span.name for span in trace.spans] for trace in recorder.traces()] == [["first"]]


def test_what_cannot_be_told_is_a_fault_and_hides_no_other_span(teller: Teller) -> None:
    bus = EventBus()
    recorder = Recorder(clock=FakeClock(), bus=bus)
    recorder.start("r", SpanKind.AGENT, "r")
    recorder.start_lazily("a", "r", fails, (1,))
    recorder.end_lazily("a")
    recorder.start_lazily("b", "r", teller.opening, ("b",))
    recorder.end_lazily("b", fails, (2,))
    recorder.end("r")
    (trace,) = recorder.traces()
    assert [(s.kind, s.name, s.status) for s in trace.spans] == [
        (SpanKind.AGENT, "r", "ok"),
        (SpanKind.CHAIN, "unknown", "ok"),
        (SpanKind.LLM, "b", "ok"),
    ]
    assert trace.spans[2].usage is None
    assert bus.faults() == {"telemetry.span": 2}


def test_errors_are_described_at_once(recorder: Recorder, teller: Teller) -> None:
    """An exception that is kept keeps every frame that it went through."""
    error = ValueError("first")
    recorder.start_lazily("l", None, teller.opening, ("l",))
    recorder.end_lazily("l", teller.closing, (7,), error=error)
    error.args = ("second",)
    root = recorder.traces()[0].root
    assert (root.error, root.status) == ("ValueError: first", "error")


def test_both_ways_mix_in_one_run(recorder: Recorder, teller: Teller) -> None:
    run_id = uuid4()
    recorder.start_lazily(run_id, None, teller.opening, ("root",))
    recorder.start("mine", SpanKind.TOOL, "mine", parent_id=run_id)
    recorder.end("mine")
    recorder.end(run_id)
    (trace,) = recorder.traces()
    assert [(s.name, s.parent_id) for s in trace.spans] == [("root", None), ("mine", str(run_id))]
