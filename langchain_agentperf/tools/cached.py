"""`cached_tool`: any LangChain tool with its results cached, as far as its policy allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from agentperf_core.cache import check_tenant
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.flow import Flow, Step, both
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor
from langchain_agentperf._tools.asked import call_of
from langchain_agentperf._tools.bound import async_side, standing_in
from langchain_agentperf._tools.facts import facts_of
from langchain_agentperf._tools.keeping import Asked, Keeper
from langchain_agentperf._tools.prepared import prepared
from langchain_agentperf._tools.runs import current_run, thread_of

__all__ = ["cached_tool"]

B = TypeVar("B", bound=BaseTool)
_Name: TypeAlias = str | Callable[[], str | None] | None


def cached_tool(
    tool: B,
    *,
    policy: ToolPolicy | None = None,
    cache: ToolResultCache | None = None,
    tenant: _Name = None,
    session: _Name = None,
    version: str = "",
    executor: ToolExecutor | None = None,
) -> B:
    """A tool with its results cached, for code that calls tools without an agent.

    It is of the tool's own class, with its name, schema and callbacks, and works wherever the tool
    does: `invoke`, `ainvoke`, `batch`, chains, graphs. A call by LangChain's form of a tool call
    gives a `ToolMessage` with content, artefact and status as they were; a call by plain arguments
    gives what the tool returned, and is kept apart.

    Tools of one cache are told apart by name, description, parameters, and the module and name of
    their function. A closure, a bound method, and so a tool of a class of its own, carries what
    these do not show: each object has results of its own, unless a `version` says what it carries.

    Args:
        tool: the tool.
        policy: what is declared of it; default what its `tool_policy` decorator says.
        cache: the cache to share with other tools; default one of its own.
        tenant: whose results these are, as a name or a function that is asked at every call.
        session: the session of a call, likewise; default the `thread_id` of its config.
        version: a tag to change when the tool changes; for a tool that carries something, also what
            that is.
        executor: where a sync tool runs when it is awaited; default the event loop's own threads.

    Raises:
        ConfigError: if nothing is declared of the tool; if its policy says `writes` and there is no
            `cache` in which to forget what was read; if a tool that is given the run's state or
            config were to share results between runs.

    Example:
        >>> from langchain_core.tools import tool
        >>> @tool
        ... def rate(currency: str) -> str:
        ...     '''Today's rate.'''
        ...     ran.append(currency)
        ...     return "1.08"
        >>> ran = []
        >>> cached = cached_tool(rate, policy=ToolPolicy(read_only=True, ttl_s=60))
        >>> [cached.invoke({"currency": "EUR"}) for _ in range(2)], ran
        (['1.08', '1.08'], ['EUR'])
    """
    require_instance(BaseTool, "make one of a function with langchain's @tool", tool=tool)
    require_instance(ToolResultCache, "give a ToolResultCache or leave it out", cache=cache)
    require_instance(ToolExecutor, "give one of agentperf_core.tools", executor=executor)
    for name, value in (("tenant", tenant), ("session", session)):
        check_tenant(value, asks="a function", hint=f"give {name}='name'", name=name)
    found = _checked(tool, policy if policy is not None else facts_of(tool).policy, cache)
    keeper = Keeper(
        cache if cache is not None else ToolResultCache(), version=version, named=bool(version)
    )

    def called(input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Flow[Any]:  # noqa: A002 - LangChain's name
        def asked() -> Asked:
            return Asked(
                tool=tool,
                call=call_of(tool, input),
                policy=found,
                config=config,
                run=current_run() if found.cache_scope == "run" else None,
                session=(session() if callable(session) else session) or thread_of(config),
                tenant=tenant() if callable(tenant) else tenant,
            )

        def call() -> Any:
            return prepared(tool).invoke(input, config, **kwargs)

        def acall() -> Any:
            ready = prepared(tool)
            inner = ready.ainvoke if executor is None else async_side(ready, executor)
            return inner(input, config, **kwargs)

        return keeper.call(asked, Step(call, acall))

    return standing_in(tool, *both(called))


def _checked(
    tool: BaseTool, policy: ToolPolicy | None, cache: ToolResultCache | None
) -> ToolPolicy:
    require_instance(ToolPolicy, "declare what the tool does", policy=policy)
    if policy is None:
        msg = f"a cached tool needs a policy, got none for {tool.name!r}; give policy=ToolPolicy()"
        raise ConfigError(msg)
    if policy.writes and cache is None:
        msg = (
            f"writes={policy.writes!r} needs the cache of the tools that read the same, got "
            "cache=None; give one ToolResultCache to all of them"
        )
        raise ConfigError(msg)
    if policy.repeatable and policy.cache_scope == "global" and facts_of(tool).of_the_run:
        msg = (
            f"tool {tool.name!r} is given the run's state or config and may say something else in "
            "another run, got cache_scope='global'; say 'run' or 'session'"
        )
        raise ConfigError(msg)
    return policy
