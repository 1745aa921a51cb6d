"""A block for LlamaIndex's own `Memory` that brings back what it has flushed."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory.memory import BaseMemoryBlock
from pydantic import Field, PrivateAttr, field_serializer

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import Recall, RecallSettings
from agentperf_core.errors import ConfigError, require_instance, require_positive
from llamaindex_agentperf._fields import require_fields
from llamaindex_agentperf._messages import to_core
from llamaindex_agentperf._windows import Recalling, core_recall, saved_recall

__all__ = ["RecallMemoryBlock"]


class RecallMemoryBlock(BaseMemoryBlock[str]):
    """What a `Memory` has flushed, searched by words (and by meaning) when the user asks.

    Sessions never see each other's messages. `Memory` writes what its blocks say into the system
    prompt, which changes the prompt from its beginning; with `insert_method="user"` it goes to the
    last question, and the prompt cache keeps its prefix. (`SlidingWindowMemory` does so itself.)

    Args:
        name: of the block, in the prompt.
        max_tokens: what it may say at once.
        recall: when it speaks, see `SlidingWindowMemory`; its `share` is not used here, and
            functions in it are not saved.
        counter: counts tokens; default those of gpt-4o.
        sessions: how many are remembered; the one used longest ago is forgotten first.
        priority: as in every block: 0 is never truncated.
        saved: what was remembered, by session, as it was saved.

    Raises:
        ConfigError: if a value cannot mean anything, or a field does not exist.

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
    recall: dict[str, Any] | None = Field(default=None, description="When it speaks.")
    saved: list[Any] = Field(default_factory=list, description="What is remembered, by session.")
    _settings: RecallSettings = PrivateAttr()
    _counter: TokenCounter = PrivateAttr()
    _memories: OrderedDict[str | None, Recall] = PrivateAttr(
        default_factory=OrderedDict[str | None, Recall]
    )
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(
        self, *, recall: Recalling = "auto", counter: TokenCounter | None = None, **fields: Any
    ) -> None:
        require_fields(type(self), fields)
        settings = core_recall(recall) or RecallSettings()
        if settings.when == "tool":
            msg = (
                "a block speaks by itself, got recall='tool'; use SlidingWindowMemory with "
                "recall_tool where the model is to ask"
            )
            raise ConfigError(msg)
        merged: dict[str, Any] = {"recall": saved_recall(settings), **fields}
        super().__init__(**merged)
        require_positive(max_tokens=self.max_tokens, sessions=self.sessions)
        require_instance(TokenCounter, "use TokenCounter.for_model(...)", counter=counter)
        self._settings = settings
        self._counter = TokenCounter.for_encoding() if counter is None else counter
        for session, lines in self.saved:
            self._memory(session).restore(lines)
        self.saved = []

    @field_serializer("saved")
    def _dump_saved(self, _: list[Any]) -> list[Any]:
        with self._lock:
            return [[session, one.state()] for session, one in self._memories.items()]

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
