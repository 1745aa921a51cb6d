"""What a tool message says of its call, under `response_metadata["agentperf"]`.

Kept there, because nothing of it is sent to a model, and checkpoints keep it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from langchain_core.messages import BaseMessage, ToolMessage

from agentperf_core.cache.toolresults.cache import inherited
from langchain_agentperf._answers import MARK, cache_mark, made

__all__ = ["inherited_by", "inherited_by_fields", "mark_of", "marked"]


def marked(message: ToolMessage, **entries: Any) -> ToolMessage:
    """A copy of a message with more entries in its mark; the tool's own stays as it is."""
    fields = message.__dict__
    metadata: dict[str, Any] = fields["response_metadata"]
    ours = metadata.get(MARK)
    mark = {**cast("dict[str, Any]", ours), **entries} if isinstance(ours, dict) else entries
    metadata = {**metadata, MARK: mark}
    if type(message) is not ToolMessage:
        return message.model_copy(update={"response_metadata": metadata})
    given = message.__pydantic_fields_set__
    extra = message.__pydantic_extra__
    return made(
        ToolMessage,
        given | _MARKED,
        {**fields, "response_metadata": metadata},
        extra={**extra} if extra else None,
    )


_MARKED = {"response_metadata"}


def mark_of(message: BaseMessage) -> Mapping[str, Any]:
    """The mark of a message; empty without one."""
    found = cast("Mapping[str, Any]", message.response_metadata).get(MARK)
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def inherited_by(messages: Iterable[BaseMessage]) -> tuple[float | None, tuple[str, ...]]:
    """When an answer to a conversation expires, and by which tags it is forgotten.

    An answer that is built on the result of a tool is worth no more than the result.
    """
    # By the exact class, which is what histories hold: this runs over hundreds of messages.
    marks = [
        cache_mark(message.response_metadata[MARK])
        for message in messages
        if type(message) is ToolMessage and MARK in message.response_metadata
    ]
    return inherited(marks) if marks else (None, ())


def inherited_by_fields(
    messages: Iterable[Mapping[str, Any]],
) -> tuple[float | None, tuple[str, ...]]:
    """The same for messages as their fields, as they are in LangChain's JSON form."""
    metadata = [fields.get("response_metadata") for fields in messages if fields["type"] == "tool"]
    return inherited([cache_mark(said.get(MARK)) for said in metadata if said])
