"""Answers of models as plain JSON data and back, and the mark that says where one came from.

Own code instead of `langchain_core.load`: a store may be shared, and `loads` builds any class of
the ecosystem that the stored text names. Here a stored answer can only become an AI message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any, TypeVar, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall
from pydantic import BaseModel

from agentperf_core.cache.policy import CacheDecision
from agentperf_core.errors import CodecError

__all__ = [
    "MARK",
    "OF_THE_CALL",
    "cache_mark",
    "checked_content",
    "decode_message",
    "encode_message",
    "fresh_id",
    "made",
    "marked",
]

M = TypeVar("M", bound=BaseModel)

MARK = "agentperf"

OF_THE_CALL = frozenset({MARK, "headers", "id", "request_id", "token_usage", "usage"})
"""Metadata about the call that made an answer: a hit made no call."""

# `tool_calls` is stored once, as the parsed calls.
_TWICE = frozenset({MARK, "cached", "tool_calls"})


def encode_message(message: BaseMessage) -> dict[str, Any]:
    """An answer as plain data, without ids, usage and the call's own metadata.

    Raises:
        CodecError: if it is not an AI message, or has a block of content without a type.
    """
    if not isinstance(message, AIMessage):
        msg = f"answers are AI messages, got {type(message).__qualname__}; it is not cached"
        raise CodecError(msg)
    metadata = cast("Mapping[str, Any]", message.response_metadata)
    kwargs = cast("Mapping[str, Any]", message.additional_kwargs)
    body = {
        "content": checked_content(message.content),
        "name": message.name,
        "tool_calls": [
            {"name": call["name"], "args": call["args"], "id": call["id"]}
            for call in message.tool_calls
        ],
        "response_metadata": {k: v for k, v in metadata.items() if k not in OF_THE_CALL},
        # A parsed answer is stored as its fields: langchain-openai builds the object again.
        "additional_kwargs": {k: _dumped(v) for k, v in kwargs.items() if k not in _TWICE},
    }
    return {key: value for key, value in body.items() if value or key == "content"}


def decode_message(
    body: Mapping[str, Any], decision: CacheDecision, *, chunk: bool = False, named: bool = True
) -> AIMessage:
    """A fresh answer: new id, own containers, no usage, marked with the decision.

    Args:
        body: from `encode_message`.
        decision: what the cache did.
        chunk: whether it was, and is to be, a message chunk.
        named: whether it gets an id here; if not, the run that it goes through draws one.

    Raises:
        CodecError: if the stored fields are not those of an AI message.
    """
    kind = AIMessageChunk if chunk else AIMessage
    message_id = fresh_id() if named else None
    try:
        metadata = _with_mark(body.get("response_metadata", {}), decision)
        plain = None if chunk else _plain_answer(body, metadata, message_id)
        if plain is not None:
            return plain
        return kind(
            content=checked_content(body["content"]),
            name=body.get("name"),
            id=message_id,
            tool_calls=body.get("tool_calls", []),
            additional_kwargs=body.get("additional_kwargs", {}),
            response_metadata=metadata,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"a stored answer must have the fields of an AI message, got {list(body)!r}; clear it"
        raise CodecError(msg) from error


def checked_content(content: Any) -> Any:
    """The same content, if readers can tell its blocks apart.

    Raises:
        CodecError: if a block has no type.
    """
    if isinstance(content, list):
        for block in cast("list[object]", content):
            known = isinstance(block, dict)
            kind = cast("dict[str, object]", block).get("type") if known else block
            if not isinstance(kind, str):
                msg = f"a block of content is a text or has a type, got a {type(block).__name__}"
                raise CodecError(msg)
    return cast("Any", content)


def marked(message: BaseMessage, decision: CacheDecision) -> BaseMessage:
    """A copy of the model's own message that says what the cache did; the original stays as is."""
    metadata = _with_mark(cast("Mapping[str, Any]", message.response_metadata), decision)
    return message.model_copy(update={"response_metadata": metadata})


def cache_mark(ours: object) -> Mapping[str, Any] | None:
    """What `marked` or `decode_message` said, read from the `MARK` entry of a message's metadata.

    `None` without a mark.
    """
    return cast("Mapping[str, Any]", ours).get("cache") if isinstance(ours, dict) else None


def fresh_id() -> str:
    """A message id in LangChain's own style, which tells integrations that no provider drew it."""
    return f"{_run}-{next(_count):012x}"


_count = count()


def _begin_ids() -> None:
    """Draw what is the process's own of its ids; a child must not go on with its parent's."""
    global _run  # noqa: PLW0603 - one prefix for the process
    _run = f"lc_{str(uuid4())[:23]}"


_begin_ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_ids)


def _with_mark(metadata: Mapping[str, Any], decision: CacheDecision) -> dict[str, Any]:
    ours = metadata.get(MARK)
    others = cast("dict[str, Any]", ours) if isinstance(ours, dict) else {}
    return {**metadata, MARK: {**others, "cache": decision.record()}}


_FIELDS = vars(AIMessage(""))


def _plain_answer(
    body: Mapping[str, Any], metadata: dict[str, Any], message_id: str | None
) -> AIMessage | None:
    """An answer of text and calls, checked here: pydantic's checks cost more than the whole hit.

    `None` if it is more than that, or not what it should be.
    """
    content, name, kwargs = body["content"], body.get("name"), body.get("additional_kwargs", {})
    if type(content) is not str or type(kwargs) is not dict or "tool_calls" in kwargs:
        return None
    calls: list[ToolCall] = []
    for call in body.get("tool_calls", ()):
        called, args, call_id = call["name"], call["args"], call["id"]
        if type(called) is not str or type(args) is not dict or type(call_id) is not str:
            return None
        calls.append({"name": called, "args": args, "id": call_id, "type": "tool_call"})
    if name is not None and type(name) is not str:
        return None
    fields: dict[str, Any] = {
        "additional_kwargs": kwargs,
        "content": content,
        "id": message_id,
        "name": name,
        "response_metadata": metadata,
        "tool_calls": calls,
    }
    return made(AIMessage, fields, {**_FIELDS, **fields, "invalid_tool_calls": []}, extra={})


def made(
    kind: type[M],
    given: Iterable[str],
    fields: dict[str, Any],
    *,
    extra: dict[str, Any] | None = None,
) -> M:
    """What pydantic's `model_construct` does, which takes as long as checking.

    Args:
        kind: the class.
        given: names of the fields that do not have their defaults.
        fields: all fields, checked.
        extra: an empty mapping of its own for a class that takes further fields.
    """
    found = kind.__new__(kind)
    put = object.__setattr__
    put(found, "__dict__", fields)
    put(found, "__pydantic_fields_set__", set(given))
    put(found, "__pydantic_extra__", extra)
    put(found, "__pydantic_private__", None)
    return found


def _dumped(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
