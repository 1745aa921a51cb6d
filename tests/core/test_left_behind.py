"""Odd trees and odd errors: what is told of them stays true, and quotes nobody."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from agentperf_core.telemetry import Recorder, Span, SpanKind, Trace
from agentperf_core.telemetry.whatif import replay_s


def _span(id_: str, parent: str | None, kind: SpanKind, start: int, end: int) -> Span:
    return Span(id=id_, parent_id=parent, kind=kind, name=id_, start_ns=start, end_ns=end)


def test_work_that_began_after_the_end_cannot_make_a_run_shorter_than_nothing() -> None:
    """The replay of a run of 0 s without its tool took -1 ns."""
    run = Trace(
        id="r",
        started_at=0.0,
        spans=(
            _span("r", None, SpanKind.AGENT, 0, 0),
            _span("a", "r", SpanKind.CHAIN, 0, 0),
            _span("t", "a", SpanKind.TOOL, 0, 1),
            _span("w", "r", SpanKind.WAIT, 1, 2),
        ),
    )
    assert replay_s(run) == 0.0
    assert replay_s(run, lambda span: 0 if span.kind is SpanKind.TOOL else None) == 0.0


def test_the_arguments_in_a_validation_error_are_not_kept() -> None:
    """Pydantic quotes the input: a tool called with wrong arguments put them into the trace."""

    class Order(BaseModel):
        number: int

    recorder = Recorder()
    with pytest.raises(ValidationError), recorder.span("tool", "lookup"):
        Order.model_validate({"number": "card 4111 1111"})
    assert recorder.traces()[0].root.error == "ValidationError: number int_parsing"
