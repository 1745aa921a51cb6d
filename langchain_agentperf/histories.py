"""`ConversationHistory`: a chat message history over a shared conversation store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage, messages_from_dict
from pydantic import ConfigDict, TypeAdapter

from agentperf_core.cache.conversations import (
    Conversation,
    Conversations,
    ConversationStore,
    Said,
    conversations_from,
)
from agentperf_core.cache.conversations.codec import as_record, from_record
from agentperf_core.cache.conversations.given import require_messages
from agentperf_core.errors import CodecError
from agentperf_core.events import BUS

__all__ = ["ConversationHistory"]

# Within a model pydantic would write NaN and infinity as null.
_DATA: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))


class ConversationHistory(BaseChatMessageHistory):
    """The messages of one session, kept where `conversations` are; sync and async.

    Make the conversations once, with `open_conversations`, and a history wherever one is needed: it
    costs nothing. Several processes may add to one session at once, and nothing is lost. While the
    store is down, what is added is kept in hand; what cannot be read raises
    `ConversationUnavailable`, see `agentperf_core.cache.conversations`.

    Args:
        session_id: whose messages these are.
        conversations: `Conversations`, a store of them, or an address such as
            `sqlite:chats.db` or `redis://localhost`; default in this process, for this history.
        tenant: whose session it is; the same session of another tenant is another one.

    Raises:
        ConfigError: if the session has no name, or these are no conversations.

    Example:
        >>> from agentperf_core.cache.conversations import open_conversations
        >>> conversations = open_conversations("memory:", ttl_s=30 * 86400)
        >>> history = ConversationHistory("session-7", conversations, tenant="acme")
        >>> history.add_user_message("My cat is called Miso.")
        >>> ConversationHistory("session-7", conversations, tenant="acme").messages[0].content
        'My cat is called Miso.'
    """

    def __init__(
        self,
        session_id: str,
        conversations: Conversations | ConversationStore | str | None = None,
        *,
        tenant: str = "",
    ) -> None:
        super().__init__()
        self.conversation: Conversation = conversations_from(conversations).of(
            session_id, tenant=tenant
        )

    @property
    def messages(self) -> list[BaseMessage]:  # pyright: ignore[reportIncompatibleVariableOverride] - as its docstring shows
        """All messages, oldest first; reads the store."""
        return _messages(self.conversation.read())

    async def aget_messages(self) -> list[BaseMessage]:
        """Like `messages`, awaited."""
        return _messages(await self.conversation.aread())

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end, in one step.

        Raises:
            ConfigError: if these are no messages.
            CodecError: if one holds what cannot be kept, such as bytes that are no text.
        """
        self.conversation.append(_records(messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Like `add_messages`, awaited."""
        await self.conversation.aappend(_records(messages))

    def clear(self) -> None:
        """Forget all messages of the session."""
        self.conversation.clear()

    async def aclear(self) -> None:
        """Like `clear`, awaited."""
        await self.conversation.aclear()


def _records(messages: Sequence[BaseMessage]) -> list[Mapping[str, Any]]:
    return [_record(message) for message in require_messages(BaseMessage, messages)]


def _record(message: BaseMessage) -> Mapping[str, Any]:
    """A message in LangChain's own JSON form, as `messages_from_dict` reads it.

    What a tool keeps for itself beside its answer may be any object; what is no data is text there.
    """
    try:
        data = _DATA.dump_python(message.model_dump(), mode="json", fallback=str)
    except Exception as error:  # of pydantic, or of an object that has no text
        msg = f"a {type(message).__name__} must be plain data to be kept, got {error}; convert it"
        raise CodecError(msg) from error
    return as_record({"type": message.type, "data": data})


def _messages(said: Sequence[Said]) -> list[BaseMessage]:
    found: list[BaseMessage] = []
    for one in said:
        try:
            # Builds messages only: the kinds are a list of LangChain's.
            found += messages_from_dict([cast("dict[str, Any]", from_record(one.record))])
        except (KeyError, TypeError, ValueError) as error:
            BUS.fault("history.codec", error)
    return found


ConversationHistory.__module__ = "langchain_agentperf"
