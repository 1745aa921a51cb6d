"""One request and its answer: script, speed, usage and faults, independent of the socket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agentperf_core.bench.endpoint.backend import RequestRecord
from agentperf_core.bench.endpoint.latency import Pacer
from agentperf_core.bench.endpoint.usage import usage_body
from agentperf_core.bench.endpoint.wire import BadRequest, Envelope, error_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agentperf_core.bench.endpoint.backend import Backend
    from agentperf_core.bench.endpoint.faults import Fault
    from agentperf_core.bench.endpoint.latency import Pace
    from agentperf_core.bench.endpoint.script import ChatRequest, Reply

__all__ = ["ClientLeft", "Exchange", "Wire"]

_CLIENT_LEFT = 499  # nginx's code for it; no standard one exists


class ClientLeft(Exception):  # noqa: N818 - an event, not a failure of ours
    """The connection is gone; nothing more can be sent."""


class Wire(Protocol):
    """What an exchange needs from a connection; every method may raise `ClientLeft`."""

    def send(
        self,
        status: int,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        share: float = 1.0,
    ) -> None:
        """Send a whole answer, or with `share` below 1 only that share of its body."""
        ...

    def open_stream(self) -> None:
        """Send the headers of an event stream."""
        ...

    def event(self, data: str) -> None:
        """Send one server-sent event."""
        ...

    def close_stream(self) -> None:
        """End the event stream properly; the connection stays usable."""
        ...

    def cut(self) -> None:
        """Close the connection after this exchange, whatever the client still expects."""
        ...

    def hold(self) -> None:
        """Block until the client leaves or the server stops."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A reply with everything that was decided about it."""

    request: ChatRequest
    reply: Reply
    fault: Fault | None
    pace: Pace
    prompt: int
    cached: int
    visible: int
    envelope: Envelope

    @property
    def lead_s(self) -> float:
        """Seconds until the first visible token: reasoning comes before it."""
        return self.pace.ttft_s + self.pace.decode_s(self.reply.reasoning_tokens)

    @property
    def usage(self) -> dict[str, Any]:
        return usage_body(self.prompt, self.cached, self.visible, self.reply.reasoning_tokens)


class Exchange:
    """Answers one chat request over a wire."""

    def __init__(self, backend: Backend, wire: Wire, wait: Callable[[float], None]) -> None:
        self._backend = backend
        self._wire = wire
        self._pacer = Pacer(backend.clock, wait, backend.time_scale)
        self._recorded = False

    def run(self, raw: bytes) -> None:
        """Answer the request in `raw`; never raises for what the client or the script does."""
        try:
            request = self._backend.admit(raw)
        except BadRequest as error:
            self._record(None, error.status)
            self._wire.send(error.status, error.body())
            return
        try:
            self._answer(request)
        except ClientLeft:
            self._record(request, _CLIENT_LEFT)
            self._wire.cut()

    def _answer(self, request: ChatRequest) -> None:
        try:
            decided = self._decide(request)
        except Exception as error:  # the author of the script must see it, and once, not thrice
            self._record(request, 500)
            text = f"the script failed: {type(error).__name__}: {error}"
            headers = {"x-should-retry": "false"}
            self._wire.send(500, error_body(text, "script_error"), headers=headers)
            return
        if not isinstance(decided, _Answer):
            self._fail(request, decided)
        elif request.stream:
            self._stream(decided)
        else:
            self._whole(decided)

    def _decide(self, request: ChatRequest) -> _Answer | Fault:
        backend = self._backend
        fault = backend.plan(request)
        if fault is not None and fault.kind not in {"drop_stream", "truncate_stream"}:
            return fault
        reply = backend.script(request)
        prompt, cached = backend.billing.prompt(request)
        return _Answer(
            request=request,
            reply=reply,
            fault=fault,
            pace=backend.pace(request),
            prompt=prompt,
            cached=cached,
            visible=backend.billing.completion(request.model, reply),
            envelope=Envelope(
                f"chatcmpl-{request.digest}-{request.occurrence}",
                request.model,
                int(backend.clock.time()),
            ),
        )

    def _fail(self, request: ChatRequest, fault: Fault) -> None:
        if fault.kind == "timeout":
            self._wire.hold()
            self._record(request, 0, fault)
            self._wire.cut()
        elif fault.kind == "drop":
            self._record(request, 0, fault)
            self._wire.cut()
        elif fault.kind == "rate_limit":
            self._record(request, 429, fault)
            body = error_body("scripted rate limit", "requests", code="rate_limit_exceeded")
            self._wire.send(429, body, headers={"Retry-After": f"{fault.retry_after_s:g}"})
        else:
            self._record(request, fault.status, fault)
            self._wire.send(fault.status, error_body("scripted server error", "server_error"))

    def _whole(self, answer: _Answer) -> None:
        self._pacer.until(answer.lead_s + answer.pace.decode_s(answer.visible))
        self._record_answer(answer)
        body = answer.envelope.completion(answer.reply, answer.usage)
        self._wire.send(200, body, share=0.5 if answer.fault else 1.0)

    def _stream(self, answer: _Answer) -> None:
        fault, envelope = answer.fault, answer.envelope
        deltas = list(envelope.deltas(answer.reply))
        visible_s = answer.pace.decode_s(answer.visible)
        extra = {"usage": None} if answer.request.wants_stream_usage else {}
        self._pacer.until(answer.lead_s)
        self._wire.open_stream()
        for index, delta in enumerate(deltas[: fault.after_chunks] if fault else deltas):
            self._pacer.until(answer.lead_s + visible_s * index / len(deltas))
            self._event({**envelope.chunk(delta), **extra})
        if fault:
            self._break_off(answer, fault)
            return
        self._pacer.until(answer.lead_s + visible_s)
        self._event({**envelope.chunk({}, answer.reply.reason), **extra})
        if extra:
            self._event(envelope.usage_chunk(answer.usage))
        # Recorded before the client can know that it is over: a test reads the journal next.
        self._record_answer(answer)
        self._wire.event("[DONE]")
        self._wire.close_stream()

    def _break_off(self, answer: _Answer, fault: Fault) -> None:
        self._record_answer(answer)
        if fault.kind == "truncate_stream":
            self._wire.close_stream()
        else:
            self._wire.cut()

    def _event(self, body: Mapping[str, Any]) -> None:
        self._wire.event(json.dumps(body, separators=(",", ":"), ensure_ascii=False))

    def _record_answer(self, answer: _Answer) -> None:
        self._record(answer.request, 200, answer.fault, answer)

    def _record(
        self,
        request: ChatRequest | None,
        status: int,
        fault: Fault | None = None,
        answer: _Answer | None = None,
    ) -> None:
        if self._recorded:  # the client left between the record and the last byte
            return
        self._recorded = True
        record = RequestRecord(
            model=request.model if request else "",
            messages=len(request.messages) if request else 0,
            stream=request.stream if request else False,
            status=status,
            seconds=self._pacer.elapsed_s(),
            fault=fault.kind if fault else None,
            prompt_tokens=answer.prompt if answer else 0,
            cached_tokens=answer.cached if answer else 0,
            completion_tokens=answer.visible + answer.reply.reasoning_tokens if answer else 0,
        )
        self._backend.journal.append(record)
