"""`warm_up()`: connections, encoders, stores and tool results before the first request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from agentperf_core.cache.embedding.embedders import as_embedder
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.flow import Flow, Step, arun, both, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor, WarmUpReport
from agentperf_core.tools.warm import WarmStep
from agentperf_core.tools.warm import warm_up as warm
from agentperf_core.tools.warm_steps import (
    cache_steps,
    call_step,
    client_step,
    encoder_step,
    unable,
)
from agentperf_core.types import ToolCall
from langchain_agentperf._tools.asked import tools_by_name
from langchain_agentperf._tools.keeping import Keeper
from langchain_agentperf._tools.managed import Policies
from langchain_agentperf._tools.prefetching import AgentTools, Whose

__all__ = ["awarm_up", "warm_up"]

_TTL_S = 300.0  # as in `ToolCacheMiddleware`


def _warm_up(  # noqa: PLR0913 - keyword-only settings, each with a default
    *,
    model: Runnable[Any, Any] | None = None,
    encoders: Sequence[object] = (),
    cache: object = None,
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
    calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
    policies: Mapping[str, ToolPolicy] | None = None,
    tenant: str | None = None,
    version: str = "",
    ping: str | None = None,
    timeout_s: float = 60.0,
) -> Flow[WarmUpReport]:
    """Do before the first request what it would wait for.

    All of it at once; a step that fails stops no other one and is in the report, with its reason.
    `warm_up` opens the connections of sync calls; for an async agent, await `awarm_up` on the event
    loop that the agent will run on.

    Args:
        model: a chat model. The connection of one with a client of the OpenAI SDK is opened by
            asking for the list of models; of another one by a light call, if there is a `ping`.
        encoders: what the semantic cache or a retriever uses: loaded, or connected.
        cache: a cache of the pack, a middleware that has one, or a list of them: the connections of
            their stores, and their encoders.
        tools: the agent's tools, for `calls`.
        calls: tool calls as (name, arguments), whose results are kept for all runs. One of `cache`
            has to have a `ToolResultCache`, such as the `ToolCacheMiddleware`.
        policies: what is declared of tools, by name, as in that middleware.
        tenant: whose results the calls give, as in that middleware.
        version: as in that middleware.
        ping: what to say to a model of which no other way is known; this is charged.
        timeout_s: seconds to wait for all of it.

    Raises:
        ConfigError: if an argument is not what its name says.

    Example:
        >>> from agentperf_core.cache import ToolResultCache
        >>> def rates(currency: str) -> str:
        ...     '''Today's rates.'''
        ...     return "1.08"
        >>> report = warm_up(
        ...     cache=ToolResultCache(), tools=[rates], calls=[("rates", {"currency": "EUR"})],
        ...     policies={"rates": ToolPolicy(read_only=True, ttl_s=60)},
        ... )
        >>> [(step.what, step.ok) for step in report.steps]
        [('store MemoryStore', True), ('call rates({"currency":"EUR"})', True)]
    """
    require_instance(Runnable, "give a chat model", model=model)
    executor = ToolExecutor()
    caches = cast("list[object]", cache) if isinstance(cache, list) else [cache]
    caches = [one for one in caches if one is not None]
    steps = [] if model is None else [_model_step(model, ping)]
    steps += [encoder_step(one, partial(as_embedder, one)) for one in encoders]
    steps += [step for one in caches for step in cache_steps(one)]
    if calls:
        keeper = Keeper(_tool_cache(caches), version=version)
        whose = Whose(tenant=tenant, session=None, run=None)
        known = tools_by_name(tools)
        agent = AgentTools(known.values(), _kept(policies, known), keeper, executor, whose)
        steps += [_call_step(agent, ToolCall("warm-up", *call), executor) for call in calls]
    try:
        return (yield from warm(steps, timeout_s=timeout_s, executor=executor))
    finally:
        executor.close()


_warm_up.__name__ = "warm_up"
warm_up, awarm_up = both(_warm_up)
del _warm_up


def _model_step(model: Runnable[Any, Any], ping: str | None) -> WarmStep:
    inner: Any = model
    # Bound tools, and wrappers such as `CachedChatModel`, whose cache must not keep the call.
    while (around := getattr(inner, "bound", None) or getattr(inner, "inner", None)) is not None:
        inner = around
    what = f"model {type(inner).__name__}"
    if getattr(inner, "root_client", None) is not None:
        return client_step(what, lambda: inner.root_client, lambda: inner.root_async_client)
    if ping is None:
        why = "nobody knows how to connect it without a call; give ping='hi' for a light one"
        return unable(what, why)
    return WarmStep(what, Step(partial(_said, inner.invoke), partial(_asaid, inner.ainvoke), ping))


def _said(invoke: Callable[..., Any], ping: str) -> None:
    invoke(ping, {"callbacks": []})


async def _asaid(ainvoke: Callable[..., Any], ping: str) -> None:
    await ainvoke(ping, {"callbacks": []})


def _tool_cache(caches: Sequence[object]) -> ToolResultCache:
    for one in caches:
        found = getattr(one, "cache", one)
        if isinstance(found, ToolResultCache):
            return found
    msg = f"calls need a cache of tool results to be kept in, got {caches!r}; give one as cache="
    raise ConfigError(msg)


def _kept(policies: Mapping[str, ToolPolicy] | None, tools: Mapping[str, BaseTool]) -> Policies:
    """The policies, as `ToolCacheMiddleware` reads them."""
    given, found = Policies(policies), dict(policies or {})
    for name, tool in tools.items():
        policy = given.of(name, tool)
        if policy is not None and policy.read_only and policy.ttl_s is None:
            found[name] = replace(policy, ttl_s=_TTL_S)
    return Policies(found)


def _call_step(agent: AgentTools, call: ToolCall, executor: ToolExecutor) -> WarmStep:
    job = agent.job(call)
    if job is None:
        return call_step(call, None, None, _wrong)

    def flow() -> Flow[Any]:
        return (yield from executor.call(job)).result

    step: Step[Any] = Step(lambda: run(flow()), lambda: arun(flow()))
    return call_step(call, agent.policy(call.name), step, _wrong)


def _wrong(result: Any) -> str | None:
    failed = isinstance(result, ToolMessage) and result.status == "error"
    return result.text if failed else None
