"""`ContextFitLLM`: any LlamaIndex model that is never sent more than it can take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
)
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.loading import RECOGNIZED_LLMS
from llama_index.core.tools import BaseTool
from pydantic import Field, PrivateAttr

from agentperf_core.accounting import ModelRegistry, TokenCounter
from agentperf_core.context import ContextFitter
from agentperf_core.context.telling import announce
from agentperf_core.flow import Flow, arun, run
from llamaindex_agentperf._messages import from_core
from llamaindex_agentperf._signatures import with_signature
from llamaindex_agentperf._usage import extra_of
from llamaindex_agentperf._windows import Oversize, Pin, core_options, marks_of, reader
from llamaindex_agentperf.llms._wrapper import DelegatingLLM
from llamaindex_agentperf.profiles import model_profile

__all__ = ["ContextFitLLM"]


class ContextFitLLM(DelegatingLLM):
    """Makes every chat request fit the model, whatever wrote it: an agent, an engine, a query.

    System prompt, history, an agent's scratchpad, tool schemas and the room for the answer are
    counted together, against the context that the model really has. (A memory knows nothing of an
    agent's scratchpad and tools.) What is cut is cut seldom and deep, so that the provider's prompt
    cache keeps finding the beginning of the prompt; tool calls and their results stay together.

    What was removed is in `additional_kwargs["agentperf"]["context"]` of every answer, chunks of
    streams included, and on the event bus as a decision of the room `"context"`. A model whose
    context nobody knows gets everything. Prompts of `complete` are passed on as they are.

    Args:
        inner: the model.
        context_tokens: what it can take; default what its profile says.
        reserve_output: tokens kept free for the answer; more, if the model is set to longer ones.
        low: share of the room that is left full by a cut.
        keep_results: how many of the latest tool results are never cleared.
        pin: which messages are never cut.
        oversize: what is done with a message that is too large by itself, see `Oversize`.
        registry: where profiles of models are kept; your overrides in it win.
        counter: counts tokens; default that of the model.

    Raises:
        ConfigError: if a value cannot mean anything.

    Example:
        >>> from llama_index.core.llms.mock import MockLLM
        >>> llm = ContextFitLLM(MockLLM(max_tokens=5), context_tokens=300, reserve_output=100)
        >>> history = [ChatMessage(role="user", content="word " * 20) for _ in range(21)]
        >>> record = llm.chat(history).additional_kwargs["agentperf"]["context"]
        >>> record["tokens"] <= 200, record["left_out"] > 10
        (True, True)
    """

    context_tokens: int | None = Field(default=None, description="What the model can take.")
    reserve_output: int = Field(default=1024, description="Kept free for the answer.")
    low: float = Field(default=0.6, description="Share of the room that a cut leaves full.")
    keep_results: int = Field(default=3, description="Latest tool results that stay.")
    _fitter: ContextFitter = PrivateAttr()
    _registry: ModelRegistry = PrivateAttr()

    def __init__(
        self,
        inner: LLM | Mapping[str, Any],
        *,
        pin: Pin = None,
        oversize: Oversize = "cut",
        registry: ModelRegistry | None = None,
        counter: TokenCounter | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(inner, **fields)
        self._registry = registry if registry is not None else ModelRegistry()
        self._fitter = ContextFitter(
            context_tokens=self.context_tokens,
            reserve_output=self.reserve_output,
            registry=self._registry,
            counter=counter,
            low=self.low,
            keep_results=self.keep_results,
            **core_options(pin, oversize),
        )

    @classmethod
    def class_name(cls) -> str:
        """Stable name in serialised form."""
        return "agentperf_context_fit_llm"

    @with_signature
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Like `inner.chat`, with what fits."""
        fitted, record = run(self._fitted(messages, kwargs))
        return _noted(self.inner.chat(fitted, **kwargs), record)

    @with_signature
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Like `inner.achat`, with what fits."""
        fitted, record = await arun(self._fitted(messages, kwargs))
        return _noted(await self.inner.achat(fitted, **kwargs), record)

    @with_signature
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Like `inner.stream_chat`, with what fits."""
        fitted, record = run(self._fitted(messages, kwargs))
        chunks = self.inner.stream_chat(fitted, **kwargs)

        def noted() -> ChatResponseGen:
            for chunk in chunks:
                yield _noted(chunk, record)

        return noted()

    @with_signature
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Like `inner.astream_chat`, with what fits."""
        fitted, record = await arun(self._fitted(messages, kwargs))
        chunks = await self.inner.astream_chat(fitted, **kwargs)

        async def noted() -> ChatResponseAsyncGen:
            async for chunk in chunks:
                yield _noted(chunk, record)

        return noted()

    def _fitted(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]
    ) -> Flow[tuple[list[ChatMessage], dict[str, Any]]]:
        longest = self.inner.metadata.num_output
        model = model_profile(self.inner, self._registry).name
        yield from self._fitter.ready(model)
        fit = self._fitter.follow(
            marks_of(messages),
            reader(messages),
            tools=_definitions(kwargs),
            model=model,
            # Where nobody has set it, LlamaIndex says its default.
            output=longest if longest != DEFAULT_NUM_OUTPUTS else None,
        )
        record = fit.record()
        announce(record)
        return [from_core(message) for message in fit.messages], record


def _definitions(kwargs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tool definitions of a call; integrations hand over the model's own form, mocks tools."""
    tools = cast("Sequence[object]", kwargs.get("tools") or ())
    plain = [
        tool.metadata.to_openai_tool(skip_length_check=True) if isinstance(tool, BaseTool) else tool
        for tool in tools
    ]
    return [cast("Mapping[str, Any]", tool) for tool in plain if isinstance(tool, Mapping)]


def _noted(answer: ChatResponse, record: Mapping[str, Any]) -> ChatResponse:
    """A copy of an answer that says what was done to its prompt."""
    extra = extra_of(answer)
    ours = {**extra.get("agentperf", {}), "context": record}
    return answer.model_copy(update={"additional_kwargs": {**extra, "agentperf": ours}})


ContextFitLLM.__module__ = "llamaindex_agentperf"
RECOGNIZED_LLMS[ContextFitLLM.class_name()] = ContextFitLLM
