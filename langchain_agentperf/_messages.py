"""Messages of LangChain <-> messages of the core; decides nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, cast

import orjson
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages import ToolCall as CallDict

from agentperf_core.context import Changed
from agentperf_core.context.marks import ByValue
from agentperf_core.types import Message, Role, ToolCall

__all__ = ["from_core", "mark", "to_core"]

# Chunks say "AIMessageChunk" and so on; their classes tell.
_ROLES: tuple[tuple[type[BaseMessage], Role], ...] = (
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
    (ToolMessage, "tool"),
    (FunctionMessage, "tool"),
    (SystemMessage, "system"),
)
_NAMED_ROLES: Mapping[str, Role] = {
    "ai": "assistant",
    "assistant": "assistant",
    "developer": "system",
    "system": "system",
}
# Blocks that say again what `tool_calls` says.
_CALLS = frozenset(
    {"function_call", "invalid_tool_call", "tool_call", "tool_call_chunk", "tool_use"}
)
_BY_VALUE = ("additional_kwargs", "tool_calls", "invalid_tool_calls")


def mark(message: BaseMessage) -> Hashable:
    """Equal for two messages if and only if both say the same under the same id.

    It outlives a checkpointer, which gives back other objects. Usage and metadata are no part.
    """
    # Once per message of a history and call: what most messages are is looked at first.
    kind, fields = type(message), message.__dict__
    content = fields["content"]
    if type(content) is str and not fields["additional_kwargs"]:
        if kind is HumanMessage:
            return kind, fields["id"], content, fields["name"]
        if kind is ToolMessage:
            return kind, fields["id"], content, fields["name"], fields["tool_call_id"]
        if kind is AIMessage and not fields["tool_calls"] and not fields["invalid_tool_calls"]:
            return kind, fields["id"], content, fields["name"]
    if type(content) is not str:
        content = ByValue([*content])
    found = (kind, fields["id"], content, fields["name"], fields.get("tool_call_id"))
    for name in _BY_VALUE:
        value = fields.get(name)
        if value:
            found += (ByValue(value.copy()),)
    return found


def to_core(message: BaseMessage) -> Message:
    """A message as the core sees it.

    Calls whose arguments could not be parsed are calls, too: they are sent, and want a result.
    """
    texts: list[str] = []
    blocks: list[Mapping[str, Any]] = []
    content = cast("str | list[str | dict[str, Any]]", message.content)
    for block in [content] if isinstance(content, str) else content:
        text = _text_of(block)
        if text is not None:
            texts.append(text)
        elif isinstance(block, dict) and block.get("type") not in _CALLS:
            blocks.append(block)
    reasoning = message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    return Message(
        role=_role_of(message),
        text="".join(texts),
        name=message.name,
        tool_calls=tuple(_calls_of(message)) if isinstance(message, AIMessage) else (),
        tool_call_id=_answered_by(message),
        blocks=tuple(blocks),
        origin=message,
    )


def from_core(message: Message) -> BaseMessage:
    """The same object for a message that came from `to_core`, a copy of it for a changed one."""
    origin = message.origin
    if isinstance(origin, BaseMessage):
        return origin
    if isinstance(origin, Changed) and isinstance(origin.origin, BaseMessage):
        return _rewritten(origin.origin, message)
    match message.role:
        case "system":
            return SystemMessage(message.text, name=message.name)
        case "assistant":
            calls = [
                CallDict(name=c.name, args=dict(c.arguments), id=c.id) for c in message.tool_calls
            ]
            return AIMessage(message.text, name=message.name, tool_calls=calls)
        case "tool":
            return ToolMessage(
                message.text, name=message.name, tool_call_id=message.tool_call_id or ""
            )
        case _:
            return HumanMessage(message.text, name=message.name)


def _rewritten(original: BaseMessage, message: Message) -> BaseMessage:
    """A copy with the new text where the first text was; other blocks only if they were kept."""
    content: str | list[str | dict[str, Any]] = message.text
    given = cast("str | list[str | dict[str, Any]]", original.content)
    arguments = {call.id: call.arguments for call in message.tool_calls}
    if message.blocks and isinstance(given, list):
        kept: list[str | dict[str, Any]] = [
            _with_input(block, arguments) for block in given if _text_of(block) is None
        ]
        at = next((i for i, block in enumerate(given) if _text_of(block) is not None), 0)
        kept.insert(min(at, len(kept)), {"type": "text", "text": message.text})
        content = kept
    update: dict[str, Any] = {"content": content}
    if isinstance(original, AIMessage) and original.tool_calls:
        update["tool_calls"] = [
            {**call, "args": dict(arguments.get(call["id"] or "", call["args"]))}
            for call in original.tool_calls
        ]
    return original.model_copy(update=update)


def _with_input(
    block: str | dict[str, Any], arguments: Mapping[str, Mapping[str, Any]]
) -> str | dict[str, Any]:
    """A block of content; where it says a call again, with the arguments of the call."""
    if isinstance(block, dict) and "input" in block and block.get("id") in arguments:
        return {**block, "input": dict(arguments[block["id"]])}
    return block


def _text_of(block: str | dict[str, Any]) -> str | None:
    if isinstance(block, str):
        return block
    text = block.get("text")
    return text if block.get("type") == "text" and isinstance(text, str) else None


def _role_of(message: BaseMessage) -> Role:
    for kind, role in _ROLES:
        if isinstance(message, kind):
            return role
    named = message.role if isinstance(message, ChatMessage) else message.type
    return _NAMED_ROLES.get(named, "user")


def _calls_of(message: AIMessage) -> Iterator[ToolCall]:
    for call in message.tool_calls:
        yield ToolCall(call["id"] or "", call["name"], call["args"])
    for broken in message.invalid_tool_calls:
        yield ToolCall(broken["id"] or "", broken["name"] or "", {"": broken["args"] or ""})
    legacy = message.additional_kwargs.get("function_call")
    if isinstance(legacy, Mapping):
        call = cast("Mapping[str, Any]", legacy)
        name = str(call.get("name"))
        yield ToolCall(_legacy_id(name), name, _arguments(call.get("arguments")))


def _answered_by(message: BaseMessage) -> str | None:
    """The id of the call that a message answers; calls of the first API have names only."""
    if isinstance(message, FunctionMessage):
        return _legacy_id(message.name)
    return message.tool_call_id if isinstance(message, ToolMessage) else None


def _legacy_id(name: str) -> str:
    return f"function_call:{name}"


def _arguments(text: object) -> Mapping[str, Any]:
    try:
        found = orjson.loads(text) if isinstance(text, str) else text
    except orjson.JSONDecodeError:
        found = None
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {"": str(text)}
