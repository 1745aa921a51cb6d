"""`CachedLLM`: any LlamaIndex model with an exact cache in front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    AnswerCodec,
    CachePolicy,
    CacheRequest,
    ExactCache,
    Hit,
    Lease,
    Store,
    cache_from,
    check_tenant,
)
from agentperf_core.flow import arun, run
from llamaindex_agentperf.llms import _streams
from llamaindex_agentperf.llms._codec import CHAT, COMPLETION, A
from llamaindex_agentperf.llms._requests import (
    Tenant,
    build_request,
    call_step,
    caller,
)
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
        cache: a cache to share; default one of its own.
        store: where the answers live; default a `MemoryStore`.
        ttl_s: seconds an answer may be served, `None` for no limit.
        policy: what may be cached, with its own `ttl_s`; by default not what asks for a
            temperature above the model class's own default.
        tenant: whose answers these are, as a name or a function that is asked at every call;
            different tenants never share an answer.
        version: a tag to change when something changes that the request does not show.

    Raises:
        ConfigError: if `cache` is given together with `store` or `policy`, or `ttl_s` with either
            of `cache` and `policy`, or if `ttl_s` is not positive.

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
    _cache: ExactCache = PrivateAttr()
    _streaming: dict[str, object] = PrivateAttr(default_factory=dict)

    def __init__(
        self,
        inner: LLM | Mapping[str, Any],
        *,
        cache: ExactCache | None = None,
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
        cache = cache_from(cache, store=store, policy=policy, ttl_s=ttl_s)
        super().__init__(inner, ttl_s=cache.policy.ttl_s, tenant=tenant, version=version, **kwargs)
        self._cache = cache

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
        return self._cache

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Like `inner.chat`, from the cache where possible."""
        call = call_step(self.inner.chat, self.inner.achat, messages, kwargs)
        return run(self._cache.answer(self._request(messages, kwargs), call, CHAT))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Like `inner.achat`, from the cache where possible."""
        call = call_step(self.inner.chat, self.inner.achat, messages, kwargs)
        return await arun(self._cache.answer(self._request(messages, kwargs), call, CHAT))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Like `inner.stream_chat`; a stored answer is replayed in pieces."""
        request = self._request(messages, kwargs)
        got = run(self._cache.acquire(request, CHAT))
        if isinstance(got, Hit):
            return _streams.chat_pieces(got.answer)
        watch = self._watch(request, got, CHAT, _streams.empty_chat)
        with got, watch.opening():
            chunks = self.inner.stream_chat(messages, **kwargs)
        return _streams.relay(chunks, watch)

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Like `inner.astream_chat`; a stored answer is replayed in pieces."""
        request = self._request(messages, kwargs)
        got = await arun(self._cache.acquire(request, CHAT))
        if isinstance(got, Hit):
            return _streams.areplay(_streams.chat_pieces(got.answer))
        watch = self._watch(request, got, CHAT, _streams.empty_chat)
        with got, watch.opening():
            chunks = await self.inner.astream_chat(messages, **kwargs)
        return await _streams.arelay(chunks, watch)

    def complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponse:
        """Like `inner.complete`, from the cache where possible."""
        kwargs = {"formatted": formatted, **kwargs}
        call = call_step(self.inner.complete, self.inner.acomplete, prompt, kwargs)
        return run(self._cache.answer(self._request(prompt, kwargs), call, COMPLETION))

    async def acomplete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponse:
        """Like `inner.acomplete`, from the cache where possible."""
        kwargs = {"formatted": formatted, **kwargs}
        call = call_step(self.inner.complete, self.inner.acomplete, prompt, kwargs)
        return await arun(self._cache.answer(self._request(prompt, kwargs), call, COMPLETION))

    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponseGen:
        """Like `inner.stream_complete`; a stored answer is replayed in pieces."""
        kwargs = {"formatted": formatted, **kwargs}
        request = self._request(prompt, kwargs)
        got = run(self._cache.acquire(request, COMPLETION))
        if isinstance(got, Hit):
            return _streams.completion_pieces(got.answer)
        watch = self._watch(request, got, COMPLETION, _streams.empty_completion)
        with got, watch.opening():
            chunks = self.inner.stream_complete(prompt, **kwargs)
        return _streams.relay(chunks, watch)

    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponseAsyncGen:
        """Like `inner.astream_complete`; a stored answer is replayed in pieces."""
        kwargs = {"formatted": formatted, **kwargs}
        request = self._request(prompt, kwargs)
        got = await arun(self._cache.acquire(request, COMPLETION))
        if isinstance(got, Hit):
            return _streams.areplay(_streams.completion_pieces(got.answer))
        watch = self._watch(request, got, COMPLETION, _streams.empty_completion)
        with got, watch.opening():
            chunks = await self.inner.astream_complete(prompt, **kwargs)
        return await _streams.arelay(chunks, watch)

    def _request(
        self, prompt: str | Sequence[ChatMessage], kwargs: Mapping[str, Any]
    ) -> CacheRequest:
        request = build_request(
            self.inner,
            prompt,
            kwargs,
            policy=self._cache.policy,
            tenant=self.tenant,
            version=self.version,
        )
        # A caller that still holds an equal stream open would wait for itself: let it call.
        if request.key in self._streaming and self._streaming.get(request.key) == caller():
            return CacheRequest(None, "the same caller holds an equal stream open")
        return request

    def _watch(
        self,
        request: CacheRequest,
        lease: Lease[A],
        codec: AnswerCodec[A],
        empty: Callable[[], A],
    ) -> _streams.Watch[A]:
        key = request.key or ""
        self._streaming[key] = caller()
        return _streams.Watch(lease, codec, empty, partial(self._streaming.pop, key, None))


CachedLLM.__module__ = "llamaindex_agentperf"
RECOGNIZED_LLMS[CachedLLM.class_name()] = CachedLLM
