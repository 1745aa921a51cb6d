"""Cache requests of `CachedLLM`: what a call is, for the core to make its key of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM

from agentperf_core.cache import CacheRequest, ExactCache, MessageParts
from agentperf_core.cache.requests.build import build_request, request_or_bypass
from llamaindex_agentperf._convert import conversation
from llamaindex_agentperf._identity import (
    call_params,
    call_tools,
    temperature_of,
)
from llamaindex_agentperf._identity_memo import ModelIdentity
from llamaindex_agentperf._marks import inherited_by

__all__ = ["Desk", "Tenant"]

Tenant: TypeAlias = str | Callable[[], str | None] | None


class Asks(Protocol):
    """The wrapper, as far as its requests are concerned; its fields are read at every call."""

    @property
    def inner(self) -> LLM: ...
    @property
    def tenant(self) -> Tenant: ...
    @property
    def version(self) -> str: ...


class Desk:
    """What a wrapper keeps beside its fields: pydantic's private attributes take 2 us to read."""

    def __init__(self, cache: ExactCache) -> None:
        self.cache = cache
        self._identity = ModelIdentity()
        self._reading: dict[str | None, object] = {}

    def request(
        self, asks: Asks, prompt: str | Sequence[ChatMessage], kwargs: Mapping[str, Any]
    ) -> CacheRequest:
        """A call as the cache sees it; what tools said limits how long its answer is good."""

        def make() -> CacheRequest:
            if isinstance(prompt, str):
                messages, history = (MessageParts("prompt", prompt),), ()
            else:
                messages, history = conversation(prompt), prompt
            expires_at, tags = inherited_by(history)
            return build_request(
                policy=self.cache.policy,
                model=self._identity.of(asks.inner),
                messages=messages,
                tools=call_tools(kwargs),
                params=call_params(kwargs),
                tenant=asks.tenant,
                version=asks.version,
                temperature=temperature_of(asks.inner, kwargs),
                tags=tags,
                expires_at=expires_at,
                questions=self.cache.wants_questions,
            )

        return request_or_bypass(make)

    def reads(self, key: str | None) -> Callable[[], object]:
        """The caller opens a stream; gives what to call when it has ended."""
        self._reading[key] = _caller()
        return partial(self._reading.pop, key, None)

    def is_reading(self, key: str | None) -> bool:
        """Whether the caller holds an equal stream open."""
        return bool(self._reading) and key is not None and self._reading.get(key) == _caller()


def _caller() -> object:
    """The running task, or the thread outside of tasks."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task)
