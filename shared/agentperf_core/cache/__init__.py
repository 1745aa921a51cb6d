"""Never pay twice for one answer: keys, policies, stores and the exact response cache."""

from agentperf_core.cache.answers import AnswerCodec, CacheRequest, Hit
from agentperf_core.cache.exact import ExactCache, Lease
from agentperf_core.cache.keys import MessageParts, Unkeyable, canonical, request_key, text_key
from agentperf_core.cache.options import cache_from, check_tenant
from agentperf_core.cache.policy import DEFAULT_TTL_S, AnswerFacts, CacheDecision, CachePolicy
from agentperf_core.cache.stores import MemoryStore, Store

__all__ = [
    "DEFAULT_TTL_S",
    "AnswerCodec",
    "AnswerFacts",
    "CacheDecision",
    "CachePolicy",
    "CacheRequest",
    "ExactCache",
    "Hit",
    "Lease",
    "MemoryStore",
    "MessageParts",
    "Store",
    "Unkeyable",
    "cache_from",
    "canonical",
    "check_tenant",
    "request_key",
    "text_key",
]
