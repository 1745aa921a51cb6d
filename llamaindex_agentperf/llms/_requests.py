"""Cache requests of `CachedLLM`: the key of a call, or the reason why it has none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM

from agentperf_core.cache import (
    CachePolicy,
    CacheRequest,
    MessageParts,
    Unkeyable,
    request_key,
)
from agentperf_core.events import BUS
from agentperf_core.flow import Step
from llamaindex_agentperf._convert import conversation
from llamaindex_agentperf._identity import (
    call_params,
    call_tools,
    model_identity,
    temperature_of,
)

__all__ = ["Tenant", "build_request", "call_step", "caller"]

T = TypeVar("T")
Tenant: TypeAlias = str | Callable[[], str | None] | None


def build_request(
    llm: LLM,
    prompt: str | Sequence[ChatMessage],
    kwargs: Mapping[str, Any],
    *,
    policy: CachePolicy,
    tenant: Tenant,
    version: str,
) -> CacheRequest:
    """The request as the cache sees it; one that has no key goes past the cache."""
    try:
        refusal = policy.refuse_request(temperature=temperature_of(llm, kwargs))
        if refusal is not None:
            return CacheRequest(None, refusal)
        key = request_key(
            model=model_identity(llm),
            messages=[MessageParts("prompt", prompt)]
            if isinstance(prompt, str)
            else conversation(prompt),
            tools=call_tools(kwargs),
            params=call_params(kwargs),
            tenant=tenant() if callable(tenant) else tenant,
            version=version,
        )
    except Unkeyable as reason:
        return CacheRequest(None, f"the request has no key: {reason}")
    except Exception as error:
        BUS.fault("cache.key", error)
        return CacheRequest(None, f"the request has no key: {type(error).__name__}")
    return CacheRequest(key)


def caller() -> object:
    """The running task, or the thread outside of tasks."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task)


def call_step(
    sync: Callable[..., T],
    async_: Callable[..., Awaitable[T]],
    subject: object,
    kwargs: Mapping[str, Any],
) -> Step[T]:
    """The call as a step of a flow."""
    return Step(partial(sync, **kwargs), partial(async_, **kwargs), subject)
