"""Windows over messages of LangChain: what users say of them, put to the core in its own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from langchain_core.messages import BaseMessage

from agentperf_core.context import RecallSettings
from agentperf_core.context.foreign import Foreign
from agentperf_core.context.recalling import RecallWhen
from agentperf_core.types import Message
from langchain_agentperf._messages import from_core, mark, to_core

__all__ = ["Oversize", "Pin", "Recalling", "core_options", "core_recall", "marks_of", "reader"]

Pin: TypeAlias = Callable[[BaseMessage], bool] | None
"""Which messages are never cut."""

Oversize: TypeAlias = Literal["cut", "error"] | Callable[[BaseMessage, int], BaseMessage]
"""What is done with a message that is too large by itself: its middle is cut out, the call fails,
or a function makes it smaller, given the message and the tokens that there is room for."""

Recalling: TypeAlias = RecallSettings | RecallWhen | None
"""What of what has left the window is brought back; see `RecallSettings`."""


def _date_of(message: Message) -> str | None:
    origin = message.origin
    found = origin.additional_kwargs.get("date") if isinstance(origin, BaseMessage) else None
    return None if found is None else str(found)


_MESSAGES = Foreign[BaseMessage](to_core, from_core, mark=mark, date=_date_of)
core_options, core_recall = _MESSAGES.options, _MESSAGES.recall
marks_of, reader = _MESSAGES.marks_of, _MESSAGES.reader
