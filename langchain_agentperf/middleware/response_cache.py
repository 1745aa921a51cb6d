"""The response cache of an agent, around its model calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse

from agentperf_core.cache import DEFAULT_TTL_S, CachePolicy, Store, cache_from, check_tenant
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.events import BUS
from agentperf_core.flow import Flow, Step, arun, run
from langchain_agentperf._responses import Answer, ResponsesCodec, replayed, restored, watched
from langchain_agentperf.middleware._direct import Direct, heard
from langchain_agentperf.middleware._requests import Tenant, agent_request
from langchain_agentperf.middleware._trace import TRACE

__all__ = ["ResponseCacheMiddleware", "Tenant"]

_Request: TypeAlias = ModelRequest[Any]
_Response: TypeAlias = ModelResponse[Any]


class ResponseCacheMiddleware(AgentMiddleware[Any, Any, Any]):
    """Answers equal model requests of an agent once: from a store, or with a call in flight.

    A hit is sent through the agent's own model call by a chat model that repeats the stored answer.
    So it streams, fires every callback and is parsed into structured output like a live one, with a
    fresh message id, no usage, and the decision in `response_metadata["agentperf"]["cache"]` (which
    live answers carry too). Where nobody listens and nothing is behind this middleware, it skips
    that call and returns the message at once. Tools that an answer asks for still run.

    Put it before middleware that changes the model (routing, fallback): on a hit, what these set as
    the model is passed over. Put it behind middleware that changes what is asked (a prompt per
    user, tools per role): the key is made of the request as it arrives here, so an answer to a
    request that was changed further in is not kept, and the decision's reason says so.

    Not cached: requests with a temperature above 0, models without readable behaviour (an iterator
    of answers, a `RunnableWithFallbacks`), answers that were cut off, refused, empty, could not be
    parsed, or are more than one message. The policy can be widened; `decision.reason` says why.

    Args:
        cache: a core cache to share with other agents, an `ExactCache` or a `SemanticCache`; else
            one is made of the next four.
        semantic: an embedding model (of LangChain, or whatever `SemanticCache` takes): also serve
            questions that mean the same, where that is safe. A call races with the look-up (see
            `SemanticCache`) only where nothing is behind this middleware, so that whatever is there
            acts once.
        store: where answers live; default a `MemoryStore`.
        ttl_s: seconds an answer may be served, `None` for no limit; a policy brings its own.
        policy: what may be cached; default `CachePolicy(ttl_s=ttl_s)`, with `normalise=True` where
            `semantic` is given.
        tenant: whose answers these are, or a function of the request that says so.
        version: a tag that you change when prompts or data behind the answers change.

    Attributes:
        cache: the core cache in use.

    Raises:
        ConfigError: if `cache` is given together with `store`, `policy` or `semantic`, or `ttl_s`
            with either of `cache` and `policy`; if one of them is not what its name says.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel
        >>> model = FakeListChatModel(responses=["4"])
        >>> agent = create_agent(model, middleware=[ResponseCacheMiddleware(ttl_s=600)])
        >>> answer = agent.invoke({"messages": ["What is 2 + 2?"]})["messages"][-1]
        >>> answer.response_metadata["agentperf"]["cache"]["outcome"]
        'miss'
        >>> again = agent.invoke({"messages": ["What is 2 + 2?"]})["messages"][-1]
        >>> again.content, again.response_metadata["agentperf"]["cache"]["outcome"]
        ('4', 'hit')
    """

    if TRACE is not None:
        trace_policy = TRACE

    def __init__(
        self,
        *,
        cache: CoreCache | None = None,
        semantic: object = None,
        store: Store | None = None,
        ttl_s: float | None = DEFAULT_TTL_S,
        policy: CachePolicy | None = None,
        tenant: Tenant = None,
        version: str = "",
    ) -> None:
        super().__init__()
        check_tenant(tenant, asks="a function of the request", hint="give its str()")
        self.cache = cache_from(cache, store=store, policy=policy, ttl_s=ttl_s, semantic=semantic)
        self._tenant = tenant
        self._version = version
        self._direct = Direct()

    def wrap_model_call(
        self, request: _Request, handler: Callable[[_Request], _Response]
    ) -> _Response:
        """Answer from the cache or call the model. From `AgentMiddleware`."""
        return run(self._answer(request, handler))

    async def awrap_model_call(
        self, request: _Request, handler: Callable[[_Request], Awaitable[_Response]]
    ) -> _Response:
        """Like `wrap_model_call`. From `AgentMiddleware`."""
        return await arun(self._answer(request, handler))

    def _answer(self, request: _Request, handler: Callable[[_Request], Any]) -> Flow[_Response]:
        codec = ResponsesCodec()

        def live() -> Any:  # a coroutine, if the handler is that of an async agent
            return handler(watched(request, codec.changed))

        asked = agent_request(request, cache=self.cache, tenant=self._tenant, version=self._version)
        # Only the side of a step that fits the handler is ever called.
        call: Step[Answer] = Step(live, live)
        itself = self._direct.met(handler)
        again: Step[Answer] | None = Step(handler, handler, request) if itself.certain else None
        live_run = heard(request.model)
        # A call that is begun and given up has been through what is behind this middleware, and a
        # hit goes through it again: only where nothing is there may call and look-up race.
        answer = yield from self.cache.answer(
            asked, call, codec, refresh=again, live=live_run or not itself.certain
        )
        if isinstance(answer, ModelResponse):
            return answer
        direct = None if live_run else itself.response(request, answer)
        if direct is not None:
            return direct
        try:
            replay = replayed(request, answer)
        except Exception as error:  # a model whose own attributes raise
            BUS.fault("cache.replay", error)
            return (yield from Step[Any](handler, handler, request))
        said: Step[_Response] = Step(handler, handler, replay)
        response = restored((yield from said), answer)
        itself.learn(response)
        return response
