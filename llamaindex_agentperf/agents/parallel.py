"""`ParallelFunctionAgent` and `ParallelAgentWorkflow`: all calls of a message at once, in order.

LlamaIndex runs four calls at once, whatever a message asks for, and hands their results on as they
come, so that equal runs have prompts of other bytes and miss every cache of prompts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.tools import AsyncBaseTool, BaseTool
from pydantic import PrivateAttr

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import EarlyStats, ToolExecutor
from llamaindex_agentperf.agents._calls import ParallelCalls
from llamaindex_agentperf.agents._early import EarlyAnswers, listening
from llamaindex_agentperf.tools.manage import ToolManager

__all__ = ["ParallelAgentWorkflow", "ParallelFunctionAgent"]

_HANDOFF = "handoff"  # LlamaIndex's own tool: it steers the workflow, and takes no time


class ParallelFunctionAgent(ParallelCalls, FunctionAgent):
    """A `FunctionAgent` that runs all tool calls of a message at once, in order.

    As many at once as its executor allows (256 at most), where the stock agent runs four. Results
    go to the model, to the scratchpad and to memory in the order of the calls, whatever finishes
    first. Calls that write what others read, and those of one exclusive group, are made in that
    order, too, and so are all of them with `allow_parallel_tool_calls=False`. Its tools are put
    under the executor, see `ManagedTool`, those of a retriever as they come.

    In a workflow of several agents, `ParallelAgentWorkflow` makes the calls.

    Args:
        *args: see `FunctionAgent`.
        policies: what is declared, by name of the tool; see `manage_tools`.
        executor: who runs the tools; default one of its own.
        cache: where results are shared if a policy has `ttl_s`; default one of its own.
        early: start a tool as soon as the model has written its call, while it still writes the
            next: names of tools, or `True` for all that are declared read-only or idempotent. Not
            those that a person must approve, and none after a call that nobody knows the effects
            of. What the agent does not ask for in the end is cancelled. Needs a streamed model.
        **kwargs: see `FunctionAgent`.

    Raises:
        ConfigError: if there is a policy for a tool that does not exist, or see `ManagedTool`.

    Example:
        >>> from llama_index.core.llms.mock import MockLLM
        >>> def get_order(order_id: int) -> str:
        ...     return f"order {order_id}: shipped"
        >>> agent = ParallelFunctionAgent(
        ...     tools=[get_order],
        ...     llm=MockLLM(),
        ...     policies={"get_order": ToolPolicy(read_only=True, timeout_s=2)},
        ... )
        >>> agent.tools[0].policy.timeout_s
        2
    """

    _manager: ToolManager = PrivateAttr()
    _early: EarlyAnswers | None = PrivateAttr()

    def __init__(
        self,
        *args: Any,
        policies: Mapping[str, ToolPolicy] | None = None,
        executor: ToolExecutor | None = None,
        cache: ToolResultCache | None = None,
        early: bool | Collection[str] = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType] - bare generics upstream
        if isinstance(early, str):
            msg = f"early is True, False or a list of names, got {early!r}; write [{early!r}]"
            raise ConfigError(msg)
        self._manager = ToolManager(policies, executor, cache)
        self._early = EarlyAnswers(None if early is True else early) if early else None
        tools, complete = _tools_of(self)
        if complete:
            self._manager.check(tools)
        # So that they are under the executor in a stock workflow, too.
        if tools:
            self.tools = [*self._manager.manage(tools)]

    async def get_tools(self, input_str: str | None = None) -> Sequence[AsyncBaseTool]:
        """The agent's tools, all of them under its executor."""
        return self._manager.manage(await super().get_tools(input_str))

    def early_stats(self) -> EarlyStats:
        """What came of the calls that were started early; all zero without `early`."""
        return self._early.stats() if self._early is not None else EarlyStats()

    async def _get_streaming_response(
        self, ctx: Any, current_llm_input: list[ChatMessage], tools: Sequence[AsyncBaseTool]
    ) -> ChatResponse:
        calls = self._early.calls(tools) if self._early is not None else None
        with listening(calls):
            return await super()._get_streaming_response(ctx, current_llm_input, tools)

    def _who(self, agent_name: str) -> tuple[BaseWorkflowAgent, ToolManager]:
        return self, self._manager

    async def _tools_of(self, agent_name: str) -> object:
        return await self.get_tools()


class ParallelAgentWorkflow(ParallelCalls, AgentWorkflow):
    """An `AgentWorkflow` that runs all tool calls of a message at once, in order.

    See `ParallelFunctionAgent`. Its agents may be of any kind; the tools of all of them are put
    under one executor, but for those that are under one already.

    Args:
        agents: see `AgentWorkflow`.
        *args: see `AgentWorkflow`.
        policies: what is declared, by name of the tool; see `manage_tools`.
        executor: who runs the tools; default one of its own.
        cache: where results are shared if a policy has `ttl_s`; default one of its own.
        **kwargs: see `AgentWorkflow`.

    Raises:
        ConfigError: if there is a policy for a tool that does not exist, or see `ManagedTool`.

    Example:
        >>> from llama_index.core.llms.mock import MockLLM
        >>> agent = ParallelFunctionAgent(name="desk", llm=MockLLM())
        >>> ParallelAgentWorkflow([agent], executor=ToolExecutor(max_concurrency=8)).root_agent
        'desk'
    """

    def __init__(
        self,
        agents: list[BaseWorkflowAgent],
        *args: Any,
        policies: Mapping[str, ToolPolicy] | None = None,
        executor: ToolExecutor | None = None,
        cache: ToolResultCache | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(agents, *args, **kwargs)  # pyright: ignore[reportUnknownMemberType] - same
        first = ToolManager(policies, executor, cache)
        # Two agents may have two tools of one name.
        self._managers = {name: first.another() for name in self.agents}
        found = [_tools_of(agent) for agent in agents]
        if all(complete for _, complete in found):
            first.check(tool for tools, _ in found for tool in tools)

    async def get_tools(
        self, agent_name: str, input_str: str | None = None
    ) -> Sequence[AsyncBaseTool]:
        """The tools of an agent, all of them under an executor, and the one to hand over."""
        found = await super().get_tools(agent_name, input_str)
        own = [tool for tool in found if tool.metadata.name != _HANDOFF]
        rest = [tool for tool in found if tool.metadata.name == _HANDOFF]
        return [*self._managers[agent_name].manage(own), *rest]

    def _who(self, agent_name: str) -> tuple[BaseWorkflowAgent, ToolManager]:
        return self.agents[agent_name], self._managers[agent_name]

    async def _tools_of(self, agent_name: str) -> object:
        return await self.get_tools(agent_name)


def _tools_of(agent: Any) -> tuple[list[BaseTool], bool]:
    """The tools that an agent was given, and whether these are all: a retriever may find more."""
    return cast("list[BaseTool]", agent.tools or []), agent.tool_retriever is None


for _public in (ParallelAgentWorkflow, ParallelFunctionAgent):
    _public.__module__ = "llamaindex_agentperf"
