"""Instrumentation events of our own; like all of ours they carry no prompt text."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, cast

from llama_index.core.instrumentation import Dispatcher, get_dispatcher  # pyright: ignore[reportPrivateImportUsage] - their documented home
from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span_handlers import NullSpanHandler
from llama_index.core.llms.llm import LLM
from pydantic import Field

from agentperf_core.tools import ToolRun

__all__ = [
    "CacheHitEvent",
    "ToolRunEvent",
    "ToolWaitEvent",
    "Waiting",
    "announce_hit",
    "announce_run",
    "heard",
    "waiting",
]

_dispatcher = get_dispatcher(__name__)
# Through this one go the events and spans of every model call.
_of_models = get_dispatcher("llama_index.core.llms.callbacks")


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


class ToolRunEvent(BaseEvent):
    """A call of a tool did not just run: it waited, was repeated or substituted, or failed.

    Attributes:
        run: how it went, see `agentperf_core.tools.ToolRun`.
    """

    run: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        """Stable name of the event."""
        return "ToolRunEvent"


class ToolWaitEvent(BaseEvent):
    """A call of a tool begins to wait for its place, or has it.

    Attributes:
        over: whether it has it.
    """

    over: bool = False

    @classmethod
    def class_name(cls) -> str:
        """Stable name of the event."""
        return "ToolWaitEvent"


overheard: ContextVar[bool] = ContextVar("agentperf_llamaindex_overheard", default=False)
"""Whether the pack itself reads the stream of the model that is called in this context."""


def announce_hit(record: dict[str, Any], *, of: str = "llm") -> None:
    """Tell LlamaIndex's instrumentation; to be called inside the span of the call that is answered.

    Args:
        record: the cache's decision as plain data.
        of: whose answer it is, `"llm"` or `"tool"`.
    """
    if _has_handlers(_dispatcher, spans=False):
        _dispatcher.event(CacheHitEvent(decision=record, of=of))


def announce_run(run: ToolRun) -> None:
    """Tell LlamaIndex's instrumentation how a call of a tool went; inside the span of the call."""
    if run.eventful and _has_handlers(_dispatcher, spans=False):
        _dispatcher.event(ToolRunEvent(run=run.record()))


class Waiting:
    """Tells LlamaIndex's instrumentation when a call waits; what `ToolJob` takes as callbacks."""

    __slots__ = ("_waits",)

    def __init__(self) -> None:
        self._waits = False

    def queued(self) -> None:
        """It begins to wait."""
        self._waits = True
        _dispatcher.event(ToolWaitEvent())

    def begun(self, _: int) -> None:
        """It runs."""
        if self._waits:
            self._waits = False
            _dispatcher.event(ToolWaitEvent(over=True))


def waiting() -> Waiting | None:
    """How to tell that a call waits; `None` if nobody would hear of it."""
    return Waiting() if _has_handlers(_dispatcher, spans=False) else None


def heard(llm: LLM) -> bool:
    """Whether anyone would hear of a call of this model.

    A call that is begun and given up would be an event without its end there, and a dropped span.
    """
    return (
        overheard.get()
        or _has_handlers(_of_models, spans=True)
        or bool(
            getattr(llm.callback_manager, "handlers", ())  # some classes have none
        )
    )


def _is_ours(handler: object) -> bool:
    """Whether a handler is the pack's own and tells nobody: it stays, once it was needed."""
    return getattr(type(handler), "agentperf_silent", False)


def _has_handlers(here: Dispatcher, *, spans: bool) -> bool:
    """Whether there are others besides LlamaIndex's idle ones; an event is a tenth of a hit."""
    while True:
        for handler in here.event_handlers:
            if type(handler) is not NullEventHandler and not _is_ours(handler):
                return True
        if spans:
            followed = cast("list[object]", here.span_handlers)  # pyright: ignore[reportUnknownMemberType] - a bare generic upstream
            if any(type(one) is not NullSpanHandler and not _is_ours(one) for one in followed):
                return True
        if not here.propagate:
            return False
        here = here.parent
