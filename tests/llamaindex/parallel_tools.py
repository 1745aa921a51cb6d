"""Agents to compare, scripts for them, and tools that can only finish in a given way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCall, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory import BaseMemory
from llamaindex_tools import ScriptedLLM, calls, says, start
from pydantic import Field

from llamaindex_agentperf import ParallelAgentWorkflow, ParallelFunctionAgent

STOCK_WARNINGS = (
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)


def stock_agent(llm: ScriptedLLM, tools: Sequence[Any]) -> Any:
    return FunctionAgent(name="desk", llm=llm, tools=[*tools])


def stock_workflow(llm: ScriptedLLM, tools: Sequence[Any]) -> Any:
    return AgentWorkflow([stock_agent(llm, tools)])


def agent(llm: ScriptedLLM, tools: Sequence[Any], **options: Any) -> Any:
    return ParallelFunctionAgent(name="desk", llm=llm, tools=[*tools], **options)


def workflow(llm: ScriptedLLM, tools: Sequence[Any], **options: Any) -> Any:
    return ParallelAgentWorkflow([stock_agent(llm, tools)], **options)


def workflow_of_ours(llm: ScriptedLLM, tools: Sequence[Any], **options: Any) -> Any:
    return ParallelAgentWorkflow([agent(llm, tools, **options)])


OURS = [agent, workflow, workflow_of_ours]


def asks(*named: tuple[str, dict[str, Any]]) -> Callable[[Sequence[ChatMessage]], ChatMessage]:
    """Asks for all of these in one message, then answers with what they said, in that order."""

    def answer(messages: Sequence[ChatMessage]) -> ChatMessage:
        said = [str(m.content) for m in messages if m.role == MessageRole.TOOL]
        return says(" ".join(said)) if said else calls(*named)

    return answer


class ListMemory(BaseMemory):
    """A memory that can be saved with a run: LlamaIndex's own ones cannot, with pydantic 2.14."""

    messages: list[ChatMessage] = Field(default_factory=list)

    @classmethod
    def from_defaults(cls, **kwargs: Any) -> ListMemory:
        return cls()

    def get(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002 - the framework's name
        return [*self.messages]

    def get_all(self) -> list[ChatMessage]:
        return [*self.messages]

    def put(self, message: ChatMessage) -> None:
        self.messages.append(message)

    def set(self, messages: list[ChatMessage]) -> None:
        self.messages[:] = messages

    def reset(self) -> None:
        self.messages.clear()


class Turns:
    """`step(n)` for n from 0: they can finish in one order only, whichever begins first.

    Args:
        order: the numbers in the order in which they finish.
    """

    def __init__(self, order: Sequence[int]) -> None:
        self.finished: list[int] = []
        self._order = list(order)
        self._moved = threading.Condition()

    def step(self, n: int) -> str:
        """Step."""
        with self._moved:
            place = self._order.index(n)
            assert self._moved.wait_for(lambda: len(self.finished) == place, timeout=20)
            self.finished.append(n)
            self._moved.notify_all()
        return f"r{n}"


class Log:
    """What began and ended when; `work` ends as late as it can."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def work(self, name: str) -> str:
        self.seen.append(f"{name} begins")
        for _ in range(200):  # everything else that can run does so meanwhile
            await asyncio.sleep(0)
        self.seen.append(f"{name} ends")
        return name


async def events_of(runner: Any, text: str = "go") -> tuple[list[Any], Any]:
    handler: Any = start(runner, text)
    seen = [event async for event in handler.stream_events()]
    return seen, await handler


def calls_and_results(events: Sequence[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, (ToolCall, ToolCallResult))]
