"""The state behind the socket: numbering, fault plan, speed, billing and the journal."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentperf_core.bench.endpoint.latency import INSTANT, LatencyProfile, Pace, seeded_for
from agentperf_core.bench.endpoint.script import ChatRequest
from agentperf_core.bench.endpoint.wire import FINGERPRINT, BadRequest, parse_body

if TYPE_CHECKING:
    from agentperf_core.bench.endpoint.faults import FaultKind, FaultPlan
    from agentperf_core.bench.endpoint.script import Script
    from agentperf_core.bench.endpoint.usage import Billing
    from agentperf_core.clock import Clock

__all__ = ["Backend", "Journal", "RequestRecord"]

_NAMED_FIELDS = frozenset({"model", "messages", "tools", "stream"})
# Whether the answer is streamed changes no answer, so both forms draw the same speed and ids.
_TRANSPORT_FIELDS = frozenset({"stream", "stream_options"})
_DIGESTS_KEPT = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One line of the journal; no headers, no keys, no prompt text.

    Attributes:
        model: the model asked for, empty for a body that could not be read.
        messages: how many messages the request held.
        stream: whether the client asked for a stream.
        status: the HTTP status sent; 499 if the client left first, 0 if nothing was sent.
        seconds: from the read request to the last byte (or the end without one).
        fault: the fault that was injected, if any.
        prompt_tokens: prompt tokens billed, cached ones included.
        cached_tokens: the part of the prompt that came from the simulated prompt cache.
        completion_tokens: output tokens billed, reasoning included.
    """

    model: str = ""
    messages: int = 0
    stream: bool = False
    status: int
    seconds: float
    fault: FaultKind | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


class Journal:
    """The last records, safe under threads."""

    def __init__(self, size: int) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=size)
        self._lock = threading.Lock()

    def append(self, record: RequestRecord) -> None:
        """Add a record; the oldest one leaves when the journal is full."""
        with self._lock:
            self._records.append(record)

    def records(self) -> tuple[RequestRecord, ...]:
        """What is kept, oldest first."""
        with self._lock:
            return tuple(self._records)


@dataclass(kw_only=True, slots=True)
class Backend:
    """Everything that requests share; safe under threads."""

    script: Script
    latency: LatencyProfile | Mapping[str, LatencyProfile] | None
    seed: int
    time_scale: float
    plan: FaultPlan
    billing: Billing
    clock: Clock
    journal: Journal
    _seen: OrderedDict[str, int] = field(default_factory=OrderedDict[str, int])
    _arrivals: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, raw: bytes) -> ChatRequest:
        """Parse a body and number the request.

        Raises:
            BadRequest: for a body or a model that a provider would reject.
        """
        body = parse_body(raw)
        model: str = body["model"]
        if isinstance(self.latency, Mapping) and model not in self.latency:
            msg = f"the model {model!r} does not exist here; ask for {sorted(self.latency)!r}"
            raise BadRequest(msg, status=404, param="model", code="model_not_found")
        digest = _digest(body)
        number, occurrence = self._number(digest)
        return ChatRequest(
            model=model,
            messages=tuple(body["messages"]),
            tools=tuple(body.get("tools") or ()),
            stream=bool(body.get("stream")),
            params={key: value for key, value in body.items() if key not in _NAMED_FIELDS},
            number=number,
            digest=digest,
            occurrence=occurrence,
        )

    def pace(self, request: ChatRequest) -> Pace:
        """The drawn speed of the reply to a request."""
        latency = self.latency
        profile = latency[request.model] if isinstance(latency, Mapping) else latency
        return profile.pace(seeded_for(self.seed, request, "latency")) if profile else INSTANT

    def models(self) -> tuple[str, ...]:
        """The models with a profile of their own; without any, the name of the stand-in."""
        return tuple(self.latency) if isinstance(self.latency, Mapping) else (FINGERPRINT,)

    def _number(self, digest: str) -> tuple[int, int]:
        with self._lock:
            number = self._arrivals
            self._arrivals += 1
            occurrence = self._seen.pop(digest, 0)
            self._seen[digest] = occurrence + 1
            if len(self._seen) > _DIGESTS_KEPT:
                self._seen.popitem(last=False)
        return number, occurrence


def _digest(body: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in body.items() if key not in _TRANSPORT_FIELDS}
    try:
        text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    except RecursionError as error:
        msg = "the body is nested too deeply; send a flatter JSON object"
        raise BadRequest(msg) from error
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
