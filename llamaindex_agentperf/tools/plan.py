"""Plans of tool calls: results of some as arguments of others, each made as soon as it can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_index.core.tools import BaseTool, FunctionTool, ToolOutput
from llama_index.core.workflow import Context

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import Done, Plan, PlanTools, ToolExecutor, ToolGraph, ToolJob
from agentperf_core.types import ToolCall
from llamaindex_agentperf.tools._outputs import OutputResults, plain
from llamaindex_agentperf.tools._wrapped import made
from llamaindex_agentperf.tools.manage import ToolManager
from llamaindex_agentperf.tools.managed import ManagedTool

__all__ = ["arun_plan", "run_plan"]


def run_plan(
    plan: Plan,
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    executor: ToolExecutor | None = None,
    policies: Mapping[str, ToolPolicy] | None = None,
    cache: ToolResultCache | None = None,
    ctx: Context | None = None,
) -> list[Done[ToolOutput]]:
    """Make the calls of a plan, each as soon as what it depends on has succeeded.

    A call depends on those that it names in `depends_on` and on those that its arguments refer to:
    `"$user.mail"` is the field of what the call with the id `user` gave, `"for ${user.name}"` puts
    it into a text, and `"$$user"` is the text `$user` (`agentperf_core.tools.references`). What a
    tool gave is its `raw_output` as plain JSON. Calls that write what others read or write
    (`ToolPolicy.writes`, `reads`, `exclusive`) keep the order of the plan.

    A call that fails, or can never be made, becomes an output with `is_error`; those that depend on
    it are not made, and all others are.

    Args:
        plan: the calls, as values or as JSON objects with `id`, `tool`, `arguments` and
            `depends_on`.
        tools: tools, or functions to make tools of.
        executor: shared with others, so that it knows how long tools take: where places are scarce,
            the call with the longest expected tail goes first. Default a new one.
        policies: what is declared of the tools, by name.
        cache: where results of tools with `ttl_s` are shared; default a new one.
        ctx: the run's context, for tools that take it.

    Returns:
        For each call, in the order of the plan, its output (`result`) and how it went (`run`).

    Raises:
        ConfigError: if it is no plan, two tools have one name, or see `manage_tools`.
        BaseException: what makes a workflow wait for an event, once all calls have ended that do
            not depend on the one that raised it.

    Example:
        >>> def get_user(name: str) -> dict:
        ...     return {"name": name, "mail": f"{name.lower()}@example.org"}
        >>> def send(to: str) -> str:
        ...     return f"sent to {to}"
        >>> plan = [
        ...     {"id": "user", "tool": "get_user", "arguments": {"name": "Ada"}},
        ...     {"id": "mail", "tool": "send", "arguments": {"to": "$user.mail"}},
        ... ]
        >>> [done.result.content for done in run_plan(plan, [get_user, send])][1]
        'sent to ada@example.org'
    """
    return run(_flow(plan, tools, ToolManager(policies, executor, cache), ctx))


async def arun_plan(
    plan: Plan,
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    executor: ToolExecutor | None = None,
    policies: Mapping[str, ToolPolicy] | None = None,
    cache: ToolResultCache | None = None,
    ctx: Context | None = None,
) -> list[Done[ToolOutput]]:
    """Like `run_plan`; a cancellation cancels the calls."""
    return await arun(_flow(plan, tools, ToolManager(policies, executor, cache), ctx))


def _flow(
    plan: Plan,
    tools: Sequence[BaseTool | Callable[..., Any]],
    manager: ToolManager,
    ctx: Context | None,
) -> Flow[list[Done[ToolOutput]]]:
    found = [made(tool) for tool in tools]
    manager.check(found)
    named = _by_name(manager.manage(found))
    graph = ToolGraph(
        plan, tools=tuple(named), policies={name: tool.policy for name, tool in named.items()}
    )

    def job(call: ToolCall) -> ToolJob[ToolOutput]:
        tool, given = named[call.name], dict(call.arguments)
        if tool.requires_context and tool.ctx_param_name and ctx is not None:
            given[tool.ctx_param_name] = ctx
        return tool.job((), given, call_id=call.id, alone=True)

    # Of calls that are not made there are only failures, which no tool has to read.
    results = OutputResults(FunctionTool.from_defaults(_flow))
    return (
        yield from manager.executor.call_plan(
            graph, PlanTools(job=job, results=results, plain=plain)
        )
    )


def _by_name(tools: Sequence[ManagedTool]) -> dict[str, ManagedTool]:
    found: dict[str, ManagedTool] = {}
    for tool in tools:
        name = tool.metadata.get_name()
        if found.setdefault(name, tool) is not tool:
            msg = f"tools are called by name, got two of the name {name!r}; rename one"
            raise ConfigError(msg)
    return found


for _public in (run_plan, arun_plan):
    _public.__module__ = "llamaindex_agentperf"
