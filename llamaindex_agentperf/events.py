"""Instrumentation events of our own; like all of ours they carry no prompt text."""

from __future__ import annotations

from typing import Any

from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage] - its documented home
from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from pydantic import Field

__all__ = ["CacheHitEvent", "announce_hit"]

_dispatcher = get_dispatcher(__name__)


class CacheHitEvent(BaseEvent):
    """An answer came from a cache, so no model or tool was called.

    Attributes:
        decision: the cache's record (outcome, reason, age, what was saved).
        of: whose answer it is, `"llm"` or `"tool"`.
    """

    decision: dict[str, Any] = Field(default_factory=dict)
    of: str = "llm"

    @classmethod
    def class_name(cls) -> str:
        """Stable name of the event."""
        return "CacheHitEvent"


def announce_hit(record: dict[str, Any], *, of: str = "llm") -> None:
    """Tell LlamaIndex's instrumentation; to be called inside the span of the call that is answered.

    Args:
        record: the cache's decision as plain data.
        of: whose answer it is, `"llm"` or `"tool"`.
    """
    if _somebody_listens():
        _dispatcher.event(CacheHitEvent(decision=record, of=of))


def _somebody_listens() -> bool:
    """Whether there is a handler besides LlamaIndex's idle one; an event costs a tenth of a hit."""
    here = _dispatcher
    while True:
        if any(type(handler) is not NullEventHandler for handler in here.event_handlers):
            return True
        if not here.propagate:
            return False
        here = here.parent
