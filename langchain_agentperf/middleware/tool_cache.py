"""The cache of tool results of an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, cast

from langchain.agents.middleware import AgentMiddleware, ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.types import Command

from agentperf_core.cache import Store, check_tenant
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError, require_instance, require_positive
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf._tools.keeping import Asked, Keeper
from langchain_agentperf._tools.managed import Policies
from langchain_agentperf._tools.runs import run_of, surroundings, thread_of
from langchain_agentperf.middleware._trace import TRACE

__all__ = ["ToolCacheMiddleware"]

_Name: TypeAlias = str | Callable[[ToolCallRequest], str | None] | None


class ToolCacheMiddleware(AgentMiddleware[Any, Any, Any]):
    """Answers equal tool calls of an agent once, as far as the tools' policies allow it.

    Nothing is kept of a tool that is not declared `read_only`, or `idempotent` with a `ttl_s`, by a
    `ToolPolicy`. Equal calls in flight of such tools are one call. A call of a tool that `writes`
    makes what others `reads` forgotten. Content, artefact and status come back as they were, with
    the id of the new call; errors are not kept without a `negative_ttl_s`, and commands never. A
    served result fires the callbacks of a tool that ran.

    What the tools were given besides arguments is in no key. A tool that is given the run's state,
    store, runtime or config is therefore kept only with `cache_scope="run"` or `"session"`; for one
    that reads in a context variable whose data it is to fetch, give a `tenant`. A run is one
    invocation of the agent, with its subgraphs. A session is LangGraph's thread, if nothing else
    is said; without one nothing is kept of a tool whose `cache_scope` is `"session"`.

    Put it behind `ParallelToolsMiddleware`. Answers of `ResponseCacheMiddleware` that are built on
    a result expire with it; give that cache's store as `answers` of a `ToolResultCache` here, and a
    write forgets them too.

    Args:
        cache: a core cache to share with other agents; else one is made.
        store: where results live; default a `MemoryStore`.
        policies: what is declared of tools, by name; goes before their `tool_policy` decorators.
        ttl_s: seconds that results of a read-only tool may be served whose policy says nothing of
            time; `None` for none of its results.
        tenant: whose results these are, or a function of the request that says so.
        session: the session of a call, likewise; default LangGraph's thread.
        version: a tag that you change when tools or the data behind them change.

    Attributes:
        cache: the core cache in use.

    Raises:
        ConfigError: if `cache` is given together with `store`, or an argument is not what its name
            says.

    Example:
        >>> from agentperf_core.toolpolicy import ToolPolicy
        >>> orders = ["orders:{order_id}"]
        >>> kept = ToolCacheMiddleware(policies={
        ...     "get_order": ToolPolicy(read_only=True, reads=orders, ttl_s=60),
        ...     "update_order": ToolPolicy(writes=orders),
        ... })
        >>> type(kept.cache).__name__
        'ToolResultCache'
    """

    if TRACE is not None:
        trace_policy = TRACE

    def __init__(
        self,
        *,
        cache: ToolResultCache | None = None,
        store: Store | None = None,
        policies: Mapping[str, ToolPolicy] | None = None,
        ttl_s: float | None = 300.0,
        tenant: _Name = None,
        session: _Name = None,
        version: str = "",
    ) -> None:
        super().__init__()
        require_instance(ToolResultCache, "give a store as store=", cache=cache)
        require_positive(ttl_s=ttl_s)
        if cache is not None and store is not None:
            msg = f"cache= brings its own store, got {store!r} too; drop one"
            raise ConfigError(msg)
        for name, value in (("tenant", tenant), ("session", session)):
            check_tenant(
                value, asks="a function of the request", hint=f"give {name}='name'", name=name
            )
        self.cache = cache if cache is not None else ToolResultCache(store)
        self._keeper = Keeper(self.cache, version=version)
        self._policies = Policies(policies)
        self._ttl_s = ttl_s
        self._tenant = tenant
        self._session = session

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Answer from the cache or make the call. From `AgentMiddleware`."""
        return run(self._call(request, handler))

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Like `wrap_tool_call`. From `AgentMiddleware`."""
        return await arun(self._call(request, handler))

    def _call(self, request: ToolCallRequest, handler: Callable[..., Any]) -> Flow[Any]:
        tool = request.tool
        step: Step[Any] = Step(handler, handler, request)
        if tool is None:  # one that middleware further in will put in, or none at all
            return (yield from step)
        config, tools = surroundings(request)
        self._policies.check(tools)

        def asked() -> Asked:
            return Asked(
                tool=tool,
                call=cast("Mapping[str, Any]", request.tool_call),
                policy=self._policy(request),
                config=config,
                run=run_of(request),
                session=_said(self._session, request) or thread_of(config),
                tenant=_said(self._tenant, request),
            )

        return (yield from self._keeper.call(asked, step))

    def _policy(self, request: ToolCallRequest) -> ToolPolicy | None:
        policy = self._policies.of(request.tool_call["name"], request.tool)
        if policy is not None and policy.read_only and policy.ttl_s is None:
            return replace(policy, ttl_s=self._ttl_s)
        return policy


def _said(name: _Name, request: ToolCallRequest) -> str | None:
    return name(request) if callable(name) else name
