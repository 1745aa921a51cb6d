"""The recorder: builds the span tree of every run with O(1) work per event.

Adapters call `start`, `chunk`, `annotate` and `end` with the framework's own span ids; nothing is
serialised and no prompt is kept. A run is frozen into a `Trace` only when somebody asks for it or a
sink is attached. Tracers that serialise state on the hot path cost 7 to 80 ms CPU per agent run;
this one stays below 10 microseconds per event (`benchmarks/bench_handler.py`).

What this cannot see: time inside the provider's SDK before the request leaves (retries, connection
set-up) is part of the LLM span.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.events import BUS, EventBus
from agentperf_core.telemetry._freeze import Pricer, freeze, never_raising
from agentperf_core.telemetry._open import OpenSpan, Run, RunTable, describe, outcome
from agentperf_core.telemetry.spans import SpanKind, Status, Trace
from agentperf_core.types import Usage

if TYPE_CHECKING:
    from agentperf_core.telemetry.latency import LatencyReport

__all__ = ["Pricer", "Recorder", "Sink"]


class Sink(Protocol):
    """Takes every finished run, in the thread that ended it."""

    def emit(self, trace: Trace) -> None:
        """Export one run; what this raises is counted and never reaches the run."""
        ...


# The spans that `Recorder.span` has opened around here, the innermost last, of every recorder.
_around: ContextVar[tuple[Hashable, ...]] = ContextVar("agentperf_spans", default=())


class Recorder:
    """Records runs; safe under threads and asyncio, many runs at once do not mix.

    Args:
        clock: where the time comes from.
        max_traces: finished runs kept, the oldest go first.
        max_spans: spans kept per run; more are counted in `Trace.dropped`.
        max_chunks: chunk times kept per span; all are counted.
        max_open: runs that may be open at once; beyond it the oldest is closed as unfinished, so
            that abandoned streams cannot leak.
        sinks: receive each run when its root span ends.
        pricer: price of a usage; default `accounting.PriceBook().price`.
        bus: where faults of sinks and of the pricer are reported.

    Raises:
        ConfigError: if a bound is below 1.

    Example:
        >>> recorder = Recorder()
        >>> with recorder.span("agent", "support"):
        ...     with recorder.span("tool", "lookup"):
        ...         pass
        >>> [span.name for span in recorder.traces()[0].spans]
        ['support', 'lookup']
    """

    def __init__(
        self,
        *,
        clock: Clock = SYSTEM_CLOCK,
        max_traces: int = 256,
        max_spans: int = 20_000,
        max_chunks: int = 4_096,
        max_open: int = 1_024,
        sinks: Sequence[Sink] = (),
        pricer: Pricer | None = None,
        bus: EventBus = BUS,
    ) -> None:
        require_positive(
            max_traces=max_traces, max_spans=max_spans, max_chunks=max_chunks, max_open=max_open
        )
        self._clock = clock
        self._now = clock.monotonic_ns
        self._max_chunks = max_chunks
        self._sinks = tuple(sinks)
        self._price = never_raising(pricer, bus)
        self._bus = bus
        self._table = RunTable(max_traces=max_traces, max_spans=max_spans, max_open=max_open)
        self._open = self._table.open

    def start(
        self,
        span_id: Hashable,
        kind: SpanKind | str,
        name: str,
        *,
        parent_id: Hashable | None = None,
        model: str | None = None,
        provider: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Open a span; one whose parent is not open begins a run of its own.

        An id that is still open is closed first, as unfinished: its end was missed.
        A `kind` that is not a `SpanKind` raises `ConfigError`.
        """
        if span_id in self._open:
            self.end(span_id, status="unfinished")
        kind = kind if isinstance(kind, SpanKind) else _span_kind(kind)
        parent = self._open.get(parent_id) if parent_id is not None else None
        run = parent.run if parent is not None else Run(span_id, self._clock.time())
        span = OpenSpan(run, span_id, parent, kind, name, self._now())
        span.model = model
        span.provider = provider
        span.attributes = attributes
        stale = self._table.add(span)
        if stale is not None:
            self._finish(stale)
        if run.closed:
            # Another thread ended the run meanwhile, and nobody will look for this span.
            self.end(span_id, status="unfinished")

    def chunk(self, span_id: Hashable) -> None:
        """Note that a piece of a streamed answer arrived."""
        span = self._open.get(span_id)
        if span is None:
            return
        span.chunks += 1
        if span.chunks <= self._max_chunks:
            if span.chunk_ns is None:
                span.chunk_ns = array("q")
            span.chunk_ns.append(self._now() - span.start_ns)

    def annotate(self, span_id: Hashable, **attributes: Any) -> None:
        """Add small plain data to an open span; never prompts or secrets."""
        span = self._open.get(span_id)
        if span is not None:
            span.attributes = {**(span.attributes or {}), **attributes}

    def end(
        self,
        span_id: Hashable,
        *,
        usage: Usage | None = None,
        model: str | None = None,
        error: BaseException | str | None = None,
        status: Status | None = None,
        cache: Mapping[str, Any] | None = None,
    ) -> None:
        """Close a span; closing the root finishes its run. Unknown ids are ignored.

        Args:
            span_id: as given to `start`.
            usage: tokens of the call, if reported.
            model: the model that answered; kept as `response_model` beside the one asked for.
            error: what was raised.
            status: how it ended; by default `"ok"` without an error, `"cancelled"` with a
                cancellation or a closed generator, else `"error"`.
            cache: what a cache says of its hit; makes the span a `CACHE` span, billed nothing.
        """
        span = self._table.remove(span_id)
        if span is None:
            return
        span.end_ns = self._now()
        span.usage = usage
        span.cache = cache
        if span.model is None:
            span.model = model
        elif model is not None and model != span.model:
            span.attributes = {**(span.attributes or {}), "response_model": model}
        if error is not None:
            span.error = describe(error)
        span.status = status or outcome(error)
        if span.parent is None:
            self._finish(span.run)

    @contextmanager
    def span(
        self, kind: SpanKind | str, name: str, *, model: str | None = None, **attributes: Any
    ) -> Generator[Hashable]:
        """Record a block of your own code; blocks nest through a context variable.

        Raises:
            ConfigError: if `kind` is not a `SpanKind`.
        """
        known = _span_kind(kind)
        span_id = uuid4().hex
        around = _around.get()
        parent_id = next((outer for outer in reversed(around) if outer in self._open), None)
        self.start(span_id, known, name, parent_id=parent_id, model=model, attributes=attributes)
        token = _around.set((*around, span_id))
        try:
            yield span_id
        except BaseException as error:
            self.end(span_id, error=error)
            raise
        else:
            self.end(span_id)
        finally:
            # An async generator that another task closes leaves the block in a foreign context.
            with suppress(ValueError):
                _around.reset(token)

    def traces(self) -> tuple[Trace, ...]:
        """The finished runs that are still kept, oldest first, with prices where known."""
        return tuple(self._trace(run) for run in self._table.finished())

    def open_runs(self) -> int:
        """How many runs have begun and not ended."""
        return len(self._table)

    def report(self) -> LatencyReport:
        """A `LatencyReport` over the finished runs that are still kept."""
        from agentperf_core.telemetry.latency import LatencyReport

        return LatencyReport(self.traces())

    def clear(self) -> None:
        """Forget the finished runs; open ones go on."""
        self._table.forget()

    def _finish(self, run: Run) -> None:
        if not self._table.close(run, self._now()):
            return
        for sink in self._sinks:
            try:
                sink.emit(self._trace(run))
            except Exception as error:
                self._bus.fault(f"sink.{type(sink).__name__}", error)

    def _trace(self, run: Run) -> Trace:
        if run.frozen is None:
            run.frozen = freeze(run, self._price)
        return run.frozen


def _span_kind(kind: str) -> SpanKind:
    try:
        return SpanKind(kind)
    except ValueError as error:
        msg = f"kind must be one of {[k.value for k in SpanKind]}, got {kind!r}; use SpanKind"
        raise ConfigError(msg) from error
