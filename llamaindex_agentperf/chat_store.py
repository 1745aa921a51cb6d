"""A chat store for `Memory(chat_store=...)`: in memory, SQLite or Redis, shared by processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
from pydantic import Field, PrivateAttr, SerializerFunctionWrapHandler, model_serializer

from agentperf_core.cache.conversations import (
    Conversation,
    Conversations,
    ConversationStore,
    State,
    conversations_from,
)
from agentperf_core.errors import ConfigError, require_instance, require_number
from llamaindex_agentperf._fields import require_fields
from llamaindex_agentperf._stored import messages_of, records_of

__all__ = ["AgentPerfChatStore"]

_GIVEN = "given:"
_POSITIONS = 10**9  # ids are times in microseconds, far above any position


class AgentPerfChatStore(AsyncDBChatStore):
    """LlamaIndex's chat store over the conversations of this pack; every call is one round trip.

    Each key is a conversation. Several processes may write to one key at once, and nothing is lost.
    While the store is down, what is added is kept in hand and nothing is archived; what cannot be
    read raises `ConversationUnavailable`, see `agentperf_core.cache.conversations`.

    A block that names a file is refused, when it is written and when it is read: whoever can write
    to a shared store could so read the files of everyone who reads it. Put the content in.

    Args:
        address: `memory:`, `sqlite:PATH`, `redis://...` and so on, see `open_conversations`.
        namespace: what tells ours from others in the same file or server.
        tenant: whose conversations these are.
        ttl_s: seconds that a conversation is kept after the last write; default for ever.
        conversations: `Conversations` or a store of them, instead of an address; such a chat store
            cannot be restored from JSON.

    Raises:
        ConfigError: if the address is none, or an argument is no field.

    Example:
        >>> import asyncio
        >>> from llama_index.core.memory import Memory
        >>> store = AgentPerfChatStore(address="memory:")
        >>> memory = Memory.from_defaults(session_id="session-7", chat_store=store)
        >>> asyncio.run(memory.aput(ChatMessage(role="user", content="My cat is called Miso.")))
        >>> [message.content for message in asyncio.run(store.get_messages("session-7"))]
        ['My cat is called Miso.']
    """

    address: str = Field(default="memory:", repr=False)
    namespace: str = "agentperf"
    tenant: str = ""
    ttl_s: float | None = None

    _conversations: Conversations = PrivateAttr()

    def __init__(
        self,
        address: str | None = None,
        *,
        conversations: Conversations | ConversationStore | None = None,
        kept: Mapping[str, Sequence[tuple[State, Mapping[str, Any]]]] | None = None,
        **fields: Any,
    ) -> None:
        require_fields(type(self), fields)
        require_instance(str, "write it as sqlite:chats.db", address=address)
        if address is not None:
            fields["address"] = address
        super().__init__(**fields)
        if conversations is not None:
            self.address = _GIVEN
            self._conversations = conversations_from(conversations)
        else:
            self._conversations = conversations_from(
                self.checked_address(), namespace=self.namespace, ttl_s=self.ttl_s
            )
        for key, said in (kept or {}).items():
            for state, record in said:
                self._of(key).append([record], state=state)

    @classmethod
    def class_name(cls) -> str:
        """The name of the class."""
        return cls.__name__

    @property
    def conversations(self) -> Conversations:
        """What is below: see its `is_down` and `waiting`."""
        return self._conversations

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """Messages in order; `status=None` for all."""
        start = 0 if offset is None else offset
        read = self._of(key).aread(state=_state(status), limit=limit, offset=start)
        return messages_of(await read)

    async def count_messages(
        self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE
    ) -> int:
        """How many messages there are; `status=None` for all."""
        return await self._of(key).acount(state=_state(status))

    async def add_message(
        self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add a message at the end."""
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add messages at the end, in one step."""
        await self._of(key).aappend(records_of(messages), state=_one_state(status))

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Forget all messages of the key and add these, in one step."""
        await self._of(key).areplace(records_of(messages), state=_one_state(status))

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Forget one message, by its id or by its position among the active ones."""
        conversation = self._of(key)
        require_number("give an id or a position", least=-_POSITIONS, whole=True, idx=idx)
        if idx < _POSITIONS:
            at = await conversation.aread(state="active", limit=1, offset=idx) if idx >= 0 else []
            if not at:
                return None
            idx = at[0].id
        removed = await conversation.aremove(idx)
        return next(iter(messages_of([removed] if removed else [])), None)

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Forget the messages of one status or all."""
        await self._of(key).aclear(state=_state(status))

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Forget the oldest active messages; what they were."""
        return messages_of(await self._of(key).adrop_oldest(n))

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the oldest active messages; what was archived."""
        return messages_of(await self._of(key).aarchive_oldest(n))

    async def get_keys(self) -> list[str]:
        """The keys of the tenant that have messages."""
        return await self._conversations.asessions(tenant=self.tenant)

    def to_dict(self, **_: Any) -> dict[str, Any]:
        """Its fields, for LlamaIndex's serialisers; what lives in this process goes with them."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, data: dict[str, Any], **_: Any) -> Self:
        """What `to_dict` was called on."""
        return cls.model_validate(data)

    async def aclose(self) -> None:
        """Store what waits, and close what is open; it opens again when it is used."""
        await self._conversations.aclose()

    def _of(self, key: str) -> Conversation:
        return self._conversations.of(key, tenant=self.tenant)

    def checked_address(self) -> str:
        """The address, if it is one.

        Raises:
            ConfigError: if it is that of a chat store that was made without one.
        """
        if self.address == _GIVEN:
            msg = (
                f"a chat store needs its address, got {_GIVEN!r} from one that had none; give "
                "conversations= or an address"
            )
            raise ConfigError(msg)
        return self.address

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Its fields; what lives in this process alone goes with them."""
        fields: dict[str, Any] = handler(self)
        if self.address != _GIVEN and self._conversations.store.in_process:
            fields["kept"] = {
                key: [(said.state, said.record) for said in self._of(key).read()]
                for key in self._conversations.sessions(tenant=self.tenant)
            }
        return fields


def _state(status: MessageStatus | None) -> State | None:
    return None if status is None else _one_state(status)


def _one_state(status: MessageStatus) -> State:
    # Text says the same; what is neither is refused below, like any wrong state.
    return cast("State", getattr(status, "value", status))


AgentPerfChatStore.__module__ = "llamaindex_agentperf"
