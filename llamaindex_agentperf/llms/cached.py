"""`CachedLLM`: any LlamaIndex model with an exact cache in front."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.loading import RECOGNIZED_LLMS
from pydantic import Field, PrivateAttr, field_serializer

from agentperf_core.cache import (
    DEFAULT_TTL_S,
    CachePolicy,
    CacheRequest,
    ExactCache,
    Store,
    cache_from,
    check_tenant,
)
from agentperf_core.cache.stats import CacheStats
from agentperf_core.flow import arun, run
from llamaindex_agentperf._signatures import with_signature
from llamaindex_agentperf.llms._calls import Call
from llamaindex_agentperf.llms._codec import A
from llamaindex_agentperf.llms._endpoints import CHATS, COMPLETIONS, Endpoint
from llamaindex_agentperf.llms._requests import Desk, Tenant
from llamaindex_agentperf.llms._wrapper import DelegatingLLM

__all__ = ["CachedLLM"]


class CachedLLM(DelegatingLLM):
    """Answers equal requests from a cache; works wherever the inner model does, agents included.

    The key holds what can change an answer: the model and its behaviour fields, system prompt,
    history, tools in any order, and the arguments of the call. Streams and plain calls, sync and
    async, share their answers. Equal calls at the same time become one.

    Every answer says in `additional_kwargs["agentperf"]["cache"]` what the cache did. A served one
    has no `raw` and no usage, so nobody counts its tokens again.

    Args:
        inner: the model.
        cache: a cache to share, an `ExactCache` or a `SemanticCache`; default one of its own.
        semantic: an embedding model (of LlamaIndex, or whatever `SemanticCache` takes): also serve
            questions that mean the same, where that is safe.
        store: where the answers live; default a `MemoryStore`.
        ttl_s: seconds an answer may be served, `None` for no limit.
        policy: what may be cached, with its own `ttl_s`; by default not what asks for a
            temperature above the model class's own default.
        tenant: whose answers these are, as a name or a function that is asked at every call;
            different tenants never share an answer.
        version: a tag to change when something changes that the request does not show.

    Raises:
        ConfigError: if `cache` is given together with `store`, `policy` or `semantic`, or `ttl_s`
            with either of `cache` and `policy`, or if `ttl_s` is not positive.

    Example:
        >>> from llama_index.core.llms.mock import MockLLM
        >>> llm = CachedLLM(MockLLM(max_tokens=3))
        >>> [llm.complete("hello").additional_kwargs["agentperf"]["cache"]["outcome"]
        ...  for _ in range(2)]
        ['miss', 'hit']
    """

    ttl_s: float | None = Field(default=DEFAULT_TTL_S, description="Seconds an answer is served.")
    version: str = Field(default="", description="Tag in every key.")
    tenant: Tenant = Field(default=None, description="Whose answers these are.")
    _desk: Desk = PrivateAttr()

    def __init__(
        self,
        inner: LLM | Mapping[str, Any],
        *,
        cache: ExactCache | None = None,
        semantic: object = None,
        store: Store | None = None,
        ttl_s: float | None = DEFAULT_TTL_S,
        policy: CachePolicy | None = None,
        tenant: Tenant = None,
        version: str = "",
        **kwargs: Any,
    ) -> None:
        check_tenant(
            tenant,
            asks="a function",
            hint="a function is not saved with a model, so pass tenant= again",
        )
        cache = cache_from(cache, store=store, policy=policy, ttl_s=ttl_s, semantic=semantic)
        super().__init__(inner, ttl_s=cache.policy.ttl_s, tenant=tenant, version=version, **kwargs)
        self._desk = Desk(cache)

    @field_serializer("tenant")
    def _dump_tenant(self, tenant: Tenant) -> object:
        return {"function": True} if callable(tenant) else tenant

    @classmethod
    def class_name(cls) -> str:
        """Stable name in serialised form."""
        return "agentperf_cached_llm"

    @property
    def cache(self) -> ExactCache:
        """The cache behind this model."""
        return self._own().cache

    def stats(self) -> CacheStats:
        """Hits by tier, misses, and the seconds, tokens and USD that were saved so far."""
        return self._own().cache.stats()

    @with_signature
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Like `inner.chat`, from the cache where possible."""
        return run(self._call(CHATS, messages, kwargs).result())

    @with_signature
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Like `inner.achat`, from the cache where possible."""
        return await arun(self._call(CHATS, messages, kwargs).result())

    @with_signature
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Like `inner.stream_chat`; a stored answer is replayed in the pieces in which it came."""
        return self._open(CHATS, messages, kwargs)

    @with_signature
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Like `inner.astream_chat`; a stored answer is replayed as in `stream_chat`."""
        return await self._aopen(CHATS, messages, kwargs)

    @with_signature
    def complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponse:
        """Like `inner.complete`, from the cache where possible."""
        kwargs = {"formatted": formatted, **kwargs}
        return run(self._call(COMPLETIONS, prompt, kwargs).result())

    @with_signature
    async def acomplete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponse:
        """Like `inner.acomplete`, from the cache where possible."""
        kwargs = {"formatted": formatted, **kwargs}
        return await arun(self._call(COMPLETIONS, prompt, kwargs).result())

    @with_signature
    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponseGen:
        """Like `inner.stream_complete`; a stored answer is replayed as in `stream_chat`."""
        return self._open(COMPLETIONS, prompt, {"formatted": formatted, **kwargs})

    @with_signature
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponseAsyncGen:
        """Like `inner.astream_complete`; a stored answer is replayed as in `stream_chat`."""
        return await self._aopen(COMPLETIONS, prompt, {"formatted": formatted, **kwargs})

    def _own(self) -> Desk:
        private = self.__pydantic_private__  # `self._desk` finds it too, by a detour of 2 us
        return self._desk if private is None else private["_desk"]

    def _call(self, endpoint: Endpoint[A], subject: Any, kwargs: Mapping[str, Any]) -> Call[A]:
        desk = self._own()
        request = desk.request(self, subject, kwargs)
        # A caller that still holds an equal stream open would wait for itself: let it call.
        if desk.is_reading(request.key):
            request = CacheRequest(None, "the same caller holds an equal stream open")
        return Call(self.inner, desk.cache, request, endpoint, subject, kwargs)

    def _open(self, endpoint: Endpoint[A], subject: Any, kwargs: Mapping[str, Any]) -> Generator[A]:
        desk = self._own()
        request = desk.request(self, subject, kwargs)
        call = Call(self.inner, desk.cache, request, endpoint, subject, kwargs)
        return call.open(partial(desk.reads, request.key))

    async def _aopen(
        self, endpoint: Endpoint[A], subject: Any, kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[A]:
        desk = self._own()
        request = desk.request(self, subject, kwargs)
        call = Call(self.inner, desk.cache, request, endpoint, subject, kwargs)
        return await call.aopen(partial(desk.reads, request.key))


CachedLLM.__module__ = "llamaindex_agentperf"
RECOGNIZED_LLMS[CachedLLM.class_name()] = CachedLLM
