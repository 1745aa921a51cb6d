"""Models that take their time to write tool calls, and what is seen of a turn with one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models.chat_models import (
    BaseChatModel,
    agenerate_from_stream,
    generate_from_stream,
)
from langchain_core.messages import AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool, StructuredTool
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool
from pydantic import PrivateAttr

TOOLS_S = (1.0, 0.6, 0.3, 0.1)
WRITES_S = 0.3  # the arguments of one call
PIECE = 4  # characters
WORD_S = 0.01


@dataclass
class Seen:
    """What is seen of one turn; times are of `perf_counter`.

    Attributes:
        began: when it began.
        starts: when the tools began.
        tools: per call of the model, whether it was given tools.
        prompts: whether it was given the system prompt.
        inner: how many of its calls middleware further in has seen; `None` where there is none.
        pieces: pieces of the model's answers that the caller got while they were written.
    """

    began: float = 0.0
    starts: list[float] = field(default_factory=list[float])
    tools: list[bool] = field(default_factory=list[bool])
    prompts: list[bool] = field(default_factory=list[bool])
    inner: int | None = None
    pieces: int = 0

    def begin(self) -> None:
        self.began = time.perf_counter()


class Worker:
    """The tool `work(seconds, number)` in all its forms."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def work(self, seconds: float, number: int) -> str:
        """Work."""
        self._seen.starts.append(time.perf_counter())
        time.sleep(seconds)
        return f"done {number}"

    async def awork(self, seconds: float, number: int) -> str:
        """Work."""
        self._seen.starts.append(time.perf_counter())
        await asyncio.sleep(seconds)
        return f"done {number}"

    def langchain(self, *, is_async: bool) -> BaseTool:
        if is_async:
            return StructuredTool.from_function(coroutine=self.awork, name="work")
        return StructuredTool.from_function(self.work, name="work")

    def llamaindex(self) -> FunctionTool:
        return FunctionTool.from_defaults(async_fn=self.awork, name="work")

    def eager(self) -> Any:
        """As eager-tools wants its tools."""
        return EagerWork(self)


class EagerWork:
    name = "work"
    idempotent = True

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def __call__(self, args: dict[str, Any]) -> str:
        return await self._worker.awork(**args)


def pieces_of(number: int, seconds: float) -> Iterator[tuple[bool, str, float]]:
    """The arguments of a call in pieces: whether it is the first, the text, when the next comes.

    In seconds from the beginning of the answer: a provider does not wait for who reads.
    """
    text = json.dumps({"seconds": seconds, "number": number})
    parts = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    for place, part in enumerate(parts):
        yield place == 0, part, WRITES_S * (number + (place + 1) / len(parts))


WORDS = tuple((word, WORD_S * (place + 1)) for place, word in enumerate(("all ", "is ", "done")))


def left_of(due_s: float, began: float) -> float:
    return max(began + due_s - time.perf_counter(), 0.0)


class ChatWriter(BaseChatModel):
    """A LangChain model that writes four calls, and then three words."""

    seen: Seen

    @property
    def _llm_type(self) -> str:
        return "writer"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[one.name for one in tools])

    def _chunks(self, messages: Sequence[BaseMessage]) -> Iterator[tuple[AIMessageChunk, float]]:
        if isinstance(messages[-1], ToolMessage):
            for word, due_s in WORDS:
                yield AIMessageChunk(content=word), due_s
            return
        for number, seconds in enumerate(TOOLS_S):
            for first, text, due_s in pieces_of(number, seconds):
                piece: Any = {
                    "name": "work" if first else None,
                    "id": f"c{number}" if first else None,
                    "args": text,
                    "index": number,
                    "type": "tool_call_chunk",
                }
                yield AIMessageChunk(content="", tool_call_chunks=[piece]), due_s

    def _note(self, messages: Sequence[BaseMessage], given: dict[str, Any]) -> None:
        self.seen.tools.append(bool(given.get("tools")))
        self.seen.prompts.append(messages[0].type == "system")

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        self._note(messages, kwargs)
        began = time.perf_counter()
        for message, due_s in self._chunks(messages):
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(message.content, chunk=chunk)
            yield chunk
            time.sleep(left_of(due_s, began))

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._note(messages, kwargs)
        began = time.perf_counter()
        for message, due_s in self._chunks(messages):
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                await run_manager.on_llm_new_token(message.content, chunk=chunk)
            yield chunk
            await asyncio.sleep(left_of(due_s, began))

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))


class WritingLLM(MockFunctionCallingLLM):
    """The same for LlamaIndex, whose chunks hold all that was written so far."""

    _seen: Seen = PrivateAttr()

    @llm_chat_callback()  # pyright: ignore[reportUntypedFunctionDecorator] - untyped upstream
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        self._seen.tools.append(bool(kwargs.get("tools")))
        self._seen.prompts.append(messages[0].role == MessageRole.SYSTEM)
        return self._chunks(messages)

    async def _chunks(self, messages: Sequence[ChatMessage]) -> AsyncIterator[ChatResponse]:
        began = time.perf_counter()
        if any(message.role == MessageRole.TOOL for message in messages):
            said = ""
            for word, due_s in WORDS:
                said += word
                yield ChatResponse(message=ChatMessage(role="assistant", content=said), delta=word)
                await asyncio.sleep(left_of(due_s, began))
            return
        written: list[tuple[str, str]] = []
        for number, seconds in enumerate(TOOLS_S):
            text = ""
            for _, piece, due_s in pieces_of(number, seconds):
                text += piece
                yield ChatResponse(message=asking([*written, (f"c{number}", text)]), delta="")
                await asyncio.sleep(left_of(due_s, began))
            written.append((f"c{number}", text))


def asking(calls: Sequence[tuple[str, str]]) -> ChatMessage:
    """A message as the OpenAI integration gives it: arguments are the text so far."""
    blocks = [
        ToolCallBlock(tool_call_id=call_id, tool_name="work", tool_kwargs=text)
        for call_id, text in calls
    ]
    return ChatMessage(role="assistant", blocks=blocks)


def writing_llm(seen: Seen) -> WritingLLM:
    llm = WritingLLM()
    llm._seen = seen
    return llm
