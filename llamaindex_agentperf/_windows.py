"""Windows over messages of LlamaIndex: what users say of them, put to the core in its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from llama_index.core.base.llms.types import ChatMessage

from agentperf_core.context import RecallSettings
from agentperf_core.context.foreign import Foreign
from agentperf_core.context.recalling import RecallWhen
from agentperf_core.types import Message
from llamaindex_agentperf._messages import from_core, mark, to_core

__all__ = [
    "Oversize",
    "Pin",
    "Recalling",
    "core_options",
    "core_recall",
    "marks_of",
    "reader",
    "saved_recall",
]

Pin: TypeAlias = Callable[[ChatMessage], bool] | None
"""Which messages are never cut."""

Oversize: TypeAlias = Literal["cut", "error"] | Callable[[ChatMessage, int], ChatMessage]
"""What is done with a message that is too large by itself: its middle is cut out, the call fails,
or a function makes it smaller, given the message and the tokens that there is room for."""

Recalling: TypeAlias = RecallSettings | RecallWhen | Mapping[str, Any] | None
"""What of what has left the window is brought back; see `RecallSettings`, or its fields."""


def _date_of(message: Message) -> str | None:
    origin = message.origin
    found = origin.additional_kwargs.get("date") if isinstance(origin, ChatMessage) else None
    return None if found is None else str(found)


def saved_recall(settings: RecallSettings) -> dict[str, Any]:
    """The settings as JSON, of which functions are no part."""
    when = settings.when if isinstance(settings.when, str) else "auto"
    return {"when": when, "share": settings.share, "neighbours": settings.neighbours}


_MESSAGES = Foreign[ChatMessage](to_core, from_core, mark=mark, date=_date_of)
core_options, core_recall = _MESSAGES.options, _MESSAGES.recall
marks_of, reader = _MESSAGES.marks_of, _MESSAGES.reader
