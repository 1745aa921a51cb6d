"""The messages of one memory and the window over them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import count
from operator import is_
from typing import Any

from llama_index.core.base.llms.types import ChatMessage

from agentperf_core.context import Recalled, SlidingWindow
from agentperf_core.context.telling import announce
from agentperf_core.events import BUS, DecisionMade
from agentperf_core.flow import Flow
from agentperf_core.types import Message
from llamaindex_agentperf._messages import from_core
from llamaindex_agentperf._windows import reader

__all__ = ["Talk"]

_numbers = count()


class Talk:
    """One conversation, kept whole, shown in part.

    Args:
        window: a window of its own.
        history: the messages; this very list grows.

    Attributes:
        record: what the last look did, as plain data.
    """

    def __init__(self, window: SlidingWindow, history: list[ChatMessage]) -> None:
        self.record: dict[str, Any] = {}
        self._window = window
        self._history = history
        # A memory sees each message once, so a number tells it from others; comparing a thousand
        # of them takes some microseconds.
        self._marks: list[Hashable] = [next(_numbers) for _ in history]
        self._shown: tuple[tuple[Message, ...], list[ChatMessage]] = ((), [])

    def put(self, messages: Sequence[ChatMessage]) -> None:
        """Add the next messages."""
        self._history += messages  # first: there is never a mark without its message
        self._marks += [next(_numbers) for _ in messages]

    def set(self, messages: Sequence[ChatMessage]) -> None:
        """Replace the conversation; as far as it is the same, its window stays."""
        same = 0
        for old, new in zip(self._history, messages, strict=False):
            if old is not new and old != new:
                break
            same += 1
        del self._marks[same:]
        del self._history[same:]
        self.put(messages[same:])

    def look(self, question: str | None, beside: int) -> Flow[list[ChatMessage]]:
        """What to show.

        Args:
            question: what is asked; default what the user said last.
            beside: tokens that the rest of the request takes.
        """
        taken = self._possible(beside)
        view = yield from self._window.show(
            self._marks, reader(self._history), beside=taken, question=question
        )
        record = view.record()
        if taken < beside and self._window.settings.in_tokens:
            record["short_by"] = beside - taken
        announce(record)
        self.record = record
        return self._converted(view.messages)

    def find(self, question: str, tokens: int) -> Flow[Recalled | None]:
        """Search what is not shown any more."""
        return self._window.find(self._marks, reader(self._history), question, tokens=tokens)

    def _possible(self, beside: int) -> int:
        settings = self._window.settings
        recall = self._window.recall
        taken = settings.granted(beside, kept=recall.reserved(settings) if recall else 0)
        if taken < beside and settings.in_tokens:
            reason = (
                f"the rest of the request takes {beside} of the {settings.limit} tokens of this "
                "memory; the conversation keeps an eighth, so that the whole is over the limit"
            )
            BUS.emit(DecisionMade(room="context", outcome="short", reason=reason))
        return taken

    def _converted(self, messages: tuple[Message, ...]) -> list[ChatMessage]:
        """The messages as LlamaIndex's; only those behind the last time's are looked at."""
        core, ours = self._shown
        known = len(core) if len(core) <= len(messages) and all(map(is_, core, messages)) else 0
        found = [*ours[:known], *map(from_core, messages[known:])]
        self._shown = (messages, found)
        return [*found]
