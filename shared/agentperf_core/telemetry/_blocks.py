"""Spans around a block of one's own code, nested through a context variable."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Protocol
from uuid import uuid4

from agentperf_core.telemetry.spans import SpanKind

__all__ = ["block"]

# The spans that `block` has opened around here, the innermost last, of every recorder.
_around: ContextVar[tuple[Hashable, ...]] = ContextVar("agentperf_spans", default=())


class _Recorder(Protocol):
    """What a block needs of its recorder."""

    def is_open(self, span_id: Hashable, /) -> bool: ...

    def start(
        self,
        span_id: Hashable,
        kind: SpanKind,
        name: str,
        /,
        *,
        parent_id: Hashable | None = None,
        model: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None: ...

    def end(self, span_id: Hashable, /, *, error: BaseException | None = None) -> None: ...


@contextmanager
def block(
    recorder: _Recorder, kind: SpanKind, name: str, model: str | None, attributes: Mapping[str, Any]
) -> Generator[Hashable]:
    """Record a block as a span below the innermost one of this recorder that is open around it."""
    span_id = uuid4().hex
    around = _around.get()
    parent_id = next((outer for outer in reversed(around) if recorder.is_open(outer)), None)
    recorder.start(span_id, kind, name, parent_id=parent_id, model=model, attributes=attributes)
    token = _around.set((*around, span_id))
    try:
        yield span_id
    except BaseException as error:
        recorder.end(span_id, error=error)
        raise
    else:
        recorder.end(span_id)
    finally:
        # An async generator that another task closes leaves the block in a foreign context.
        with suppress(ValueError):
            _around.reset(token)
