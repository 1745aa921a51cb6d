"""The steps of LlamaIndex's agents and workflows that the calls of a message pass through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from weakref import WeakKeyDictionary

from llama_index.core.agent.workflow import AgentInput, AgentOutput, ToolCall, ToolCallResult
from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
from llama_index.core.workflow import Context, StopEvent, step  # pyright: ignore[reportUnknownVariableType] - untyped upstream

from agentperf_core.tools.order import conflicts
from agentperf_core.types import ToolCall as Call
from llamaindex_agentperf.agents import _places
from llamaindex_agentperf.tools.manage import ToolManager
from llamaindex_agentperf.tools.managed import calling

__all__ = ["ParallelCalls"]

# Who runs is up to the executor, by priority, so all calls of a message must reach it.
_MOST_CALLS = 256

_steps: WeakKeyDictionary[type, tuple[str, ...]] = WeakKeyDictionary()


class ParallelCalls:
    """Makes an agent or a workflow run all calls of a message at once, in order."""

    @step  # pyright: ignore[reportUntypedFunctionDecorator] - untyped upstream
    async def parse_agent_output(
        self, ctx: Context, ev: AgentOutput
    ) -> StopEvent | AgentInput | ToolCall | None:
        """Hand out the calls of a message, but for those that must wait for others of it."""
        after: dict[int, tuple[int, ...]] = {}
        if ev.tool_calls:
            after = await self._after(ev)
            await _places.note(ctx, ev.tool_calls, after)
        stock = cast("Any", super())
        return await stock.parse_agent_output(_places.dispatching(ctx, after), ev)

    @step(num_workers=_MOST_CALLS)  # pyright: ignore[reportUntypedFunctionDecorator] - same
    async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult:
        """Make one call."""
        token = calling.set(ev.tool_id)
        try:
            result = await cast("Any", super()).call_tool(ctx, ev)
        finally:
            calling.reset(token)
        return _places.placed(result, ev)

    @step(num_workers=1)  # pyright: ignore[reportUntypedFunctionDecorator] - same
    async def aggregate_tool_results(
        self, ctx: Context, ev: ToolCallResult
    ) -> AgentInput | StopEvent | None:
        """Take a result; with the last one, hand all of them on in the order of their calls."""
        await _places.hand_on(ctx, ev)
        return await cast("Any", super()).aggregate_tool_results(_places.in_order(ctx), ev)

    def _get_steps(self) -> dict[str, Any]:
        """The steps; the stock method looks for them among all attributes, whenever one runs."""
        kind = type(self)
        names = _steps.get(kind)
        if names is None:
            found: dict[str, Any] = cast("Any", super())._get_steps()  # noqa: SLF001 - no public reader
            own = {name for name, step in found.items() if getattr(step, "__self__", None) is self}
            names = _steps[kind] = tuple(sorted(own))
        free: Mapping[str, Any] = getattr(kind, "_step_functions", {})
        return {**{name: getattr(self, name) for name in names}, **free}

    async def _after(self, ev: AgentOutput) -> dict[int, tuple[int, ...]]:
        """For calls of a message by their place, the earlier ones that they must wait for."""
        asked = ev.tool_calls
        if len(asked) < 2:
            return {}
        agent, manager = self._who(ev.current_agent_name)
        if not getattr(agent, "allow_parallel_tool_calls", True):
            # "the agent will call tools sequentially", which the stock agent does not do.
            return {place: (place - 1,) for place in range(1, len(asked))}
        if not manager.knows(call.tool_name for call in asked):
            await self._tools_of(ev.current_agent_name)  # a saved run goes on in a new process
        calls = [Call(call.tool_id, call.tool_name, call.tool_kwargs) for call in asked]
        return conflicts([(call, manager.policy_of(call.name)) for call in calls])

    def _who(self, agent_name: str) -> tuple[BaseWorkflowAgent, ToolManager]:
        """An agent, and what has its tools."""
        raise NotImplementedError

    async def _tools_of(self, agent_name: str) -> object:
        raise NotImplementedError
