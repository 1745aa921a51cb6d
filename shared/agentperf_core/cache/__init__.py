"""Never pay twice for one answer: keys, policies, stores and the exact response cache.

The semantic tier (`semantic`) and the cache of tool results (`toolresults`) are rooms of their own.
"""

from agentperf_core.cache.answers import AnswerCodec, CacheRequest, Hit, Question
from agentperf_core.cache.codec import Entry
from agentperf_core.cache.exact.cache import ExactCache, Lease
from agentperf_core.cache.options import cache_from, check_tenant
from agentperf_core.cache.policy import (
    DEFAULT_MAX_BYTES,
    DEFAULT_TTL_S,
    AnswerFacts,
    CacheDecision,
    CachePolicy,
)
from agentperf_core.cache.requests.build import build_request, request_or_bypass
from agentperf_core.cache.requests.keys import (
    MessageParts,
    RequestView,
    Unkeyable,
    canonical,
    request_key,
    text_key,
)
from agentperf_core.cache.requests.normal import normalised
from agentperf_core.cache.semantic.cache import SemanticCache
from agentperf_core.cache.stats import CacheStats
from agentperf_core.cache.stores import (
    GuardedStore,
    LeaseStore,
    MemoryStore,
    Store,
    TieredStore,
    guarded,
)
from agentperf_core.cache.stores.opening import open_store
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.cache.toolresults.cache import (
    RememberedToolError,
    ToolDecision,
    ToolRequest,
    ToolResultCache,
    ToolResultCodec,
    inherited,
)
from agentperf_core.cache.toolresults.stats import ToolCounts, ToolStats
from agentperf_core.cache.totals import Totals, read_totals

__all__ = [
    "DEFAULT_MAX_BYTES",
    "DEFAULT_TTL_S",
    "AnswerCodec",
    "AnswerFacts",
    "CacheDecision",
    "CachePolicy",
    "CacheRequest",
    "CacheStats",
    "Entry",
    "ExactCache",
    "GuardedStore",
    "Hit",
    "Lease",
    "LeaseStore",
    "MemoryStore",
    "MessageParts",
    "Question",
    "RedisStore",
    "RememberedToolError",
    "RequestView",
    "SQLiteStore",
    "SemanticCache",
    "Store",
    "TieredStore",
    "ToolCounts",
    "ToolDecision",
    "ToolRequest",
    "ToolResultCache",
    "ToolResultCodec",
    "ToolStats",
    "Totals",
    "Unkeyable",
    "build_request",
    "cache_from",
    "canonical",
    "check_tenant",
    "guarded",
    "inherited",
    "normalised",
    "open_store",
    "read_totals",
    "request_key",
    "request_or_bypass",
    "text_key",
]
