"""How LlamaIndex's own memories break a conversation: each trap shown, and its absence in ours.

A test that pins an upstream defect fails when upstream repairs it: then the note in our code goes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from typing import Any

import pydantic
import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.memory import ChatMemoryBuffer, Memory, VectorMemoryBlock
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStoreQueryResult
from llama_index.llms.openai.utils import to_openai_message_dicts
from pydantic import PrivateAttr
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentperf_core.accounting import TokenCounter
from agentperf_core.testing import chat_objections
from llamaindex_agentperf import RecallMemoryBlock, SlidingWindowMemory
from llamaindex_agentperf._messages import to_core

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)

COUNTER = TokenCounter.for_encoding("o200k_base")


def user(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.USER, content=text)


def says(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.ASSISTANT, content=text)


def call(number: int, **arguments: Any) -> ChatMessage:
    block = ToolCallBlock(tool_call_id=f"c{number}", tool_name="look", tool_kwargs=arguments)
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[block])


def result(number: int, words: int) -> ChatMessage:
    extra = {"tool_call_id": f"c{number}"}
    return ChatMessage(role=MessageRole.TOOL, content="quiet " * words, additional_kwargs=extra)


def talk(turns: int, size: int = 20) -> list[ChatMessage]:
    found: list[ChatMessage] = []
    for turn in range(turns):
        found += [user(f"question {turn} " * size), says(f"answer {turn} " * size)]
    return found


def cost(messages: Sequence[ChatMessage]) -> int:
    return sum(COUNTER.count_message(to_core(message)) for message in messages)


def faults(messages: Sequence[ChatMessage]) -> list[str]:
    return chat_objections(to_openai_message_dicts(messages))  # pyright: ignore[reportArgumentType] - dicts, without the Responses API


def roles(messages: Sequence[ChatMessage]) -> list[str]:
    return [message.role.value for message in messages]


def buffer(limit: int, history: Sequence[ChatMessage]) -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(chat_history=[*history], token_limit=limit)


def ours(limit: int, history: Sequence[ChatMessage]) -> SlidingWindowMemory:
    return SlidingWindowMemory.from_defaults(chat_history=history, token_limit=limit)


@pytest.fixture
async def engine() -> AsyncIterator[AsyncEngine]:
    found = create_async_engine("sqlite+aiosqlite:///:memory:")
    yield found
    await found.dispose()


async def stock(
    engine: AsyncEngine, limit: int, history: Sequence[ChatMessage], **o: Any
) -> Memory:
    memory = Memory.from_defaults(session_id="s", token_limit=limit, async_engine=engine, **o)
    for message in history:
        await memory.aput(message)
    return memory


def test_no_tool_result_is_all_that_is_left():
    history = [user("Look."), call(1, at=1), result(1, 5), call(2, at=2), result(2, 200)]
    assert roles(buffer(100, history).get()) == ["tool"]
    shown = ours(100, history).get()
    assert faults(shown) == []
    assert cost(shown) <= 100
    assert shown[0].content == "Look."


async def test_tool_calls_are_counted(engine: AsyncEngine):
    """llama_index #21950: five thousand tokens of arguments are counted as one, or none."""
    history = [user("Write."), call(1, text="word " * 5000), result(1, 5), user("Again.")]
    assert cost(buffer(1000, history).get()) > 5000
    assert cost(await (await stock(engine, 1000, history)).aget()) > 5000
    assert cost(ours(1000, history).get()) <= 1000


def test_a_huge_question_is_cut_and_not_sent_whole():
    history = [user("word " * 5000)]
    assert cost(buffer(1000, history).get()) > 5000
    shown = ours(1000, history).get()
    assert cost(shown) <= 1000
    assert "characters left out" in (shown[0].content or "")


async def test_what_stands_beside_is_fitted_and_neither_refused_nor_passed_over(
    engine: AsyncEngine,
):
    """llama_index #9371, #15320."""
    history = [*talk(20), user("So?")]
    with pytest.raises(ValueError, match="Initial token count exceeds token limit"):
        buffer(1000, history).get(initial_token_count=1001)
    memory = await stock(engine, 1000, history)
    passed_over = await memory.aget(initial_token_count=900)
    assert passed_over == await memory.aget()
    one = ours(1000, history)
    assert cost(one.get(initial_token_count=600)) <= 400
    assert one.get(initial_token_count=1001)[-1].content == "So?"


async def test_a_full_memory_keeps_more_than_the_last_words(engine: AsyncEngine):
    """What `Memory(token_limit=4000)` flushes at once is more than it may hold."""
    history = talk(60)
    memory = await stock(engine, 4000, [])
    one, kept = ours(4000, []), []
    fewest = 10**6
    for place, message in enumerate(history):
        await memory.aput(message)
        one.put(message)
        if place > 80:
            fewest = min(fewest, cost(await memory.aget()))
            kept.append(cost(one.get()))
    assert fewest < 800
    assert min(kept) >= 2000


async def test_a_long_task_is_fitted_within_its_turn(engine: AsyncEngine):
    history = [user("Look everywhere, please.")]
    for number in range(30):
        history += [call(number, at=number), result(number, 40)]
    shown = await (await stock(engine, 500, history)).aget()
    assert cost(shown) > 500 or "user" not in roles(shown)
    found = ours(500, history).get()
    assert cost(found) <= 500
    assert faults(found) == []
    assert found[0].content == "Look everywhere, please."


async def test_nothing_may_be_put(engine: AsyncEngine):
    """llama_index #23185: an agent's `finalize` puts what there is, which may be nothing."""
    memory = await stock(engine, 1000, [user("hi")])
    with pytest.raises(IntegrityError):
        await memory.aput_messages([])
    one = ours(1000, [])
    await one.aput_messages([])
    assert await one.aget() == []


class _Remembering(BasePydanticVectorStore):
    """Keeps the filters that it is asked with."""

    stores_text: bool = True
    _asked: list[Any] = PrivateAttr(default_factory=list)

    @property
    def client(self) -> Any:
        return None

    def add(self, nodes: Sequence[Any], **kwargs: Any) -> list[str]:
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **kwargs: Any) -> None: ...

    def query(self, query: Any, **kwargs: Any) -> VectorStoreQueryResult:
        self._asked.append({one.value for one in query.filters.filters})
        return VectorStoreQueryResult(nodes=[], similarities=[], ids=[])


async def test_a_session_reads_nothing_of_another():
    """llama_index #22701: the first session's id stays in the block's filters."""
    store = _Remembering()
    block = VectorMemoryBlock(name="v", vector_store=store, embed_model=MockEmbedding(embed_dim=2))
    for session in ("a", "b"):
        await block.aget([user("Where?")], session_id=session)
    assert store._asked[1] == {"a"}
    recall = RecallMemoryBlock()
    await recall.aput([user("My cat is called Miso.")], session_id="a")
    assert await recall.aget([user("What is my cat called?")], session_id="b") == ""


@pytest.mark.skipif(
    tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 14), reason="it broke in pydantic 2.14"
)
def test_a_memory_is_saved_with_a_new_pydantic():
    with pytest.raises(Exception, match=r"takes 2 positional arguments|serializ"):
        buffer(1000, talk(1)).to_string()
    one = ours(1000, talk(1))
    assert SlidingWindowMemory.from_string(one.to_string()).get_all() == one.get_all()


def broken_prefixes(
    put: Callable[[ChatMessage], None], get: Callable[[], list[ChatMessage]]
) -> float:
    prompts: list[list[str]] = []
    for message in talk(60):
        put(message)
        if message.role == MessageRole.USER:
            prompts.append([m.content or "" for m in get()])
    late = [*pairwise(prompts)][20:]
    return sum(new[: len(old)] != old for old, new in late) / len(late)


def test_the_window_stays_where_it_is():
    """A window that moves with every turn has the whole prompt read anew every time."""
    stock, one = buffer(2000, []), ours(2000, [])
    assert broken_prefixes(stock.put, stock.get) >= 0.9
    assert broken_prefixes(one.put, one.get) <= 0.2


def test_a_text_is_counted_once():
    """The buffer counts the whole joined history again for every message that it drops."""
    counted = {"stock": 0, "ours": 0}

    def counting(name: str) -> Callable[[str], list[str]]:
        def count(text: str) -> list[str]:
            counted[name] += len(text)
            return text.split()

        return count

    history = talk(60)
    stock = ChatMemoryBuffer.from_defaults(token_limit=1000, tokenizer_fn=counting("stock"))
    one = SlidingWindowMemory.from_defaults(token_limit=1000, tokenizer_fn=counting("ours"))
    for message in history:
        for memory in (stock, one):
            memory.put(message)
            memory.get()
    said = sum(len(message.content or "") for message in history)
    assert counted["stock"] > 100 * said
    assert counted["ours"] <= 2 * said
