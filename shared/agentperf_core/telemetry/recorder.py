"""The recorder: builds the span tree of every run with O(1) work per event.

Adapters call `start`, `chunk`, `annotate` and `end` with the framework's own span ids; nothing is
serialised and no prompt is kept. What a span is called and what it cost is worked out, and the run
frozen into a `Trace`, only when somebody asks for it or a sink is attached. Tracers that serialise
state on the hot path cost 7 to 80 ms CPU per agent run; for this one see
`benchmarks/bench_handler.py`.

What this cannot see: time inside the provider's SDK before the request leaves (retries, connection
set-up) is part of the LLM span.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive
from agentperf_core.events import BUS, EventBus
from agentperf_core.telemetry._blocks import block
from agentperf_core.telemetry._freeze import Outlet, Pricer
from agentperf_core.telemetry._open import OpenSpan, Run, RunTable, Stream, key_of
from agentperf_core.telemetry.spans import Sink, SpanKind, Status, Trace
from agentperf_core.telemetry.told import Closing, Facts, Opening, TellClosing, TellOpening
from agentperf_core.types import Usage

if TYPE_CHECKING:
    from agentperf_core.telemetry.latency import LatencyReport

__all__ = ["Pricer", "Recorder"]


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
        bus: where faults of sinks, of the pricer and of adapters are reported.

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
        self._max_spans, self._max_open = max_spans, max_open
        self._outlet = Outlet(sinks, pricer, bus)
        self._table = RunTable(max_traces=max_traces, max_spans=max_spans, max_open=max_open)
        self._open, self._runs = self._table.open, self._table.runs

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
        known = kind if isinstance(kind, SpanKind) else SpanKind.of(kind)
        facts = (known, name, model, provider, attributes)
        while not self.start_lazily(span_id, parent_id, Opening, facts):
            self.end_lazily(span_id, status="unfinished")

    def start_lazily(
        self, span_id: Hashable, parent_id: Hashable | None, tell: TellOpening, facts: Facts
    ) -> bool:
        """Open a span that is asked what it is, with `tell(*facts)`, only if its run is read.

        The way for adapters: most runs are never read. `facts` must be small, and must not change
        later. What `tell` raises is reported as a fault, and the span is called `"unknown"`.

        Returns:
            False if the id is open already, and nothing was done.
        """
        # In one piece: here every function of its own costs more than what it would do.
        opened = self._open
        key = span_id.int if isinstance(span_id, UUID) else span_id
        if key in opened:
            return False
        parent = None
        if parent_id is not None:
            parent = opened.get(parent_id.int if isinstance(parent_id, UUID) else parent_id)
        run = parent.run if parent is not None else Run(span_id, self._clock.time())
        span = OpenSpan(run, span_id, parent, tell, facts, self._now())
        if len(run.spans) < self._max_spans:
            run.spans.append(span)
        else:
            self._table.overflow(run, key)
        opened[key] = span
        if parent is None:
            self._runs[run] = True
            if len(self._runs) > self._max_open:
                self._make_room()
        if run.closed:
            # Another thread ended the run meanwhile, and nobody will look for this span.
            self.end_lazily(span_id, status="unfinished")
        return True

    def is_open(self, span_id: Hashable) -> bool:
        """Whether a span with this id has begun and not ended."""
        return key_of(span_id) in self._open

    def chunk(self, span_id: Hashable) -> None:
        """Note that a piece of a streamed answer arrived."""
        span = self._open.get(key_of(span_id))
        if span is None:
            return
        stream = span.stream
        if stream is None:
            stream = span.stream = Stream()
        stream.chunks += 1
        if stream.chunks <= self._max_chunks:
            stream.chunk_ns.append(self._now() - span.start_ns)

    def annotate(self, span_id: Hashable, **attributes: Any) -> None:
        """Add small plain data to an open span; never prompts or secrets."""
        span = self._open.get(key_of(span_id))
        if span is not None:
            span.annotated = {**(span.annotated or {}), **attributes}

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
        self.end_lazily(span_id, Closing, (usage, model, cache), error, status)

    def end_lazily(
        self,
        span_id: Hashable,
        tell: TellClosing | None = None,
        facts: Facts = (),
        error: BaseException | str | None = None,
        status: Status | None = None,
    ) -> None:
        """Close a span that is asked what it cost, with `tell(*facts)`, only if its run is read."""
        key = span_id.int if isinstance(span_id, UUID) else span_id
        span = self._open.pop(key, None)
        if span is None:
            return
        span.end_ns = now_ns = self._now()
        run = span.run
        if run.overflow is not None:
            self._table.ended(run, key)
        if tell is not None:
            span.tell_ended, span.ended = tell, facts
        if error is not None:
            span.fail(error)
        if status is not None:
            span.status = status
        if span.parent is None and self._table.close(run, now_ns) and self._outlet.sinks:
            self._outlet.export(run)

    def span(
        self, kind: SpanKind | str, name: str, *, model: str | None = None, **attributes: Any
    ) -> AbstractContextManager[Hashable]:
        """Record a block of your own code; blocks nest through a context variable.

        Raises:
            ConfigError: if `kind` is not a `SpanKind`.
        """
        return block(self, SpanKind.of(kind), name, model, attributes)

    def traces(self) -> tuple[Trace, ...]:
        """The finished runs that are still kept, oldest first, with prices where known."""
        return tuple(self._outlet.trace(run) for run in self._table.finished())

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

    def _make_room(self) -> None:
        while (stale := self._table.surplus()) is not None:
            if self._table.close(stale, self._now()):
                self._outlet.export(stale)
