"""Models of LlamaIndex as summarisers of the core, and as data; decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, TypeAlias, TypeVar

from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.loading import load_llm  # pyright: ignore[reportUnknownVariableType] - a bare dict upstream

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import ChatSummarizer, Summarize, Written
from agentperf_core.types import Message
from llamaindex_agentperf._held import dumped, is_json
from llamaindex_agentperf._identity import is_secret
from llamaindex_agentperf._messages import from_core
from llamaindex_agentperf._usage import usage_of

__all__ = ["Counted", "Model", "Tokenize", "counter_of", "dumped_model", "given", "summarizer_of"]

T = TypeVar("T")

Model: TypeAlias = LLM | Summarize | Mapping[str, Any] | None
"""A model, a function as in `Summarize`, a model as it was saved, or nobody."""

Tokenize: TypeAlias = Callable[[str], Sized]


class Counted:
    """A counter where LlamaIndex looks for a tokenizer: as many as a text has tokens.

    `SimpleChatEngine` asks every memory that has a `tokenizer_fn` how long the system prompt is.
    """

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter

    def __call__(self, text: str) -> Sized:
        """Something with a length; there are no tokens in it."""
        return range(self._counter.count_text(text))


def given(value: T) -> T | None:
    """What somebody gave; nothing for what only stands in for it, and is not saved."""
    return None if isinstance(value, Counted) else value


def counter_of(tokenizer_fn: Tokenize | None, model_name: str) -> TokenCounter:
    """Counts with a tokenizer of LlamaIndex's kind, else with that of a model."""
    if tokenizer_fn is not None:
        encode = tokenizer_fn
        return TokenCounter(lambda text: len(encode(text)))
    if model_name:
        return TokenCounter.for_model(model_name)
    return TokenCounter.for_encoding()


def summarizer_of(model: Model, counter: TokenCounter) -> Summarize | None:
    """A summariser that asks a model; a function is one itself.

    A saved model that LlamaIndex cannot load by its name (or a function, which is not saved) gives
    way to `Settings.llm`, when it is asked.
    """
    if not isinstance(model, LLM | Mapping):
        return model
    saved = model

    def asked() -> LLM:
        return saved if isinstance(saved, LLM) else _loaded(saved)

    def chat(prompt: Sequence[Message]) -> Written:
        llm = asked()
        return _written(llm, llm.chat([from_core(one) for one in prompt]))

    async def achat(prompt: Sequence[Message]) -> Written:
        llm = asked()
        return _written(llm, await llm.achat([from_core(one) for one in prompt]))

    return ChatSummarizer(chat, achat, counter=counter)


def dumped_model(model: Model) -> Any:
    """A model as it is saved: without credentials, and whole for this process only."""
    if model is None:
        return None
    if not isinstance(model, LLM):
        return dumped(model, {"class_name": "function"})
    fields = model.to_dict().items()
    return dumped(model, {k: v for k, v in fields if not is_secret(k) and is_json(v)})


def _loaded(saved: Mapping[str, Any]) -> LLM:
    try:
        return load_llm(dict(saved))
    except Exception:
        return Settings.llm


def _written(llm: LLM, answer: ChatResponse) -> Written:
    name = llm.metadata.model_name
    text = answer.message.content or ""
    return Written(text=text, usage=usage_of(answer), model=name or None)
