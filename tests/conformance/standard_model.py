"""A chat model without a network that does what the standard suites of langchain-tests ask for."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

from langchain_agentperf import CachedChatModel

__all__ = ["CachedStandard", "StandardModel", "WarmStandard"]


class StandardModel(BaseChatModel):
    """Calls a tool when it has one and a person speaks, else says hello."""

    model: str = "standard-1"
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    max_retries: int | None = None
    stop_words: list[str] | None = Field(default=None, alias="stop")

    @property
    def _llm_type(self) -> str:
        return "standard"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(
            ls_provider="standard",
            ls_model_name=kwargs.get("model", self.model),
            ls_model_type="chat",
        )

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Any:
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=schemas, tool_choice=tool_choice, **kwargs)

    def _answer(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        metadata = {"model_name": kwargs.get("model", self.model), "finish_reason": "stop"}
        usage = UsageMetadata(input_tokens=9, output_tokens=4, total_tokens=13)
        tools: list[dict[str, Any]] = kwargs.get("tools") or []
        asked = isinstance(messages[-1], HumanMessage) and not any(
            message.type == "tool" for message in messages
        )
        if not tools or not asked:
            return AIMessage("Hello, it is me.", response_metadata=metadata, usage_metadata=usage)
        schema = tools[0]["function"]
        args = _arguments(schema.get("parameters") or {}, str(messages[-1].text))
        return AIMessage(
            "",
            tool_calls=[tool_call(name=schema["name"], args=args, id="call-1")],
            response_metadata={**metadata, "finish_reason": "tool_calls"},
            usage_metadata=usage,
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages, kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._answer(messages, kwargs)
        for word in re.findall(r"\S+\s*", str(answer.text)):
            yield _chunk(content=word)
        for index, made in enumerate(answer.tool_calls):
            args = json.dumps(made["args"], ensure_ascii=False)
            part = tool_call_chunk(name=made["name"], args=args, id=made["id"], index=index)
            yield _chunk(content="", tool_call_chunks=[part])
        yield _chunk(
            content="",
            usage_metadata=answer.usage_metadata,
            response_metadata=answer.response_metadata,
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


class CachedStandard(CachedChatModel):
    """The model behind the cache, built from the model's own arguments."""

    def __init__(self, inner: Any = None, **params: Any) -> None:
        ours = {"cache", "policy", "store", "tenant", "ttl_s", "version"}
        if inner is None:
            own = {name: value for name, value in params.items() if name not in ours}
            params = {name: value for name, value in params.items() if name in ours}
            inner = StandardModel(**own)
        super().__init__(inner, **params)


class WarmStandard(CachedStandard):
    """Asks everything twice and gives the second answer: each one is a hit."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        super()._generate(*args, **kwargs)
        return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        await super()._agenerate(*args, **kwargs)
        return await super()._agenerate(*args, **kwargs)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        list(super()._stream(*args, **kwargs))
        return super()._stream(*args, **kwargs)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for _ in super()._astream(*args, **kwargs):
            pass
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk

    def _stream_chat_model_events(self, messages: Any, **kwargs: Any) -> Iterator[Any]:
        list(super()._stream_chat_model_events(messages, **kwargs))
        return super()._stream_chat_model_events(messages, **kwargs)

    async def _astream_chat_model_events(self, messages: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for _ in super()._astream_chat_model_events(messages, **kwargs):
            pass
        async for event in super()._astream_chat_model_events(messages, **kwargs):
            yield event


def _arguments(schema: dict[str, Any], asked: str) -> dict[str, Any]:
    quoted = re.search(r"'([^']+)'", asked)
    text = quoted.group(1) if quoted else "pirate"
    by_type: dict[Any, Any] = {"integer": 3, "number": 3.0, "boolean": True, "array": []}
    properties: dict[str, dict[str, Any]] = schema.get("properties") or {}
    return {name: by_type.get(part.get("type"), text) for name, part in properties.items()}


def _chunk(**fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(**fields))
