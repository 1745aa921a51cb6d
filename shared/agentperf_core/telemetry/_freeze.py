"""How a finished run of open spans becomes an immutable `Trace`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from agentperf_core.events import EventBus
from agentperf_core.telemetry._open import OpenSpan, Run
from agentperf_core.telemetry.spans import Sink, Span, SpanKind, Trace
from agentperf_core.telemetry.told import Closing, Opening
from agentperf_core.types import Usage

__all__ = ["Outlet", "Pricer", "freeze"]

T = TypeVar("T")
Pricer: TypeAlias = Callable[[Usage, str, str | None], Decimal | None]


class Outlet:
    """Where finished runs leave a recorder: as traces, worked out once, and through its sinks.

    Attributes:
        sinks: receive every run.
    """

    def __init__(self, sinks: Sequence[Sink], pricer: Pricer | None, bus: EventBus) -> None:
        self.sinks = tuple(sinks)
        self._price = _never_raising(pricer, bus)
        self._bus = bus

    def trace(self, run: Run) -> Trace:
        """The run, for whoever asks for it."""
        if run.frozen is None:
            run.frozen = freeze(run, self._price, self._bus)
        return run.frozen

    def export(self, run: Run) -> None:
        """Hand the run to the sinks; what they raise is a fault."""
        for sink in self.sinks:
            try:
                sink.emit(self.trace(run))
            except Exception as error:
                self._bus.fault(f"sink.{type(sink).__name__}", error)


def freeze(run: Run, pricer: Pricer, bus: EventBus) -> Trace:
    """Turn a finished run into a `Trace`; only here its spans are asked what they are.

    An LLM span around another LLM span is a wrapper of the same call (a cache, a router, a
    framework's nested event): it becomes a `CHAIN` span without usage, so nothing counts twice.
    """
    # Threads may append in another order than they read the clock; a parent still comes first.
    recorded = sorted(run.spans, key=attrgetter("start_ns"))
    ids = _unique_ids(recorded)
    openings = {s: _told(s.tell_begun, s.begun, _NAMELESS, bus) for s in recorded}
    wrappers = _wrappers(openings)
    spans: list[Span] = []
    for span, opening in openings.items():
        closing = _told(span.tell_ended or Closing, span.ended, _NOTHING, bus)
        kind = _kind(opening, closing, wrapper=span in wrappers)
        model = opening.model or closing.model
        usage = closing.usage if span not in wrappers else None
        cost = None
        if usage is not None and model is not None and kind is not SpanKind.CACHE:
            cost = pricer(usage, model, opening.provider)
        stream = span.stream
        spans.append(
            Span(
                id=ids[span],
                parent_id=ids.get(span.parent) if span.parent is not None else None,
                kind=kind,
                name=opening.name,
                start_ns=span.start_ns,
                end_ns=span.end_ns if span.end_ns is not None else span.start_ns,
                status=span.status,
                error=span.error,
                model=model,
                provider=opening.provider,
                usage=usage,
                cost_usd=cost,
                chunk_ns=tuple(stream.chunk_ns) if stream is not None else (),
                chunks=stream.chunks if stream is not None else 0,
                cache=closing.cache,
                attributes=_attributes(opening, span.annotated, closing),
            )
        )
    return Trace(
        id=str(run.root_id), started_at=run.started_at, spans=tuple(spans), dropped=run.dropped
    )


_NAMELESS = Opening(SpanKind.CHAIN, "unknown")
_NOTHING = Closing()


def _told(tell: Callable[..., T], facts: tuple[Any, ...], otherwise: T, bus: EventBus) -> T:
    try:
        return tell(*facts)
    except Exception as error:  # figures of an integration that nobody has seen before
        bus.fault("telemetry.span", error)
        return otherwise


def _attributes(
    opening: Opening, annotated: Mapping[str, Any] | None, closing: Closing
) -> dict[str, Any]:
    found = {**(opening.attributes or {}), **(annotated or {}), **(closing.attributes or {})}
    if closing.model is not None and opening.model not in {None, closing.model}:
        found["response_model"] = closing.model
    return found


def _unique_ids(spans: Sequence[OpenSpan]) -> dict[OpenSpan, str]:
    """Ids as text; one that was used again after its end gets a number."""
    ids: dict[OpenSpan, str] = {}
    seen: dict[str, int] = {}
    for span in spans:
        text = str(span.id)
        seen[text] = again = seen.get(text, 0) + 1
        ids[span] = text if again == 1 else f"{text}#{again}"
    return ids


def _wrappers(openings: Mapping[OpenSpan, Opening]) -> set[OpenSpan]:
    found: set[OpenSpan] = set()
    for span, opening in openings.items():
        if opening.kind is not SpanKind.LLM:
            continue
        parent = span.parent
        while parent is not None and not _is_llm(openings.get(parent)):
            parent = parent.parent
        if parent is not None:
            found.add(parent)
    return found


def _is_llm(opening: Opening | None) -> bool:
    return opening is not None and opening.kind is SpanKind.LLM


def _kind(opening: Opening, closing: Closing, *, wrapper: bool) -> SpanKind:
    if closing.cache is not None:
        return SpanKind.CACHE
    return SpanKind.CHAIN if wrapper else opening.kind


def _by_book(usage: Usage, model: str, provider: str | None) -> Decimal | None:
    from agentperf_core.accounting.pricing import PRICES  # loads its data on first use

    return PRICES.price(usage, model, provider=provider)


def _never_raising(pricer: Pricer | None, bus: EventBus) -> Pricer:
    """The pricer, or by default the pack's price book, that finds no price instead of failing."""

    def price(usage: Usage, model: str, provider: str | None) -> Decimal | None:
        try:
            return (pricer or _by_book)(usage, model, provider)
        except Exception as error:
            bus.fault("pricer", error)
            return None

    return price
