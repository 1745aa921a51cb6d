"""The support desk of the demo as a LangChain agent."""

from __future__ import annotations

from typing import Any, cast

from langchain.agents import (
    create_agent,  # pyright: ignore[reportUnknownVariableType] - its signature has BaseCheckpointSaver[Unknown]
)
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from agentperf_core.bench.workloads import SYSTEM_PROMPT, DeskSetup
from agentperf_core.telemetry import LatencyReport
from langchain_agentperf import LatencyCallbackHandler, ResponseCacheMiddleware

__all__ = ["LangChainDesk"]


class LangChainDesk:
    """A `create_agent` agent with the desk's tools; conversations live in a checkpointer."""

    def __init__(self, setup: DeskSetup) -> None:
        self._handler = LatencyCallbackHandler()
        caches = setup.plugins
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
                [StructuredTool.from_function(tool) for tool in setup.tools],
                system_prompt=SYSTEM_PROMPT,
                middleware=[ResponseCacheMiddleware(cache=caches.answers)] if caches else [],
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
