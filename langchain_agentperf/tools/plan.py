"""Plans of tool calls: results of some as arguments of others, each made as soon as it can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from agentperf_core.errors import ConfigError
from agentperf_core.flow import arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import Done, Plan
from agentperf_core.tools import ToolExecutor as CoreExecutor
from langchain_agentperf.tools.executor import ToolExecutor

__all__ = ["arun_plan", "run_plan"]

Tools = Sequence[BaseTool | Callable[..., Any]] | ToolExecutor


def run_plan(
    plan: Plan,
    tools: Tools,
    *,
    executor: CoreExecutor | None = None,
    policies: Mapping[str, ToolPolicy] | None = None,
    config: RunnableConfig | None = None,
) -> list[Done[ToolMessage]]:
    """Make the calls of a plan, each as soon as what it depends on has succeeded.

    A call depends on those that it names in `depends_on` and on those that its arguments refer to:
    `"$user.mail"` is the field of what the call with the id `user` gave, `"for ${user.name}"` puts
    it into a text, and `"$$user"` is the text `$user` (`agentperf_core.tools.references`). What a
    tool says is read as JSON if it is an object or a list. Calls that write what others read or
    write (`ToolPolicy.writes`, `reads`, `exclusive`) keep the order of the plan.

    A call that fails, or can never be made, becomes an error message; those that depend on it are
    not made, and all others are.

    Args:
        plan: the calls, as values or as JSON objects with `id`, `tool`, `arguments` and
            `depends_on`; LangChain's tool calls are such, too.
        tools: tools, functions to make tools of, or a `ToolExecutor` that has them, with its
            settings.
        executor: a core executor to share, which knows how long tools take: where places are
            scarce, the call with the longest expected tail goes first. Else one is made.
        policies: what is declared of the tools, by name.
        config: passed to the tools.

    Returns:
        For each call, in the order of the plan, its message (`result`) and how it went (`run`).

    Raises:
        ConfigError: if it is no plan, see `ToolExecutor`, or a `ToolExecutor` is given settings.
        BaseException: what ends or steers the run, such as an interrupt, once all calls have ended
            that do not depend on the one that raised it.

    Example:
        >>> def get_user(name: str) -> dict:
        ...     '''Look a user up.'''
        ...     return {"name": name, "mail": f"{name.lower()}@example.org"}
        >>> def send(to: str) -> str:
        ...     '''Send a mail.'''
        ...     return f"sent to {to}"
        >>> plan = [
        ...     {"id": "user", "tool": "get_user", "arguments": {"name": "Ada"}},
        ...     {"id": "mail", "tool": "send", "arguments": {"to": "$user.mail"}},
        ... ]
        >>> [done.result.content for done in run_plan(plan, [get_user, send])][1]
        'sent to ada@example.org'
    """
    runnable = _runnable(tools, executor, policies)
    flow = runnable.executor.call_plan(*runnable.planned(plan, config))
    return cast("list[Done[ToolMessage]]", run(flow))


async def arun_plan(
    plan: Plan,
    tools: Tools,
    *,
    executor: CoreExecutor | None = None,
    policies: Mapping[str, ToolPolicy] | None = None,
    config: RunnableConfig | None = None,
) -> list[Done[ToolMessage]]:
    """Like `run_plan`; a cancellation cancels the calls."""
    runnable = _runnable(tools, executor, policies)
    flow = runnable.executor.call_plan(*runnable.planned(plan, config))
    return cast("list[Done[ToolMessage]]", await arun(flow))


def _runnable(
    tools: Tools, executor: CoreExecutor | None, policies: Mapping[str, ToolPolicy] | None
) -> ToolExecutor:
    if not isinstance(tools, ToolExecutor):
        return ToolExecutor(tools, executor=executor, policies=policies)
    if executor is not None or policies is not None:
        msg = (
            "a ToolExecutor has its own executor and policies, got others beside it; give them to "
            "the ToolExecutor"
        )
        raise ConfigError(msg)
    return tools


for _public in (run_plan, arun_plan):
    _public.__module__ = "langchain_agentperf"
