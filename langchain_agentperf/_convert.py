"""Messages of LangChain as the parts that keys are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from agentperf_core.cache.requests.keys import MessageParts, Parts, canonical

__all__ = ["conversation", "message_parts", "parts_of_fields"]

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


def conversation(messages: Iterable[BaseMessage]) -> list[Parts]:
    """The parts of a conversation.

    Raises:
        Unkeyable: if a content has no canonical form.
    """
    # Most of what a key costs is here, once per message of a history: no call that can be spared.
    found: list[Parts] = []
    for message in messages:
        fields = message.__dict__
        content = fields["content"]
        kwargs = fields["additional_kwargs"]
        if (
            type(content) is str
            and not message.__pydantic_extra__
            and not (kwargs and _matters(kwargs))
        ):
            kind, name = type(message), fields["name"]
            if kind is HumanMessage:
                found.append(("user", content, name, b"", b"", (), None))
                continue
            if kind is AIMessage and not (fields["tool_calls"] or fields["invalid_tool_calls"]):
                found.append(("assistant", content, name, b"", b"", (), None))
                continue
            if kind is ToolMessage and fields["status"] == "success":
                found.append(("tool", content, name, b"", b"", (), fields["tool_call_id"]))
                continue
        found.append(message_parts(message))
    return found


def message_parts(message: BaseMessage) -> MessageParts:
    """What of a message can change the next answer.

    Left out: ids of the message and of its content blocks, usage, response metadata, artifacts and
    the marks of caches. Tool-call ids are handed on apart, because the key numbers them.

    Raises:
        Unkeyable: if the content has no canonical form.
    """
    fields = message.__dict__
    extra = message.__pydantic_extra__
    content = fields["content"]
    if not extra and type(content) is str and not _matters(fields["additional_kwargs"]):
        parts = _text_parts(type(message), content, fields)
        if parts is not None:
            return parts
    return parts_of_fields({**fields, **(extra or {})})


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


def _matters(kwargs: Mapping[str, Any]) -> bool:
    for key in kwargs:  # noqa: SIM110 - `any` takes twice as long, for each message of a history
        if key not in _NOISE and kwargs[key] is not None:
            return True
    return False


def _text_parts(
    kind: type[BaseMessage], content: str, fields: Mapping[str, Any]
) -> MessageParts | None:
    """The parts of the common kinds of text messages; a history has hundreds of them."""
    name = fields["name"]
    if kind is HumanMessage:
        return MessageParts("user", content, name)
    if kind is AIMessage and not fields["invalid_tool_calls"]:
        calls = fields["tool_calls"]
        if not calls:
            return MessageParts("assistant", content, name)
        named = canonical([[call["name"], call["args"]] for call in calls])
        ids = tuple([str(call["id"]) for call in calls])
        return MessageParts("assistant", content, name, named, b"", ids)
    if kind is ToolMessage and fields["status"] == "success":
        return MessageParts("tool", content, name, answers=fields["tool_call_id"])
    return MessageParts("system", content, name) if kind is SystemMessage else None


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
