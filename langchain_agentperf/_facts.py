"""What caches and reports need to know of an answer: usage, why it ended, whether it is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage

from agentperf_core.cache.policy import AnswerFacts
from agentperf_core.types import Usage

__all__ = ["facts_of", "finish_reason_of", "plain_reason", "usage_from", "usage_of", "worst"]


def usage_from(message: BaseMessage) -> Usage | None:
    """The tokens that a message reports; `None` if it reports none."""
    return usage_of(cast("Mapping[str, Any] | None", getattr(message, "usage_metadata", None)))


def usage_of(reported: Mapping[str, Any] | None) -> Usage | None:
    """The tokens of a `UsageMetadata`; `None` if there is none or it says nothing."""
    if not reported or not ("input_tokens" in reported or "output_tokens" in reported):
        return None
    given = cast("Mapping[str, Any]", reported.get("input_token_details") or {})
    made = cast("Mapping[str, Any]", reported.get("output_token_details") or {})
    return Usage.from_totals(
        input_tokens=reported.get("input_tokens") or 0,
        output_tokens=reported.get("output_tokens") or 0,
        cached_input_tokens=_of_all_tiers(given, "cache_read"),
        # Anthropic's integration sets the sum to 0 where it gives its parts.
        cache_write_tokens=max(
            _of_all_tiers(given, "cache_creation"),
            sum(given.get(f"ephemeral_{life}_input_tokens") or 0 for life in ("5m", "1h")),
        ),
        reasoning_tokens=_of_all_tiers(made, "reasoning"),
    )


def _of_all_tiers(details: Mapping[str, Any], name: str) -> int:
    """OpenAI's integration puts the service tier in front of the name, unless it is the default."""
    return sum(details.get(f"{tier}{name}") or 0 for tier in ("", "flex_", "priority_"))


_REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason", "status")
# Providers' words for "the answer is whole" that the policy does not know.
_WHOLE = frozenset(
    {"complete", "completed", "eos", "eos_token", "finish_reason_stop", "stop_token"}
)
# Their integrations always hand the reason on, so without one the stream broke off.
_ALWAYS_REPORT = frozenset({"anthropic", "azure_openai", "deepseek", "openai", "xai"})


def finish_reason_of(metadata: Mapping[str, Any]) -> str | None:
    """Why the model stopped, in small letters, whatever the provider calls the field."""
    for name in _REASONS:
        found = metadata.get(name)
        if found:
            return plain_reason(str(found))
    return None


def plain_reason(reported: str) -> str:
    """A provider's word for why the model stopped in small letters, `"stop"` if all was said."""
    reason = reported.lower()
    return "stop" if reason in _WHOLE else reason


def facts_of(message: BaseMessage) -> AnswerFacts:
    """What a cache policy needs to know of an answer."""
    metadata = cast("Mapping[str, Any]", message.response_metadata)
    content = message.content
    text = content.strip() if isinstance(content, str) else content
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return AnswerFacts(
        finish_reason=finish_reason_of(metadata),
        provider_reports_finish=metadata.get("model_provider") in _ALWAYS_REPORT,
        tool_calls=len(calls),
        invalid=isinstance(message, AIMessage) and bool(message.invalid_tool_calls),
        refused=_refused(message),
        empty=not text and not calls,
        usage=usage_from(message),
        model=_model_of(metadata),
        text=None if calls else _text_of(content),
    )


def _text_of(content: object) -> str | None:
    """What a message says; `None` if it is more than text."""
    if isinstance(content, str):
        return content
    blocks = cast("list[Any]", content)
    texts = [b if isinstance(b, str) else b.get("text") for b in blocks]
    plain = all(isinstance(b, str) or b.get("type") == "text" for b in blocks)
    return "".join(texts) if plain and all(isinstance(text, str) for text in texts) else None


def _model_of(metadata: Mapping[str, Any]) -> str | None:
    """The model's name as the provider said it, for prices."""
    name = metadata.get("model_name") or metadata.get("model")
    return name if isinstance(name, str) else None


def _refused(message: BaseMessage) -> bool:
    if message.additional_kwargs.get("refusal"):
        return True
    content = message.content
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "refusal" for block in content
    )


def worst(facts: Sequence[AnswerFacts]) -> AnswerFacts:
    """What a policy needs to know of all of them: one that may not be stored keeps out the rest."""
    reasons = [one.finish_reason for one in facts]
    usages = [one.usage for one in facts if one.usage is not None]
    first = reasons[0] if reasons else None
    return AnswerFacts(
        finish_reason=next((r for r in reasons if r not in {"stop", None}), first),
        provider_reports_finish=any(one.provider_reports_finish for one in facts),
        tool_calls=sum(one.tool_calls for one in facts),
        invalid=any(one.invalid for one in facts),
        refused=any(one.refused for one in facts),
        empty=not facts or any(one.empty for one in facts),
        usage=_spent(usages),
        text=facts[0].text if len(facts) == 1 else None,
        model=next((one.model for one in facts if one.model is not None), None),
    )


def _spent(usages: Sequence[Usage]) -> Usage | None:
    """Equal reports are one: OpenAI's integration writes a call's total on each of its answers."""
    parts = usages[:1] if len(set(usages)) == 1 else usages
    return sum(parts[1:], parts[0]) if parts else None
