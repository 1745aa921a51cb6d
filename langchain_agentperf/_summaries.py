"""Models of LangChain as summarisers of the core; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import ChatSummarizer, Summarize, Written
from agentperf_core.types import Message
from langchain_agentperf._facts import facts_of
from langchain_agentperf._messages import from_core
from langchain_agentperf._windows import core_options

__all__ = ["Model", "exact_counter", "summarizer_of", "windowed"]

Model = str | Runnable[Any, Any] | Summarize | None
"""A chat model, its name for `init_chat_model`, a function as in `Summarize`, or nobody."""

# No part of the agent's run: its stream and its callbacks do not see it.
_ASIDE: RunnableConfig = {
    "callbacks": [],
    "tags": ["nostream"],
    "run_name": "agentperf_summary",
    "metadata": {"lc_source": "summarization"},
}


def exact_counter(counter: TokenCounter | None) -> TokenCounter:
    """The counter that was given, else that of the vocabulary of today's OpenAI models."""
    return counter if counter is not None else TokenCounter.for_encoding()


def windowed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with `pin` and `oversize` for the core's messages."""
    given: dict[str, Any] = {"pin": options.get("pin"), "oversize": options.get("oversize", "cut")}
    return {**options, **core_options(**given)}


def summarizer_of(model: Model, counter: TokenCounter) -> Summarize | None:
    """A summariser that asks a model; a function is one itself."""
    if isinstance(model, str):
        from langchain.chat_models import init_chat_model

        model = init_chat_model(model)
    if not isinstance(model, Runnable):
        return model
    asked: Runnable[Any, Any] = model

    def chat(prompt: Sequence[Message]) -> Written:
        return _written(asked.invoke([from_core(one) for one in prompt], _ASIDE))

    async def achat(prompt: Sequence[Message]) -> Written:
        return _written(await asked.ainvoke([from_core(one) for one in prompt], _ASIDE))

    return ChatSummarizer(chat, achat, counter=counter)


def _written(answer: object) -> Written:
    if not isinstance(answer, BaseMessage):
        return Written(text=str(answer))  # a model with a parser behind it, or one for texts
    facts = facts_of(answer)
    # What it says in place of a summary is none.
    return Written(text="" if facts.refused else answer.text, usage=facts.usage, model=facts.model)
