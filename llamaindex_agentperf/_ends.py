"""When a span ends: at once, or when the stream that it opened has been read.

A span's function may return long before its work is done. So spans hold their parents open: a
stream that is still read, a reply that a chat engine still writes, and every child of an engine.
"""

from __future__ import annotations

import asyncio
import threading
import weakref

from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.chat_engine.types import StreamingAgentChatResponse

from agentperf_core.events import BUS
from agentperf_core.telemetry import Closing, Recorder
from agentperf_core.telemetry.spans import Status
from llamaindex_agentperf._follow import follow_response
from llamaindex_agentperf._kinds import Role
from llamaindex_agentperf._live import Lazy, Live

__all__ = ["WHERE", "SpanEnds", "wait_of"]

WHERE = "llamaindex.instrumentation"
"""Where faults of the instrumentation are reported on the bus."""


def wait_of(id_: str) -> str:
    """The id of the span that shows how a call waits for its place."""
    return f"{id_} waits"


class SpanEnds:
    """The open spans of a tracker and how they end; safe under threads."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._live: dict[str, Live] = {}
        self._lazy: dict[Lazy, list[str]] = {}
        # Reentrant: a stream that the garbage collector closes ends its span wherever it runs.
        self._lock = threading.RLock()

    def _open(self, id_: str, live: Live, parent: Live | None) -> None:
        self._live[id_] = live
        if parent is not None and parent.role is Role.ENTRY:
            # Chat engines write their replies in a child that outlives the engine's own call.
            self._hold(live)

    def _read_on(self, id_: str, live: Live, result: object) -> None:
        """Keep an engine's span open for as long as its streamed reply is read or written."""
        reply: object | None = None
        if isinstance(result, (StreamingResponse, AsyncStreamingResponse)):
            reply = follow_response(result, id_, lambda status: self._read(id_, status))
        elif isinstance(result, StreamingAgentChatResponse):
            reply = result
        if reply is not None:
            live.stream = weakref.ref(reply, lambda _: self._read(id_, "cancelled"))
            with self._lock:
                if not live.written:
                    live.reading = True
                    live.holds += 1

    def _read(self, id_: str, status: Status | None = None) -> None:
        """The reply of an engine was read to its end, or given up."""
        with self._lock:
            live = self._live.get(id_)
            if live is None:
                return
            live.written = True
            if not live.reading:
                return
            live.reading = False
            if live.closing is not None and status is not None:
                live.closing = (live.closing[0], status)
        self._release(id_)

    def _defer(self, id_: str, live: Live, stream: object) -> None:
        """Hold a stream's span open until its end is announced or its generator is gone."""
        live.stream = weakref.ref(stream, lambda _: self._abandoned(id_))
        if live.method.startswith("a") and live.subject is not None:
            live.lazy = (id(live.owner), live.method[1:], id(live.subject))
            self._lazy.setdefault(live.lazy, []).append(id_)
        self._hold(live)

    def _reader(self, key: Lazy) -> str | None:
        """The async stream that is being read right now and has not opened its inner one yet."""
        for id_ in self._lazy.get(key, ()):
            live = self._live.get(id_)
            stream = live.stream() if live is not None and live.stream is not None else None
            if getattr(stream, "ag_running", False):
                self._forget(key, id_)
                return id_
        return None

    def _forget(self, key: Lazy, id_: str) -> None:
        with self._lock:
            waiting = self._lazy.get(key)
            if waiting is not None and id_ in waiting:
                waiting.remove(id_)
                if not waiting:
                    del self._lazy[key]

    def _abandoned(self, id_: str) -> None:
        live = self._live.get(id_)
        if live is not None:
            self._close(id_, live, None, "cancelled")

    def _fail(self, id_: str, live: Live, error: BaseException | None) -> None:
        given_up = isinstance(error, (asyncio.CancelledError, GeneratorExit))
        self._close(id_, live, None if given_up else error, "cancelled" if given_up else "error")

    def _hold(self, live: Live) -> None:
        with self._lock:
            parent = self._live.get(live.parent) if live.parent is not None else None
            if parent is not None and not live.holding:
                parent.holds += 1
                live.holding = True

    def _close(
        self, id_: str, live: Live, error: BaseException | str | None, status: Status | None
    ) -> None:
        if live.holds:
            with self._lock:
                if live.holds:
                    if live.closing is None:
                        live.closing = (error, status)
                        self._hold(live)
                    return
        self._end(id_, live, error, status)

    def _end(
        self, id_: str, live: Live, error: BaseException | str | None, status: Status | None
    ) -> None:
        if self._live.pop(id_, None) is None:
            return
        if live.lazy is not None:
            self._forget(live.lazy, id_)
        if live.waits:  # it has given up
            self.recorder.end(wait_of(id_))
        try:
            self._report(id_, live, error, status)
        except Exception as fault:  # this may run inside the user's own reading of a stream
            BUS.fault(WHERE, fault)
        if live.parent is not None:
            if live.method.endswith("write_response_to_history"):
                self._read(live.parent)
            if live.holding:
                self._release(live.parent)

    def _report(
        self, id_: str, live: Live, error: BaseException | str | None, status: Status | None
    ) -> None:
        usage, attributes = live.saved, None
        if live.role is Role.LLM:
            usage, attributes = live.account()
        said = (usage, live.model, live.cache, attributes)
        self.recorder.end_lazily(id_, Closing, said, error, status)

    def _release(self, id_: str) -> None:
        with self._lock:
            live = self._live.get(id_)
            if live is None:
                return
            live.holds -= 1
            closing = live.closing if live.holds == 0 else None
        if closing is not None:
            self._end(id_, live, *closing)
