"""Messages of LlamaIndex <-> messages of the core; decides nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, cast

import orjson
from llama_index.core.base.llms.types import (
    BaseRecursiveContentBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from agentperf_core.accounting.framing import compact_json
from agentperf_core.context import Changed
from agentperf_core.context.marks import ByValue
from agentperf_core.types import Message, Role, ToolCall
from llamaindex_agentperf._usage import field_of

__all__ = ["from_core", "mark", "to_core"]

_ROLES: Mapping[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.FUNCTION: "tool",
    MessageRole.TOOL: "tool",
}


def mark(message: ChatMessage) -> Hashable:
    """Equal for two messages if and only if both say the same; messages here have no ids."""
    fields = message.__dict__
    blocks, extra = fields["blocks"], fields["additional_kwargs"]
    block = blocks[0] if len(blocks) == 1 else None
    said = block.text if isinstance(block, TextBlock) else ByValue([*blocks])
    return (fields["role"], said, ByValue({**extra})) if extra else (fields["role"], said)


def to_core(message: ChatMessage) -> Message:
    """A message as the core sees it."""
    texts: list[str] = []
    blocks: list[Mapping[str, Any]] = []
    calls: list[ToolCall] = []
    for block in message.blocks:
        if isinstance(block, TextBlock):
            texts.append(block.text)
        elif isinstance(block, ToolCallBlock):
            calls.append(
                ToolCall(block.tool_call_id or "", block.tool_name, _arguments(block.tool_kwargs))
            )
        elif not isinstance(block, CachePoint):
            blocks.append(_plain(block))
    extra = message.additional_kwargs
    answers = extra.get("tool_call_id", extra.get("call_id"))
    name = extra.get("name")
    return Message(
        role=_ROLES.get(message.role, "user"),
        text="\n".join(texts),
        name=name if isinstance(name, str) else None,
        tool_calls=tuple(calls or map(_legacy_call, extra.get("tool_calls") or ())),
        tool_call_id=answers if isinstance(answers, str) else None,
        blocks=tuple(blocks),
        origin=message,
    )


def from_core(message: Message) -> ChatMessage:
    """The same object for a message that came from `to_core`, a copy of it for a changed one."""
    origin = message.origin
    if isinstance(origin, ChatMessage):
        return origin
    if isinstance(origin, Changed) and isinstance(origin.origin, ChatMessage):
        return _rewritten(origin.origin, message)
    blocks: list[ContentBlock] = [TextBlock(text=message.text)]
    blocks += [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=dict(call.arguments))
        for call in message.tool_calls
    ]
    extra = {"name": message.name, "tool_call_id": message.tool_call_id}
    return ChatMessage(
        role=MessageRole(message.role),
        blocks=blocks,
        additional_kwargs={key: value for key, value in extra.items() if value is not None},
    )


def _rewritten(original: ChatMessage, message: Message) -> ChatMessage:
    """A copy with the new text where the first text was; other blocks only if they were kept."""
    given = original.blocks
    kept: list[ContentBlock] = [
        block
        for block in given
        if isinstance(block, ToolCallBlock) or (message.blocks and not isinstance(block, TextBlock))
    ]
    first = next((block for block in given if isinstance(block, TextBlock)), None)
    before = [] if first is None else given[: given.index(first)]
    at = sum(any(block is one for one in kept) for block in before)
    calls = {call.id: call for call in message.tool_calls}
    kept = [_as_called(block, calls) for block in kept]
    kept.insert(at, TextBlock(text=message.text))
    update: dict[str, Any] = {"blocks": kept}
    extra = original.additional_kwargs
    if extra.get("tool_calls") and message.tool_calls != to_core(original).tool_calls:
        update["additional_kwargs"] = {**extra, "tool_calls": [*map(_as_openai, calls.values())]}
    return original.model_copy(update=update)


def _as_called(block: ContentBlock, calls: Mapping[str, ToolCall]) -> ContentBlock:
    """The block; one of a call whose arguments were made shorter, with those."""
    call = calls.get(block.tool_call_id or "") if isinstance(block, ToolCallBlock) else None
    if call is None or not isinstance(block, ToolCallBlock):
        return block
    if call.arguments == _arguments(block.tool_kwargs):
        return block
    return block.model_copy(update={"tool_kwargs": dict(call.arguments)})


def _as_openai(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": compact_json(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _plain(block: ContentBlock) -> Mapping[str, Any]:
    """What counts of a block: its kind, and its words if it has any; no picture is copied."""
    if isinstance(block, ThinkingBlock):
        return {"type": "thinking", "thinking": block.content or ""}
    if isinstance(block, CitableBlock | CitationBlock):
        return {"type": block.block_type, "text": "\n".join(_words(block))}
    return {"type": block.block_type}


def _words(block: BaseRecursiveContentBlock) -> Iterator[str]:
    for value in block.__dict__.values():
        for inner in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(inner, TextBlock):
                yield inner.text
            elif isinstance(inner, str):
                yield inner


def _legacy_call(call: object) -> ToolCall:
    """An entry of `additional_kwargs["tool_calls"]`."""
    function = field_of(call, "function")
    if function is not None:
        arguments = _arguments(field_of(function, "arguments"))
        return ToolCall(str(field_of(call, "id") or ""), str(field_of(function, "name")), arguments)
    arguments = _arguments(field_of(call, "tool_kwargs"))
    name = field_of(call, "tool_name") or field_of(call, "name")
    return ToolCall(
        str(field_of(call, "tool_id") or field_of(call, "id") or ""), str(name), arguments
    )


def _arguments(given: object) -> Mapping[str, Any]:
    try:
        found = orjson.loads(given) if isinstance(given, str) and given else given
    except orjson.JSONDecodeError:
        found = given
    if isinstance(found, dict):
        return cast("Mapping[str, Any]", found)
    return {"": found} if found else {}
