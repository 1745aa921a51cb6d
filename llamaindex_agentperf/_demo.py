"""The support desk of the demo as a LlamaIndex agent."""

from __future__ import annotations

from typing import Any

import httpx
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from agentperf_core.bench.workloads import SYSTEM_PROMPT, TOOL_POLICIES, DeskSetup
from agentperf_core.telemetry import LatencyReport
from llamaindex_agentperf import CachedLLM, ManagedTool, ParallelFunctionAgent, instrument

__all__ = ["LlamaIndexDesk"]


class LlamaIndexDesk:
    """A `FunctionAgent` with the desk's tools; each conversation keeps its messages here."""

    def __init__(self, setup: DeskSetup) -> None:
        self._clients = (httpx.Client(), httpx.AsyncClient())
        # A dictionary, because OpenAILike's typed signature leaves out the clients that it takes.
        options: dict[str, Any] = {
            "model": setup.model,
            "api_base": setup.provider.base_url,
            "api_key": setup.provider.api_key,
            "is_chat_model": True,
            "is_function_calling_model": True,
            "context_window": 128_000,
            # Without it a streamed answer carries no usage (run-llama/llama_index#16721).
            "additional_kwargs": {"stream_options": {"include_usage": True}},
            "http_client": self._clients[0],
            "async_http_client": self._clients[1],
        }
        llm = OpenAILike(**options)
        plugins = setup.plugins
        named: dict[str, Any] = {"name": "support-desk", "system_prompt": SYSTEM_PROMPT}
        self._agent: FunctionAgent
        if plugins is None:
            bare = [FunctionTool.from_defaults(tool) for tool in setup.tools]
            self._agent = FunctionAgent(llm=llm, tools=[*bare], **named)
        else:
            shared: dict[str, Any] = {"executor": plugins.executor, "cache": plugins.tools}
            # Not manage_tools(): the tools are methods of one desk, and only a version of each
            # tool's own can say that another desk has the same.
            tools = [
                ManagedTool(tool, policy=TOOL_POLICIES[tool.__name__], version="desk-1", **shared)
                for tool in setup.tools
            ]
            cached = CachedLLM(llm, cache=plugins.answers)
            self._agent = ParallelFunctionAgent(llm=cached, tools=[*tools], **named, **shared)
        self._instrumentation = instrument()
        self._histories: dict[str, list[ChatMessage]] = {}

    async def ask(self, session: str, text: str) -> str:
        """Say something in a conversation and return the answer."""
        history = self._histories.setdefault(session, [])
        run: Any = self._agent.run  # typed as deprecated for the documented keyword call
        answer = str(await run(user_msg=text, chat_history=list(history)))
        history += [
            ChatMessage(role="user", content=text),
            ChatMessage(role="assistant", content=answer),
        ]
        return answer

    def report(self) -> LatencyReport:
        """What was recorded so far."""
        return self._instrumentation.report()

    async def close(self) -> None:
        """Take the handlers off the dispatcher and close the HTTP clients."""
        self._instrumentation.uninstrument()
        self._clients[0].close()
        await self._clients[1].aclose()
