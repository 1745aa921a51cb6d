"""`SummaryTrimMemory` under LlamaIndex's own chat engines.

`SimpleChatEngine` calls the `tokenizer_fn` of every memory that has one; ours was `None` there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from conversations import WORDS
from llama_index.core import Settings
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llamaindex_tools import ScriptedLLM
from parallel_tools import STOCK_WARNINGS

from llamaindex_agentperf import SummaryTrimMemory
from llamaindex_agentperf._messages import to_core

pytestmark = pytest.mark.filterwarnings(*STOCK_WARNINGS)

LIMIT = 400
FILL = " ".join(f"word{n}" for n in range(18))
SYSTEM = "Be brief. " * 20


class Shelf(BaseRetriever):
    """Finds the same for everybody."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="Snow fell."), score=1.0)]


def words(text: str) -> list[str]:
    return text.split()


def summarize(messages: Any, previous: Any, most: int) -> str:
    return "so far so good"


def memory_of(tokenizer_fn: Any = None) -> SummaryTrimMemory:
    return SummaryTrimMemory.from_defaults(
        llm=summarize, token_limit=LIMIT, tokenizer_fn=tokenizer_fn, background=False
    )


async def chat(engine: Any, text: str) -> str:
    return engine.chat(text).response


async def achat(engine: Any, text: str) -> str:
    return (await engine.achat(text)).response


async def stream_chat(engine: Any, text: str) -> str:
    answer = engine.stream_chat(text)
    found = "".join(answer.response_gen)
    if answer.write_response_to_history_thread is not None:
        answer.write_response_to_history_thread.join(20)
    return found


async def astream_chat(engine: Any, text: str) -> str:
    answer = await engine.astream_chat(text)
    tokens: AsyncIterator[str] = answer.async_response_gen()
    found = "".join([token async for token in tokens])
    if answer.awrite_response_to_history_task is not None:
        await answer.awrite_response_to_history_task
    return found


WAYS = [chat, achat, stream_chat, astream_chat]
Way = Callable[[Any, str], Awaitable[str]]


@pytest.mark.parametrize("tokenizer_fn", [None, words])
@pytest.mark.parametrize("way", WAYS)
async def test_a_simple_chat_engine_goes_on_for_longer_than_the_window(way: Way, tokenizer_fn: Any):
    model, memory = ScriptedLLM(), memory_of(tokenizer_fn)
    engine = SimpleChatEngine.from_defaults(llm=model, memory=memory, system_prompt=SYSTEM)
    for number in range(20):
        said = f"turn {number} {FILL}"
        assert await way(engine, said) == f"echo {said}"
        cost = sum(WORDS.count_message(to_core(message)) for message in model.seen[-1])
        assert cost <= LIMIT + 8, "the system prompt takes its room, but for its frame"
        assert [one.content for one in memory.get_all()[-2:]] == [said, f"echo {said}"]
    assert len(memory.get_all()) == 40
    assert "so far so good" in (model.seen[-1][1].content or "")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [ContextChatEngine, CondensePlusContextChatEngine])
async def test_engines_with_a_context_do_too(way: Way, kind: Any, monkeypatch: pytest.MonkeyPatch):
    model, memory = ScriptedLLM(), memory_of()
    monkeypatch.setattr(Settings, "_llm", model)
    engine = kind.from_defaults(retriever=Shelf(), llm=model, memory=memory)
    for number in range(12):
        assert "echo" in await way(engine, f"turn {number} {FILL}")
    assert len(memory.get_all()) == 24
    assert memory.shown().summary is not None


def test_the_stand_in_counts_as_the_memory_does_and_is_not_saved():
    memory = memory_of()
    assert memory.tokenizer_fn is not None
    memory.put(ChatMessage(FILL))
    counted = memory.shown().tokens
    assert 0 < counted - len(memory.tokenizer_fn(FILL)) < 10
    assert memory.to_dict()["tokenizer_fn"] is None
    again = SummaryTrimMemory.from_dict(memory.to_dict())
    assert again.live is memory.live
    assert again.tokenizer_fn is not None
    assert len(again.tokenizer_fn(FILL)) == len(memory.tokenizer_fn(FILL))
