"""Rows of `bench_cache_defects.py`: LlamaIndex's embedding cache, and sulci around its models."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from _defects import Row
from _defects_meaning import MiniLM
from llama_index.core import MockEmbedding
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.tools import FunctionTool

from agentperf_core.cache import MemoryStore
from llamaindex_agentperf import CachedLLM, EmbeddingCacheStore

SULCI = "sulci: SulciCacheLLM"


def desk(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    if messages[-1].role == MessageRole.TOOL:
        return ChatMessage(role=MessageRole.ASSISTANT, content=str(messages[-1].content))
    call = ToolCallBlock(tool_call_id="c", tool_name="add", tool_kwargs={"a": 1, "b": 2})
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[call])


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def function_agent(around: Callable[[Any], Any]) -> str:
    async def run() -> str:
        llm = around(MockFunctionCallingLLM(response_generator=desk))
        agent: Any = FunctionAgent(llm=llm, tools=[FunctionTool.from_defaults(add)])
        return str(await agent.run(user_msg="1 + 2"))

    return asyncio.run(run())


def system_prompts(around: Callable[[Any], Any]) -> str:
    def script(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        return ChatMessage(role=MessageRole.ASSISTANT, content=str(messages[0].content))

    llm, said = around(MockFunctionCallingLLM(response_generator=script)), list[Any]()
    for role in ("pirate", "banker"):
        system = ChatMessage(role=MessageRole.SYSTEM, content=f"I am a {role}.")
        said.append(llm.chat([system, ChatMessage(role=MessageRole.USER, content="Who are you?")]))
        if isinstance(llm, CachedLLM):
            llm.cache.drain()  # ours learns behind a call, the peer in it
    return str(said[-1].message.content)


class SulciEncoder:
    """The same encoder in the form that the peer asks for."""

    dimension = 384

    def embed(self, text: str) -> list[float]:
        return MiniLM().embed_query(text)

    def embed_batch(self, texts: list[str]) -> list[list[float]]:
        return MiniLM().embed_documents(texts)


def sulci(inner: Any) -> Any:
    from sulci.integrations.llamaindex import (  # pyright: ignore[reportMissingImports]
        SulciCacheLLM,
    )

    return SulciCacheLLM(
        llm=inner,
        backend="sqlite",
        db_path=tempfile.mkdtemp(prefix="sulci-"),
        embedding_model=SulciEncoder(),
        telemetry=False,
    )


def two_models_one_cache(store_of: Callable[[MockEmbedding], Any]) -> str:
    vectors: list[list[float]] = []
    for dimension in (4, 8):
        model = MockEmbedding(embed_dim=dimension)
        model.embeddings_cache = store_of(model)
        vectors.append(model.get_text_embedding("hello"))
    return f"{len(vectors[-1])} numbers"


def rows() -> list[Row]:
    plain, shared = SimpleKVStore(), MemoryStore()
    return [
        Row(
            "in a `FunctionAgent`, 1 + 2",
            "3",
            SULCI,
            lambda: function_agent(sulci),
            "CachedLLM",
            lambda: function_agent(CachedLLM),
            "sulci",
        ),
        Row(
            "a pirate's cache asked by a banker",
            "I am a banker.",
            SULCI,
            lambda: system_prompts(sulci),
            "CachedLLM, semantic=",
            lambda: system_prompts(lambda llm: CachedLLM(llm, semantic=MiniLM())),
            "sulci",
        ),
        Row(
            "models of 4 and 8 numbers share a cache; the second gives",
            "8 numbers",
            "llama-index-core: embeddings_cache=SimpleKVStore",
            lambda: two_models_one_cache(lambda _: plain),
            "EmbeddingCacheStore",
            lambda: two_models_one_cache(lambda model: EmbeddingCacheStore(model, store=shared)),
            "llama_index.core",
        ),
    ]
