"""`manage_tools()`: all tools of an agent behind one executor and one cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.tools import BaseTool
from llama_index.core.tools.types import BaseToolAsyncAdapter

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import require_instance
from agentperf_core.toolpolicy import ToolPolicy, policies_for
from agentperf_core.tools import ToolExecutor
from llamaindex_agentperf.tools._sharing import Name, Whose, of_all
from llamaindex_agentperf.tools._wrapped import made
from llamaindex_agentperf.tools.managed import ManagedTool

__all__ = ["ToolManager", "manage_tools"]

_MOST_KEPT = 1024


class ToolManager:
    """Wraps tools, each of them once, with what they share.

    Args:
        policies: what is declared, by name of the tool.
        executor: see `manage_tools`.
        cache: see `manage_tools`.
        whose: see `CachedTool`.

    Raises:
        ConfigError: if an argument is of another kind.
    """

    def __init__(
        self,
        policies: Mapping[str, ToolPolicy] | None = None,
        executor: ToolExecutor | None = None,
        cache: ToolResultCache | None = None,
        whose: Whose | None = None,
    ) -> None:
        hint = "give one or leave it out"
        require_instance(Mapping, "write policies={name: ToolPolicy(...)}", policies=policies)
        require_instance(ToolExecutor, hint, executor=executor)
        require_instance(ToolResultCache, hint, cache=cache)
        self._policies = policies or {}
        self._executor = executor if executor is not None else ToolExecutor()
        self._cache = cache if cache is not None else ToolResultCache()
        self._whose = whose or Whose()
        self._wrapped: dict[int, tuple[BaseTool, ManagedTool]] = {}
        self._known: dict[str, ToolPolicy] = {}

    @property
    def executor(self) -> ToolExecutor:
        """Who runs the calls of tools that were wrapped here."""
        return self._executor

    def check(self, tools: Iterable[BaseTool]) -> None:
        """Check the policies against all tools that there are.

        Raises:
            ConfigError: if there is a policy for a tool that does not exist, or something else in
                place of a policy.
        """
        policies_for({tool.metadata.get_name(): tool for tool in tools}, self._policies)

    def manage(self, tools: Iterable[BaseTool]) -> list[ManagedTool]:
        """The tools under management; those that are already stay as they are."""
        return [self._managed(tool) for tool in tools]

    def another(self) -> ToolManager:
        """One for other tools, which shares all with this one."""
        return ToolManager(self._policies, self._executor, self._cache, self._whose)

    def knows(self, names: Iterable[str]) -> bool:
        """Whether tools of all these names were wrapped here."""
        return self._known.keys() >= set(names)

    def policy_of(self, name: str) -> ToolPolicy | None:
        """The policy of a tool that was wrapped here; `None` if there was none of this name."""
        return self._known.get(name)

    def _managed(self, tool: BaseTool) -> ManagedTool:
        # LlamaIndex makes an adapter anew at every step of an agent.
        inner = tool.base_tool if isinstance(tool, BaseToolAsyncAdapter) else tool
        found = self._wrapped.get(id(inner))
        if found is not None:
            return found[1]
        managed = self._make(inner)
        self._known[inner.metadata.get_name()] = managed.policy
        if len(self._wrapped) >= _MOST_KEPT:
            self._wrapped.clear()  # tools of a retriever may be new ones every time
        self._wrapped[id(inner)] = (inner, managed)
        return managed

    def _make(self, tool: BaseTool) -> ManagedTool:
        policy = self._policies.get(tool.metadata.get_name())
        if isinstance(tool, ManagedTool) and policy is None:
            return tool
        whose = Whose(**self._whose)
        whose["version"] = of_all(whose.get("version", ""), tool)
        return ManagedTool(tool, policy=policy, executor=self._executor, cache=self._cache, **whose)


def manage_tools(
    tools: Sequence[BaseTool | Callable[..., Any]],
    policies: Mapping[str, ToolPolicy] | None = None,
    *,
    executor: ToolExecutor | None = None,
    cache: ToolResultCache | None = None,
    tenant: Name = None,
    session: Name = None,
    version: str = "",
) -> list[BaseTool]:
    """The tools behind one executor, and one cache for those whose policy has `ttl_s`.

    Args:
        tools: tools or functions to make tools of.
        policies: what is declared, by name of the tool; goes before what `tool_policy` has left on
            it. A tool without either has limits in number only.
        executor: who runs them; default a new one.
        cache: where results are shared; default a new one.
        tenant: see `CachedTool`.
        session: see `CachedTool`.
        version: see `cached_tools`.

    Raises:
        ConfigError: if there is a policy for a tool that does not exist, or see `ManagedTool`.

    Example:
        >>> def ping() -> str:
        ...     return "pong"
        >>> (tool,) = manage_tools([ping], {"ping": ToolPolicy(timeout_s=2)})
        >>> tool.policy.timeout_s
        2
    """
    whose = Whose(tenant=tenant, session=session, version=version)
    manager = ToolManager(policies, executor, cache, whose)
    require_instance(Iterable, "give a list of tools", tools=tools)
    found = [made(tool) for tool in tools]
    manager.check(found)
    return [*manager.manage(found)]


manage_tools.__module__ = "llamaindex_agentperf"
