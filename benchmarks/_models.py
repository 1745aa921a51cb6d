"""Scripted LangChain models that cost next to nothing beside what is measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

Before = Callable[[], None]
ABefore = Callable[[], Awaitable[None]]


class Scripted(BaseChatModel):
    """Answers with what a function of the messages gives.

    `before` and `abefore` run ahead of every call; they are private and so in no cache key.
    """

    _reply: Callable[[Sequence[BaseMessage]], AIMessage] = PrivateAttr()
    _before: Before | None = PrivateAttr()
    _abefore: ABefore | None = PrivateAttr()

    def __init__(
        self,
        reply: Callable[[Sequence[BaseMessage]], AIMessage],
        *,
        before: Before | None = None,
        abefore: ABefore | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(**fields)
        self._reply = reply
        self._before = before
        self._abefore = abefore

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self._before is not None:
            self._before()
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self._abefore is not None:
            await self._abefore()
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages))])


def fine(messages: Sequence[BaseMessage]) -> AIMessage:
    """The shortest answer."""
    return AIMessage("fine")


class Probe(AgentMiddleware[Any, Any, Any]):
    """Measures inside an agent's model node, where both caches do their work."""

    def __init__(self, measure: Callable[[ModelRequest[Any], Any], None]) -> None:
        super().__init__()
        self.measure = measure

    def wrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        self.measure(request, handler)
        return handler(request)


def in_model_node(
    messages: Sequence[BaseMessage], measure: Callable[[ModelRequest[Any], Any], None]
) -> None:
    """Run `measure` with the request and the handler of an agent's model call."""
    agent: Any = create_agent(Scripted(fine), middleware=[Probe(measure)])
    agent.invoke({"messages": [*messages]})
