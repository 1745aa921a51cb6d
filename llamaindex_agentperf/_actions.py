"""Which instrumentation event tells the tracker what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)

from llamaindex_agentperf._tracker import Tracker
from llamaindex_agentperf.events import CacheHitEvent, ToolRunEvent, ToolWaitEvent

__all__ = ["ACTIONS"]


def _model_name(event: LLMChatStartEvent | LLMCompletionStartEvent) -> object:
    payload = cast("dict[str, object]", event.model_dict)  # pyright: ignore[reportUnknownMemberType] - a bare dict upstream
    return payload.get("model_name")


def _chat_called(tracker: Tracker, event: LLMChatStartEvent) -> None:
    tracker.called(event.span_id, _model_name(event), event.messages)


def _completion_called(tracker: Tracker, event: LLMCompletionStartEvent) -> None:
    tracker.called(event.span_id, _model_name(event), event.prompt)


def _progress(
    tracker: Tracker, event: LLMChatInProgressEvent | LLMCompletionInProgressEvent
) -> None:
    tracker.progress(event.span_id, event.response)


def _ended(tracker: Tracker, event: LLMChatEndEvent | LLMCompletionEndEvent) -> None:
    tracker.ended(event.span_id, event.response)


def _failed(tracker: Tracker, event: ExceptionEvent) -> None:
    tracker.failed(event.span_id, event.exception)


def _cancelled(tracker: Tracker, event: BaseEvent) -> None:
    tracker.cancelled(event.span_id)


def _served(tracker: Tracker, event: CacheHitEvent) -> None:
    tracker.served(event.span_id, event.decision, event.of)


def _ran(tracker: Tracker, event: ToolRunEvent) -> None:
    tracker.ran(event.span_id, event.run)


def _waits(tracker: Tracker, event: ToolWaitEvent) -> None:
    tracker.waits(event.span_id, over=event.over)


# By name: workflows define some events in private modules, and the classes need no import then.
ACTIONS: dict[str, Callable[[Tracker, Any], None]] = {
    "LLMChatStartEvent": _chat_called,
    "LLMCompletionStartEvent": _completion_called,
    "LLMChatInProgressEvent": _progress,
    "LLMCompletionInProgressEvent": _progress,
    "LLMChatEndEvent": _ended,
    "LLMCompletionEndEvent": _ended,
    "ExceptionEvent": _failed,
    "SpanCancelledEvent": _cancelled,
    "CacheHitEvent": _served,
    "ToolRunEvent": _ran,
    "ToolWaitEvent": _waits,
}
