"""Prompt compression as a typed program sees it; pyright checks this file, nobody runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

from langchain.agents.middleware import AgentMiddleware
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from llama_index.core.llms import LLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.tools import FunctionTool

import langchain_agentperf
import llamaindex_agentperf
from agentperf_core.accounting import TokenCounter
from agentperf_core.context.compress import (
    PHRASES,
    CleanUp,
    Compressed,
    Compressor,
    Extractive,
    MessageCompressor,
    PerplexityPruning,
    Reduced,
    Removed,
    Rewriting,
    Shortened,
    Strategy,
    Structured,
    Task,
)
from agentperf_core.flow import Flow
from agentperf_core.types import Message


class Halving:
    """A strategy of a user's own."""

    name = "halving"

    def compress(self, task: Task) -> Flow[Reduced]:
        yield from ()
        half = len(task.text) // 2
        return Reduced(task.text[:half], (Removed("half", (task.text[half:],)),))


def first_sentence(text: str, tokens: int, query: str) -> str:
    return text.partition(".")[0]


async def core(counter: TokenCounter, messages: list[Message]) -> None:
    strategies: list[Strategy] = [
        CleanUp(phrases={**PHRASES, "en": ("kindly ...",)}, languages=("en",)),
        Structured(prose=None),
        Extractive(embed=lambda texts: [[1.0] for _ in texts], protect=r"\bSKU-\d+"),
        PerplexityPruning("folder", gguf_file="model.gguf"),
        Rewriting(lambda prompt: prompt, keep=0.9),
        Halving(),
    ]
    compressor = Compressor([*strategies, first_sentence], ratio=4, counter=counter)
    found = compressor.compress("text", query="what?", tokens=100)
    assert_type(found, Compressed)
    assert_type(found.ratio, float)
    assert_type(found.removed, tuple[Removed, ...])
    assert_type(await compressor.acompress_all(["text"], query="what?"), list[Compressed])
    assert_type(MessageCompressor(compressor, roles=("tool", "user")).shorten(messages), Shortened)


def langchain(model: BaseChatModel, embeddings: Embeddings, messages: list[BaseMessage]) -> None:
    rewriting = langchain_agentperf.rewriting_strategy(model, keep=0.9)
    compressor = Compressor([CleanUp(), rewriting], max_tokens=800)
    middleware: Sequence[AgentMiddleware] = [
        langchain_agentperf.PromptCompressionMiddleware(compressor, skip_tools={"read_file"}),
        langchain_agentperf.PromptCompressionMiddleware(embeddings=embeddings, ratio=5),
    ]
    assert_type(langchain_agentperf.compress_messages(messages, ratio=5), list[BaseMessage])
    chain = langchain_agentperf.compress_messages(compressor=compressor) | model
    documents: BaseDocumentCompressor = langchain_agentperf.PromptDocumentCompressor(ratio=5)
    assert_type(documents.compress_documents([Document("text")], "what?"), Sequence[Document])
    assert_type(len(middleware), int)
    assert_type(chain.invoke(messages), AIMessage)


def llamaindex(llm: LLM) -> None:
    compressor = Compressor([llamaindex_agentperf.rewriting_strategy(llm)])
    postprocessors: list[BaseNodePostprocessor] = [
        llamaindex_agentperf.PromptCompressionPostprocessor(compressor),
        llamaindex_agentperf.PromptCompressionPostprocessor(ratio=5, max_tokens=800),
    ]
    callback = llamaindex_agentperf.compressed_output(ratio=5)
    tool = FunctionTool.from_defaults(lambda: postprocessors, callback=callback)
    assert_type(tool, FunctionTool)
