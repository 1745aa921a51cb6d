"""How a whole answer comes as a stream: in the pieces in which it came first, else by words."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
)

from llamaindex_agentperf._usage import extra_of

__all__ = ["areplay", "chat_pieces", "completion_pieces"]

A = TypeVar("A", ChatResponse, CompletionResponse)

_MOST_PIECES = 24
_WORDS = re.compile(r"\S+\s*|\s+")


def chat_pieces(answer: ChatResponse, pieces: Sequence[int] = ()) -> Generator[ChatResponse]:
    """Cumulative messages with deltas, tool calls in the last one."""
    texts = [block for block in answer.message.blocks if isinstance(block, TextBlock)]
    extra = extra_of(answer)
    if len(texts) != 1:
        yield answer.model_copy(update={"delta": answer.message.content or ""})
        return
    text = texts[0].text
    for sent, delta in _split(text, pieces):
        if sent < len(text):
            partial = ChatMessage(role=answer.message.role, content=text[:sent])
            yield ChatResponse(message=partial, delta=delta, additional_kwargs=extra)
        else:
            yield answer.model_copy(update={"delta": delta})
    if not text:
        yield answer.model_copy(update={"delta": ""})


def completion_pieces(
    answer: CompletionResponse, pieces: Sequence[int] = ()
) -> Generator[CompletionResponse]:
    """Cumulative texts with deltas."""
    for sent, delta in _split(answer.text, pieces):
        yield answer.model_copy(update={"text": answer.text[:sent], "delta": delta})


async def areplay(pieces: Generator[A]) -> AsyncGenerator[A]:
    """The async form of a replay."""
    for piece in pieces:
        yield piece


def _split(text: str, pieces: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The pieces of a text, each with how much of the text has come by then."""
    # From a store, so they may be anything.
    if not all(type(size) is int and size > 0 for size in pieces) or sum(pieces) != len(text):
        words = _WORDS.findall(text)
        size = -(-len(words) // _MOST_PIECES) or 1
        pieces = [
            sum(map(len, words[start : start + size])) for start in range(0, len(words), size)
        ]
    ends = [0]
    for length in pieces:
        ends.append(ends[-1] + length)
    return ((end, text[start:end]) for start, end in pairwise(ends))
