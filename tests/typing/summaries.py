"""Summaries as a typed program sees them; pyright checks this file, nobody runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, assert_type

from langchain.agents.middleware import AgentMiddleware
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import BaseMemory, BaseMemoryBlock

from agentperf_core.context import (
    ChatSummarizer,
    Coverage,
    SummarizingTrimmer,
    Summary,
    SummarySettings,
    Trimmed,
    WindowSettings,
    Written,
)
from agentperf_core.flow import run
from agentperf_core.types import Message, Usage
from langchain_agentperf import (
    SummarizingChatMessageHistory,
    SummaryTrimMiddleware,
    WindowedChatMessageHistory,
)
from llamaindex_agentperf import SummaryMemoryBlock, SummaryTrimMemory


def summarize(messages: Sequence[Message], previous: str | None, max_tokens: int) -> str:
    return f"{len(messages)} messages after {previous}"


async def asummarize(messages: Sequence[Message], previous: str | None, max_tokens: int) -> Written:
    return Written(text="short", usage=Usage(output_tokens=3), model="gpt-4o-mini")


async def core(message: Message) -> None:
    window = WindowSettings(max_tokens=4000, keep_turns=3)
    trimmer = SummarizingTrimmer(window, SummarySettings(summarize=asummarize, tokens=400))
    trimmer.add(message)
    assert_type(trimmer.look(), Trimmed)
    view = await trimmer.alook()
    assert_type(view.summary, Summary | None)
    assert_type(view.coverage, Coverage)
    assert_type(view.coverage.share, float)
    if view.summary is not None:
        assert_type(view.summary.cost_usd, Decimal | None)
        assert_type(view.summary.usage, Usage | None)
    assert_type(run(trimmer.looked()), Trimmed)
    assert_type(trimmer.begin(), bool)
    assert_type(await trimmer.abegin(), bool)
    state = trimmer.state()
    trimmer.resume(state)
    SummarySettings(summarize=ChatSummarizer(lambda prompt: Written(text="short")))


def langchain(model: BaseChatModel, history: BaseChatMessageHistory) -> None:
    middleware: list[AgentMiddleware[Any, Any, Any]] = [
        SummaryTrimMiddleware(model, max_tokens=8000, summary_tokens=400, timeout_s=20.0),
        SummaryTrimMiddleware("openai:gpt-4o-mini", max_tokens=8000, keep_turns=4),
        SummaryTrimMiddleware(summarize, max_tokens=8000, background=False, low=0.5),
        SummaryTrimMiddleware(None, max_tokens=8000, keep_turns=4),
    ]
    windowed = WindowedChatMessageHistory(history, max_tokens=4000)
    summarizing = SummarizingChatMessageHistory(model, history, max_tokens=4000)
    assert_type(summarizing.messages, list[BaseMessage])
    assert_type(summarizing.shown, Trimmed | None)
    sessions: Callable[[str], BaseChatMessageHistory] = SummarizingChatMessageHistory.per_session(
        lambda session_id: history, model, max_tokens=4000
    )
    print(middleware, windowed, sessions)  # noqa: T201 - uses the names


async def llamaindex(llm: LLM) -> None:
    memory: BaseMemory = SummaryTrimMemory.from_defaults(llm=llm, token_limit=4000, keep_turns=3)
    assert_type(await memory.aget(), list[ChatMessage])
    assert_type(SummaryTrimMemory.from_defaults(llm=summarize).shown(), Trimmed)
    block: BaseMemoryBlock[str] = SummaryMemoryBlock(llm=llm, summary_tokens=300)
    print(block)  # noqa: T201 - uses the names
