"""A scripted chat model for the LangChain tests: streams, binds tools, reports usage, can fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

__all__ = ["Answer", "ScriptedChat", "call", "numbered", "say"]

Answer: TypeAlias = Callable[[int, list[BaseMessage]], AIMessage]


def call(name: str, call_id: str = "call-1", **args: Any) -> ToolCall:
    return ToolCall(name=name, args=args, id=call_id)


def say(text: str = "", *calls: ToolCall, **metadata: Any) -> AIMessage:
    """An answer as an integration makes it: new id, usage, model name, finish reason."""
    return AIMessage(
        text,
        tool_calls=list(calls),
        usage_metadata=UsageMetadata(input_tokens=10, output_tokens=5, total_tokens=15),
        response_metadata={
            "model_name": "scripted-1",
            "finish_reason": "tool_calls" if calls else "stop",
            **metadata,
        },
    )


def numbered(number: int, messages: list[BaseMessage]) -> AIMessage:
    """Another answer at every call, so that a served one shows."""
    return say(f"answer {number}")


class ScriptedChat(BaseChatModel):
    """Answers with `answer(number_of_the_call, messages)`.

    Attributes:
        answer: the script; not part of the model's identity.
        before: called at the start of every call, to hold it or to fail it.
        temperature, model: behaviour fields, as integrations have them.
        break_after: raise in the middle of a stream, after so many pieces.
    """

    answer: Answer = Field(default=numbered, exclude=True)
    before: Callable[[int], None] | None = Field(default=None, exclude=True)
    break_after: int | None = Field(default=None, exclude=True)
    temperature: float | None = None
    model: str = "scripted-1"
    _calls: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _bound: list[dict[str, Any]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def calls(self) -> int:
        """How many calls reached the model."""
        return len(self._calls)

    @property
    def bound(self) -> list[dict[str, Any]]:
        """The keyword arguments of each call."""
        return self._bound

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Any:
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=schemas, tool_choice=tool_choice, **kwargs)

    def _next(self, messages: list[BaseMessage], bound: dict[str, Any]) -> AIMessage:
        with self._lock:
            self._calls.append(messages)
            self._bound.append(bound)
            number = len(self._calls)
        if self.before is not None:
            self.before(number)
        return self.answer(number, messages)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages, kwargs))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        await asyncio.sleep(0)  # let other tasks in, as a request over the network does
        return self._generate(messages, **kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        message = self._next(messages, kwargs)
        words = message.text.split(" ") if message.text else []
        yield _chunk(content="")  # providers open a stream with a chunk that carries nothing
        for number, word in enumerate(words):
            if number == self.break_after:
                raise ConnectionError("the stream broke off")
            yield _chunk(content=word if number == len(words) - 1 else word + " ")
        for index, part in enumerate(message.tool_calls):
            yield _chunk(
                content="",
                tool_call_chunks=[
                    tool_call_chunk(
                        name=part["name"], args=_json(part["args"]), id=part["id"], index=index
                    )
                ],
            )
        yield _chunk(
            content="",
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages, **kwargs):
            yield chunk


def _chunk(**fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(**fields))


def _json(value: Any) -> str:
    import json

    return json.dumps(value)
