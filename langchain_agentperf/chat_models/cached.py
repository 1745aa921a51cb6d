"""`CachedChatModel`: any chat model with a cache in front, streams included."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models._compat_bridge import (
    achunks_to_events,
    chunks_to_events,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from agentperf_core.cache import (
    DEFAULT_TTL_S,
    CachePolicy,
    Store,
    cache_from,
    check_tenant,
)
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.errors import require_instance
from agentperf_core.flow import arun, run
from langchain_agentperf._requests import chat_request
from langchain_agentperf.chat_models._binding import Bindings, with_models
from langchain_agentperf.chat_models._calls import Call
from langchain_agentperf.chat_models._chunks import replayed_chunks
from langchain_agentperf.chat_models._protocol import protocol_events
from langchain_agentperf.chat_models._results import Said
from langchain_agentperf.chat_models._wrapper import ChatModelWrapper, around

__all__ = ["CachedChatModel"]

_Tenant: TypeAlias = str | Callable[[], str | None] | None
_Tools: TypeAlias = Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool]


class CachedChatModel(ChatModelWrapper):
    """A chat model that answers equal requests once, whether they are streamed or not.

    Use it wherever the inner model goes: alone, in a chain, in `create_agent`, in a LangGraph node.
    `invoke`, `stream`, `batch`, their async forms and every kind of event stream share their
    answers. Equal calls at the same time become one; equal streams share the live stream, so that
    all of them see the first words when the model says them. A stream is stored when it has ended
    normally, and comes back with the same chunks.

    A hit has a fresh message id, no usage, and the decision in
    `response_metadata["agentperf"]["cache"]`; live answers carry it too, a live stream in its last
    chunk. It fires the callbacks of a model call, waits for no rate limiter, and leaves LangChain's
    own `cache` of the inner model and `set_llm_cache` unasked.

    Not cached: calls with a temperature above 0, answers that were cut off, refused, empty, could
    not be parsed, or are more than one. The policy can be widened.

    Args:
        inner: the model; its callbacks, tags, metadata, rate limiter and profile stay in force.
        cache: a core cache to share, an `ExactCache` or a `SemanticCache`; else one is made of the
            next four.
        semantic: an embedding model (of LangChain, or whatever `SemanticCache` takes): also serve
            questions that mean the same, where that is safe.
        store: where answers live; default a `MemoryStore`.
        ttl_s: seconds an answer may be served, `None` for no limit; a policy brings its own.
        policy: what may be cached; default `CachePolicy(ttl_s=ttl_s)`, with `normalise=True` where
            `semantic` is given.
        tenant: whose answers these are, as a name or a function that is asked at every call.
        version: a tag to change when something changes that the request does not show.

    Attributes:
        inner: the model.

    Raises:
        ConfigError: if `inner` is not a chat model (bind tools and parameters after wrapping it),
            if `cache` is given together with `store`, `policy` or `semantic`, or `ttl_s` with
            either of `cache` and `policy`.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> model = CachedChatModel(FakeListChatModel(responses=["4"]))
        >>> "".join(chunk.text for chunk in model.stream("What is 2 + 2?"))
        '4'
        >>> again = model.invoke("What is 2 + 2?")
        >>> again.text, again.response_metadata["agentperf"]["cache"]["outcome"]
        ('4', 'hit')
    """

    _core: CoreCache = PrivateAttr()
    _tenant: _Tenant = PrivateAttr(default=None)
    _version: str = PrivateAttr(default="")
    _bindings: Bindings | None = PrivateAttr(default=None)

    def __init__(
        self,
        inner: BaseChatModel,
        *,
        cache: CoreCache | None = None,
        semantic: object = None,
        store: Store | None = None,
        ttl_s: float | None = DEFAULT_TTL_S,
        policy: CachePolicy | None = None,
        tenant: _Tenant = None,
        version: str = "",
    ) -> None:
        hint = "wrap the model itself, then bind tools and parameters to the wrapper"
        require_instance(BaseChatModel, hint, inner=inner)
        check_tenant(tenant, asks="a function", hint="give its str()")
        core = cache_from(cache, store=store, policy=policy, ttl_s=ttl_s, semantic=semantic)
        # LangChain's own cache would serialise the history before it comes to us.
        super().__init__(**around(inner), cache=False)
        self._core, self._tenant, self._version = core, tenant, version

    @property
    def core_cache(self) -> CoreCache:
        """The core cache in use: `stats()`, `invalidate(tag)`, `clear()`."""
        return self._core

    def bind_tools(
        self, tools: _Tools, *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The inner model's own binding of these tools, around this model. From `BaseChatModel`.

        Kept per tools and arguments: agents ask for it before every call, and a hit needs no
        schema in the provider's form.
        """
        bindings = self._bindings = Bindings.of(self._bindings, self, self.inner)
        return bindings.get(
            tools,
            {"tool_choice": tool_choice, **kwargs},
            lambda: self._around(self.inner.bind_tools(tools, tool_choice=tool_choice, **kwargs)),
        )

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """The inner model's own way to structured output, around this model.

        From `BaseChatModel`. The model's message is cached, and parsed again on a hit.
        """
        made = self.inner.with_structured_output(schema, include_raw=include_raw, **kwargs)
        return self._around(made)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return run(self._call(messages, stop, run_manager, kwargs).result())

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await arun(self._call(messages, stop, run_manager, kwargs).result())

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        found = self._call(messages, stop, run_manager, kwargs).open()
        if isinstance(found, Said):
            yield from replayed_chunks(cast("AIMessage", found.message), found.pieces)
        else:
            yield from found

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        found = await self._call(messages, stop, run_manager, kwargs).aopen()
        if isinstance(found, Said):
            for chunk in replayed_chunks(cast("AIMessage", found.message), found.pieces):
                yield chunk
            return
        try:
            async for chunk in found:
                yield chunk
        finally:
            await found.aclose()

    def _stream_chat_model_events(
        self, messages: list[BaseMessage], **kwargs: Any
    ) -> Iterator[Any]:
        stop, manager = kwargs.pop("stop", None), kwargs.pop("run_manager", None)
        found = self._call(messages, stop, manager, kwargs).open()
        if isinstance(found, Said):
            return protocol_events(cast("AIMessage", found.message), found.pieces)
        return chunks_to_events(found)

    async def _astream_chat_model_events(
        self, messages: list[BaseMessage], **kwargs: Any
    ) -> AsyncIterator[Any]:
        stop, manager = kwargs.pop("stop", None), kwargs.pop("run_manager", None)
        found = await self._call(messages, stop, manager, kwargs).aopen()
        if isinstance(found, Said):
            for event in protocol_events(cast("AIMessage", found.message), found.pieces):
                yield event
            return
        try:
            async for event in achunks_to_events(found):
                yield event
        finally:
            await found.aclose()

    def _call(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: object,
        kwargs: Mapping[str, Any],
    ) -> Call:
        request = chat_request(
            self.inner,
            messages,
            stop,
            kwargs,
            cache=self._core,
            tenant=self._tenant,
            version=self._version,
        )
        return Call(self.inner, self._core, request, messages, stop, run_manager, kwargs)

    def _around(self, runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
        made = with_models(runnable, self._over)
        return made if made is not None else runnable

    def _over(self, model: BaseChatModel) -> BaseChatModel:
        if model is self.inner:
            return self
        if not isinstance(model, type(self.inner)):
            return model
        # A copy that the model has made of itself, with other parameters.
        return type(self)(model, cache=self._core, tenant=self._tenant, version=self._version)
