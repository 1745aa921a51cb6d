"""Streams: how a live one is watched until it may be stored, how a stored one is replayed.

Both streams of a miss are opened at once and primed (advanced to their first `yield`), because the
`finally` of a generator that was never started never runs: a caller that drops the stream unread
would keep everyone waiting who asked for the same.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
)

from agentperf_core.cache import AnswerCodec, Lease
from agentperf_core.events import BUS
from agentperf_core.flow import Flow, arun, run
from llamaindex_agentperf._usage import extra_of, field_of, finish_of
from llamaindex_agentperf.llms._codec import marked

__all__ = [
    "Watch",
    "arelay",
    "areplay",
    "chat_pieces",
    "completion_pieces",
    "empty_chat",
    "empty_completion",
    "relay",
]

A = TypeVar("A", ChatResponse, CompletionResponse)

_MOST_PIECES = 24
_WORDS = re.compile(r"\S+\s*|\s+")


class Watch(Generic[A]):
    """Follows a live stream for the cache: marks each chunk, stores the whole answer at the end.

    All chunks share one record, which says `"miss"` until the end is known; whoever holds the last
    chunk then reads what really happened.
    """

    def __init__(
        self,
        lease: Lease[A],
        codec: AnswerCodec[A],
        empty: Callable[[], A],
        release: Callable[[], object],
    ) -> None:
        self._lease = lease
        self._codec = codec
        self._empty = empty
        self._release = release
        self._last: A | None = None
        self._finish: str | None = None
        self._reported = False
        self._usage: object = None
        self._record: dict[str, Any] = {"outcome": "miss", "reason": "the stream is still open"}

    @contextmanager
    def opening(self) -> Generator[None]:
        """Around the call that opens the stream: an error there ends it too."""
        try:
            yield
        except BaseException as error:
            self.failed(error)
            raise

    def see(self, chunk: A) -> A:
        """Take note of a chunk and give back its marked copy."""
        self._last = chunk
        try:
            if chunk.raw is not None:
                finish, reported = finish_of(chunk)
                self._finish = finish or self._finish
                self._reported = self._reported or reported
                self._usage = field_of(chunk.raw, "usage") or self._usage
            return marked(chunk, self._record)
        except Exception as error:  # what a model class puts in a chunk must not end its stream
            BUS.fault("cache.mark", error)
            return chunk

    def done(self) -> Flow[None]:
        """The stream ended normally."""
        self._release()
        try:
            whole = self._whole()
        except Exception as error:
            BUS.fault("cache.encode", error)
            self._lease.fail(GeneratorExit())
            return
        decision = yield from self._lease.finish(whole)
        self._record.clear()
        self._record.update(decision.record())

    def failed(self, error: BaseException) -> None:
        """The stream broke off or was closed early: nothing is stored, others may try."""
        self._release()
        self._lease.fail(error)

    def _whole(self) -> A:
        if self._last is None:
            return self._empty()
        if not self._reported:
            return self._last
        # The last chunk of a stream often has no choice in it, only the usage.
        raw = {"choices": [{"finish_reason": self._finish}], "usage": self._usage}
        return self._last.model_copy(update={"raw": raw})


def relay(chunks: Iterator[A], watch: Watch[A]) -> Generator[A]:
    """Hand on the chunks of a live stream."""
    relayed = _relay(chunks, watch)
    next(relayed)
    return cast("Generator[A]", relayed)


def _relay(chunks: Iterator[A], watch: Watch[A]) -> Generator[A | None]:
    try:
        yield None
        for chunk in chunks:
            yield watch.see(chunk)
    except BaseException as error:
        watch.failed(error)
        if isinstance(chunks, Generator):
            cast("Generator[A]", chunks).close()
        raise
    run(watch.done())


async def arelay(chunks: AsyncIterator[A], watch: Watch[A]) -> AsyncGenerator[A]:
    """Hand on the chunks of a live async stream."""
    relayed = _arelay(chunks, watch)
    await anext(relayed)
    return cast("AsyncGenerator[A]", relayed)


async def _arelay(chunks: AsyncIterator[A], watch: Watch[A]) -> AsyncGenerator[A | None]:
    try:
        yield None
        async for chunk in chunks:
            yield watch.see(chunk)
    except BaseException as error:
        watch.failed(error)
        if isinstance(chunks, AsyncGenerator):
            await cast("AsyncGenerator[A]", chunks).aclose()
        raise
    await arun(watch.done())


async def areplay(pieces: Generator[A]) -> AsyncGenerator[A]:
    """The async form of a replay."""
    for piece in pieces:
        yield piece


def _split(text: str) -> Iterator[str]:
    words = _WORDS.findall(text)
    size = -(-len(words) // _MOST_PIECES) or 1
    return ("".join(words[start : start + size]) for start in range(0, len(words), size))


def chat_pieces(answer: ChatResponse) -> Generator[ChatResponse]:
    """A whole answer as a stream: cumulative messages with deltas, tool calls in the last one."""
    texts = [block for block in answer.message.blocks if isinstance(block, TextBlock)]
    extra = extra_of(answer)
    if len(texts) != 1:
        yield answer.model_copy(update={"delta": answer.message.content or ""})
        return
    text, sent = texts[0].text, 0
    for piece in _split(text):
        sent += len(piece)
        if sent < len(text):
            partial = ChatMessage(role=answer.message.role, content=text[:sent])
            yield ChatResponse(message=partial, delta=piece, additional_kwargs=extra)
        else:
            yield answer.model_copy(update={"delta": piece})
    if not text:
        yield answer.model_copy(update={"delta": ""})


def completion_pieces(answer: CompletionResponse) -> Generator[CompletionResponse]:
    """A whole answer as a stream: cumulative texts with deltas."""
    sent = 0
    for piece in _split(answer.text):
        sent += len(piece)
        yield answer.model_copy(update={"text": answer.text[:sent], "delta": piece})


def empty_chat() -> ChatResponse:
    """What a stream without chunks says."""
    return ChatResponse(message=ChatMessage(role="assistant", blocks=[]))


def empty_completion() -> CompletionResponse:
    """What a stream without chunks says."""
    return CompletionResponse(text="")
