"""Windows over messages of LangChain: what users say of them, put to the core in its own words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, TypeAlias

from langchain_core.messages import BaseMessage

from agentperf_core.context import RecallSettings
from agentperf_core.context.recalling import RecallWhen, recall_settings
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


def core_options(pin: Pin, oversize: Oversize) -> dict[str, Any]:
    """The same two for the core's messages."""
    return {
        "pin": pin and _pinned(pin),
        "oversize": _smaller(oversize) if callable(oversize) else oversize,
    }


def core_recall(given: Recalling) -> RecallSettings | None:
    """Settings that read a message's date where LangChain's users note one.

    Raises:
        ConfigError: if they are no settings.
    """
    return recall_settings(given, date=_date_of)


def marks_of(messages: Sequence[BaseMessage]) -> list[Hashable]:
    """What a window knows the messages by."""
    return [mark(message) for message in messages]


def reader(messages: Sequence[BaseMessage]) -> Callable[[int], Message]:
    """What reads the message at a place."""
    return lambda place: to_core(messages[place])


def _pinned(pin: Callable[[BaseMessage], bool]) -> Callable[[Message], bool]:
    return lambda message: pin(from_core(message))


def _smaller(
    shorten: Callable[[BaseMessage, int], BaseMessage],
) -> Callable[[Message, int], Message]:
    return lambda message, tokens: to_core(shorten(from_core(message), tokens))


def _date_of(message: Message) -> str | None:
    origin = message.origin
    found = origin.additional_kwargs.get("date") if isinstance(origin, BaseMessage) else None
    return None if found is None else str(found)
