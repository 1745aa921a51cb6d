"""Live streams: how one is watched until it may be stored, and how its readers see it.

Equal streams at the same time are one. Its chunks are the same objects for all readers, so each
reader gets copies: the opener's with the cache's record, the others' without what was paid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
    ThinkingBlock,
)

from agentperf_core.events import BUS
from agentperf_core.types import Usage
from llamaindex_agentperf._usage import extra_of, field_of, finish_of, usage_of
from llamaindex_agentperf.llms._codec import Said, marked, without_usage

__all__ = ["Follower", "Watch", "empty_chat", "empty_completion"]

A = TypeVar("A", ChatResponse, CompletionResponse)


class Watch(Generic[A]):
    """What is known of a live stream: its end as a whole answer, and the lengths of its pieces.

    Attributes:
        record: what the cache did, on all of the opener's chunks; it says `"miss"` until the end is
            known, and whoever holds the last chunk then reads what really happened.
    """

    def __init__(self, empty: Callable[[], A]) -> None:
        self.record: dict[str, Any] = {"outcome": "miss", "reason": "the stream is still open"}
        self._empty = empty
        self._last: A | None = None
        self._finish: str | None = None
        self._reported = False
        self._usage: object = None
        self._pieces: list[int] = []
        self._letters = 0

    def see(self, chunk: A) -> None:
        """Take note of a chunk."""
        self._last = chunk
        if chunk.delta:
            self._pieces.append(len(chunk.delta))
            self._letters += _letters(chunk.delta)
        if chunk.raw is not None:
            try:
                finish, reported = finish_of(chunk)
                self._finish = finish or self._finish
                self._reported = self._reported or reported
                self._usage = field_of(chunk.raw, "usage") or self._usage
            except Exception as error:  # what a model class puts in a chunk must not end its stream
                BUS.fault("cache.mark", error)

    def mark(self, chunk: A) -> A:
        """The opener's copy of a chunk."""
        try:
            return marked(chunk, self.record)
        except Exception as error:
            BUS.fault("cache.mark", error)
            return chunk

    def whole(self) -> Said[A]:
        """The whole answer, at the end."""
        pieces = tuple(self._pieces)
        last = self._last
        if last is None:
            return Said(self._empty())
        cut = _letters_of(last, self._letters) < self._letters
        if self._reported:
            # The last chunk of a stream often has no choice in it, only the usage.
            raw = {"choices": [{"finish_reason": self._finish}], "usage": self._usage}
            last = last.model_copy(update={"raw": raw})
        return Said(last, pieces, cut)


class Follower(Generic[A]):
    """The copies of a reader who joined another caller's stream: nothing of it was paid twice.

    Attributes:
        record: what the cache did; the usage is added at the end.
        usage: what the stream cost its opener, as far as it was reported.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.usage: Usage | None = None

    def take(self, chunk: A) -> A:
        """This reader's copy of a chunk."""
        try:
            self.usage = usage_of(chunk) or self.usage
            update: dict[str, Any] = {"raw": None}
            if isinstance(chunk, ChatResponse):
                message = chunk.message
                own = {
                    "blocks": list(message.blocks),
                    "additional_kwargs": dict(message.additional_kwargs),
                }
                update["message"] = message.model_copy(update=own)
            return marked(_unpaid(chunk.model_copy(update=update)), self.record)
        except Exception as error:
            BUS.fault("cache.mark", error)
            return chunk


def _letters(text: str) -> int:
    """How much a text says; some models trim the blanks of their last chunk."""
    return len("".join(text.split()))


def _letters_of(answer: ChatResponse | CompletionResponse, unknown: int) -> int:
    """How much an answer says; with more than words in it, that cannot be told."""
    if isinstance(answer, CompletionResponse):
        return _letters(answer.text)
    letters = 0
    for block in answer.message.blocks:
        if isinstance(block, TextBlock):
            letters += _letters(block.text)
        elif isinstance(block, ThinkingBlock):
            letters += _letters(block.content or "")
        else:
            return unknown
    return unknown if answer.message.additional_kwargs.get("tool_calls") else letters


def _unpaid(chunk: A) -> A:
    kept = without_usage(extra_of(chunk))
    return chunk.model_copy(update={"additional_kwargs": kept})


def empty_chat() -> ChatResponse:
    """What a stream without chunks says."""
    return ChatResponse(message=ChatMessage(role="assistant", blocks=[]))


def empty_completion() -> CompletionResponse:
    """What a stream without chunks says."""
    return CompletionResponse(text="")
