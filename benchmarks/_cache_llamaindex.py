"""LlamaIndex scenarios of `cache_latency.py`: exact hits, stream hits, equal calls at once.

LlamaIndex has no response cache. What stands beside ours is what people write by hand, a dict by
`str(messages)`: it streams nothing, marks nothing, joins no calls, and serves answers of another
model, temperature or tool set.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from _cache_common import (
    CALLERS,
    HELD_S,
    MESSAGES,
    TEXT,
    Call,
    Figures,
    at_once,
    cpu_samples,
    wall_samples,
)
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms.mock import MockFunctionCallingLLM
from pydantic import PrivateAttr

from llamaindex_agentperf import CachedLLM

ABSENT = "no response cache in LlamaIndex"


class Model(MockFunctionCallingLLM):
    """Answers with one text, streamed in words, and counts its calls."""

    _held_s: float = PrivateAttr()
    _calls: list[int] = PrivateAttr()
    _lock: Any = PrivateAttr()

    def __init__(self, held_s: float = 0.0) -> None:
        super().__init__()
        self._held_s, self._calls, self._lock = held_s, [], threading.Lock()

    @property
    def calls(self) -> int:
        return len(self._calls)

    def _begin(self) -> float:
        with self._lock:
            self._calls.append(1)
        return self._held_s

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        time.sleep(self._begin())
        return ChatResponse(message=ChatMessage(role="assistant", content=TEXT))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        await asyncio.sleep(self._begin())
        return ChatResponse(message=ChatMessage(role="assistant", content=TEXT))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        def chunks() -> Iterator[ChatResponse]:
            time.sleep(self._begin())
            yield from words()

        return chunks()

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        async def chunks() -> AsyncIterator[ChatResponse]:
            await asyncio.sleep(self._begin())
            for chunk in words():
                yield chunk

        return chunks()


def words() -> Iterator[ChatResponse]:
    said = ""
    for word in TEXT.split():
        said += word + " "
        message = ChatMessage(role="assistant", content=said)
        yield ChatResponse(message=message, delta=word + " ")


def history(count: int) -> list[ChatMessage]:
    roles = ("user", "assistant")
    return [ChatMessage(role=roles[i % 2], content=f"{i}: {TEXT}") for i in range(count)]


def exact_hits() -> Figures:
    llm, model, asked = CachedLLM(Model()), Model(), history(MESSAGES)
    bare = Model.chat
    by_hand: dict[str, ChatResponse] = {str(asked): model.chat(asked)}
    llm.chat(asked)
    # LlamaIndex wraps every `chat` of every model class in a span of its own.
    without_span: Any = CachedLLM.chat.__wrapped__  # pyright: ignore[reportFunctionMemberAccess] - see above
    calls: Mapping[str, Call] = {
        "a dict by str(messages), by hand": lambda: by_hand[str(asked)],
        "CachedLLM.chat, LlamaIndex's span included": lambda: llm.chat(asked),
        "CachedLLM.chat without that span": lambda: without_span(llm, asked),
        "no cache, instant model": lambda: bare(model, asked),
    }
    return {"peer": ABSENT, **cpu_samples(calls).figures("a dict by str(messages), by hand")}


def stream_hits() -> Figures:
    llm, asked = CachedLLM(Model()), history(MESSAGES)
    list(llm.stream_chat(asked))
    calls: Mapping[str, Call] = {
        "CachedLLM.stream_chat": lambda: next(iter(llm.stream_chat(asked))),
        "CachedLLM.astream_chat, event loop included": lambda: asyncio.run(first(llm, asked)),
    }
    return {"peer": ABSENT, **wall_samples(calls, rounds=100, unit="ms").figures()}


async def first(llm: Any, asked: Sequence[ChatMessage]) -> object:
    chunks = await llm.astream_chat(asked)
    return await anext(aiter(chunks))


async def drained(llm: Any, asked: Sequence[ChatMessage]) -> None:
    async for _ in await llm.astream_chat(asked):
        pass


WAYS: Mapping[str, tuple[bool, Callable[[Any, Any], Any]]] = {
    "sync": (False, lambda llm, asked: llm.chat(asked)),
    "async": (True, lambda llm, asked: llm.achat(asked)),
    "stream": (False, lambda llm, asked: list(llm.stream_chat(asked))),
    "async stream": (True, drained),
}


def equal_calls() -> Figures:
    found: dict[str, Any] = {}
    asked = history(1)
    for callers in CALLERS:
        for way, (is_async, ask) in WAYS.items():
            model = Model(HELD_S)
            llm: Any = CachedLLM(model)
            at_once(lambda llm=llm, ask=ask: ask(llm, asked), callers, is_async=is_async)
            found[f"{callers} x {way}"] = {"bare model": callers, "CachedLLM": model.calls}
    return found


def figures() -> Figures:
    return {
        "exact_hit_21_messages_cpu": exact_hits(),
        "stream_hit_first_chunk": stream_hits(),
        "model_calls_for_equal_calls": equal_calls(),
    }
