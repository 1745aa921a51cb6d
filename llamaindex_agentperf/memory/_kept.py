"""What the memories that keep every message share: putting, setting, saving."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory.types import BaseMemory
from pydantic import Field, field_serializer

from agentperf_core.errors import ConfigError
from llamaindex_agentperf.memory._talk import Talk

__all__ = ["KeptMemory", "require_messages"]


class KeptMemory(BaseMemory):
    """A memory that keeps every message; subclasses say what is shown.

    Args:
        chat_history: the messages so far.
    """

    chat_history: list[ChatMessage] = Field(default_factory=list[ChatMessage])

    @field_serializer("chat_history")
    def _dump_history(self, messages: list[ChatMessage]) -> list[dict[str, Any]]:
        return [message.model_dump(mode="json") for message in messages]

    def get_all(self) -> list[ChatMessage]:
        """Every message, in order."""
        return [*self.chat_history]

    async def aget_all(self) -> list[ChatMessage]:
        """Like `get_all`."""
        return self.get_all()

    def put(self, message: ChatMessage) -> None:
        """Add the next message."""
        self.put_messages([message])

    async def aput(self, message: ChatMessage) -> None:
        """Like `put`."""
        self.put(message)

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """Add the next messages.

        Raises:
            ConfigError: if one of them is none; then nothing is added.
        """
        require_messages(messages)
        self._own().put(messages)

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Like `put_messages`."""
        self.put_messages(messages)

    def set(self, messages: list[ChatMessage]) -> None:
        """Replace the conversation."""
        require_messages(messages)
        self._own().set(messages)

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Like `set`."""
        self.set(messages)

    def reset(self) -> None:
        """Forget the conversation."""
        self._own().set([])

    async def areset(self) -> None:
        """Like `reset`."""
        self.reset()

    def to_string(self) -> str:
        """The whole memory as JSON text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_string(cls, json_str: str, **functions: Any) -> Self:
        """The memory that `to_string` wrote; `functions` are those that were not saved."""
        return cls.from_dict(json.loads(json_str), **functions)

    def _own(self) -> Talk:
        """The messages with the window over them."""
        raise NotImplementedError


def require_messages(messages: Sequence[object]) -> None:
    """Check messages before a memory keeps them: one that is none would break every later look.

    Raises:
        ConfigError: naming the first that is none.
    """
    for message in messages:
        if not isinstance(message, ChatMessage):
            kind = type(message).__name__
            msg = f"a memory takes ChatMessages, got a {kind}; wrap it: ChatMessage('...')"
            raise ConfigError(msg)
