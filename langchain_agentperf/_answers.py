"""Answers of models as plain JSON data and back, and the mark that says where one came from.

Own code instead of `langchain_core.load`: a store may be shared, and `loads` builds any class of
the ecosystem that the stored text names. Here a stored answer can only become an AI message.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import urandom
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from pydantic import BaseModel

from agentperf_core.cache.policy import CacheDecision
from agentperf_core.errors import CodecError

__all__ = [
    "MARK",
    "OF_THE_CALL",
    "cache_mark",
    "decode_message",
    "encode_message",
    "fresh_id",
    "marked",
]

MARK = "agentperf"

OF_THE_CALL = frozenset({MARK, "headers", "id", "request_id", "token_usage", "usage"})
"""Metadata about the call that made an answer: a hit made no call."""

# Fields of a stored answer that a plain text does not have.
_RICH = frozenset({"additional_kwargs", "name", "tool_calls"})
_EMPTY = AIMessage("")
# `tool_calls` is stored once, as the parsed calls.
_TWICE = frozenset({MARK, "cached", "tool_calls"})


def encode_message(message: BaseMessage) -> dict[str, Any]:
    """An answer as plain data, without ids, usage and the call's own metadata.

    Raises:
        CodecError: if it is not an AI message.
    """
    if not isinstance(message, AIMessage):
        msg = f"answers are AI messages, got {type(message).__qualname__}; it is not cached"
        raise CodecError(msg)
    metadata = cast("Mapping[str, Any]", message.response_metadata)
    kwargs = cast("Mapping[str, Any]", message.additional_kwargs)
    body = {
        "content": message.content,
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
        if kind is AIMessage and type(body["content"]) is str and not _RICH & body.keys():
            # Nothing that pydantic would have to check, and its checks cost half of a hit.
            given: dict[str, Any] = {
                "content": body["content"],
                "id": message_id,
                "response_metadata": metadata,
                "additional_kwargs": {},
                "tool_calls": [],
                "invalid_tool_calls": [],
            }
            return _EMPTY.model_copy(update=given)
        return kind(
            content=body["content"],
            name=body.get("name"),
            id=message_id,
            tool_calls=body.get("tool_calls", []),
            additional_kwargs=body.get("additional_kwargs", {}),
            response_metadata=metadata,
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = f"a stored answer must have the fields of an AI message, got {list(body)!r}; clear it"
        raise CodecError(msg) from error


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
    drawn = urandom(16).hex()  # a UUID in a third of the time of `uuid4`
    return f"lc_{drawn[:8]}-{drawn[8:12]}-{drawn[12:16]}-{drawn[16:20]}-{drawn[20:]}"


def _with_mark(metadata: Mapping[str, Any], decision: CacheDecision) -> dict[str, Any]:
    ours = metadata.get(MARK)
    others = cast("dict[str, Any]", ours) if isinstance(ours, dict) else {}
    return {**metadata, MARK: {**others, "cache": decision.record()}}


def _dumped(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
