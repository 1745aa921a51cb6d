"""What may be cached, and the record of what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agentperf_core.errors import require_positive
from agentperf_core.types import Usage

__all__ = ["DEFAULT_TTL_S", "AnswerFacts", "CacheDecision", "CachePolicy", "Outcome"]

DEFAULT_TTL_S = 3600.0

Outcome: TypeAlias = Literal["hit", "coalesced", "miss", "bypass"]

# Finish reasons of an answer that is whole; everything else was cut off, filtered or refused.
_WHOLE = frozenset({"stop", "tool_calls", "function_call", "end_turn", "tool_use", "stop_sequence"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFacts:
    """What the policy needs to know of an answer.

    Attributes:
        finish_reason: as the provider said it; `None` if it says none.
        provider_reports_finish: whether this provider always says one, so that `None` means that
            the stream broke off.
        tool_calls: how many tool calls it asks for.
        invalid: whether it holds tool calls that could not be parsed.
        refused: whether the provider marked it as a refusal.
        empty: whether it holds neither text nor tool calls.
        usage: what it cost, for the savings of later hits.
        unfit: the adapter's own reason why it must not be given again, `None` for none.
    """

    finish_reason: str | None = None
    provider_reports_finish: bool = False
    tool_calls: int = 0
    invalid: bool = False
    refused: bool = False
    empty: bool = False
    usage: Usage | None = None
    unfit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """Which requests and answers a cache takes.

    Attributes:
        ttl_s: seconds an answer may be served; `None` for no limit.
        sampled: also cache requests that ask for sampling explicitly (temperature above 0).
        tool_calls: also cache answers that ask for tools. Safe by default, because the tools still
            run on every hit, and the next turn's key holds their results.

    Raises:
        ConfigError: if `ttl_s` is not positive.
    """

    ttl_s: float | None = DEFAULT_TTL_S
    sampled: bool = False
    tool_calls: bool = True

    def __post_init__(self) -> None:
        require_positive(ttl_s=self.ttl_s)

    def refuse_request(self, *, temperature: float | None) -> str | None:
        """Why the request must not be cached, or `None` if it may."""
        if temperature is not None and temperature > 0 and not self.sampled:
            return f"temperature {temperature:g} asks for variety; allow it with sampled=True"
        return None

    def refuse_answer(self, facts: AnswerFacts) -> str | None:
        """Why the answer must not be stored, or `None` if it may."""
        cut_off = (
            facts.finish_reason.lower() not in _WHOLE  # Gemini shouts "STOP"
            if facts.finish_reason is not None
            else facts.provider_reports_finish
        )
        if facts.unfit is not None:
            return facts.unfit
        reasons = (
            (facts.invalid, "its tool calls could not be parsed"),
            (facts.refused, "it is a refusal"),
            (facts.empty, "it is empty"),
            (cut_off, f"it is not whole (finish reason {facts.finish_reason!r})"),
            (bool(facts.tool_calls) and not self.tool_calls, "it asks for tools"),
        )
        return next((reason for applies, reason in reasons if applies), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheDecision:
    """What the cache did with one request, and why.

    Attributes:
        outcome: `"hit"` from the store, `"coalesced"` with an equal call in flight, `"miss"`, or
            `"bypass"` if the request or the answer may not be cached.
        reason: one sentence.
        tier: which cache decided.
        key: the request's key, shortened; `None` without one.
        age_s: seconds since a served answer was made.
        saved_usage: tokens that a served answer cost when it was made.
        saved_s: seconds that the model took then.
    """

    outcome: Outcome
    reason: str
    tier: str = "exact"
    key: str | None = None
    age_s: float | None = None
    saved_usage: Usage | None = None
    saved_s: float | None = None

    @property
    def served(self) -> bool:
        """Whether no model call was made for this answer."""
        return self.outcome in {"hit", "coalesced"}

    def record(self) -> dict[str, Any]:
        """Plain JSON data for response metadata, spans and reports."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.saved_usage is not None:
            fields["saved_usage"] = self.saved_usage.as_dict()
        return {name: value for name, value in fields.items() if value is not None}
