"""Conversations for the tests of memories and fitting, and what providers would say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    ChatMessage,
    ContentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.llms.openai.utils import to_openai_message_dicts

from agentperf_core.accounting import TokenCounter
from agentperf_core.testing import chat_objections
from llamaindex_agentperf._messages import to_core

__all__ = ["WORDS", "conversations", "cost", "faults", "look", "talk", "texts", "user", "working"]

WORDS = TokenCounter(lambda text: len(text.split()))


def user(text: str, **extra: Any) -> ChatMessage:
    return ChatMessage(role=MessageRole.USER, content=text, additional_kwargs=extra)


def talk(turns: int) -> list[ChatMessage]:
    roles = (MessageRole.USER, MessageRole.ASSISTANT)
    return [ChatMessage(role=roles[n % 2], content=f"t{n} " * 12) for n in range(2 * turns)]


def texts(messages: Sequence[ChatMessage]) -> list[str]:
    return [message.content or "" for message in messages]


def cost(messages: Sequence[ChatMessage]) -> int:
    return sum(WORDS.count_message(to_core(message)) for message in messages)


def faults(messages: Sequence[ChatMessage]) -> list[str]:
    """What OpenAI would refuse, after LlamaIndex's own conversion."""
    return chat_objections(to_openai_message_dicts(messages))  # pyright: ignore[reportArgumentType] - dicts, without the Responses API


def look(at: int) -> str:
    """Look at a place."""
    return f"place {at} is " + "quiet " * 12


def working(messages: Sequence[ChatMessage]) -> ChatMessage:
    """Looks at two places at once, twice after each question, then answers."""
    steps = 0
    for message in reversed(messages):
        if message.role == MessageRole.USER:
            break
        steps += message.role == MessageRole.TOOL
    if steps >= 4:
        return ChatMessage(role=MessageRole.ASSISTANT, content="All is quiet there.")
    name = f"{len(messages)}.{steps}"
    return ChatMessage(
        role=MessageRole.ASSISTANT,
        blocks=[
            ToolCallBlock(tool_call_id=f"{name}.{n}", tool_name="look", tool_kwargs={"at": n})
            for n in range(2)
        ],
    )


def _user_blocks() -> st.SearchStrategy[list[ContentBlock]]:
    text = st.builds(lambda said: TextBlock(text=said), st.text(min_size=1, max_size=30))
    return st.lists(st.one_of(text, st.just(ImageBlock(image=b"AAAA"))), min_size=1, max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> list[ChatMessage]:
    """Messages as agents leave them behind, some of them broken."""
    found = [user("Hello.")]
    for turn in range(draw(st.integers(1, 6))):
        found.append(ChatMessage(role=MessageRole.USER, blocks=draw(_user_blocks())))
        for step in range(draw(st.integers(0, 3))):
            ids = [f"{turn}.{step}.{n}" for n in range(draw(st.integers(0, 3)))]
            blocks: list[ContentBlock] = [TextBlock(text=draw(st.text(max_size=30)) or "so")]
            if draw(st.booleans()):
                blocks.insert(0, ThinkingBlock(content=draw(st.text(max_size=40))))
            blocks += [
                ToolCallBlock(tool_call_id=one, tool_name="look", tool_kwargs='{"at": 1}')
                for one in ids
            ]
            found.append(ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks))
            found += [
                ChatMessage(
                    role=MessageRole.TOOL,
                    content=draw(st.text(max_size=200)),
                    additional_kwargs={"tool_call_id": one},
                )
                for one in ids
                if draw(st.integers(0, 9))
            ]
    return found
