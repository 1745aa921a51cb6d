"""The recorder: exact trees, exact times, bounded memory, and no way to break a run."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus
from agentperf_core.telemetry import Recorder, SpanKind, Trace
from agentperf_core.types import Usage

AGENT, CHAIN, LLM, TOOL = SpanKind.AGENT, SpanKind.CHAIN, SpanKind.LLM, SpanKind.TOOL
USAGE = Usage(uncached_input_tokens=100, output_tokens=10)


def penny(usage: Usage, model: str, provider: str | None) -> Decimal:
    return Decimal("0.01")


def recorder_on(clock: FakeClock, **options: Any) -> Recorder:
    defaults: dict[str, Any] = {"pricer": penny, "bus": EventBus()}
    return Recorder(clock=clock, **{**defaults, **options})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recorder(clock: FakeClock) -> Recorder:
    return recorder_on(clock)


class Sink:
    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def emit(self, trace: Trace) -> None:
        self.traces.append(trace)


class BrokenSink:
    def emit(self, trace: Trace) -> None:
        raise OSError("disk full")


def shape(trace: Trace) -> dict[str, str | None]:
    """Each span's name and its parent's name."""
    names = {span.id: span.name for span in trace.spans}
    return {
        span.name: names[span.parent_id] if span.parent_id is not None else None
        for span in trace.spans
    }


# The tree and its times


def test_a_run_becomes_a_tree_with_exact_times(recorder: Recorder, clock: FakeClock):
    recorder.start("r", AGENT, "support")
    clock.advance(0.5)
    recorder.start("l", LLM, "chat", parent_id="r", model="big", provider="acme")
    clock.advance(2.0)
    recorder.end("l", usage=USAGE)
    recorder.start("t", TOOL, "lookup", parent_id="r")
    clock.advance(0.25)
    recorder.end("t")
    clock.advance(0.25)
    recorder.end("r")

    (trace,) = recorder.traces()
    assert shape(trace) == {"support": None, "chat": "support", "lookup": "support"}
    assert [(s.start_ns, s.end_ns) for s in trace.spans] == [
        (0, 3_000_000_000),
        (500_000_000, 2_500_000_000),
        (2_500_000_000, 2_750_000_000),
    ]
    assert (trace.id, trace.seconds, trace.started_at) == ("r", 3.0, 1_700_000_000.0)
    llm = trace.spans[1]
    assert (llm.model, llm.provider, llm.usage, llm.cost_usd) == (
        "big",
        "acme",
        USAGE,
        Decimal("0.01"),
    )


def test_time_to_first_token_gaps_and_time_per_token(recorder: Recorder, clock: FakeClock):
    recorder.start("l", LLM, "chat", model="big")
    for wait in (0.5, 0.1, 0.3):
        clock.advance(wait)
        recorder.chunk("l")
    clock.advance(0.1)
    recorder.end("l", usage=USAGE)

    (span,) = recorder.traces()[0].spans
    assert span.ttft_s == 0.5
    assert span.gaps_s == pytest.approx((0.1, 0.3))
    assert (span.chunks, span.streamed) == (3, True)
    assert span.tpot_s == pytest.approx(0.5 / 9)  # half a second for the nine tokens after it


def test_a_call_that_was_not_streamed_has_no_first_token_time(recorder: Recorder):
    recorder.start("l", LLM, "chat")
    recorder.end("l", usage=USAGE)
    (span,) = recorder.traces()[0].spans
    assert (span.ttft_s, span.tpot_s, span.gaps_s, span.streamed) == (None, None, (), False)


def test_chunk_times_are_bounded_and_the_count_is_not(clock: FakeClock):
    recorder = recorder_on(clock, max_chunks=3)
    recorder.start("l", LLM, "chat")
    for _ in range(10):
        clock.advance(1)
        recorder.chunk("l")
    recorder.end("l")
    (span,) = recorder.traces()[0].spans
    assert (span.chunks, len(span.chunk_ns), span.ttft_s) == (10, 3, 1.0)


def test_what_is_said_at_the_start_and_later_is_merged(recorder: Recorder):
    recorder.start("t", TOOL, "lookup", attributes={"attempt": 1, "x": "start"})
    recorder.annotate("t", x="later", finish_reason="stop")
    recorder.end("t")
    (span,) = recorder.traces()[0].spans
    assert span.attributes == {"attempt": 1, "x": "later", "finish_reason": "stop"}


def test_annotating_does_not_write_into_the_caller_s_mapping(recorder: Recorder):
    given_attributes = {"attempt": 1}
    recorder.start("t", TOOL, "lookup", attributes=given_attributes)
    recorder.annotate("t", more=True)
    recorder.end("t")
    assert given_attributes == {"attempt": 1}


def test_a_model_named_only_at_the_end_is_the_span_s_model(recorder: Recorder):
    recorder.start("l", LLM, "chat")
    recorder.end("l", model="big-2026", usage=USAGE)
    assert recorder.traces()[0].root.model == "big-2026"


def test_the_model_that_answered_is_kept_beside_the_one_asked_for(recorder: Recorder):
    recorder.start("l", LLM, "chat", model="big")
    recorder.end("l", model="big-2026", usage=USAGE)
    root = recorder.traces()[0].root
    assert (root.model, root.attributes["response_model"]) == ("big", "big-2026")


def test_spans_are_in_order_of_start_even_if_threads_append_in_another_order(clock: FakeClock):
    """The clock is read before the span is appended, so two threads can swap places."""

    class Shuffled(FakeClock):
        readings = iter([0, 50, 20, 60, 70, 80, 90])

        def monotonic_ns(self) -> int:
            return next(self.readings)

    recorder = recorder_on(Shuffled())
    recorder.start("r", AGENT, "r")
    recorder.start("late", TOOL, "late", parent_id="r")
    recorder.start("early", TOOL, "early", parent_id="r")
    for span_id in ("late", "early", "r"):
        recorder.end(span_id)
    assert [span.name for span in recorder.traces()[0].spans] == ["r", "early", "late"]


# Ends that come late, never, twice, or for nothing


def test_ids_that_are_not_open_are_ignored(recorder: Recorder):
    recorder.end("nobody")
    recorder.chunk("nobody")
    recorder.annotate("nobody", x=1)
    assert (recorder.traces(), recorder.open_runs()) == ((), 0)


def test_a_second_end_changes_nothing(recorder: Recorder, clock: FakeClock):
    recorder.start("r", AGENT, "r")
    recorder.end("r")
    clock.advance(5)
    recorder.end("r", error="late")
    (trace,) = recorder.traces()
    assert (trace.seconds, trace.root.status) == (0.0, "ok")


def test_the_root_s_end_closes_what_is_open_as_unfinished(recorder: Recorder, clock: FakeClock):
    recorder.start("r", AGENT, "r")
    recorder.start("t", TOOL, "t", parent_id="r")
    clock.advance(2)
    recorder.end("r")
    child = recorder.traces()[0].spans[1]
    assert (child.status, child.seconds) == ("unfinished", 2.0)


def test_an_end_after_the_run_is_over_changes_nothing(recorder: Recorder, clock: FakeClock):
    recorder.start("r", AGENT, "r")
    recorder.start("t", TOOL, "t", parent_id="r")
    recorder.end("r")
    before = recorder.traces()
    clock.advance(9)
    recorder.end("t", usage=USAGE)
    assert recorder.traces() == before


def test_a_parent_nobody_opened_begins_a_run_without_parent(recorder: Recorder):
    """A handler attached further in sees children of spans that it never saw."""
    recorder.start("t", TOOL, "t", parent_id="outside")
    recorder.end("t")
    assert recorder.traces()[0].root.parent_id is None


def test_a_child_of_a_finished_run_begins_a_run_of_its_own(recorder: Recorder):
    recorder.start("r", AGENT, "r")
    recorder.end("r")
    recorder.start("t", TOOL, "late", parent_id="r")
    recorder.end("t")
    assert [trace.root.name for trace in recorder.traces()] == ["r", "late"]


def test_a_child_may_outlive_its_parent(recorder: Recorder, clock: FakeClock):
    """A stream is read after the chain that opened it has returned."""
    recorder.start("r", AGENT, "r")
    recorder.start("c", CHAIN, "c", parent_id="r")
    recorder.start("l", LLM, "l", parent_id="c")
    recorder.end("c")
    clock.advance(3)
    recorder.end("l")
    recorder.end("r")
    spans = {span.name: span.seconds for span in recorder.traces()[0].spans}
    assert spans == {"r": 3.0, "c": 0.0, "l": 3.0}


def test_an_id_that_begins_again_closes_the_first_as_unfinished(recorder: Recorder):
    recorder.start("r", AGENT, "r")
    recorder.start("t", TOOL, "first", parent_id="r")
    recorder.start("t", TOOL, "second", parent_id="r")
    recorder.end("t")
    recorder.end("r")
    (trace,) = recorder.traces()
    assert [(s.name, s.status) for s in trace.spans[1:]] == [
        ("first", "unfinished"),
        ("second", "ok"),
    ]
    assert len({span.id for span in trace.spans}) == 3


def test_a_root_id_that_begins_again_loses_no_run(recorder: Recorder):
    recorder.start("r", AGENT, "first")
    recorder.start("t", TOOL, "t", parent_id="r")
    recorder.start("r", AGENT, "second")
    recorder.end("r")
    assert [(t.root.name, t.root.status) for t in recorder.traces()] == [
        ("first", "unfinished"),
        ("second", "ok"),
    ]
    assert_nothing_open(recorder)


def test_ids_used_in_a_circle_cannot_hang_anything(recorder: Recorder):
    """Parents are remembered as spans: looked up by id, these two would be each other's parent."""
    recorder.start("r", AGENT, "r")
    recorder.start("a", LLM, "a1", parent_id="r")
    recorder.start("b", LLM, "b", parent_id="a")
    recorder.end("a")
    recorder.start("a", LLM, "a2", parent_id="b")
    for span_id in ("a", "b", "r"):
        recorder.end(span_id)
    assert shape(recorder.traces()[0]) == {"r": None, "a1": "r", "b": "a1", "a2": "b"}


def test_a_span_that_names_itself_as_parent_is_a_root(recorder: Recorder):
    recorder.start("r", LLM, "r", parent_id="r")
    recorder.end("r")
    assert recorder.traces()[0].root.parent_id is None


# Errors


def test_an_error_closes_the_span_with_type_and_message(recorder: Recorder):
    recorder.start("t", TOOL, "t")
    recorder.end("t", error=KeyError("order-7"))
    root = recorder.traces()[0].root
    assert (root.status, root.error) == ("error", "KeyError: 'order-7'")


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()], ids=repr)
def test_what_was_given_up_is_cancelled_and_not_failed(recorder: Recorder, error: BaseException):
    recorder.start("t", TOOL, "t")
    recorder.end("t", error=error)
    assert recorder.traces()[0].root.status == "cancelled"


def test_a_status_that_is_given_wins(recorder: Recorder):
    recorder.start("t", TOOL, "t")
    recorder.end("t", error="gone", status="cancelled")
    root = recorder.traces()[0].root
    assert (root.status, root.error) == ("cancelled", "gone")


def test_an_error_that_cannot_be_printed_does_not_break_the_run(recorder: Recorder):
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    recorder.start("t", TOOL, "t")
    recorder.end("t", error=UnprintableError())
    assert recorder.traces()[0].root.error == "UnprintableError"


def test_a_huge_error_is_shortened(recorder: Recorder):
    """Some providers echo the whole request in their error."""
    recorder.start("t", TOOL, "t")
    recorder.end("t", error=ValueError("x" * 1_000_000))
    assert len(recorder.traces()[0].root.error or "") == 500


# Never counted twice


def test_an_llm_span_around_another_is_a_wrapper_of_the_same_call(recorder: Recorder):
    recorder.start("outer", LLM, "cached-chat", model="big")
    recorder.start("c", CHAIN, "between", parent_id="outer")
    recorder.start("inner", LLM, "chat", parent_id="c", model="big")
    recorder.end("inner", usage=USAGE)
    recorder.end("c")
    recorder.end("outer", usage=USAGE)
    outer, _, inner = recorder.traces()[0].spans
    assert (outer.kind, outer.usage, outer.cost_usd) == (CHAIN, None, None)
    assert (inner.kind, inner.usage, inner.cost_usd) == (LLM, USAGE, Decimal("0.01"))


def test_of_three_nested_llm_spans_only_the_innermost_counts(recorder: Recorder):
    for span_id, parent in (("a", None), ("b", "a"), ("c", "b")):
        recorder.start(span_id, LLM, span_id, parent_id=parent, model="big")
    for span_id in "cba":
        recorder.end(span_id, usage=USAGE)
    assert [s.kind for s in recorder.traces()[0].spans] == [CHAIN, CHAIN, LLM]


def test_two_calls_side_by_side_both_count(recorder: Recorder):
    recorder.start("r", AGENT, "r")
    for span_id in ("a", "b"):
        recorder.start(span_id, LLM, span_id, parent_id="r", model="big")
    for span_id in ("a", "b", "r"):
        recorder.end(span_id, usage=USAGE if span_id != "r" else None)
    report = recorder.report()
    assert (report.usage, report.cost_usd) == (USAGE + USAGE, Decimal("0.02"))


def test_a_cache_hit_is_a_cache_span_that_costs_nothing(recorder: Recorder):
    recorder.start("l", LLM, "chat", model="big")
    recorder.end("l", usage=USAGE, cache={"outcome": "hit", "tier": "exact"})
    report = recorder.report()
    (span,) = report.cache_hits
    assert (span.kind, span.cost_usd, span.usage) == (SpanKind.CACHE, None, USAGE)
    assert (report.cost_usd, report.usage, report.saved_usage) == (Decimal(0), Usage(), USAGE)


def test_a_span_that_begins_as_a_cache_span_is_never_priced(recorder: Recorder):
    recorder.start("c", SpanKind.CACHE, "cache", model="big")
    recorder.end("c", usage=USAGE)
    assert recorder.traces()[0].root.cost_usd is None


def test_usage_without_a_model_has_no_price(recorder: Recorder):
    recorder.start("l", LLM, "chat")
    recorder.end("l", usage=USAGE)
    assert recorder.traces()[0].root.cost_usd is None
    assert recorder.report().unpriced_calls == 1


def test_each_call_is_priced_once_however_often_one_looks(clock: FakeClock):
    asked: list[tuple[Usage, str, str | None]] = []

    def pricer(usage: Usage, model: str, provider: str | None) -> Decimal | None:
        asked.append((usage, model, provider))
        return None

    recorder = recorder_on(clock, pricer=pricer, sinks=[Sink(), Sink()])
    recorder.start("l", LLM, "chat", model="big", provider="acme")
    recorder.end("l", usage=USAGE)
    recorder.traces()
    recorder.report()
    assert asked == [(USAGE, "big", "acme")]
    assert recorder.traces()[0] is recorder.traces()[0]


# What fails inside the recorder stays there


def test_a_sink_that_raises_is_counted_and_the_others_still_get_the_run(clock: FakeClock):
    bus, good = EventBus(), Sink()
    recorder = recorder_on(clock, bus=bus, sinks=[BrokenSink(), good])
    for span_id in "ab":
        recorder.start(span_id, AGENT, span_id)
        recorder.end(span_id)
    assert [trace.id for trace in good.traces] == ["a", "b"]
    assert bus.faults() == {"sink.BrokenSink": 2}


def test_a_pricer_that_raises_leaves_the_price_unknown_and_the_sinks_served(clock: FakeClock):
    """The pricer runs when a run is frozen: inside the traced call, if a sink is attached."""

    def broken(usage: Usage, model: str, provider: str | None) -> Decimal:
        raise KeyError(model)

    bus, sink = EventBus(), Sink()
    recorder = recorder_on(clock, bus=bus, pricer=broken, sinks=[sink])
    recorder.start("l", LLM, "chat", model="big")
    recorder.end("l", usage=USAGE)
    assert sink.traces == list(recorder.traces())
    assert sink.traces[0].root.cost_usd is None
    assert bus.faults() == {"pricer": 1}


def test_without_a_pricer_an_unknown_model_costs_none_and_never_zero(clock: FakeClock):
    recorder = Recorder(clock=clock)
    recorder.start("l", LLM, "chat", model="no-such-model-anywhere")
    recorder.end("l", usage=USAGE)
    assert recorder.traces()[0].root.cost_usd is None


# Bounds


@pytest.mark.parametrize("bound", ["max_traces", "max_spans", "max_chunks", "max_open"])
def test_a_bound_below_one_is_refused(bound: str):
    options: dict[str, Any] = {bound: 0}
    with pytest.raises(ConfigError, match=f"{bound} must be > 0"):
        Recorder(**options)


def assert_nothing_open(recorder: Recorder) -> None:
    assert recorder.open_runs() == 0
    assert recorder._open == {}


def test_only_the_latest_runs_are_kept(clock: FakeClock):
    recorder = recorder_on(clock, max_traces=3)
    for number in range(10):
        recorder.start(number, AGENT, str(number))
        recorder.end(number)
    assert [trace.id for trace in recorder.traces()] == ["7", "8", "9"]


def test_spans_beyond_the_bound_are_counted_and_their_children_stay_in_the_run(clock: FakeClock):
    recorder = recorder_on(clock, max_spans=2)
    recorder.start("r", AGENT, "r")
    recorder.start("kept", TOOL, "kept", parent_id="r")
    recorder.start("dropped", CHAIN, "dropped", parent_id="r")
    recorder.start("child", TOOL, "child", parent_id="dropped")
    recorder.chunk("child")
    recorder.end("child")
    recorder.end("dropped")
    recorder.end("kept")
    recorder.end("r")
    (trace,) = recorder.traces()
    assert ([span.name for span in trace.spans], trace.dropped) == (["r", "kept"], 2)
    assert_nothing_open(recorder)


def test_dropped_spans_that_never_end_are_forgotten_with_their_run(clock: FakeClock):
    recorder = recorder_on(clock, max_spans=1)
    recorder.start("r", AGENT, "r")
    for number in range(5):
        recorder.start(number, TOOL, "t", parent_id="r")
    recorder.end("r")
    assert recorder.traces()[0].dropped == 5
    assert_nothing_open(recorder)


def test_a_root_that_never_ends_does_not_collect_abandoned_children(clock: FakeClock):
    recorder = recorder_on(clock, max_spans=10)
    recorder.start("r", AGENT, "r")
    for number in range(1_000):
        recorder.start(number, TOOL, "t", parent_id="r")
    assert len(recorder._open) <= 21
    recorder.end("r")
    assert recorder.traces()[0].dropped == 991
    assert_nothing_open(recorder)


def test_beyond_max_open_the_oldest_run_is_closed_as_unfinished(clock: FakeClock):
    sink = Sink()
    recorder = recorder_on(clock, max_open=2, sinks=[sink])
    for number in range(3):
        recorder.start(number, AGENT, str(number))
        recorder.start(f"{number}-child", TOOL, "child", parent_id=number)
        clock.advance(1)
    assert [(t.id, t.seconds) for t in sink.traces] == [("0", 2.0)]
    assert [span.status for span in sink.traces[0].spans] == ["unfinished", "unfinished"]
    assert recorder.open_runs() == 2


def test_runs_that_threads_begin_at_once_leave_no_more_open_than_the_bound(clock: FakeClock):
    recorder = recorder_on(clock, max_open=4)

    def begin(worker: int) -> None:
        for number in range(200):
            recorder.start((worker, number), AGENT, "a")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(8)))
    recorder.start("last", AGENT, "last")
    assert recorder.open_runs() == 4
    assert recorder.is_open("last")


@pytest.mark.parametrize("max_spans", [1, 10])
def test_ids_that_are_uuids_are_found_by_value_and_kept_as_text(clock: FakeClock, max_spans: int):
    """The table goes by their number, since hashing a UUID runs Python code."""
    recorder = recorder_on(clock, max_spans=max_spans)
    root, child, lost = uuid4(), uuid4(), uuid4()
    recorder.start(UUID(str(root)), AGENT, "r")
    recorder.start(child, LLM, "l", parent_id=UUID(str(root)))
    recorder.start(lost, TOOL, "t", parent_id=child)
    recorder.chunk(UUID(str(child)))
    recorder.annotate(UUID(str(child)), x=1)
    recorder.end(UUID(str(child)))
    assert [recorder.is_open(id_) for id_ in (root, child, lost)] == [True, False, True]
    recorder.end(root)
    assert_nothing_open(recorder)
    (trace,) = recorder.traces()
    assert (trace.id, trace.dropped) == (str(root), max(0, 3 - max_spans))
    assert [(s.id, s.parent_id, s.chunks, s.attributes) for s in trace.spans] == [
        (str(root), None, 0, {}),
        (str(child), str(root), 1, {"x": 1}),
        (str(lost), str(child), 0, {}),
    ][:max_spans]


def test_clear_forgets_finished_runs_and_lets_open_ones_go_on(recorder: Recorder):
    recorder.start("a", AGENT, "a")
    recorder.end("a")
    recorder.start("b", AGENT, "b")
    recorder.clear()
    assert recorder.traces() == ()
    recorder.end("b")
    assert [trace.id for trace in recorder.traces()] == ["b"]


def test_ten_thousand_runs_keep_memory_flat():
    """After the bound is reached, more runs must not cost more memory."""
    recorder = Recorder(max_traces=20, pricer=penny)

    def record(count: int) -> None:
        for number in range(count):
            recorder.start("r", AGENT, "r")
            for child in range(3):
                recorder.start(child, LLM, "l", parent_id="r", model="big")
                recorder.chunk(child)
                if child != number % 4:  # some are left open, as abandoned streams are
                    recorder.end(child, usage=USAGE)
            recorder.end("r")

    record(500)
    gc.collect()
    tracemalloc.start()
    try:
        record(500)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        record(9_500)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
    assert_nothing_open(recorder)


# Many runs at once


def check_run(trace: Trace, name: str, children: int) -> None:
    assert {span.attributes["run"] for span in trace.spans} == {name}
    assert len(trace.spans) == 1 + children
    assert {span.status for span in trace.spans} == {"ok"}


def test_runs_in_many_threads_do_not_mix():
    recorder = Recorder(pricer=penny)
    gate = threading.Barrier(8)

    def work(number: int) -> None:
        gate.wait()
        for turn in range(20):
            name = f"{number}-{turn}"
            with recorder.span("agent", name, run=name):
                for _ in range(3):
                    with recorder.span("tool", "t", run=name):
                        pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    traces = recorder.traces()
    assert len({trace.root.name for trace in traces}) == 160
    for trace in traces:
        check_run(trace, trace.root.name, 3)
    assert_nothing_open(recorder)


async def test_runs_in_many_tasks_do_not_mix():
    recorder = Recorder(pricer=penny)

    async def work(name: str) -> None:
        with recorder.span("agent", name, run=name):
            for _ in range(3):
                with recorder.span("tool", "t", run=name):
                    await asyncio.sleep(0)

    await asyncio.gather(*(work(str(number)) for number in range(100)))
    traces = recorder.traces()
    assert len(traces) == 100
    for trace in traces:
        check_run(trace, trace.root.name, 3)
    assert_nothing_open(recorder)


def test_children_of_one_run_may_come_from_many_threads():
    recorder = Recorder(pricer=penny)
    recorder.start("r", AGENT, "r")

    def work(number: int) -> None:
        for turn in range(50):
            recorder.start((number, turn), TOOL, "t", parent_id="r")
            recorder.chunk((number, turn))
            recorder.annotate((number, turn), x=1)
            recorder.end((number, turn))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    recorder.end("r")
    (trace,) = recorder.traces()
    assert len(trace.spans) == 401
    assert {span.parent_id for span in trace.spans[1:]} == {"r"}
    assert_nothing_open(recorder)


@pytest.mark.parametrize("max_spans", [5, 10_000])
def test_runs_that_end_while_other_threads_still_add_spans_leak_nothing(max_spans: int):
    """The end of a root races with starts and ends of its children in other threads."""
    recorder = Recorder(pricer=penny, max_spans=max_spans, sinks=[Sink()])
    gate = threading.Barrier(4)

    def one_run(number: int, turn: int) -> None:
        children = [(number, turn, child) for child in range(4)]
        if number == 0:
            recorder.start(("r", turn), AGENT, "r")
        gate.wait(timeout=30)
        for child in children:
            recorder.start(child, TOOL, "t", parent_id=("r", turn))
            if number != 1:  # one thread ends its spans too late
                recorder.end(child)
        if number == 0:
            recorder.end(("r", turn))
        gate.wait(timeout=30)
        for child in children:
            recorder.end(child)

    def work(number: int) -> None:
        for turn in range(150):
            one_run(number, turn)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert_nothing_open(recorder)


def test_a_child_that_starts_just_as_its_run_ends_is_not_left_open(clock: FakeClock):
    """The clock is read between looking up the parent and registering the child."""

    class EndsTheRun(FakeClock):
        armed = False

        def monotonic_ns(self) -> int:
            if self.armed:
                self.armed = False
                recorder.end("r")  # as another thread would, at this very moment
            return super().monotonic_ns()

    racing = EndsTheRun()
    recorder = recorder_on(racing)
    recorder.start("r", AGENT, "r")
    racing.armed = True
    recorder.start("t", TOOL, "t", parent_id="r")
    assert_nothing_open(recorder)
    recorder.end("t")
    assert len(recorder.traces()) == 1


# Blocks of the user's own code


def test_blocks_nest_and_siblings_stay_siblings(recorder: Recorder):
    with recorder.span("agent", "a"):
        with recorder.span("chain", "b"), recorder.span("tool", "c"):
            pass
        with recorder.span("tool", "d"):
            pass
    assert shape(recorder.traces()[0]) == {"a": None, "b": "a", "c": "b", "d": "a"}


async def test_tasks_started_in_a_block_hang_below_it(recorder: Recorder):
    async def tool(name: str) -> None:
        with recorder.span("tool", name), recorder.span("retriever", f"{name}-inner"):
            await asyncio.sleep(0)

    with recorder.span("agent", "a"):
        await asyncio.gather(tool("x"), tool("y"))
    assert shape(recorder.traces()[0]) == {
        "a": None,
        "x": "a",
        "y": "a",
        "x-inner": "x",
        "y-inner": "y",
    }


def test_a_thread_without_the_context_begins_a_run_of_its_own(recorder: Recorder):
    def work() -> None:
        with recorder.span("tool", "t"):
            pass

    with recorder.span("agent", "a"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [shape(trace) for trace in recorder.traces()] == [{"t": None}, {"a": None}]


def test_an_exception_in_a_block_is_recorded_and_goes_on(recorder: Recorder):
    with pytest.raises(ZeroDivisionError), recorder.span("agent", "a"), recorder.span("tool", "t"):
        _ = 1 / 0
    assert [(s.status, s.error) for s in recorder.traces()[0].spans] == [
        ("error", "ZeroDivisionError: division by zero")
    ] * 2
    with recorder.span("agent", "after"):
        pass
    assert shape(recorder.traces()[1]) == {"after": None}


async def test_a_cancelled_block_is_cancelled(recorder: Recorder):
    inside = asyncio.Event()

    async def work() -> None:
        with recorder.span("tool", "t"):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.traces()[0].root.status == "cancelled"


def test_a_block_can_report_its_own_usage(recorder: Recorder):
    with recorder.span("llm", "chat", model="big") as span_id:
        recorder.end(span_id, usage=USAGE)
    root = recorder.traces()[0].root
    assert (root.usage, root.status) == (USAGE, "ok")


def test_blocks_of_two_recorders_interleave(clock: FakeClock):
    """The context variable is shared, the trees are not."""
    one, two = recorder_on(clock), recorder_on(clock)
    with (
        one.span("agent", "1a"),
        two.span("agent", "2a"),
        one.span("tool", "1b"),
        two.span("tool", "2b"),
    ):
        pass
    assert shape(one.traces()[0]) == {"1a": None, "1b": "1a"}
    assert shape(two.traces()[0]) == {"2a": None, "2b": "2a"}


def test_a_block_inside_a_closed_one_hangs_below_the_nearest_open_one(recorder: Recorder):
    with recorder.span("agent", "a"), recorder.span("chain", "b") as b:
        recorder.end(b)
        with recorder.span("tool", "c"):
            pass
    assert shape(recorder.traces()[0]) == {"a": None, "b": "a", "c": "a"}


async def test_a_stream_closed_by_another_task_leaves_its_block_quietly(recorder: Recorder):
    """Web frameworks close an abandoned async generator from a task with another context."""

    async def stream():
        with recorder.span("llm", "chat"):
            yield 1
            yield 2

    opened = stream()
    assert await asyncio.create_task(anext(opened)) == 1
    await asyncio.create_task(opened.aclose())
    assert recorder.traces()[0].root.status == "cancelled"
    with recorder.span("agent", "after"):
        pass
    assert shape(recorder.traces()[1]) == {"after": None}


def test_an_unknown_kind_is_refused_before_anything_is_recorded(recorder: Recorder):
    with pytest.raises(ConfigError, match="kind must be one of"), recorder.span("tol", "t"):
        pass
    assert recorder.open_runs() == 0


# Any sequence of calls


EVENT = st.tuples(
    st.sampled_from(["start", "end", "chunk", "annotate"]),
    st.integers(0, 5),
    st.none() | st.integers(0, 5),
    st.sampled_from([AGENT, LLM, TOOL]),
)


@given(st.lists(EVENT, max_size=40), st.integers(1, 6), st.integers(1, 4))
def test_no_sequence_of_events_breaks_or_leaks(events, max_spans: int, max_open: int):
    """Frameworks lose ends, repeat ids and close in any order: the books balance all the same."""
    clock = FakeClock()
    recorder = recorder_on(clock, max_spans=max_spans, max_open=max_open)
    started = 0
    for what, span_id, parent_id, kind in events:
        clock.advance(1)
        if what == "start":
            started += 1
            recorder.start(span_id, kind, "s", parent_id=parent_id, model="big")
        elif what == "end":
            recorder.end(span_id, usage=USAGE)
        elif what == "chunk":
            recorder.chunk(span_id)
        else:
            recorder.annotate(span_id, x=1)
    for span_id in range(6):
        recorder.end(span_id)
    assert_nothing_open(recorder)
    traces = recorder.traces()
    assert sum(len(t.spans) + t.dropped for t in traces) == started
    for trace in traces:
        ids = [span.id for span in trace.spans]
        assert len(set(ids)) == len(ids) <= max_spans
        assert trace.root.parent_id is None
        for index, span in enumerate(trace.spans[1:], start=1):
            assert span.parent_id in ids[:index]
        assert all(span.end_ns >= span.start_ns for span in trace.spans)
