"""From an answer to what is stored of it, and from that to what is said when it is served."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeVar

from agentperf_core.cache.answers import AnswerCodec, CacheRequest
from agentperf_core.cache.codec import Entry, pack
from agentperf_core.cache.decisions import CacheDecision
from agentperf_core.cache.exact.lifetimes import lifetime
from agentperf_core.cache.exact.upkeep import ENTRY_DIGITS
from agentperf_core.cache.policy import CachePolicy

__all__ = ["Served", "packed", "served_decision"]

T = TypeVar("T")

Served = Literal["hit", "coalesced"]

_REASONS = {
    ("hit", True): "an equal request was answered before",
    ("hit", False): "the same question in another form was answered before",
    ("coalesced", True): "an equal request was in flight",
    ("coalesced", False): "the same question in another form was in flight",
}


def packed(
    request: CacheRequest,
    codec: AnswerCodec[T],
    answer: T,
    *,
    policy: CachePolicy,
    now: float,
    took_s: float | None,
    keep_question: bool,
) -> tuple[str, bytes | None]:
    """What to say of an answer and, if it may be stored, its bytes.

    Raises:
        Exception: whatever the codec raises on an answer that it does not know.
    """
    facts = codec.facts(answer)
    refusal = policy.refuse_answer(facts)
    life = lifetime(policy, request.key or "", now, request.expires_at)
    if refusal is None and life.keep_s is not None and life.keep_s <= 0:
        refusal = "what it is built on has expired"
    if refusal is not None:
        return refusal, None
    raw = pack(
        Entry(
            body=codec.encode(answer),
            made_at=now,
            took_s=took_s,
            usage=facts.usage,
            model=facts.model or request.model,
            fresh_until=life.fresh_until,
            until=life.until,
            wording=request.wording,
            question=request.question if keep_question else None,
            tags=request.tags,
        )
    )
    if len(raw) > policy.max_bytes:
        return f"it takes {len(raw)} bytes, more than max_bytes={policy.max_bytes}", None
    return "answered and stored", raw


def served_decision(
    request: CacheRequest, entry: Entry, outcome: Served, *, now: float, details: dict[str, Any]
) -> CacheDecision:
    """The decision to serve an entry; `details` are fields in place of those that follow."""
    equal = request.wording is None or request.wording == entry.wording
    key = request.key[:ENTRY_DIGITS] if request.key is not None else None
    decision = CacheDecision(
        outcome=outcome,
        reason=_REASONS[outcome, equal],
        tier="exact" if equal else "normalised",
        key=key,
        entry=key,
        age_s=max(now - entry.made_at, 0.0),
        saved_usage=entry.usage,
        saved_s=entry.took_s,
        model=entry.model,
    )
    return replace(decision, **details) if details else decision
