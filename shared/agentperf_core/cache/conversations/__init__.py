"""Conversations kept outside the process that has them: an append-only log per session and tenant.

A cache may forget and a conversation may not, so this room keeps its own promises: what was said
stays in order until its time is over, and a store that is down is told of and never taken for an
empty conversation.
"""

from agentperf_core.cache.conversations.base import (
    Batch,
    ConversationStore,
    ConversationUnavailable,
    Kept,
    State,
)
from agentperf_core.cache.conversations.memory import MemoryConversations
from agentperf_core.cache.conversations.opening import conversations_from, open_conversations
from agentperf_core.cache.conversations.redis import RedisConversations
from agentperf_core.cache.conversations.sessions import Conversation, Conversations, Said
from agentperf_core.cache.conversations.sqlite import SQLiteConversations

__all__ = [
    "Batch",
    "Conversation",
    "ConversationStore",
    "ConversationUnavailable",
    "Conversations",
    "Kept",
    "MemoryConversations",
    "RedisConversations",
    "SQLiteConversations",
    "Said",
    "State",
    "conversations_from",
    "open_conversations",
]
