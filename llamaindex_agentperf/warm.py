"""`warm_up()`: connections, encoders, stores and tool results before the first request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from llama_index.core.llms import LLM
from llama_index.core.tools import BaseTool, ToolOutput

from agentperf_core.cache.embedding.embedders import as_embedder
from agentperf_core.errors import require_instance
from agentperf_core.flow import Flow, Step, both
from agentperf_core.tools import WarmUpReport
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
from llamaindex_agentperf.tools._wrapped import WrappedTool

__all__ = ["awarm_up", "warm_up"]


def _warm_up(
    *,
    model: LLM | None = None,
    encoders: Sequence[object] = (),
    cache: object = None,
    tools: Sequence[BaseTool] = (),
    calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ping: str | None = None,
    timeout_s: float = 60.0,
) -> Flow[WarmUpReport]:
    """Do before the first request what it would wait for.

    All of it at once; a step that fails stops no other one and is in the report, with its reason.
    `warm_up` opens the connections of sync calls; for agents, which are async, await `awarm_up` on
    the event loop that they will run on.

    Args:
        model: the model, or a wrapper such as `CachedLLM`. The connection of one with a client of
            the OpenAI SDK is opened by asking for the list of models; of another one by a light
            call, if there is a `ping`.
        encoders: what the semantic cache or a retriever uses: loaded, or connected.
        cache: a cache of the pack, a `CachedLLM`, or a list of them: the connections of their
            stores, and their encoders.
        tools: the agent's tools, for `calls`: `CachedTool`, `ManagedTool`, or what
            `cached_tools`, `manage_tools` and `prefetch_tools` give.
        calls: tool calls as (name, arguments), whose results are kept for all runs.
        ping: what to say to a model of which no other way is known; this is charged.
        timeout_s: seconds to wait for all of it.

    Raises:
        ConfigError: if an argument is not what its name says.

    Example:
        >>> from agentperf_core.toolpolicy import ToolPolicy
        >>> from llamaindex_agentperf import manage_tools
        >>> def rates(currency: str) -> str:
        ...     return "1.08"
        >>> tools = manage_tools([rates], {"rates": ToolPolicy(read_only=True, ttl_s=60)})
        >>> report = warm_up(tools=tools, calls=[("rates", {"currency": "EUR"})])
        >>> [(step.what, step.ok) for step in report.steps]
        [('call rates({"currency":"EUR"})', True)]
    """
    require_instance(LLM, "give a LlamaIndex LLM", model=model)
    caches = cast("list[object]", cache) if isinstance(cache, list) else [cache]
    steps = [] if model is None else [_model_step(model, ping)]
    steps += [encoder_step(one, partial(as_embedder, one)) for one in encoders]
    steps += [step for one in caches if one is not None for step in cache_steps(one)]
    known = {tool.metadata.get_name(): tool for tool in tools}
    steps += [_call_step(known.get(name), ToolCall("", name, given)) for name, given in calls]
    return (yield from warm(steps, timeout_s=timeout_s))


_warm_up.__name__ = "warm_up"
warm_up, awarm_up = both(_warm_up)
del _warm_up


def _model_step(model: LLM, ping: str | None) -> WarmStep:
    inner: Any = model
    while (around := getattr(inner, "inner", None)) is not None:
        inner = around  # a wrapper such as `CachedLLM`, whose cache must not keep the call
    what = f"model {type(inner).__name__}"
    client, aclient = (getattr(inner, name, None) for name in ("_get_client", "_get_aclient"))
    if client is not None and aclient is not None:  # there is no public reader
        return client_step(what, client, aclient)
    if ping is None:
        why = "nobody knows how to connect it without a call; give ping='hi' for a light one"
        return unable(what, why)
    return WarmStep(
        what, Step(partial(_said, inner.complete), partial(_asaid, inner.acomplete), ping)
    )


def _said(complete: Any, ping: str) -> None:
    complete(ping)


async def _asaid(acomplete: Any, ping: str) -> None:
    await acomplete(ping)


def _call_step(tool: BaseTool | None, call: ToolCall) -> WarmStep:
    if not isinstance(tool, WrappedTool):
        return call_step(call, None, None, _wrong)
    arguments = dict(call.arguments)
    step = Step(partial(tool.call, **arguments), partial(tool.acall, **arguments))
    return call_step(call, tool.policy, step, _wrong)


def _wrong(output: ToolOutput) -> str | None:
    return output.content if output.is_error else None


for _public in (warm_up, awarm_up):
    _public.__module__ = "llamaindex_agentperf"
