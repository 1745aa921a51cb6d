"""Spans and runs while they are open: mutable, slotted, filled by the hot path, and bounded."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from agentperf_core.telemetry.spans import Status, Trace
from agentperf_core.telemetry.told import Facts, TellClosing, TellOpening

__all__ = ["OpenSpan", "Run", "RunTable", "Stream", "key_of"]

_MAX_ERROR = 500  # characters kept of an error: some providers echo the whole request in it


def key_of(span_id: Hashable) -> Hashable:
    """What an open span is found by: hashing a UUID runs Python code, its number does without."""
    return span_id.int if isinstance(span_id, UUID) else span_id


class OpenSpan:
    """A span while it runs; what it is called and what it cost is told when its run is read.

    Defaults live on the class: most spans set none of them, and a span is made at every call.

    Attributes:
        end_ns: when it ended, on the recorder's clock; `None` while it is open.
        tell_ended: says what the span cost, given `ended`; `None` if there is nothing to say.
        annotated: attributes that were added while it was open.
    """

    end_ns: int | None = None
    status: Status = "ok"
    error: str | None = None
    tell_ended: TellClosing | None = None
    ended: Facts = ()
    annotated: dict[str, Any] | None = None
    stream: Stream | None = None

    def __init__(
        self,
        run: Run,
        id: Hashable,  # noqa: A002 - the field's own name
        parent: OpenSpan | None,
        tell_begun: TellOpening,
        begun: Facts,
        start_ns: int,
    ) -> None:
        self.run = run
        self.id = id
        # The span itself, not its id: ids that a framework uses twice cannot make a circle then.
        self.parent = parent
        # Side by side: a tuple around them would be one more object per span that the garbage
        # collector walks as long as the run is kept.
        self.tell_begun = tell_begun
        self.begun = begun
        self.start_ns = start_ns

    def fail(self, error: BaseException | str) -> None:
        """Note what was raised; giving up a call or a stream is no failure."""
        self.error = _describe(error)
        given_up = (asyncio.CancelledError, GeneratorExit)
        self.status = "cancelled" if isinstance(error, given_up) else "error"


class Stream:
    """The chunks of a span that has any: how many, and when the first ones came."""

    __slots__ = ("chunk_ns", "chunks")

    def __init__(self) -> None:
        self.chunks = 0
        self.chunk_ns = array("q")


class Run:
    """All spans of one run in the order in which they came.

    Attributes:
        root_id: the id of the span that began the run.
        started_at: seconds since the Unix epoch.
        spans: those within the recorder's bound.
        overflow: keys of open spans beyond it, oldest first, if there were any; kept to route what
            happens inside them.
        dropped: how many there were beyond it.
        closed: whether the root has ended.
        frozen: the run as a `Trace`, once somebody asked for it.
    """

    __slots__ = ("closed", "dropped", "frozen", "overflow", "root_id", "spans", "started_at")

    def __init__(self, root_id: Hashable, started_at: float) -> None:
        self.root_id = root_id
        self.started_at = started_at
        self.spans: list[OpenSpan] = []
        self.overflow: dict[Hashable, None] | None = None
        self.dropped = 0
        self.closed = False
        self.frozen: Trace | None = None


class RunTable:
    """Which spans and runs are open, and the finished runs that are kept; safe under threads.

    Attributes:
        open: open spans by `key_of` their id, those beyond the bound included; without the lock.
        runs: open runs, the oldest first; added to without the lock.
    """

    def __init__(self, *, max_traces: int, max_spans: int, max_open: int) -> None:
        self.open: dict[Hashable, OpenSpan] = {}
        self.runs: OrderedDict[Run, bool] = OrderedDict()
        self._max_spans = max_spans
        self._max_open = max_open
        self._done: deque[Run] = deque(maxlen=max_traces)
        # Re-entrant: the garbage collector may close a generator, and so end a span, in here.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self.runs)

    def surplus(self) -> Run | None:
        """The run that has been open for longest, if it must make room for a later one."""
        if len(self.runs) > self._max_open:
            with suppress(RuntimeError):  # another thread began a run meanwhile, and will see to it
                return next(iter(self.runs), None)
        return None

    def overflow(self, run: Run, key: Hashable) -> None:
        """Note an open span beyond the bound."""
        with self._lock:
            run.dropped += 1
            if run.overflow is None:
                run.overflow = {}
            run.overflow[key] = None
            if len(run.overflow) > self._max_spans:
                # Streams that are never closed under a root that never ends must not pile up.
                oldest = next(iter(run.overflow))
                del run.overflow[oldest]
                self.open.pop(oldest, None)

    def ended(self, run: Run, key: Hashable) -> None:
        """Note that a span beyond the bound may have ended."""
        with self._lock:
            if run.overflow is not None:
                run.overflow.pop(key, None)

    def close(self, run: Run, now_ns: int) -> bool:
        """Finish a run and everything that is open in it; False if it was finished before."""
        with self._lock:
            if not self.runs.pop(run, False):
                return False
            run.closed = True
            for span in run.spans:
                if span.end_ns is None:
                    self.open.pop(key_of(span.id), None)
                    span.end_ns, span.status = now_ns, "unfinished"
            overflow, run.overflow = run.overflow, None
            for key in overflow or ():
                self.open.pop(key, None)
            self._done.append(run)
            return True

    def finished(self) -> tuple[Run, ...]:
        """The finished runs that are kept, oldest first."""
        with self._lock:
            # Not `tuple()`: it is allocated after its iterator, which the garbage collector
            # would make invalid if it ended a run just then.
            return (*self._done,)

    def forget(self) -> None:
        """Drop the finished runs."""
        with self._lock:
            self._done.clear()


def _describe(error: BaseException | str) -> str:
    """`"Type: message"`, shortened; an error that cannot be printed is named by its type.

    Of a pydantic error only places and kinds are kept: its message quotes the arguments.
    """
    if isinstance(error, str):
        return error[:_MAX_ERROR]
    try:
        return f"{type(error).__name__}: {_message(error)}"[:_MAX_ERROR]
    except Exception:
        return type(error).__name__


def _message(error: BaseException) -> str:
    details: Callable[[], Sequence[Mapping[str, Any]]] | None = getattr(error, "errors", None)
    if type(error).__name__ != "ValidationError" or not callable(details):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, found['loc'])) or 'value'} {found['type']}" for found in details()
    )
