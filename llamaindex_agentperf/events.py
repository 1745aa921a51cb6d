"""Instrumentation events of our own; like all of ours they carry no prompt text."""

from __future__ import annotations

from typing import Any

from llama_index.core.instrumentation.events import BaseEvent
from pydantic import Field

__all__ = ["CacheHitEvent"]


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
