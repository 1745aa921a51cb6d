"""LangChain scenarios of `cache_latency.py`: exact hits, stream hits, equal calls at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from _common import cpu, paired
from _models import Scripted, fine
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

from langchain_agentperf import CachedChatModel, ResponseCacheMiddleware
from langchain_agentperf.middleware._direct import heard
from langchain_agentperf.middleware._requests import agent_request

MESSAGES = 21
CALLERS = (20, 100)
TEXT = "The customer asks about an order, its parcel and a refund. " * 6


def history(count: int) -> list[BaseMessage]:
    kinds: tuple[type[BaseMessage], ...] = (HumanMessage, AIMessage)
    return [kinds[i % 2](content=f"{i}: {TEXT}") for i in range(count)]


class Probe(AgentMiddleware[Any, Any, Any]):
    """Measures inside an agent's model node."""

    def __init__(self, measure: Callable[[ModelRequest[Any], Any], None]) -> None:
        super().__init__()
        self.measure = measure

    def wrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        self.measure(request, handler)
        return handler(request)


def median(target: Callable[[], object], loops: int = 200, rounds: int = 15) -> float:
    return sorted(cpu(target, loops) for _ in range(rounds))[rounds // 2]


def exact_hits() -> Mapping[str, float]:
    """CPU microseconds of a hit of 21 messages, key included, and of its parts."""
    found: dict[str, float] = {}

    def measure(request: ModelRequest[Any], handler: Any) -> None:
        middleware = ResponseCacheMiddleware()
        for _ in range(3):
            middleware.wrap_model_call(request, handler)
        policy = middleware.cache.policy
        stock = Scripted(fine, cache=InMemoryCache())
        pair = paired(
            lambda: stock.invoke(request.messages),
            lambda: middleware.wrap_model_call(request, handler),
            loops=100,
            pairs=25,
        )
        found["InMemoryCache behind a model"] = pair.a_s
        found["ResponseCacheMiddleware, nobody listens"] = pair.b_s
        found["of that: request and key"] = median(
            lambda: agent_request(request, policy=policy, tenant=None, version="")
        )
        found["of that: whether somebody listens"] = median(lambda: heard(request.model))
        bare = Scripted(fine)
        found["no cache, instant model"] = median(lambda: bare.invoke(request.messages))
        fresh = ResponseCacheMiddleware()
        fresh.wrap_model_call(request, handler)

        def replay() -> Any:  # a closure of its own per call, as with middleware further in
            return fresh.wrap_model_call(request, partial(handler))

        found["ResponseCacheMiddleware, replayed as a model run"] = median(replay)

    agent: Any = create_agent(Scripted(fine), middleware=[Probe(measure)])
    agent.invoke({"messages": history(MESSAGES)})
    model, asked = CachedChatModel(Scripted(fine)), history(MESSAGES)
    model.invoke(asked)
    found["CachedChatModel, _generate alone"] = median(lambda: model._generate(asked))
    found["CachedChatModel, LangChain's invoke around it"] = median(lambda: model.invoke(asked))
    return {name: seconds * 1e6 for name, seconds in found.items()}


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


def stream_hits(rounds: int = 200) -> Mapping[str, float]:
    """Wall milliseconds until the first chunk of a hit with text is there, 21 messages."""
    model, asked = CachedChatModel(streaming(long)), history(MESSAGES)
    list(model.stream(asked))
    agent: Any = create_agent(CachedChatModel(streaming(long)))
    agent.invoke({"messages": asked})

    def first(chunks: Iterator[Any], text: Callable[[Any], Any]) -> float:
        start = time.perf_counter()
        next(chunk for chunk in chunks if text(chunk))
        return (time.perf_counter() - start) * 1e3

    alone = sorted(first(model.stream(asked), lambda c: c.text) for _ in range(rounds))
    state = {"messages": asked}
    inside = sorted(
        first(agent.stream(state, stream_mode="messages"), lambda c: c[0].text)
        for _ in range(rounds // 4)
    )
    return {
        "CachedChatModel.stream, p50": alone[rounds // 2],
        "CachedChatModel.stream, p95": alone[int(rounds * 0.95)],
        "create_agent, stream_mode=messages, p50": inside[len(inside) // 2],
        "create_agent, stream_mode=messages, p95": inside[int(len(inside) * 0.95)],
    }


class Counted:
    """Counts model calls, each of which takes as long as the others need to come."""

    def __init__(self) -> None:
        self.calls = 0
        self._lock = threading.Lock()

    def before(self) -> None:
        with self._lock:
            self.calls += 1
        time.sleep(0.3)

    async def abefore(self) -> None:
        self.calls += 1
        await asyncio.sleep(0.3)

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
    if not is_async:
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda _: ask(model), range(callers)))
        return counted.calls

    async def all_at_once() -> None:
        asked: list[Awaitable[Any]] = [ask(model) for _ in range(callers)]
        await asyncio.gather(*asked)

    asyncio.run(all_at_once())
    return counted.calls


def equal_calls() -> Mapping[str, Mapping[str, int]]:
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


def figures() -> Mapping[str, Any]:
    return {
        "exact_hit_21_messages_cpu_us": exact_hits(),
        "stream_hit_first_chunk_ms": stream_hits(),
        "model_calls_for_equal_calls": equal_calls(),
    }
