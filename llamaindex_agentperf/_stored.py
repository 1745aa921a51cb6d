"""Messages of LlamaIndex <-> records of a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage
from pydantic import ConfigDict, TypeAdapter

from agentperf_core.cache.conversations import Said
from agentperf_core.cache.conversations.codec import as_record, from_record
from agentperf_core.cache.conversations.given import require_messages
from agentperf_core.errors import CodecError
from agentperf_core.events import BUS
from llamaindex_agentperf._blocks import holds_path

__all__ = ["messages_of", "records_of"]

# Within a model pydantic would write NaN and infinity as null.
_DATA: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))


def records_of(messages: Sequence[ChatMessage]) -> list[Mapping[str, Any]]:
    """Messages as records.

    Raises:
        ConfigError: if these are no messages.
        CodecError: if one holds what cannot be kept: a path, or what is neither data nor text.
    """
    return [_record(message) for message in require_messages(ChatMessage, messages)]


def _record(message: ChatMessage) -> Mapping[str, Any]:
    """A message as LlamaIndex writes it; what is no data is text there."""
    try:
        data = _DATA.dump_python(message.model_dump(), mode="json", fallback=str)
    except Exception as error:  # of pydantic, or of an object that has no text
        msg = f"a ChatMessage must be plain data to be kept, got {error}; convert it"
        raise CodecError(msg) from error
    _check(data)
    return as_record(data)


def messages_of(said: Sequence[Said]) -> list[ChatMessage]:
    """The messages of records; what is none is left out and told of."""
    found: list[ChatMessage] = []
    for one in said:
        try:
            record = from_record(one.record)
            _check(record)
            found.append(ChatMessage.model_validate(record))
        except ValueError as error:
            BUS.fault("chat_store.codec", error)
    return found


def _check(record: Mapping[str, Any]) -> None:
    if any(holds_path(block) for block in cast("Sequence[Any]", record.get("blocks") or ())):
        msg = "a kept block holds its content, got one with a path; read the file into the block"
        raise CodecError(msg)
