"""A scripted model with usage and real events, and small readers of traces."""

# pyright: reportUntypedFunctionDecorator=false
# The callbacks of LlamaIndex are untyped decorators.

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.mock import MockFunctionCallingLLM
from pydantic import PrivateAttr

from agentperf_core.telemetry import Span, Trace

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 5},
}

Script = Callable[[Sequence[ChatMessage]], ChatMessage | Exception]


def user(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.USER, content=text)


def says(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.ASSISTANT, content=text)


def calls(*named: tuple[str, dict[str, Any]], first_id: int = 0) -> ChatMessage:
    blocks = [
        ToolCallBlock(tool_call_id=f"id-{first_id + n}", tool_name=name, tool_kwargs=arguments)
        for n, (name, arguments) in enumerate(named)
    ]
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)


class ScriptedLLM(MockFunctionCallingLLM):
    """Answers from a script, word by word in streams; usage comes with the last chunk."""

    model: str = "gpt-4o-mini"
    temperature: float = 0.1
    api_key: str = "sk-very-secret"
    report_usage: bool = True
    break_after: int | None = None
    _script: Script = PrivateAttr()
    _count: int = PrivateAttr(default=0)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _seen: list[list[ChatMessage]] = PrivateAttr(default_factory=list)
    _gate: threading.Event | None = PrivateAttr(default=None)

    def __init__(self, script: Script | None = None, **fields: Any) -> None:
        super().__init__(**fields)
        self._script = script or (lambda messages: says(f"echo {messages[-1].content}"))

    @classmethod
    def class_name(cls) -> str:
        return "scripted_llm"

    @property
    def calls_made(self) -> int:
        return self._count

    @property
    def seen(self) -> list[list[ChatMessage]]:
        return self._seen

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            is_chat_model=True, is_function_calling_model=True, model_name=self.model
        )

    def _answer(self, messages: Sequence[ChatMessage]) -> ChatMessage:
        with self._lock:
            self._count += 1
            self._seen.append(list(messages))
        if self._gate is not None:
            self._gate.wait(10)
        reply = self._script(messages)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _raw(self, reply: ChatMessage, *, last: bool = True) -> dict[str, Any]:
        asks = any(isinstance(block, ToolCallBlock) for block in reply.blocks)
        finish = ("tool_calls" if asks else "stop") if last else None
        usage = USAGE if last and self.report_usage else None
        return {"choices": [{"finish_reason": finish}], "usage": usage}

    def _chunks(self, reply: ChatMessage) -> Iterator[ChatResponse]:
        text, words = "", (reply.content or "").split(" ")
        for n, word in enumerate(words):
            if self.break_after == n:
                msg = "connection lost"
                raise ConnectionError(msg)
            last = n == len(words) - 1
            delta = word if n == 0 else f" {word}"
            text += delta
            message = reply if last else says(text)
            yield ChatResponse(message=message, delta=delta, raw=self._raw(reply, last=last))

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        reply = self._answer(messages)
        return ChatResponse(message=reply, raw=self._raw(reply))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        reply = self._answer(messages)
        return ChatResponse(message=reply, raw=self._raw(reply))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        return (chunk for chunk in self._chunks(self._answer(messages)))

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        async def chunks() -> AsyncIterator[ChatResponse]:
            for chunk in self._chunks(self._answer(messages)):
                yield chunk

        return chunks()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        reply = self._answer([user(prompt)])
        return CompletionResponse(text=reply.content or "", raw=self._raw(reply))

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        reply = self._answer([user(prompt)])
        return CompletionResponse(text=reply.content or "", raw=self._raw(reply))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return (
            CompletionResponse(text=c.message.content or "", delta=c.delta, raw=c.raw)
            for c in self._chunks(self._answer([user(prompt)]))
        )

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        async def chunks() -> AsyncIterator[CompletionResponse]:
            for c in self._chunks(self._answer([user(prompt)])):
                yield CompletionResponse(text=c.message.content or "", delta=c.delta, raw=c.raw)

        return chunks()


def start(agent: Any, text: str) -> Any:
    """Start a run; untyped, because the stubs of `run` mark every call as deprecated."""
    return agent.run(user_msg=text)


def tree(trace: Trace) -> dict[str, list[Span]]:
    """The spans of a trace by kind."""
    found: dict[str, list[Span]] = {}
    for span in trace.spans:
        found.setdefault(span.kind.value, []).append(span)
    return found


def mark(answer: Any) -> dict[str, Any]:
    """The cache's record on an answer."""
    return answer.additional_kwargs["agentperf"]["cache"]
