"""A block for LlamaIndex's own `Memory` that brings back what it has flushed."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory.memory import BaseMemoryBlock
from pydantic import Field, PrivateAttr

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import Recall, RecallSettings
from agentperf_core.errors import require_positive
from llamaindex_agentperf._messages import to_core
from llamaindex_agentperf._windows import Recalling, core_recall

__all__ = ["RecallMemoryBlock"]


class RecallMemoryBlock(BaseMemoryBlock[str]):
    """What a `Memory` has flushed, searched by words (and by meaning) when the user asks.

    Sessions never see each other's messages. `Memory` writes what its blocks say into the system
    prompt, which changes the prompt from its beginning; with `insert_method="user"` it goes to the
    last question, and the prompt cache keeps its prefix. (`SlidingWindowMemory` does so itself.)

    Args:
        name: of the block, in the prompt.
        max_tokens: what it may say at once.
        recall: when it speaks, see `SlidingWindowMemory`; its `share` is not used here.
        counter: counts tokens; default those of gpt-4o.
        sessions: how many are remembered; the one used longest ago is forgotten first.
        priority: as in every block: 0 is never truncated.

    Raises:
        ConfigError: if a value cannot mean anything.

    Example:
        >>> block = RecallMemoryBlock(max_tokens=200)
        >>> said = [ChatMessage(role="user", content="My cat is called Miso.")]
        >>> asked = [ChatMessage(role="user", content="What is the name of my cat?")]
        >>> async def flushed_and_asked() -> str:
        ...     await block.aput(said, session_id="s1")
        ...     return await block.aget(asked, session_id="s1")
        >>> print(asyncio.run(flushed_and_asked()))
        Earlier in this conversation:
        user: My cat is called Miso.
    """

    name: str = Field(default="earlier", description="The name of the block.")
    priority: int = Field(default=1, description="0 is never truncated.")
    max_tokens: int = Field(default=1000, description="What it may say at once.")
    sessions: int = Field(default=256, description="How many are remembered.")
    _settings: RecallSettings = PrivateAttr()
    _counter: TokenCounter = PrivateAttr()
    _memories: OrderedDict[str | None, Recall] = PrivateAttr(
        default_factory=OrderedDict[str | None, Recall]
    )
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(
        self, *, recall: Recalling = "auto", counter: TokenCounter | None = None, **fields: Any
    ) -> None:
        super().__init__(**fields)
        require_positive(max_tokens=self.max_tokens, sessions=self.sessions)
        self._settings = core_recall(recall) or RecallSettings()
        self._counter = TokenCounter.for_encoding() if counter is None else counter

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        asked = _question(messages or ())
        if not asked or not self._settings.wanted(asked):
            return ""
        session = block_kwargs.get("session_id")
        if self._settings.embed is None:
            return self._found(session, asked)
        return await asyncio.to_thread(self._found, session, asked)

    async def _aput(self, messages: list[ChatMessage]) -> None:
        date = self._settings.date
        with self._lock:
            for message in messages:
                # `Memory` notes there whose messages it flushes.
                memory = self._memory(message.additional_kwargs.get("session_id"))
                core = to_core(message)
                memory.add(len(memory), core, date=date(core) if date else None)

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """Leave out the oldest lines, as many as it takes; `None` if nothing is left."""
        heading, *lines = content.splitlines()
        while lines and tokens_to_truncate > 0:
            tokens_to_truncate -= self._counter.count_text(lines.pop(0)) + 1
        return "\n".join([heading, *lines]) if lines else None

    def _found(self, session: str | None, asked: str) -> str:
        with self._lock:
            found = self._memory(session).find(asked, tokens=self.max_tokens)
        return found.text if found else ""

    def _memory(self, session: str | None) -> Recall:
        found = self._memories.get(session)
        if found is None:
            settings = self._settings
            found = self._memories[session] = Recall(
                self._counter, embed=settings.embed, neighbours=settings.neighbours
            )
        self._memories.move_to_end(session)
        while len(self._memories) > self.sessions:
            self._memories.popitem(last=False)
        return found


def _question(messages: Sequence[ChatMessage]) -> str:
    for message in reversed(messages):
        if message.role == MessageRole.USER:
            return message.content or ""
    return ""


RecallMemoryBlock.__module__ = "llamaindex_agentperf"
