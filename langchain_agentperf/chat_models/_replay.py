"""A chat model that says one stored answer again, so that a cache hit looks like a live model.

A middleware that returns a cached message itself leaves callbacks, `astream_events` and traces
without a model run. Sent through the agent's own model call instead, the answer streams as pieces,
fires every event, and structured output is parsed from it as from a fresh one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.tools import BaseTool
from pydantic import Field

from langchain_agentperf.chat_models._chunks import replayed_chunks
from langchain_agentperf.chat_models._protocol import protocol_events

__all__ = ["ReplayChatModel"]


class ReplayChatModel(BaseChatModel):
    """Answers every call with one message, in the name of the model that made it.

    Attributes:
        answer: the message; each call gives a copy without id, so that the run draws a fresh one.
        stands_for: the model whose answer it is; traces show its name and provider.
        model_name: its name where it has one, by which agents choose how to ask for structure.
    """

    answer: AIMessage = Field(exclude=True, repr=False)
    stands_for: Any = Field(exclude=True, repr=False)
    model_name: str = ""

    @classmethod
    def of(cls, answer: AIMessage, model: Runnable[Any, Any]) -> ReplayChatModel:
        """A replay of `answer` in the name of `model`."""
        while isinstance(model, RunnableBinding):
            model = model.bound
        name = getattr(model, "model_name", None) or getattr(model, "model", None)
        # Not validated: the fields come from a model that was, and a hit has to be cheap.
        return cls.model_construct(
            answer=answer,
            stands_for=model,
            model_name=name if isinstance(name, str) else "",
            profile=getattr(model, "profile", None),
            disable_streaming=getattr(model, "disable_streaming", False),
            output_version=None,  # the stored content has its final form already
            cache=False,  # a global cache would serialise the history to look this up
            verbose=False,
            callbacks=getattr(model, "callbacks", None),
            tags=getattr(model, "tags", None),
            metadata=getattr(model, "metadata", None),
        )

    def __repr__(self) -> str:
        # LangChain puts the repr of a model into every run; pydantic's costs as much as the run.
        return f"{type(self).__name__}(model_name={self.model_name!r})"

    @property
    def _llm_type(self) -> str:
        return "agentperf-replay"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        if isinstance(self.stands_for, BaseChatModel):
            return self.stands_for._get_ls_params(stop=stop, **kwargs)  # noqa: SLF001 - the documented hook of every chat model
        return super()._get_ls_params(stop=stop, **kwargs)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Itself: the answer is known, so no tool needs a schema. From `BaseChatModel`."""
        return self

    def bind(self, **kwargs: Any) -> Any:
        """Itself: no parameter can change the answer. From `Runnable`."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = self.answer.model_copy(update={"id": None})
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        return replayed_chunks(self.answer)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in replayed_chunks(self.answer):
            yield chunk

    def _stream_chat_model_events(
        self, messages: list[BaseMessage], **kwargs: Any
    ) -> Iterator[Any]:
        return protocol_events(self.answer)

    async def _astream_chat_model_events(
        self, messages: list[BaseMessage], **kwargs: Any
    ) -> AsyncIterator[Any]:
        for event in protocol_events(self.answer):
            yield event
