"""How a finished run of open spans becomes an immutable `Trace`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import TypeAlias

from agentperf_core.events import EventBus
from agentperf_core.telemetry._open import OpenSpan, Run
from agentperf_core.telemetry.spans import Span, SpanKind, Trace
from agentperf_core.types import Usage

__all__ = ["Pricer", "freeze", "never_raising"]

Pricer: TypeAlias = Callable[[Usage, str, str | None], Decimal | None]


def freeze(run: Run, pricer: Pricer) -> Trace:
    """Turn a finished run into a `Trace`.

    An LLM span around another LLM span is a wrapper of the same call (a cache, a router, a
    framework's nested event): it becomes a `CHAIN` span without usage, so nothing counts twice.
    """
    # Threads may append in another order than they read the clock; a parent still comes first.
    recorded = sorted(run.spans, key=attrgetter("start_ns"))
    ids = _unique_ids(recorded)
    wrappers = _wrappers(recorded)
    spans: list[Span] = []
    for span in recorded:
        kind = _kind(span, wrappers)
        usage = span.usage if span not in wrappers else None
        cost = None
        if usage is not None and span.model is not None and kind is not SpanKind.CACHE:
            cost = pricer(usage, span.model, span.provider)
        spans.append(
            Span(
                id=ids[span],
                parent_id=ids.get(span.parent) if span.parent is not None else None,
                kind=kind,
                name=span.name,
                start_ns=span.start_ns,
                end_ns=span.end_ns if span.end_ns is not None else span.start_ns,
                status=span.status,
                error=span.error,
                model=span.model,
                provider=span.provider,
                usage=usage,
                cost_usd=cost,
                chunk_ns=tuple(span.chunk_ns) if span.chunk_ns is not None else (),
                chunks=span.chunks,
                cache=span.cache,
                attributes=dict(span.attributes or {}),
            )
        )
    return Trace(
        id=str(run.root_id), started_at=run.started_at, spans=tuple(spans), dropped=run.dropped
    )


def _unique_ids(spans: Sequence[OpenSpan]) -> dict[OpenSpan, str]:
    """Ids as text; one that was used again after its end gets a number."""
    ids: dict[OpenSpan, str] = {}
    seen: dict[str, int] = {}
    for span in spans:
        text = str(span.id)
        seen[text] = again = seen.get(text, 0) + 1
        ids[span] = text if again == 1 else f"{text}#{again}"
    return ids


def _wrappers(spans: Sequence[OpenSpan]) -> set[OpenSpan]:
    found: set[OpenSpan] = set()
    for span in spans:
        if span.kind is not SpanKind.LLM:
            continue
        parent = span.parent
        while parent is not None and parent.kind is not SpanKind.LLM:
            parent = parent.parent
        if parent is not None:
            found.add(parent)
    return found


def _kind(span: OpenSpan, wrappers: set[OpenSpan]) -> SpanKind:
    if span.cache is not None:
        return SpanKind.CACHE
    return SpanKind.CHAIN if span in wrappers else span.kind


def never_raising(pricer: Pricer | None, bus: EventBus) -> Pricer:
    """The pricer, or by default the pack's price book, that finds no price instead of failing."""

    def price(usage: Usage, model: str, provider: str | None) -> Decimal | None:
        try:
            return (pricer or _by_book)(usage, model, provider)
        except Exception as error:
            bus.fault("pricer", error)
            return None

    return price


def _by_book(usage: Usage, model: str, provider: str | None) -> Decimal | None:
    from agentperf_core.accounting.pricing import PRICES  # loads its data on first use

    return PRICES.price(usage, model, provider=provider)
