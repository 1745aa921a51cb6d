"""Cache requests of `CachedLLM`: the key of a call, or the reason why it has none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM

from agentperf_core.cache import (
    CachePolicy,
    CacheRequest,
    ExactCache,
    MessageParts,
    Store,
    Unkeyable,
    request_key,
)
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS
from agentperf_core.flow import Step
from llamaindex_agentperf._convert import conversation
from llamaindex_agentperf._identity import (
    call_params,
    call_tools,
    model_identity,
    temperature_of,
)

__all__ = ["DEFAULT_TTL_S", "Tenant", "build_request", "call_step", "caller", "check_options"]

T = TypeVar("T")
Tenant: TypeAlias = str | Callable[[], str | None] | None

DEFAULT_TTL_S = 3600.0


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


def check_options(
    cache: ExactCache | None,
    store: Store | None,
    policy: CachePolicy | None,
    ttl_s: float | None,
    tenant: object,
) -> None:
    """Refuse combinations that contradict each other.

    Raises:
        ConfigError: naming the contradiction.
    """
    if cache is not None and not isinstance(cast("object", cache), ExactCache):
        msg = (
            f"cache must be an agentperf_core.cache.ExactCache, got a {type(cache).__module__}."
            f"{type(cache).__name__}; give a store as store="
        )
        raise ConfigError(msg)
    if cache is not None and (store is not None or policy is not None):
        msg = (
            f"a cache has its own store and policy, got cache={cache!r} with store={store!r} and "
            f"policy={policy!r}; give them to ExactCache(...)"
        )
        raise ConfigError(msg)
    if (cache is not None or policy is not None) and ttl_s != DEFAULT_TTL_S:
        msg = f"a policy has its own ttl_s, got ttl_s={ttl_s!r}; set it in CachePolicy(ttl_s=...)"
        raise ConfigError(msg)
    if tenant is not None and not isinstance(tenant, str) and not callable(tenant):
        msg = (
            f"tenant must be a name or a function, got {tenant!r}; a function is not saved with a "
            "model, so pass tenant= again"
        )
        raise ConfigError(msg)
