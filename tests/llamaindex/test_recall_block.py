"""The recall block in LlamaIndex's own memory: by session, when asked, within its tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory import InsertMethod, Memory
from llama_index.core.workflow import JsonSerializer
from sqlalchemy.ext.asyncio import create_async_engine
from windows_tools import WORDS, talk, texts, user

from agentperf_core.context import RecallSettings
from agentperf_core.errors import ConfigError
from llamaindex_agentperf import RecallMemoryBlock

CAT = user("My cat is called Miso.", date="2 May")
ASKED = user("What is the name of my cat?")


def block(**options: Any) -> RecallMemoryBlock:
    merged: dict[str, Any] = {"counter": WORDS, "max_tokens": 60, **options}
    return RecallMemoryBlock(**merged)


async def test_stock_memory_finds_again_what_it_flushed():
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    memory = Memory.from_defaults(
        session_id="s",
        async_engine=engine,
        token_limit=240,
        token_flush_size=60,
        memory_blocks=[block()],
        insert_method=InsertMethod.USER,
        tokenizer_fn=str.split,
    )
    for message in [CAT, *talk(12), ASKED]:
        await memory.aput(message)
    shown = await memory.aget()
    await engine.dispose()
    assert not any("Miso" in text for text in texts(shown[:-1]))
    assert shown[-1].role == MessageRole.USER
    assert "[2 May]\nuser: My cat is called Miso." in texts(shown)[-1]
    assert "What is the name of my cat?" in texts(shown)[-1]


async def test_sessions_never_see_each_other():
    """llama_index #22701: `VectorMemoryBlock` keeps the first session's id for all others."""
    one = block()
    await one.aput([user("My cat is called Miso.")], session_id="a")
    await one.aput([user("My cat is called Felix.")], session_id="b")
    assert "Miso" in await one.aget([ASKED], session_id="a")
    assert "Miso" not in await one.aget([ASKED], session_id="b")
    assert await one.aget([ASKED], session_id="c") == ""


async def test_a_remark_brings_nothing_back():
    one = block()
    await one.aput([CAT], session_id="a")
    assert await one.aget([user("Miso is a cat.")], session_id="a") == ""
    assert await one.aget([], session_id="a") == ""
    always = block(recall="always")
    await always.aput([user("My cat is called Miso.")])
    assert "Miso" in await always.aget([user("Miso is a cat.")])


async def test_it_says_no_more_than_it_may_and_less_when_asked_to():
    one = block(max_tokens=40, recall="always")
    await one.aput([user(f"cat number {n}") for n in range(30)])
    said = await one.aget([user("cat")])
    assert WORDS.count_text(said) <= 40
    shorter = await one.atruncate(said, 10)
    assert shorter is not None
    assert WORDS.count_text(said) - WORDS.count_text(shorter) >= 5
    assert shorter.splitlines()[0] == said.splitlines()[0]
    assert await one.atruncate(said, 1000) is None


async def test_meaning_is_searched_off_the_event_loop():
    asked: list[Sequence[str]] = []

    def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        asked.append(texts)
        return [[1.0, 0.0] for _ in texts]

    one = block(recall=RecallSettings(embed=embed))
    await one.aput([user("We went sailing.")])
    assert "sailing" in await one.aget([user("Which boat?")])
    assert asked


async def test_the_session_used_longest_ago_is_forgotten():
    one = block(sessions=2)
    for name in "abc":
        await one.aput([user("My cat is called Miso.")], session_id=name)
    assert await one.aget([ASKED], session_id="a") == ""
    assert await one.aget([ASKED], session_id="c") != ""


def test_arguments_that_mean_nothing():
    with pytest.raises(ConfigError, match="max_tokens must be > 0"):
        block(max_tokens=0)
    with pytest.raises(ConfigError, match="when is 'auto'"):
        block(recall="never")


async def test_messages_without_text_are_passed_over():
    one = block()
    await one.aput([ChatMessage(role=MessageRole.ASSISTANT, blocks=[])])
    assert await one.aget([ASKED]) == ""


def test_what_it_remembers_goes_through_a_workflow_s_json():
    """It came back empty, and `recall="always"` as "auto"."""
    block = RecallMemoryBlock(max_tokens=200, recall="always")
    asyncio.run(block.aput([ChatMessage("My cat is called Miso.")], session_id="s1"))
    serializer = JsonSerializer()
    again = serializer.deserialize(serializer.serialize(block))
    told = asyncio.run(again.aget([ChatMessage("The cat.")], session_id="s1"))
    assert told == asyncio.run(block.aget([ChatMessage("The cat.")], session_id="s1"))
    assert "Miso" in told
    assert asyncio.run(again.aget([ChatMessage("The cat.")], session_id="s2")) == ""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"recall": "tool"}, "a block speaks by itself, got recall='tool'"),
        ({"max_token": 5}, r"must be fields of RecallMemoryBlock, got \['max_token'\]"),
        ({"recall": {"shar": 0.2}}, "recall has the settings when, share"),
        ({"counter": 5}, "counter must be a TokenCounter"),
    ],
)
def test_fields_that_mean_nothing(fields: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        RecallMemoryBlock(**fields)
