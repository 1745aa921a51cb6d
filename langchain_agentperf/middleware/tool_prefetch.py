"""Calls of an agent's tools before its model asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast
from uuid import uuid4

from langchain.agents.middleware import (
    AgentMiddleware,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.messages import ToolMessage
from langgraph.config import get_config
from langgraph.types import Command

from agentperf_core.cache import check_tenant
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import require_instance
from agentperf_core.events import BUS
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.prefetch.prefetcher import Prefetcher
from agentperf_core.tools.prefetch.rules import PrefetchRule
from agentperf_core.tools.prefetch.session import PrefetchSession
from langchain_agentperf._tools.keeping import Keeper
from langchain_agentperf._tools.managed import Policies
from langchain_agentperf._tools.prefetching import AgentTools, Whose, new_texts, plain_result
from langchain_agentperf._tools.runs import current_run, surroundings, thread_of
from langchain_agentperf._tools.siblings import core_call
from langchain_agentperf.middleware._trace import TRACE

__all__ = ["ToolPrefetchMiddleware"]

_Name: TypeAlias = str | Callable[[Any], str | None] | None


class ToolPrefetchMiddleware(AgentMiddleware[Any, Any, Any]):
    """Calls tools while the model still thinks about asking for them.

    After a call, and when the user has said something, rules say which calls are likely next. Those
    of tools with `ToolPolicy(prefetch=True)` are made at once, and the agent's own call finds the
    result in the cache, or joins the one in flight. Nothing else changes: what was not foreseen
    is called as usual, a guess that fails is never heard of, and callbacks only hear of calls that
    the model made. A tool that is given the run's state, store, runtime or config is not called on
    a guess.

    Put it behind `ParallelToolsMiddleware`, and give the prefetcher that one's executor, so that
    guesses come behind all calls; if there is a `ToolCacheMiddleware`, put it before that, with the
    same `cache`, `tenant`, `session` and `version`.

    Args:
        prefetcher: a core `Prefetcher` to share with other agents, or rules to make one of.
        cache: a core cache to share with other middleware; else one is made.
        policies: what is declared of tools, by name; goes before their `tool_policy` decorators.
        tenant: whose results these are, or a function of the request (of a tool call or a model
            call) that says so.
        session: the session of a call, likewise; default LangGraph's thread.
        version: see `ToolCacheMiddleware`.

    Attributes:
        prefetcher: the core prefetcher in use: `stats()`, `rules`.
        cache: the core cache in use.

    Raises:
        ConfigError: if a rule cannot be read, one calls a tool of `policies` that may not be
            called on a guess, or an argument is not what its name says.

    Example:
        >>> prefetch = ToolPrefetchMiddleware(
        ...     ["after get_user: get_order(order_id=result.orders[].id)"],
        ...     policies={"get_order": ToolPolicy(read_only=True, ttl_s=60, prefetch=True)},
        ... )
        >>> prefetch.prefetcher.stats().begun
        0
    """

    if TRACE is not None:
        trace_policy = TRACE

    def __init__(
        self,
        prefetcher: Prefetcher | Iterable[PrefetchRule | str],
        *,
        cache: ToolResultCache | None = None,
        policies: Mapping[str, ToolPolicy] | None = None,
        tenant: _Name = None,
        session: _Name = None,
        version: str = "",
    ) -> None:
        super().__init__()
        require_instance(ToolResultCache, "give one or leave it out", cache=cache)
        for name, value in (("tenant", tenant), ("session", session)):
            check_tenant(
                value, asks="a function of the request", hint=f"give {name}='name'", name=name
            )
        made = prefetcher if isinstance(prefetcher, Prefetcher) else Prefetcher(prefetcher)
        self._policies = Policies(policies)
        made.check(policies or {}, complete=False)  # others may have a policy of their own
        self.prefetcher = made
        self.cache = cache if cache is not None else ToolResultCache()
        self._keeper = Keeper(self.cache, version=version)
        self._tenant = tenant
        self._session = session
        self._id = uuid4().hex

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Listen to what the user has said, and call the model. From `AgentMiddleware`."""
        run(self._listen(request))
        return handler(request)

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Like `wrap_model_call`. From `AgentMiddleware`."""
        await arun(self._listen(request))
        return await handler(request)

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Make the call, and those that are likely next. From `AgentMiddleware`."""
        return run(self._call(request, handler))

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Like `wrap_tool_call`. From `AgentMiddleware`."""
        return await arun(self._call(request, handler))

    def after_agent(self, state: Any, runtime: Any) -> None:
        """The run is over: cancel what still runs on a guess. From `AgentMiddleware`."""
        run(self._end())

    async def aafter_agent(self, state: Any, runtime: Any) -> None:
        """Like `after_agent`. From `AgentMiddleware`."""
        await arun(self._end())

    def _listen(self, request: ModelRequest[Any]) -> Flow[None]:
        texts = new_texts(request.messages)
        session = self._watch(request, request.tools) if texts else None
        if session is not None and session[0].listens:
            for text in texts:
                yield from session[0].heard(text)

    def _call(self, request: ToolCallRequest, handler: Callable[..., Any]) -> Flow[Any]:
        step: Step[Any] = Step(handler, handler, request)
        config, tools = surroundings(request)
        self._policies.check(tools)
        watched = self._watch(request, tools)
        if watched is None:
            return (yield from step)
        session, known = watched
        call = cast("Mapping[str, Any]", request.tool_call)
        through = known.through(request.tool, call, config)
        return (
            yield from session.around(core_call(call), step, through=through, read=plain_result)
        )

    def _end(self) -> Flow[None]:
        name = self._conversation()
        if name is not None:
            yield from self.prefetcher.end(name)

    def _watch(
        self, request: Any, tools: Iterable[object]
    ) -> tuple[PrefetchSession[Any], AgentTools] | None:
        """The conversation of a request, and how its tools are called; `None` if nobody can say."""
        try:
            thread, run_id = thread_of(_config()), current_run()
            whose = Whose(
                tenant=_said(self._tenant, request),
                session=_said(self._session, request) or thread,
                run=run_id,
            )
            known = AgentTools(tools, self._policies, self._keeper, self.prefetcher.executor, whose)
            return self.prefetcher.session(known, self._conversation()), known
        except Exception as error:
            BUS.fault("tools.prefetch.watch", error)
            return None

    def _conversation(self) -> tuple[str, str] | None:
        """What a conversation is known by: its thread, else its run."""
        found = thread_of(_config()) or current_run()
        return (self._id, found) if found is not None else None


def _config() -> Mapping[str, Any] | None:
    try:
        return cast("Mapping[str, Any]", get_config())
    except RuntimeError:  # outside of graphs
        return None


def _said(name: _Name, request: Any) -> str | None:
    return name(request) if callable(name) else name
