"""What a LangGraph node writes, as plain JSON data and back; nothing else is stored.

LangGraph's own serialiser rebuilds any class that the stored bytes name. Here there are messages,
`Send` and plain data, and a value of another kind keeps the node from the cache.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Send

from agentperf_core.cache import AnswerFacts, CacheDecision
from agentperf_core.errors import CodecError
from langchain_agentperf._answers import decode_message, encode_message, fresh_id
from langchain_agentperf._facts import facts_of, worst

__all__ = ["Writes", "WritesCodec"]

Writes: TypeAlias = Sequence[tuple[str, Any]]
"""Channels and what was written to them, in order."""

_KINDS: Mapping[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
}
_FIELDS = ("additional_kwargs", "name", "response_metadata", "status", "tool_call_id")


@dataclass(frozen=True, slots=True)
class WritesCodec:
    """The writes of one node.

    Attributes:
        taken: ids of the messages that the node was given. Written back, they mean those messages,
            and the next run has others.
    """

    taken: Collection[str] = ()

    def facts(self, answer: Writes) -> AnswerFacts:
        """What the policy needs to know of the model answers among them."""
        found = [facts_of(m) for m in _messages(answer) if isinstance(m, AIMessage)]
        return worst(found) if found else AnswerFacts()

    def encode(self, answer: Writes) -> Mapping[str, Any]:
        """The writes as plain JSON data.

        Raises:
            CodecError: for a value that is neither plain data nor a message.
        """
        return {"writes": [[channel, self._plain(value)] for channel, value in answer]}

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> Writes:
        """Fresh values: new message ids but for chosen ones, no usage, model answers marked."""
        return [(channel, _value(value, decision)) for channel, value in body["writes"]]

    def mark(self, answer: Writes, decision: CacheDecision) -> Writes:
        """The node's own writes go on unmarked: LangGraph does not take them back."""
        return answer

    def _plain(self, value: Any) -> Any:
        if _scalar(value):
            return value
        if isinstance(value, bytes):
            return ["bytes", b64encode(value).decode()]
        if isinstance(value, BaseMessage):
            return ["message", self._message(value)]
        if type(value) is Send:
            return ["send", value.node, self._plain(value.arg)]
        return self._container(value)

    def _container(self, value: Any) -> Any:
        kind = cast("type[object]", type(value))
        if kind in {list, tuple}:
            items = cast("Iterable[Any]", value)
            return [kind.__name__, [self._plain(item) for item in items]]
        if kind is dict and all(isinstance(key, str) for key in value):
            fields = cast("dict[str, Any]", value)
            return ["dict", {key: self._plain(item) for key, item in fields.items()}]
        msg = f"a node's writes are messages and plain data, got a {kind.__qualname__}; not cached"
        raise CodecError(msg)

    def _message(self, message: BaseMessage) -> Mapping[str, Any]:
        if message.id in self.taken and message.id is not None:
            msg = "the node gives back messages that it was given; return the new ones to cache it"
            raise CodecError(msg)
        own = {"id": message.id} if _chosen(message) else {}
        if isinstance(message, AIMessage):
            return {"type": "ai", **encode_message(message), **own}
        if isinstance(message, RemoveMessage) and message.id == REMOVE_ALL_MESSAGES:
            return {"type": "remove all"}
        if type(message) not in _KINDS.values():
            msg = f"a {type(message).__qualname__} is not a message to be stored; not cached"
            raise CodecError(msg)
        fields = {name: getattr(message, name, None) for name in _FIELDS}
        body: dict[str, Any] = {"type": message.type, "content": message.content, **own}
        if getattr(message, "artifact", None) is not None:
            body["artifact"] = self._plain(cast("ToolMessage", message).artifact)
        return body | {name: value for name, value in fields.items() if value}


# Ids that LangChain and LangGraph draw, and the look of those that providers draw.
_OF_A_RUN = re.compile(
    r"(?:lc_|run-)|[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$", re.IGNORECASE
)
_OF_A_PROVIDER = re.compile(r"(?=.*\d).{16,}")


def _chosen(message: BaseMessage) -> bool:
    """Whether the node gave the message its id, by which it takes the place of an earlier one."""
    if not message.id or _OF_A_RUN.match(message.id):
        return False
    by_model = isinstance(message, AIMessage) and (
        message.usage_metadata or cast("Mapping[str, Any]", message.response_metadata)
    )
    return not (by_model and _OF_A_PROVIDER.match(message.id))


def _scalar(value: Any) -> bool:
    """Whether a value is the same after a way through JSON."""
    if type(value) is int:
        return abs(value) < 2**63
    if type(value) is float:
        return math.isfinite(value)
    return value is None or isinstance(value, str | bool)


def _messages(value: Any) -> Iterable[BaseMessage]:
    if isinstance(value, BaseMessage):
        yield value
    elif isinstance(value, Mapping):
        for item in cast("Mapping[Any, Any]", value).values():
            yield from _messages(item)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in cast("Iterable[Any]", value):
            yield from _messages(item)


def _value(plain: Any, decision: CacheDecision) -> Any:
    match plain:
        case ["message", fields]:
            value = _decoded(fields, decision)
        case ["dict", items]:
            value = {key: _value(item, decision) for key, item in items.items()}
        case ["list", items]:
            value = [_value(item, decision) for item in items]
        case ["tuple", items]:
            value = tuple(_value(item, decision) for item in items)
        case ["send", node, arg]:
            value = Send(node, _value(arg, decision))
        case ["bytes", text]:
            value = b64decode(text)
        case _:
            value = _checked(plain)
    return value


def _checked(plain: Any) -> Any:
    if _scalar(plain):
        return plain
    msg = f"a stored value is of a kind that is written here, got {plain!r:.40}; clear the cache"
    raise CodecError(msg)


def _decoded(fields: Mapping[str, Any], decision: CacheDecision) -> BaseMessage:
    kind = fields["type"]
    message_id = fields.get("id")
    if message_id is None:
        message_id = fresh_id()
    elif type(message_id) is not str:
        msg = f"an id is a text, got a {type(message_id).__name__}; clear the cache"
        raise CodecError(msg)
    if kind == "ai":
        return decode_message(fields, decision, named=False).model_copy(update={"id": message_id})
    if kind == "remove all":
        return RemoveMessage(id=REMOVE_ALL_MESSAGES)
    given = {name: value for name, value in fields.items() if name in {"content", *_FIELDS}}
    if "artifact" in fields:
        given["artifact"] = _value(fields["artifact"], decision)
    return _KINDS[kind](**given, id=message_id)
