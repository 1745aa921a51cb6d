"""LangChain values to core values: messages for keys, usage, facts about an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from agentperf_core.cache.keys import MessageParts, canonical
from agentperf_core.cache.policy import AnswerFacts
from agentperf_core.types import Usage
from langchain_agentperf._identity import model_identity

__all__ = [
    "facts_of",
    "finish_reason_of",
    "message_parts",
    "model_identity",
    "parts_of_fields",
    "usage_from",
    "usage_of",
]

_ROLES: Mapping[str, str] = {
    "human": "user",
    "HumanMessageChunk": "user",
    "system": "system",
    "SystemMessageChunk": "system",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "tool": "tool",
    "ToolMessageChunk": "tool",
}
# Fields that no provider receives, or that say again what another field says.
_NOT_ASKED = frozenset(
    {
        "additional_kwargs",
        "artifact",
        "chunk_position",
        "content",
        "example",
        "id",
        "invalid_tool_calls",
        "lc_attributes",
        "name",
        "response_metadata",
        "status",
        "tool_call_chunks",
        "tool_call_id",
        "tool_calls",
        "type",
        "usage_metadata",
    }
)
# Marks of caches, copies of `tool_calls`, parsed copies of the text, draws of ids.
_NOISE = frozenset(
    {
        "__openai_function_call_ids__",
        "agentperf",
        "cached",
        "parsed",
        "tool_calls",
        "tool_outputs",
    }
)


def message_parts(message: BaseMessage) -> MessageParts:
    """What of a message can change the next answer.

    Left out: ids of the message and of its content blocks, usage, response metadata, artifacts and
    the marks of caches. Tool-call ids are handed on apart, because the key numbers them.

    Raises:
        Unkeyable: if the content has no canonical form.
    """
    content = message.content
    if isinstance(content, str) and not message.__pydantic_extra__ and not _matters(message):
        parts = _text_parts(message, content)
        if parts is not None:
            return parts
    return parts_of_fields({**message.__dict__, **(message.__pydantic_extra__ or {})})


def parts_of_fields(fields: Mapping[str, Any]) -> MessageParts:
    """The same from a message's fields, as they are in LangChain's JSON form.

    Raises:
        Unkeyable: if a field has no canonical form.
    """
    kind = str(fields["type"])
    content = fields.get("content", "")
    calls = cast("Sequence[Mapping[str, Any]]", fields.get("tool_calls") or ())
    broken = cast("Sequence[Mapping[str, Any]]", fields.get("invalid_tool_calls") or ())
    named = [[call.get("name"), call.get("args")] for call in (*calls, *broken)]
    return MessageParts(
        role=_ROLES.get(kind) or str(fields.get("role") or kind),
        content=content if isinstance(content, str) else canonical(_blocks(content)),
        name=fields.get("name"),
        calls=canonical(named) if named else b"",
        extra=_extra(fields),
        call_ids=tuple(str(call.get("id")) for call in (*calls, *broken)),
        answers=fields.get("tool_call_id"),
    )


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


# Providers' words for "the answer is whole" that the policy does not know.
_WHOLE = frozenset(
    {"complete", "completed", "eos", "eos_token", "finish_reason_stop", "stop_token"}
)
# Their integrations always hand the reason on, so without one the stream broke off.
_ALWAYS_REPORT = frozenset({"anthropic", "azure_openai", "deepseek", "openai", "xai"})


def finish_reason_of(metadata: Mapping[str, Any]) -> str | None:
    """Why the model stopped, in small letters, whatever the provider calls the field."""
    fields = ("finish_reason", "stop_reason", "done_reason", "stopReason", "status")
    for name in fields:
        if found := metadata.get(name):
            reason = str(found).lower()
            return "stop" if reason in _WHOLE else reason
    return None


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
    )


def _refused(message: BaseMessage) -> bool:
    if message.additional_kwargs.get("refusal"):
        return True
    content = message.content
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "refusal" for block in content
    )


def _matters(message: BaseMessage) -> bool:
    kwargs = cast("Mapping[str, Any]", message.additional_kwargs)
    return bool(kwargs) and any(
        key not in _NOISE and value is not None for key, value in kwargs.items()
    )


def _text_parts(message: BaseMessage, content: str) -> MessageParts | None:
    """The parts of the common kinds of text messages; a history has hundreds of them."""
    kind = type(message)
    if kind is HumanMessage:
        return MessageParts("user", content, message.name)
    if isinstance(message, AIMessage) and kind is AIMessage and not message.invalid_tool_calls:
        calls = message.tool_calls
        if not calls:
            return MessageParts("assistant", content, message.name)
        named = canonical([[call["name"], call["args"]] for call in calls])
        ids = tuple([str(call["id"]) for call in calls])
        return MessageParts("assistant", content, message.name, named, b"", ids)
    if isinstance(message, ToolMessage) and kind is ToolMessage and message.status == "success":
        return MessageParts("tool", content, message.name, answers=message.tool_call_id)
    return MessageParts("system", content, message.name) if kind is SystemMessage else None


def _extra(fields: Mapping[str, Any]) -> bytes:
    kwargs = cast("Mapping[str, Any]", fields.get("additional_kwargs") or {})
    kept = {key: kwargs[key] for key in kwargs if key not in _NOISE and kwargs[key] is not None}
    status = fields.get("status", "success")
    if status != "success":
        kept["status"] = status
    other = {key: fields[key] for key in fields if key not in _NOT_ASKED and key != "role"}
    if other:
        kept["fields"] = other
    return canonical(kept) if kept else b""


def _blocks(content: object) -> object:
    if not isinstance(content, list):
        return content
    blocks = cast("list[object]", content)
    return [_block(cast("dict[str, Any]", b)) if isinstance(b, dict) else b for b in blocks]


def _block(block: Mapping[str, Any]) -> Mapping[str, Any]:
    drawn = {"id", "index", "call_id"}
    if block.get("source_type") == "id":
        drawn = {"index"}  # LangChain's older form of a stored file: the id is the content
    kept = {key: value for key, value in block.items() if key not in drawn}
    # A block that is nothing but a reference keeps it.
    return kept if kept.keys() - {"type"} else block
