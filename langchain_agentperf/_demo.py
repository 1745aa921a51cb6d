"""The support desk of the demo as a LangChain agent."""

from __future__ import annotations

from typing import Any, cast

from langchain.agents import (
    create_agent,  # pyright: ignore[reportUnknownVariableType] - its signature has BaseCheckpointSaver[Unknown]
)
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.tools import BaseTool, StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from agentperf_core.bench.workloads import SYSTEM_PROMPT, TOOL_POLICIES, DeskPlugins, DeskSetup
from agentperf_core.telemetry import LatencyReport
from langchain_agentperf import (
    LatencyCallbackHandler,
    ParallelToolsMiddleware,
    ResponseCacheMiddleware,
    cached_tool,
)

__all__ = ["LangChainDesk"]


class LangChainDesk:
    """A `create_agent` agent with the desk's tools; conversations live in a checkpointer."""

    def __init__(self, setup: DeskSetup) -> None:
        self._handler = LatencyCallbackHandler()
        self._agent = cast(
            "Any",  # a CompiledStateGraph with four type parameters that say nothing here
            create_agent(
                ChatOpenAI(
                    model=setup.model,
                    base_url=setup.provider.base_url,
                    api_key=SecretStr(setup.provider.api_key),
                    streaming=True,
                    stream_usage=True,
                ),
                _tools(setup),
                system_prompt=SYSTEM_PROMPT,
                middleware=_middleware(setup.plugins) if setup.plugins is not None else [],
                checkpointer=InMemorySaver(),
                name="support-desk",
            ),
        )

    async def ask(self, session: str, text: str) -> str:
        """Say something in a conversation and return the answer."""
        state = await self._agent.ainvoke(
            {"messages": [HumanMessage(text)]},
            {"configurable": {"thread_id": session}, "callbacks": [self._handler]},
        )
        messages: list[AnyMessage] = state["messages"]
        answer = messages[-1]
        return str(answer.text) if isinstance(answer, AIMessage) else ""

    def report(self) -> LatencyReport:
        """What was recorded so far."""
        return self._handler.report()

    async def close(self) -> None:
        """Nothing to release: langchain-openai shares its HTTP clients process-wide."""


def _tools(setup: DeskSetup) -> list[BaseTool]:
    tools: list[BaseTool] = [StructuredTool.from_function(tool) for tool in setup.tools]
    if setup.plugins is None:
        return tools
    # Not ToolCacheMiddleware: the tools are methods of one desk, and only a version of each tool's
    # own can say that another desk has the same.
    shared: dict[str, Any] = {"cache": setup.plugins.tools, "version": "desk-1"}
    return [cached_tool(tool, policy=TOOL_POLICIES[tool.name], **shared) for tool in tools]


def _middleware(plugins: DeskPlugins) -> list[Any]:
    return [
        ParallelToolsMiddleware(executor=plugins.executor, policies=TOOL_POLICIES),
        ResponseCacheMiddleware(cache=plugins.answers),
    ]
