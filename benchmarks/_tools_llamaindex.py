"""LlamaIndex's ways to run the tool calls of one message, for `tools_latency.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool
from pydantic import PrivateAttr

Given: TypeAlias = Mapping[str, Any]


class Asking(MockFunctionCallingLLM):
    """Asks for the calls, and once there are results, for nothing more; notes all prompts."""

    _calls: Sequence[tuple[str, Given]] = PrivateAttr()
    _prompts: list[Sequence[ChatMessage]] = PrivateAttr(default_factory=list)

    def __init__(self, calls: Sequence[tuple[str, Given]], **fields: Any) -> None:
        super().__init__(**fields)
        self._calls = calls

    @property
    def prompts(self) -> list[Sequence[ChatMessage]]:
        return self._prompts

    def reply(self, messages: Sequence[ChatMessage]) -> ChatMessage:
        if any(message.role == MessageRole.TOOL for message in messages):
            return ChatMessage(role="assistant", content="done")
        blocks = [
            ToolCallBlock(tool_call_id=f"c{place}", tool_name=name, tool_kwargs=dict(given))
            for place, (name, given) in enumerate(self._calls)
        ]
        return ChatMessage(role="assistant", blocks=blocks)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._prompts.append([*messages])
        return ChatResponse(message=self.reply(messages))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        self._prompts.append([*messages])

        async def chunks() -> AsyncIterator[ChatResponse]:
            yield ChatResponse(message=self.reply(messages), delta="")

        return chunks()


def numbered(name: str, count: int) -> list[tuple[str, Given]]:
    """So many calls that differ in one argument."""
    return [(name, {"n": number}) for number in range(count)]


def trivial() -> FunctionTool:
    """An async tool that does nothing."""

    async def ping(n: int) -> str:
        """Ping."""
        return "pong"

    return FunctionTool.from_defaults(async_fn=ping, name="ping")


def sleeping(seconds: float) -> FunctionTool:
    """A sync tool that waits, as for an answer from the network."""

    def wait(n: int) -> str:
        """Wait."""
        time.sleep(seconds)
        return "waited"

    return FunctionTool.from_defaults(wait, name="wait")


def agent_run(
    kind: Any, tools: Sequence[Any], calls: Sequence[tuple[str, Given]], **options: Any
) -> Callable[[], Awaitable[Any]]:
    """Runs an agent of this class whose model asks for the calls."""
    agent = kind(name="desk", llm=Asking(calls), tools=[*tools], **options)
    return lambda: finished(agent)


async def finished(agent: Any) -> Any:
    return await agent.run(user_msg="go")


def results_in(output: Any) -> tuple[int, int]:
    """How many results and how many errors of tools there are."""
    errors = sum(call.tool_output.is_error for call in output.tool_calls)
    return len(output.tool_calls) - errors, errors


def gathered(calls: Sequence[Callable[[], Awaitable[Any]]]) -> Callable[[], Awaitable[Any]]:
    """Makes calls without any agent: one is awaited, several are tasks."""
    if len(calls) == 1:
        return calls[0]
    return lambda: asyncio.gather(*(call() for call in calls))
