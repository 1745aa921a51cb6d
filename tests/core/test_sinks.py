"""Sinks: what leaves the process, under which names, and that a broken one breaks no run."""

from __future__ import annotations

import importlib
import logging
import stat
import threading
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind as OtelKind
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry

from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError, MissingExtra, TraceFileError
from agentperf_core.events import EventBus, Fault
from agentperf_core.telemetry import LatencyReport, Recorder, SpanKind
from agentperf_core.telemetry.sinks import (
    JsonlSink,
    LoggingSink,
    OpenTelemetrySink,
    PrometheusSink,
)
from agentperf_core.telemetry.sinks.otel_names import CONVENTIONS, INSTRUMENTS
from agentperf_core.types import Usage

EPOCH = 1_700_000_000.0
SECRET = "sk-123 where is my order"


def price(usage: Usage, model: str, provider: str | None) -> Decimal | None:
    return None if model == "unpriced" else Decimal("0.25")


def record(*sinks, runs: int = 1, model: str = "gpt-x", tool: str = "find") -> Recorder:
    """An agent with a chain, a streamed call, a failing tool, an embedding and a cache hit."""
    clock = FakeClock(epoch=EPOCH)
    recorder = Recorder(clock=clock, sinks=sinks, pricer=price, bus=EventBus())
    for n in range(runs):
        recorder.start(f"a{n}", SpanKind.AGENT, "support")
        recorder.start(f"c{n}", SpanKind.CHAIN, "model", parent_id=f"a{n}")
        recorder.start(
            f"l{n}", SpanKind.LLM, model, parent_id=f"c{n}", model=model, provider="OpenAI"
        )
        for _ in range(3):
            clock.advance(0.5)
            recorder.chunk(f"l{n}")
        recorder.annotate(f"l{n}", finish_reason="tool_calls", response_id="r-1", attempt=2)
        recorder.end(
            f"l{n}",
            usage=Usage(
                uncached_input_tokens=600,
                cached_input_tokens=300,
                cache_write_tokens=100,
                output_tokens=50,
                reasoning_tokens=20,
            ),
        )
        recorder.end(f"c{n}")
        recorder.start(f"t{n}", SpanKind.TOOL, tool, parent_id=f"a{n}")
        clock.advance(0.25)
        recorder.end(f"t{n}", error=TimeoutError(SECRET))
        recorder.start(f"e{n}", SpanKind.EMBEDDING, "emb", parent_id=f"a{n}", model="emb")
        recorder.end(f"e{n}", usage=Usage(uncached_input_tokens=7))
        recorder.start(f"h{n}", SpanKind.LLM, model, parent_id=f"a{n}", model=model)
        recorder.end(
            f"h{n}",
            usage=Usage(uncached_input_tokens=40, output_tokens=4),
            cache={"of": "llm", "outcome": "hit"},
        )
        recorder.end(f"a{n}")
    return recorder


# --- JSONL ----------------------------------------------------------------------------------------


def test_jsonl_runs_read_back_as_they_were_recorded(tmp_path):
    path = tmp_path / "deep" / "er" / "runs.jsonl"
    recorder = record(JsonlSink(path), runs=3)
    assert LatencyReport.load(path).traces == recorder.traces()


def test_a_jsonl_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "runs.jsonl"
    record(JsonlSink(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_jsonl_appends_to_what_is_there(tmp_path):
    path = tmp_path / "runs.jsonl"
    record(JsonlSink(str(path)), runs=2)
    before = path.read_text()
    with Recorder(sinks=[JsonlSink(path)], pricer=price).span("agent", "later"):
        pass
    assert path.read_text().startswith(before)
    assert LatencyReport.load(path).runs == 3


def test_jsonl_lines_of_many_threads_do_not_mix(tmp_path):
    sink = JsonlSink(tmp_path / "runs.jsonl")
    recorder = Recorder(sinks=[sink], pricer=price, max_traces=500)

    def work() -> None:
        for _ in range(25):
            with recorder.span("agent", "support"), recorder.span("tool", "find"):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = LatencyReport.load(sink.path)
    assert report.runs == 200
    assert all(len(trace.spans) == 2 for trace in report.traces)


def test_a_run_after_a_cut_off_line_starts_on_a_line_of_its_own(tmp_path):
    """A process that died while writing must not spoil the first run of the next one."""
    path = tmp_path / "runs.jsonl"
    record(JsonlSink(path))
    whole = path.read_text()
    path.write_text(whole + whole[:40])
    with Recorder(sinks=[JsonlSink(path)], pricer=price).span("agent", "later"):
        pass
    assert '"name":"later"' in path.read_text().splitlines()[-1]
    assert path.read_text().splitlines()[-1].startswith("{")
    with pytest.raises(TraceFileError) as caught:
        LatencyReport.load(path)
    assert len(caught.value.kept) == 1


# --- logging --------------------------------------------------------------------------------------


def test_logging_writes_one_line_per_run(caplog):
    with caplog.at_level(logging.INFO, logger="agentperf"):
        record(LoggingSink(), runs=2)
    line = (
        "run 'support' ok: 1.75 s, 1 LLM call, 1 cache hit, 1 tool call, 1,000 tokens in, "
        "50 out (20 reasoning), $0.5000"
    )
    assert [r.getMessage() for r in caplog.records] == [line, line]


def test_logging_names_the_class_of_an_error_and_never_its_message(caplog):
    recorder = Recorder(sinks=[LoggingSink("mine", level=logging.WARNING)], pricer=price)
    with (
        caplog.at_level(logging.WARNING, logger="mine"),
        pytest.raises(ValueError, match="order"),
        recorder.span("agent", "two\nlines"),
    ):
        raise ValueError(SECRET)
    (line,) = [r for r in caplog.records if r.name == "mine"]
    assert line.levelno == logging.WARNING
    assert "run 'two lines' error (ValueError)" in line.getMessage()
    assert SECRET not in line.getMessage()


def test_logging_does_no_work_below_its_level(monkeypatch):
    logger = logging.getLogger("quiet")
    logger.setLevel(logging.ERROR)
    monkeypatch.setattr(logger, "log", lambda *_: pytest.fail("logged"))
    record(LoggingSink(logger))


# --- OpenTelemetry --------------------------------------------------------------------------------


class Collected:
    """A sink with the SDK's own in-memory exporters behind it."""

    def __init__(self, **options) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider(metric_readers=[self.reader])
        self.sink = OpenTelemetrySink(self.tracers, self.meters, **options)

    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name) -> dict[Any, Any]:
        return {
            tuple(sorted((p.attributes or {}).items())): p
            for p in self.metrics()[name].data.data_points
        }


@pytest.fixture
def collected():
    found = Collected()
    record(found.sink)
    return found


def test_otel_spans_have_the_names_kinds_and_parents_of_the_run(collected):
    spans = collected.spans()
    assert set(spans) == {
        "invoke_agent support",
        "model",
        "chat gpt-x",
        "execute_tool find",
        "embeddings emb",
        "cache gpt-x",
    }
    root = spans["invoke_agent support"]
    assert root.parent is None
    assert spans["chat gpt-x"].parent.span_id == spans["model"].context.span_id
    assert spans["execute_tool find"].parent.span_id == root.context.span_id
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert spans["chat gpt-x"].kind is OtelKind.CLIENT
    assert spans["execute_tool find"].kind is OtelKind.INTERNAL


def test_otel_spans_carry_the_recorded_times(collected):
    spans = collected.spans()
    start = round(EPOCH * 1e9)
    assert spans["invoke_agent support"].start_time == start
    assert spans["invoke_agent support"].end_time == start + 1_750_000_000
    assert spans["execute_tool find"].start_time == start + 1_500_000_000


def test_otel_attributes_of_a_model_call_follow_the_newest_convention(collected):
    """Input tokens are the total with cached ones, as the convention asks."""
    assert dict(collected.spans()["chat gpt-x"].attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.response.id": "r-1",
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_write.input_tokens": 100,
        "gen_ai.usage.reasoning.output_tokens": 20,
        "agentperf.kind": "llm",
        "agentperf.attempt": 2,
        "agentperf.cost_usd": 0.25,
        "agentperf.critical_path_s": 1.5,
    }


def test_otel_agents_and_tools_are_named(collected):
    spans = collected.spans()
    assert spans["invoke_agent support"].attributes["gen_ai.agent.name"] == "support"
    assert spans["execute_tool find"].attributes["gen_ai.tool.name"] == "find"
    assert spans["execute_tool find"].attributes["gen_ai.operation.name"] == "execute_tool"
    assert "gen_ai.operation.name" not in spans["model"].attributes


def test_otel_errors_have_a_type_and_a_status_but_no_message(collected):
    failed = collected.spans()["execute_tool find"]
    assert failed.attributes["error.type"] == "TimeoutError"
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description is None
    assert all(SECRET not in span.to_json() for span in collected.spans().values())


def test_otel_error_messages_are_exported_on_demand():
    found = Collected(error_messages=True)
    record(found.sink)
    assert SECRET in found.spans()["execute_tool find"].status.description


def test_otel_cache_hits_are_never_client_inference(collected):
    hit = collected.spans()["cache gpt-x"]
    assert not [key for key in hit.attributes if key.startswith("gen_ai.")]
    assert hit.attributes["agentperf.cache.outcome"] == "hit"
    assert hit.attributes["agentperf.cache.saved_input_tokens"] == 40
    (calls,) = collected.points("gen_ai.client.inference.duration").values()
    assert calls.count == 1
    (hits,) = collected.points("agentperf.cache.hits").values()
    assert hits.value == 1


def test_otel_metrics_of_the_newest_convention(collected):
    assert set(collected.metrics()) == {
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.time_per_output_chunk",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        "gen_ai.client.inference.usage.cache_write.input_tokens",
        "gen_ai.client.inference.usage.reasoning.output_tokens",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
        "gen_ai.client.embeddings.duration",
        "gen_ai.client.embeddings.operation.input_tokens",
        "gen_ai.invoke_agent.duration",
        "gen_ai.invoke_agent.inference_calls",
        "gen_ai.invoke_agent.tool_calls",
        "gen_ai.execute_tool.duration",
        "agentperf.cache.hits",
        "agentperf.cost",
    }
    split = (
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "gpt-x"),
    )
    duration = collected.points("gen_ai.client.inference.duration")[split]
    assert duration.sum == 1.5
    assert duration.explicit_bounds == pytest.approx([0.01 * 2**i for i in range(14)])
    assert collected.points("gen_ai.client.inference.time_per_output_chunk")[split].count == 2
    tokens = collected.points("gen_ai.client.inference.usage.input_tokens")
    assert tokens[tuple(sorted((*split, ("gen_ai.token.modality", "unknown"))))].value == 1000
    failed = (("error.type", "TimeoutError"), ("gen_ai.tool.name", "find"))
    assert collected.points("gen_ai.execute_tool.duration")[failed].sum == 0.25
    agent = (("gen_ai.agent.name", "support"),)
    assert collected.points("gen_ai.invoke_agent.inference_calls")[agent].sum == 1
    assert collected.points("gen_ai.invoke_agent.tool_calls")[agent].sum == 1


def test_otel_older_names_on_demand():
    found = Collected(semconv="1.41")
    record(found.sink)
    chat = found.spans()["chat gpt-x"]
    assert chat.attributes["gen_ai.usage.cache_creation.input_tokens"] == 100
    assert chat.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"
    assert set(found.metrics()) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.operation.time_per_output_chunk",
        "gen_ai.client.token.usage",
        "agentperf.cache.hits",
        "agentperf.cost",
    }
    sums = {
        (dict(split)["gen_ai.token.type"], dict(split)["gen_ai.operation.name"]): point.sum
        for split, point in found.points("gen_ai.client.token.usage").items()
    }
    assert sums == {("input", "chat"): 1000, ("output", "chat"): 50, ("input", "embeddings"): 7}


def test_otel_calls_count_for_the_innermost_agent_only():
    found = Collected()
    recorder = Recorder(sinks=[found.sink], pricer=price)
    with recorder.span("agent", "outer"):
        with recorder.span("llm", "m"):
            pass
        with recorder.span("tool", "delegate"), recorder.span("agent", "inner"):
            for _ in range(2):
                with recorder.span("llm", "m"):
                    pass
    calls = found.points("gen_ai.invoke_agent.inference_calls")
    assert {dict(split)["gen_ai.agent.name"]: p.sum for split, p in calls.items()} == {
        "outer": 1,
        "inner": 2,
    }


def test_otel_failed_calls_are_usage_but_not_in_the_distribution_per_call():
    found = Collected()
    recorder = Recorder(sinks=[found.sink], pricer=price)
    with recorder.span("agent", "support"):
        recorder.start("l", SpanKind.LLM, "m", model="m")
        recorder.end("l", usage=Usage(output_tokens=5), error="ReadError: dropped")
    names = set(found.metrics())
    assert "gen_ai.client.inference.usage.output_tokens" in names
    assert "gen_ai.client.inference.operation.output_tokens" not in names


def test_otel_runs_hang_below_the_span_that_is_current_where_they_end():
    found = Collected()
    with found.tracers.get_tracer("web").start_as_current_span("GET /chat") as request:
        record(found.sink)
    root = found.spans()["invoke_agent support"]
    assert root.parent is not None
    assert root.parent.span_id == request.get_span_context().span_id


def test_otel_every_name_of_a_convention_has_an_instrument():
    for names in CONVENTIONS.values():
        used = {
            names.inference_s,
            names.first_chunk_s,
            names.chunk_s,
            names.embeddings_s,
            *names.usage.values(),
            *names.per_call.values(),
        }
        assert used <= set(INSTRUMENTS)


def test_otel_unknown_convention_is_an_error_that_names_the_known():
    with pytest.raises(ConfigError, match=r"genai-2026.*got '2.0'"):
        OpenTelemetrySink(semconv="2.0")  # pyright: ignore[reportArgumentType] - that is the test


# --- Prometheus -----------------------------------------------------------------------------------


def test_prometheus_counts_runs_calls_tokens_and_money():
    registry = CollectorRegistry()
    record(PrometheusSink(registry), runs=2)
    expected = {
        ("runs_total", "status", "ok"): 2,
        ("run_seconds_sum",): 3.5,
        ("llm_seconds_count", "model", "gpt-x"): 2,
        ("llm_ttft_seconds_sum", "model", "gpt-x"): 1.0,
        ("cost_usd_total", "model", "gpt-x"): 0.5,
        ("cache_hits_total", "of", "llm"): 2,
        ("tool_seconds_sum", "tool", "find"): 0.5,
    }
    for (name, *label), value in expected.items():
        labels = dict([label]) if label else {}
        assert registry.get_sample_value(f"agentperf_{name}", labels) == value, name
    error = {"kind": "tool", "type": "TimeoutError"}
    assert registry.get_sample_value("agentperf_errors_total", error) == 2


def test_prometheus_token_buckets_add_up_to_all_tokens():
    """Buckets do not overlap: summing over them counts no token twice."""
    registry = CollectorRegistry()
    recorder = record(PrometheusSink(registry))
    tokens = {
        sample.labels["bucket"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "agentperf_tokens_total" and sample.labels["model"] == "gpt-x"
    }
    assert tokens == {
        "uncached_input": 600,
        "cached_input": 300,
        "cache_write": 100,
        "visible_output": 30,
        "reasoning_output": 20,
    }
    assert sum(tokens.values()) == recorder.report().usage.total_tokens


def test_prometheus_calls_without_a_price_are_counted_not_priced_at_zero():
    registry = CollectorRegistry()
    record(PrometheusSink(registry), model="unpriced")
    label = {"model": "unpriced"}
    assert registry.get_sample_value("agentperf_unpriced_calls_total", label) == 1
    assert registry.get_sample_value("agentperf_cost_usd_total", label) is None


def test_prometheus_labels_cannot_grow_without_bound():
    """A tool named after a user id would make a series per user; later names share one."""
    registry = CollectorRegistry()
    sink = PrometheusSink(registry, max_label_values=3)
    for n in range(10):
        record(sink, tool=f"tool-{n}")
    seen = {
        sample.labels["tool"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "agentperf_tool_seconds_count"
    }
    assert seen == {"tool-0": 1, "tool-1": 1, "tool-2": 1, "other": 7}


def test_prometheus_twice_in_one_registry_is_an_error_with_a_way_out():
    registry = CollectorRegistry()
    PrometheusSink(registry)
    with pytest.raises(ConfigError, match="got 'agentperf' again"):
        PrometheusSink(registry)
    PrometheusSink(registry, namespace="other")


def test_prometheus_needs_room_for_a_label():
    with pytest.raises(ConfigError, match="max_label_values must be >= 1, got 0"):
        PrometheusSink(CollectorRegistry(), max_label_values=0)


# --- all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "missing", "extra"),
    [(OpenTelemetrySink, "opentelemetry", "otel"), (PrometheusSink, "prometheus", "prometheus")],
    ids=["otel", "prometheus"],
)
def test_a_missing_library_names_the_extra_that_brings_it(monkeypatch, make, missing, extra):
    real = importlib.import_module

    def without(name, package=None):
        if name.startswith(missing):
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtra, match=rf"pip install 'agentperf-pack\[{extra}\]'") as caught:
        make()
    assert caught.value.extra == extra


class BrokenSink:
    def emit(self, trace) -> None:
        raise RuntimeError(SECRET)


def test_a_sink_that_raises_breaks_no_run(caplog, tmp_path):
    """One warning in the log, a fault on the bus every time, and the other sinks go on."""
    bus, faults = EventBus(), []
    bus.subscribe(faults.append)
    path = tmp_path / "runs.jsonl"
    recorder = Recorder(sinks=[BrokenSink(), JsonlSink(path)], pricer=price, bus=bus)
    with caplog.at_level(logging.WARNING, logger="agentperf"):
        for _ in range(3):
            with recorder.span("agent", "support"):
                pass
    assert len(recorder.traces()) == 3
    assert LatencyReport.load(path).runs == 3
    assert [(type(f), f.where, f.count) for f in faults] == [
        (Fault, "sink.BrokenSink", n) for n in (1, 2, 3)
    ]
    (warning,) = caplog.records
    assert "sink.BrokenSink failed (RuntimeError)" in warning.getMessage()
    assert SECRET not in warning.getMessage()
