"""Light functions in place of an agent's tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from langchain.agents.middleware import ToolCallRequest

from agentperf_core.errors import require_instance
from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import Substitute
from agentperf_core.tools import SubstituteRegistry
from langchain_agentperf._tools.results import NotedResults
from langchain_agentperf._tools.runs import surroundings
from langchain_agentperf._tools.siblings import core_call
from langchain_agentperf._tools.telling import tell
from langchain_agentperf.middleware._around_tools import AroundTools

__all__ = ["ToolSubstituteMiddleware"]


class ToolSubstituteMiddleware(AroundTools):
    """Lets light local functions answer in place of an agent's tools, where they can.

    A substitute answers where its condition on the arguments holds, and where its tool raised or
    was turned away by a breaker. The message says so in `response_metadata["agentperf"]["tool"]`,
    and callbacks hear of it as of a tool that ran.

    Put it last, behind `ParallelToolsMiddleware` and `ToolCacheMiddleware`.

    Args:
        registry: a core registry to share with other agents, or substitutes by name of the tool;
            ready ones are in `agentperf_core.tools.light`.

    Attributes:
        registry: the core registry in use.

    Raises:
        ConfigError: if it is something else, or one of its substitutes is none.

    Example:
        >>> from agentperf_core.tools.light import arithmetic, date_time
        >>> light = ToolSubstituteMiddleware({"calculator": arithmetic(), "now": date_time()})
        >>> light.registry.names
        ('calculator', 'now')
    """

    def __init__(
        self, registry: SubstituteRegistry | Mapping[str, Substitute | Callable[..., Any]]
    ) -> None:
        super().__init__()
        if isinstance(registry, Mapping):
            registry = SubstituteRegistry(registry)
        require_instance(
            SubstituteRegistry, "give one, or substitutes by name of the tool", registry=registry
        )
        self.registry = registry

    def _call(self, request: ToolCallRequest, handler: Callable[..., Any]) -> Flow[Any]:
        step: Step[Any] = Step(handler, handler, request)
        results = NotedResults()
        result = yield from self.registry.run(core_call(request.tool_call), step, results)
        if results.run is not None and request.tool is not None:
            call = cast("Mapping[str, Any]", request.tool_call)
            config, _ = surroundings(request)
            yield from tell(request.tool, call, config, result, results.run.record())
        return result
