"""The API of windows, recall and fitting as a typed program sees it; checked, never run."""

from __future__ import annotations

from typing import Any, assert_type

from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import FunctionTool

from agentperf_core.context import Conversation, RecallSettings, SlidingWindow, View, WindowSettings
from agentperf_core.context.recall import Recalled
from agentperf_core.flow import run
from agentperf_core.testing import chat_objections
from agentperf_core.types import Message
from langchain_agentperf import ContextFitMiddleware, SlidingWindowMiddleware, fit_messages
from langchain_agentperf import recall_tool as langchain_recall_tool
from llamaindex_agentperf import ContextFitLLM, RecallMemoryBlock, SlidingWindowMemory
from llamaindex_agentperf import recall_tool as llamaindex_recall_tool


def core(messages: list[Message]) -> None:
    settings = WindowSettings(max_tokens=8000)
    sliding = SlidingWindow(settings, recall=RecallSettings(when="always"))
    assert_type(sliding.view(messages), View)
    assert_type(sliding.view(messages).recalled, Recalled | None)
    assert_type(run(Conversation(settings).recalled("What?")), Recalled | None)


def langchain(chat: BaseChatModel) -> None:
    window = SlidingWindowMiddleware(
        max_tokens=8000,
        recall=RecallSettings(when=lambda text: "?" in text, share=0.2),
        pin=lambda message: message.type == "system",
    )
    middleware: list[AgentMiddleware[Any, Any, Any]] = [window, ContextFitMiddleware()]
    assert_type(len(middleware), int)
    assert_type(langchain_recall_tool(window), BaseTool)
    assert_type(fit_messages([("user", "hi")], max_tokens=100), list[BaseMessage])
    assert_type(fit_messages(token_counter=chat).invoke([("user", "hi")]), list[BaseMessage])


async def llamaindex(llm: LLM) -> None:
    kept = SlidingWindowMemory.from_defaults(llm=llm, recall="auto")
    memory: BaseMemory = kept
    assert_type(await memory.aget("hi"), list[ChatMessage])
    assert_type(kept.get("hi", initial_token_count=10), list[ChatMessage])
    assert_type(kept.record, dict[str, Any])
    assert_type(llamaindex_recall_tool(kept), FunctionTool)
    assert_type(await RecallMemoryBlock(max_tokens=500).aget([]), str)
    fitted: LLM = ContextFitLLM(llm, context_tokens=8000)
    assert_type(fitted.class_name(), str)


def rules() -> None:
    assert_type(chat_objections([{"role": "user", "content": "hi"}]), list[str])
