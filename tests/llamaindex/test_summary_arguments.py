"""Arguments of the summarising memory and block that mean nothing are refused where they are given.

Pydantic drops what it does not know: a misspelt setting was no setting at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.mock import MockLLM

from agentperf_core.errors import ConfigError
from llamaindex_agentperf import SummaryMemoryBlock, SummaryTrimMemory


def memory(**fields: Any) -> SummaryTrimMemory:
    return SummaryTrimMemory(**{"token_limit": 1000, "llm": MockLLM(), **fields})


def block(**fields: Any) -> SummaryMemoryBlock:
    return SummaryMemoryBlock(llm=MockLLM(), **fields)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: memory(keep_turn=3), r"fields of SummaryTrimMemory, got \['keep_turn'\]"),
        (lambda: memory(keep_turns=3), "settings of the window and its summary go into options"),
        (lambda: memory(options={"keep_turn": 3}), "check the spelling"),
        (lambda: memory(options="x"), "options must be a dict of settings by name, got 'x'"),
        (lambda: memory(options=None), "options must be a dict of settings by name, got None"),
        (lambda: memory(token_limit=0), "token_limit must be > 0, got 0"),
        (lambda: memory(options={"summary_tokens": 0}), "^summary_tokens must be > 0, got 0"),
        (
            lambda: SummaryTrimMemory.from_defaults(llm=MockLLM(), token_limit=0),
            "token_limit must be > 0, got 0",
        ),
        (lambda: block(timeout=5), r"fields of SummaryMemoryBlock, got \['timeout'\]"),
        (lambda: block(summary_tokens=0), "^summary_tokens must be > 0, got 0"),
        (lambda: block(saved={"s": {}}), "saved holds the state and the pending messages"),
        (lambda: block(saved={"s": None}), "got None for 's'"),
        (
            lambda: block(saved={"s": {"state": {}, "pending": [{"role": "nobody"}]}}),
            "give what was saved",
        ),
    ],
)
def test_what_means_nothing_is_refused_at_once(make: Callable[[], object], says: str):
    with pytest.raises(ConfigError, match=says):
        make()


def test_what_is_saved_is_taken():
    again = SummaryTrimMemory.from_dict(memory(options={"keep_turns": 3}).to_dict())
    assert again.options == {"keep_turns": 3}
    assert block(**block().model_dump(exclude={"llm"})).summary_tokens == 512


async def put(kept: SummaryTrimMemory, given: Any) -> None:
    await kept.aput(given)


async def put_all(kept: SummaryTrimMemory, given: Any) -> None:
    kept.put_messages([ChatMessage("fine"), given])


async def replace(kept: SummaryTrimMemory, given: Any) -> None:
    kept.set([ChatMessage("fine"), given])


@pytest.mark.parametrize("add", [put, put_all, replace])
@pytest.mark.parametrize("given", ["hello", None, {"role": "user", "content": "hello"}])
async def test_a_memory_keeps_nothing_that_is_no_message(add: Any, given: Any):
    """It was kept, and every later look failed with an AttributeError."""
    kept = memory()
    kept.put(ChatMessage("before"))
    with pytest.raises(ConfigError, match="a memory takes ChatMessages, got"):
        await add(kept, given)
    assert [message.content for message in kept.get()] == ["before"]
    assert len(kept.get_all()) == 1


def test_neither_does_a_put_of_one():
    with pytest.raises(ConfigError, match="a memory takes ChatMessages, got a str"):
        memory().put(cast("ChatMessage", "hello"))
