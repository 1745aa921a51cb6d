"""Open spans, and how a run of them becomes an immutable `Trace`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from agentperf_core.telemetry.spans import Span, SpanKind, Status, Trace
from agentperf_core.types import Usage

if TYPE_CHECKING:
    from array import array

__all__ = ["OpenSpan", "Pricer", "Run", "default_pricer", "freeze"]

Pricer: TypeAlias = Callable[[Usage, str, str | None], Decimal | None]


class OpenSpan:
    """A span while it runs: mutable, slotted, filled by the hot path."""

    __slots__ = (
        "attributes",
        "cache",
        "chunk_ns",
        "chunks",
        "end_ns",
        "error",
        "id",
        "kind",
        "model",
        "name",
        "parent_id",
        "provider",
        "run",
        "start_ns",
        "status",
        "usage",
    )

    def __init__(
        self,
        run: Run,
        id: Hashable,  # noqa: A002 - the field's own name
        parent_id: Hashable | None,
        kind: SpanKind,
        name: str,
        start_ns: int,
    ) -> None:
        self.run = run
        self.id = id
        self.parent_id = parent_id
        self.kind = kind
        self.name = name
        self.start_ns = start_ns
        self.end_ns: int | None = None
        self.status: Status = "ok"
        self.error: str | None = None
        self.model: str | None = None
        self.provider: str | None = None
        self.usage: Usage | None = None
        self.chunks = 0
        self.chunk_ns: array[int] | None = None
        self.cache: Mapping[str, Any] | None = None
        self.attributes: Mapping[str, Any] | None = None


class Run:
    """All spans of one run in order of start."""

    __slots__ = ("dropped", "frozen", "overflow", "root_id", "spans", "started_at")

    def __init__(self, root_id: Hashable, started_at: float) -> None:
        self.root_id = root_id
        self.started_at = started_at
        self.spans: list[OpenSpan] = []
        self.overflow: set[Hashable] = set()
        self.dropped = 0
        self.frozen: Trace | None = None

    @property
    def root(self) -> OpenSpan:
        """The span that began the run."""
        return self.spans[0]


def freeze(run: Run, pricer: Pricer) -> Trace:
    """Turn a finished run into a `Trace`.

    An LLM span around another LLM span is a wrapper of the same call (a cache, a router, a
    framework's nested event): it becomes a `CHAIN` span without usage, so nothing counts twice.
    """
    by_id = {span.id: span for span in run.spans}
    wrappers = _wrappers(run, by_id)
    spans: list[Span] = []
    for span in run.spans:
        kind = _kind(span, wrappers)
        usage = span.usage if span.id not in wrappers else None
        billed = usage is not None and span.cache is None and span.model is not None
        spans.append(
            Span(
                id=str(span.id),
                # A parent outside this run (the handler was attached further in) is no parent here.
                parent_id=str(span.parent_id) if span.parent_id in by_id else None,
                kind=kind,
                name=span.name,
                start_ns=span.start_ns,
                end_ns=span.end_ns if span.end_ns is not None else span.start_ns,
                status=span.status,
                error=span.error,
                model=span.model,
                provider=span.provider,
                usage=usage,
                cost_usd=pricer(usage, span.model, span.provider)
                if billed and usage is not None and span.model is not None
                else None,
                chunk_ns=tuple(span.chunk_ns) if span.chunk_ns is not None else (),
                chunks=span.chunks,
                cache=span.cache,
                attributes=dict(span.attributes or {}),
            )
        )
    return Trace(
        id=str(run.root_id), started_at=run.started_at, spans=tuple(spans), dropped=run.dropped
    )


def _wrappers(run: Run, by_id: Mapping[Hashable, OpenSpan]) -> set[Hashable]:
    found: set[Hashable] = set()
    for span in run.spans:
        if span.kind is not SpanKind.LLM:
            continue
        parent = by_id.get(span.parent_id) if span.parent_id is not None else None
        while parent is not None:
            if parent.kind is SpanKind.LLM:
                found.add(parent.id)
            parent = by_id.get(parent.parent_id) if parent.parent_id is not None else None
    return found


def _kind(span: OpenSpan, wrappers: set[Hashable]) -> SpanKind:
    if span.cache is not None:
        return SpanKind.CACHE
    return SpanKind.CHAIN if span.id in wrappers else span.kind


def default_pricer() -> Pricer:
    """Prices from the pack's price book, which loads its data on first use."""
    from agentperf_core.accounting.pricing import PRICES

    return lambda usage, model, provider: PRICES.price(usage, model, provider=provider)
