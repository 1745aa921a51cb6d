"""Claim: 100 identical concurrent calls make one model call, sync and async, in both frameworks; if
the first call fails, the others try once more, again as one.

Counted, not timed: how many calls reach the model. The peer is the same agent or model with
LangChain's `InMemoryCache`; LlamaIndex has no response cache, so its peer is the bare model.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from _common import table
from _models import Scripted, fine
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM
from pydantic import PrivateAttr

from langchain_agentperf import ResponseCacheMiddleware
from llamaindex_agentperf import CachedLLM

CALLERS = 100


class Counted:
    """Counts calls, holds each for a moment, and fails the first if told to."""

    def __init__(self, *, fail_first: bool) -> None:
        self.fail_first = fail_first
        self.calls = 0
        self._lock = threading.Lock()
        self._gate = threading.Event()

    def enter(self) -> None:
        with self._lock:
            self.calls += 1
            first = self.calls == 1
        # Long enough for all callers to arrive; a peer without single flight is not slowed by it.
        self._gate.wait(0.3)
        if first and self.fail_first:
            msg = "the provider failed"
            raise RuntimeError(msg)

    async def aenter(self) -> None:
        with self._lock:
            self.calls += 1
            first = self.calls == 1
        await asyncio.sleep(0.3)
        if first and self.fail_first:
            msg = "the provider failed"
            raise RuntimeError(msg)


class LlamaModel(MockFunctionCallingLLM):
    _counted: Counted = PrivateAttr()

    def __init__(self, counted: Counted) -> None:
        super().__init__()
        self._counted = counted

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        self._counted.enter()
        return super().chat(messages, **kwargs)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        await self._counted.aenter()
        return super().chat(messages, **kwargs)


def in_threads(call: Callable[[], object]) -> int:
    """Answers that came back."""
    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(call) for _ in range(CALLERS)]
    return sum(future.exception() is None for future in futures)


async def in_tasks(call: Callable[[], Awaitable[object]]) -> int:
    async def one() -> object:
        return await call()

    results = await asyncio.gather(*(one() for _ in range(CALLERS)), return_exceptions=True)
    return sum(not isinstance(result, BaseException) for result in results)


def langchain_arm(counted: Counted, *, ours: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
    cache = False if ours else InMemoryCache()
    model = Scripted(fine, before=counted.enter, abefore=counted.aenter, cache=cache)
    agent: Any = create_agent(model, middleware=[ResponseCacheMiddleware()] if ours else [])
    prompt = {"messages": [("user", "same question")]}
    return lambda: agent.invoke(prompt), lambda: agent.ainvoke(prompt)


def llamaindex_arm(counted: Counted, *, ours: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
    inner = LlamaModel(counted)
    llm: Any = CachedLLM(inner) if ours else inner
    prompt = [ChatMessage(role="user", content="same question")]
    return lambda: llm.chat(prompt), lambda: llm.achat(prompt)


def main() -> None:
    arms = {
        "InMemoryCache, create_agent": (langchain_arm, False),
        "ResponseCacheMiddleware, create_agent": (langchain_arm, True),
        "LlamaIndex model, bare": (llamaindex_arm, False),
        "CachedLLM": (llamaindex_arm, True),
    }
    rows: list[list[str]] = []
    for name, (arm, ours) in arms.items():
        for fail_first in (False, True):
            counts: list[str] = []
            for use_async in (False, True):
                counted = Counted(fail_first=fail_first)
                call, acall = arm(counted, ours=ours)
                answered = asyncio.run(in_tasks(acall)) if use_async else in_threads(call)
                counts.append(f"{counted.calls} calls, {answered} answers")
            rows.append([name, "the first call fails" if fail_first else "all is well", *counts])
    print(table(["100 identical calls at once", "provider", "threads", "asyncio"], rows))


if __name__ == "__main__":
    main()
