"""Conversations as a typed program sees them; pyright checks this file, nobody runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_type

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore

from agentperf_core.accounting import TokenCounter, count_functions_request
from agentperf_core.cache.conversations import (
    Conversation,
    Conversations,
    ConversationStore,
    MemoryConversations,
    RedisConversations,
    Said,
    SQLiteConversations,
    open_conversations,
)
from agentperf_core.testing import AwaitedConversationConformance, ConversationConformance
from langchain_agentperf import ConversationHistory
from llamaindex_agentperf import AgentPerfChatStore, RedisAsyncChatStore

STORES: Sequence[ConversationStore] = (
    MemoryConversations(ttl_s=60),
    SQLiteConversations("talks.db", namespace="support"),
    RedisConversations("redis://localhost", timeout_s=0.5),
)


async def core(records: Sequence[Mapping[str, Any]]) -> None:
    with open_conversations("memory:", when_down="go_on") as conversations:
        assert_type(conversations, Conversations)
        talk = conversations.of("session", tenant="acme")
        assert_type(talk, Conversation)
        assert_type(talk.append(records, state="archived"), bool)
        assert_type(await talk.aappend(records), bool)
        assert_type(talk.read(state="active", limit=2, offset=1), list[Said])
        assert_type(await talk.aread(), list[Said])
        assert_type(talk.count(), int)
        assert_type(await talk.aremove(7), Said | None)
        assert_type(talk.archive_oldest(2), list[Said])
        assert_type(conversations.sessions(tenant="acme"), list[str])


async def langchain(conversations: Conversations) -> None:
    history: BaseChatMessageHistory = ConversationHistory("session", conversations)
    assert_type(history.messages, list[BaseMessage])
    assert_type(await ConversationHistory("session").aget_messages(), list[BaseMessage])


async def llamaindex() -> None:
    store: AsyncDBChatStore = AgentPerfChatStore("sqlite:talks.db", ttl_s=60)
    Memory.from_defaults(chat_store=store)
    redis = RedisAsyncChatStore("redis://localhost", tenant="acme")
    assert_type(await redis.get_messages("session"), list[ChatMessage])
    assert_type(redis.conversations, Conversations)


class OwnStore(AwaitedConversationConformance):
    suite: type[ConversationConformance] = ConversationConformance


def counting(counter: TokenCounter) -> None:
    tokens = count_functions_request(counter, [{"role": "user"}], function_call="none")
    assert_type(tokens, int)
