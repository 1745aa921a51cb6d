"""LlamaIndex messages -> the parts of a cache key; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson
from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from agentperf_core.cache.requests.keys import MessageParts, Parts, Unkeyable, canonical
from llamaindex_agentperf._marks import MarkedText
from llamaindex_agentperf._usage import USAGE_KEYS, field_of

__all__ = ["conversation", "message_parts"]

# What providers note on a message that never goes back to the model, or goes back elsewhere.
_NOT_SENT = USAGE_KEYS | {
    "agentperf",
    "finish_reason",
    "id",
    "message_id",
    "name",
    "stop_reason",
    "tool_call_id",
    "tool_calls",
}


_TOOL = MessageRole.TOOL  # by its name, a member takes 0.1 us


def message_parts(message: ChatMessage) -> MessageParts:
    """What of one message can change the answer.

    Raises:
        Unkeyable: if a part has no canonical form, such as a file that is read at call time.
    """
    return MessageParts(*conversation((message,))[0])


def conversation(messages: Iterable[ChatMessage]) -> list[Parts]:
    """The parts of a conversation, the results of parallel tool calls in the order of the calls.

    LlamaIndex's agents append them in the order in which the tools finish, which differs from run
    to run; each names its call, so the order says nothing.

    Raises:
        Unkeyable: if a part has no canonical form.
    """
    # Most of what a key costs is here, once per message of a history: no call that can be spared.
    parts: list[Parts] = []
    results = False
    for message in messages:
        fields = message.__dict__
        blocks, extra, role = fields["blocks"], fields["additional_kwargs"], fields["role"]
        if role is _TOOL:
            results = True
        block = blocks[0] if len(blocks) == 1 else None
        if type(block) is TextBlock or type(block) is MarkedText:
            # `value` is a property, for 0.12 us
            if not extra:
                parts.append((role._value_, block.text, None, b"", b"", (), None))
                continue
            if len(extra) == 1 and "tool_call_id" in extra:
                answers = extra["tool_call_id"]
                parts.append((role._value_, block.text, None, b"", b"", (), answers))
                continue
        parts.append(_rich_parts(message))
    return _ordered(parts) if results else parts


def _ordered(parts: list[Parts]) -> list[Parts]:
    start, order = 0, dict[str, int]()
    for index, (role, _, _, _, _, call_ids, _) in enumerate(parts):
        if role == "tool":
            continue
        if index - start > 1:
            parts[start:index] = _in_order(parts[start:index], order)
        start = index + 1
        if call_ids:
            order = {call_id: place for place, call_id in enumerate(call_ids)}
    if len(parts) - start > 1:
        parts[start:] = _in_order(parts[start:], order)
    return parts


def _in_order(results: list[Parts], order: Mapping[str, int]) -> list[Parts]:
    return sorted(results, key=lambda result: order.get(result[6] or "", len(order)))


def _rich_parts(message: ChatMessage) -> MessageParts:
    items: list[object] = []
    calls: list[tuple[str, object]] = []
    ids: list[str] = []
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            items.append(_CALL)
            calls.append((block.tool_name, _arguments(block.tool_kwargs)))
            ids.append(block.tool_call_id or f"?{len(ids)}")
        else:
            items.extend(_items(block))
    extra = message.additional_kwargs
    if not calls:
        for name, arguments, call_id in map(_legacy_call, extra.get("tool_calls") or ()):
            calls.append((name, arguments))
            ids.append(call_id or f"?{len(ids)}")
    while items and items[-1] is _CALL:
        items.pop()
    sent = {name: value for name, value in extra.items() if name not in _NOT_SENT}
    return MessageParts(
        message.role.value,
        _content(items),
        name=extra.get("name"),
        calls=canonical(calls) if calls else b"",
        extra=canonical(sent) if sent else b"",
        call_ids=tuple(ids),
        answers=extra.get("tool_call_id"),
    )


_CALL: tuple[str] = ("call",)  # the place of a tool call between other blocks


def _content(items: list[object]) -> str | bytes:
    if not items:
        return ""
    return items[0] if len(items) == 1 and isinstance(items[0], str) else canonical(items)


def _items(block: ContentBlock) -> Iterable[object]:
    """A block as the model sees it: empty texts and cache markers are nothing."""
    if isinstance(block, TextBlock):
        return (block.text,) if block.text else ()
    if isinstance(block, CachePoint):
        return ()
    if isinstance(block, ThinkingBlock):
        notes = {k: v for k, v in block.additional_information.items() if k != "id"}
        return ({"thinking": block.content, "notes": notes},)
    fields = block.model_dump()
    if _reads_a_file(fields):
        msg = f"{type(block).__name__} is read from a file when the call is made"
        raise Unkeyable(msg)
    return (fields,)


def _reads_a_file(fields: Mapping[str, Any]) -> bool:
    """Whether a block, or one inside it (a document in a citable block), names a local file."""
    if fields.get("path") is not None:
        return True
    inner = fields.get("content")
    blocks = cast("list[object]", inner) if isinstance(inner, list) else []
    return any(_reads_a_file(cast("dict[str, Any]", b)) for b in blocks if isinstance(b, dict))


def _arguments(arguments: Mapping[str, Any] | str) -> object:
    if not isinstance(arguments, str):
        return arguments
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments


def _legacy_call(call: object) -> tuple[str, object, str | None]:
    """Name, arguments and id of an entry of `additional_kwargs["tool_calls"]`."""
    function = field_of(call, "function")
    if function is not None:
        arguments = field_of(function, "arguments")
        return str(field_of(function, "name")), _arguments(arguments or {}), field_of(call, "id")
    name = field_of(call, "tool_name")
    if name is None:
        msg = f"a tool call of type {type(call).__qualname__} has no name"
        raise Unkeyable(msg)
    return str(name), _arguments(field_of(call, "tool_kwargs") or {}), field_of(call, "tool_id")
