"""LangChain scenarios of `cache_latency.py`: exact hits, stream hits, equal calls at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
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
from _models import Scripted, fine, in_model_node
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

from langchain_agentperf import CachedChatModel, ResponseCacheMiddleware
from langchain_agentperf.middleware._direct import heard
from langchain_agentperf.middleware._requests import agent_request

STOCK = "InMemoryCache behind a model"


def history(count: int) -> list[BaseMessage]:
    kinds: tuple[type[BaseMessage], ...] = (HumanMessage, AIMessage)
    return [kinds[i % 2](content=f"{i}: {TEXT}") for i in range(count)]


def exact_hits() -> Figures:
    """CPU time of a hit of 21 messages, key included, and of its parts."""
    found: dict[str, Any] = {}

    def measure(request: ModelRequest[Any], handler: Any) -> None:
        middleware, fresh = ResponseCacheMiddleware(), ResponseCacheMiddleware()
        for _ in range(3):
            middleware.wrap_model_call(request, handler)
        fresh.wrap_model_call(request, handler)
        stock, bare = Scripted(fine, cache=InMemoryCache()), Scripted(fine)
        model = CachedChatModel(Scripted(fine))
        asked: list[BaseMessage] = [*request.messages]
        model.invoke(asked)
        calls: Mapping[str, Call] = {
            STOCK: lambda: stock.invoke(asked),
            "ResponseCacheMiddleware, nobody listens": lambda: middleware.wrap_model_call(
                request, handler
            ),
            "of that: request and key": lambda: agent_request(
                request, cache=middleware.cache, tenant=None, version=""
            ),
            "of that: whether somebody listens": lambda: heard(request.model),
            # a closure of its own per call, as with middleware further in
            "ResponseCacheMiddleware, replayed as a model run": lambda: fresh.wrap_model_call(
                request, partial(handler)
            ),
            "CachedChatModel, _generate alone": lambda: model._generate(asked),
            "CachedChatModel, LangChain's invoke around it": lambda: model.invoke(asked),
            "no cache, instant model": lambda: bare.invoke(asked),
        }
        found.update(cpu_samples(calls).figures(STOCK))

    in_model_node(history(MESSAGES), measure)
    return found


class Streaming(Scripted):
    """Streams its answer in words."""

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        if self._before is not None:
            self._before()
        for word in str(self._reply(messages).text).split():
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))

    async def _astream(self, messages: Any, *args: Any, **kw: Any) -> AsyncIterator[Any]:
        if self._abefore is not None:
            await self._abefore()
        for word in str(self._reply(messages).text).split():
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))


# pyright takes the constructor of a pydantic subclass for one without positional arguments.
streaming: Any = Streaming


def long(messages: Any) -> AIMessage:
    return AIMessage(content=TEXT)


def stream_hits() -> Figures:
    """Wall time until the first chunk with text is there, 21 messages; no peer's stream hits."""
    model, asked = CachedChatModel(streaming(long)), history(MESSAGES)
    list(model.stream(asked))
    agent: Any = create_agent(CachedChatModel(streaming(long)))
    agent.invoke({"messages": asked})
    state = {"messages": asked}
    calls: Mapping[str, Call] = {
        "CachedChatModel.stream": lambda: next(c for c in model.stream(asked) if c.text),
        "create_agent, stream_mode=messages": lambda: next(
            c for c in agent.stream(state, stream_mode="messages") if c[0].text
        ),
    }
    return wall_samples(calls, rounds=100, unit="ms").figures()


class Counted:
    """Counts model calls, each of which takes as long as the others need to come."""

    def __init__(self) -> None:
        self.calls = 0
        self._lock = threading.Lock()

    def before(self) -> None:
        with self._lock:
            self.calls += 1
        time.sleep(HELD_S)

    async def abefore(self) -> None:
        self.calls += 1
        await asyncio.sleep(HELD_S)

    def model(self, **fields: Any) -> Streaming:
        return streaming(long, before=self.before, abefore=self.abefore, **fields)


async def drained(model: Any) -> None:
    async for _ in model.astream("q"):
        pass


WAYS: Mapping[str, tuple[bool, Callable[[Any], Any]]] = {
    "sync": (False, lambda model: model.invoke("q")),
    "async": (True, lambda model: model.ainvoke("q")),
    "stream": (False, lambda model: list(model.stream("q"))),
    "async stream": (True, drained),
}


def calls_made(make: Callable[[Counted], Any], way: str, callers: int) -> int:
    counted = Counted()
    model = make(counted)
    is_async, ask = WAYS[way]
    at_once(lambda: ask(model), callers, is_async=is_async)
    return counted.calls


def equal_calls() -> Figures:
    """Model calls that so many equal calls at once come to."""
    makers: Mapping[str, Callable[[Counted], Any]] = {
        "InMemoryCache": lambda counted: counted.model(cache=InMemoryCache()),
        "CachedChatModel": lambda counted: CachedChatModel(counted.model()),
    }
    return {
        f"{callers} x {way}": {n: calls_made(make, way, callers) for n, make in makers.items()}
        for callers in CALLERS
        for way in WAYS
    }


def figures() -> Figures:
    return {
        "exact_hit_21_messages_cpu": exact_hits(),
        "stream_hit_first_chunk": stream_hits(),
        "model_calls_for_equal_calls": equal_calls(),
    }
