"""What a chat request costs beyond its text: the frame of each message and of each tool.

The numbers and the order of adding up are the public rule of the OpenAI cookbook ("How to count
tokens with tiktoken", `num_tokens_from_messages` and `num_tokens_for_tools`), checked there
against the API for the gpt-3.5, gpt-4 and gpt-4o families. Beyond the rule, nothing is public:

- a tool call counts as a frame of its own with its name and its arguments as compact JSON;
- a tool result counts like any message; ids are not counted;
- a property without type or description counts with an empty one; nested properties and the items
  of an array count like top-level ones;
- a tool that is not a function (a provider's built-in one) counts as its JSON text;
- a block that is not text counts `tokens_per_block`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import orjson

from agentperf_core.errors import ConfigError

if TYPE_CHECKING:
    from agentperf_core.types import Message

__all__ = [
    "CL100K_CHAT",
    "O200K_CHAT",
    "ChatFormat",
    "compact_json",
    "message_tokens",
    "tool_tokens",
]

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """Tokens that frame a chat request. The defaults are the public rule for gpt-4o and later.

    Attributes:
        tokens_per_message: for every message.
        tokens_per_name: for every author name, on top of the name's own tokens.
        reply_priming: once, for the start of the answer.
        func_init: for every function.
        prop_init: for every function that has properties.
        prop_key: for every property.
        enum_init: for every property with an enum; negative in the public rule.
        enum_item: for every value of an enum.
        func_end: once, if there is a tool.
        tokens_per_block: for a content block that is not text. 85 is what OpenAI bills for an
            image at low detail.
    """

    tokens_per_message: int = 3
    tokens_per_name: int = 1
    reply_priming: int = 3
    func_init: int = 7
    prop_init: int = 3
    prop_key: int = 3
    enum_init: int = -3
    enum_item: int = 3
    func_end: int = 12
    tokens_per_block: int = 85


O200K_CHAT = ChatFormat()
CL100K_CHAT = ChatFormat(func_init=10)


def compact_json(value: object) -> str:
    """JSON as models write it: no blanks, text as it is; what JSON lacks becomes a string."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # integers beyond 64 bits and lone surrogates, which orjson refuses
        return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> object:
    return dict(cast("Mapping[Any, Any]", value)) if isinstance(value, Mapping) else str(value)


def message_tokens(message: Message, count: Count, chat: ChatFormat) -> int:
    """Tokens of one message with its frame."""
    total = chat.tokens_per_message + count(message.role) + count(message.text)
    if message.name:
        total += chat.tokens_per_name + count(message.name)
    for call in message.tool_calls:
        total += chat.tokens_per_message + count(call.name) + count(compact_json(call.arguments))
    for block in message.blocks:
        texts = [block.get(key) for key in ("text", "thinking", "reasoning")]
        spoken = [text for text in texts if isinstance(text, str)]
        total += sum(map(count, spoken)) if spoken else chat.tokens_per_block
    return total


def tool_tokens(tool: Mapping[str, Any], count: Count, chat: ChatFormat) -> int:
    """Tokens of one tool definition, without `func_end`.

    Raises:
        ConfigError: if a function tool has no name.
    """
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return chat.func_init + count(compact_json(tool))
    function = cast("Mapping[str, Any]", function)
    name = function.get("name")
    if not isinstance(name, str) or not name:
        msg = f"a function tool needs a name, got {name!r}; pass {{'function': {{'name': ...}}}}"
        raise ConfigError(msg)
    total = chat.func_init + count(f"{name}:{_sentence(function)}")
    properties = list(_properties(function.get("parameters")))
    if properties:
        total += chat.prop_init
    return total + sum(_property_tokens(key, value, count, chat) for key, value in properties)


def _property_tokens(key: str, prop: Mapping[str, Any], count: Count, chat: ChatFormat) -> int:
    total = chat.prop_key + count(f"{key}:{_type_of(prop)}:{_sentence(prop)}")
    choices = prop.get("enum")
    if isinstance(choices, Sequence) and not isinstance(choices, str):
        total += chat.enum_init
        for choice in cast("Sequence[Any]", choices):
            item = choice if isinstance(choice, str) else compact_json(choice)
            total += chat.enum_item + count(item)
    return total


def _properties(schema: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Properties of a schema and of the objects and arrays in it, depth first."""
    if not isinstance(schema, Mapping):
        return
    schema = cast("Mapping[str, Any]", schema)
    for holder in (schema, *_inner(schema, "items", "anyOf", "oneOf", "allOf")):
        found = holder.get("properties")
        if isinstance(found, Mapping):
            for key, prop in cast("Mapping[str, Any]", found).items():
                if isinstance(prop, Mapping):
                    inner = cast("Mapping[str, Any]", prop)
                    yield key, inner
                    yield from _properties(inner)
    definitions = schema.get("$defs")
    if isinstance(definitions, Mapping):
        for definition in cast("Mapping[str, Any]", definitions).values():
            yield from _properties(definition)


def _inner(schema: Mapping[str, Any], *keys: str) -> Iterator[Mapping[str, Any]]:
    for key in keys:
        value = schema.get(key)
        for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield cast("Mapping[str, Any]", item)


def _type_of(prop: Mapping[str, Any]) -> str:
    kind = prop.get("type")
    if isinstance(kind, str):
        return kind
    names = cast("list[Any]", kind) if isinstance(kind, list) else []
    names = names or [inner.get("type", "") for inner in _inner(prop, "anyOf", "oneOf", "allOf")]
    return "|".join(str(name) for name in names if name)


def _sentence(schema: Mapping[str, Any]) -> str:
    """The description, without the full stop that the rule drops."""
    return str(schema.get("description") or "").removesuffix(".")
