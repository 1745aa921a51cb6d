"""How a tool result is kept: what may be, for how long, and what a kept one is worth now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from agentperf_core.cache.codec import Entry, pack, unpack
from agentperf_core.cache.decisions import Outcome
from agentperf_core.cache.toolresults.types import (
    RememberedToolError,
    ToolDecision,
    ToolRequest,
    ToolResultCodec,
)
from agentperf_core.toolpolicy import ToolPolicy

__all__ = ["KEEPS_NONE", "Call", "Found", "Fresh", "judge", "judge_error", "recall"]

T = TypeVar("T")

KEEPS_NONE = "its policy keeps no results"
_REASONS: Mapping[Outcome, str] = {
    "hit": "an equal call was made before",
    "coalesced": "an equal call was in flight",
    "miss": "called and kept",
}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A call that may be served.

    Attributes:
        stamp: the last turn in which something that it reads was written.
    """

    request: ToolRequest
    policy: ToolPolicy
    codec: ToolResultCodec[T]
    key: str
    stamp: int

    def decision(self, outcome: Outcome, **fields: Any) -> ToolDecision:
        """What was done with this call."""
        fields.setdefault("reason", _REASONS.get(outcome))
        request = self.request
        return ToolDecision(
            outcome=outcome, tool=request.tool, key=self.key[:16], tags=request.tags, **fields
        )

    @property
    def kept(self) -> bool:
        """Whether its result may be kept; else it is shared with equal calls in flight at most."""
        return self.policy.ttl_s is not None

    def ttl_s(self, *, failed: bool) -> float | None:
        """Seconds that a result of this call may be served."""
        return self.policy.negative_ttl_s if failed else self.policy.ttl_s


@dataclass(frozen=True, slots=True)
class Fresh:
    """A result that was just made.

    Attributes:
        raw: what those who wait for it get; `None` if it cannot be shared.
        expires_at: when it is past its time.
        keep_s: how long to store it, past its time included.
        refusal: why it must not be stored, `None` if it may.
    """

    raw: bytes | None
    expires_at: float
    keep_s: float
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What is there already: a result, or the error that came of the call."""

    decision: ToolDecision
    result: T | None
    error: RememberedToolError | None

    def give(self) -> T:
        """The result.

        Raises:
            RememberedToolError: if there is an error in its place.
        """
        if self.error is not None:
            raise self.error
        return cast("T", self.result)


def judge(call: Call[T], result: T, *, now: float, took_s: float) -> Fresh:
    """What is to be done with a result.

    Raises:
        Exception: if it is not plain data.
    """
    failed = call.codec.failed(result)
    body = {"result": call.codec.encode(result), "failed": failed}
    return _fresh(call, body, failed=failed, now=now, took_s=took_s)


def judge_error(
    call: Call[Any], error: Exception, text: str, *, now: float, took_s: float
) -> Fresh:
    """What is to be done with an error."""
    body = {"error": text, "kind": type(error).__name__, "failed": True}
    return _fresh(call, body, failed=True, now=now, took_s=took_s)


def _fresh(
    call: Call[Any], body: Mapping[str, Any], *, failed: bool, now: float, took_s: float
) -> Fresh:
    raw = pack(Entry(body=body, made_at=now, took_s=took_s))
    ttl_s, limit = call.ttl_s(failed=failed), call.policy.max_bytes
    refusal = None
    if not call.kept:
        refusal = KEEPS_NONE
    elif ttl_s is None:
        refusal = "it is an error"
    elif len(raw) > limit:
        refusal = f"it has {len(raw)} bytes, and max_bytes={limit}"
    past_s = 0.0 if failed else call.policy.stale_ttl_s or 0.0
    return Fresh(raw, now + (ttl_s or 0.0), (ttl_s or 0.0) + past_s, refusal)


def recall(
    call: Call[T], raw: bytes, outcome: Outcome, *, now: float
) -> tuple[Found[T], float] | None:
    """A kept result and when it was made, `None` if it may not be served any more.

    Raises:
        Exception: if the bytes are no result of this tool.
    """
    entry = unpack(raw)
    body = entry.body
    failed = bool(body["failed"])
    ttl_s = call.ttl_s(failed=failed)
    expires_at = entry.made_at + (ttl_s or 0.0)
    stale = now >= expires_at
    if outcome == "hit" and stale:
        past_s = 0.0 if failed else call.policy.stale_ttl_s or 0.0
        if now >= expires_at + past_s:
            return None
    decision = call.decision(
        outcome,
        age_s=max(now - entry.made_at, 0.0),
        saved_s=entry.took_s,
        stale=stale and not failed and call.kept,
        # A policy that says nothing of time does not limit what is built on a shared result.
        expires_at=expires_at if call.kept else None,
    )
    text = body.get("error")
    found: Found[T]
    if text is None:
        found = Found(decision, call.codec.decode(body["result"], decision), None)
    else:
        found = Found(decision, None, RememberedToolError(str(text), kind=str(body["kind"])))
    return found, entry.made_at
