"""LlamaIndex agents: faster, cheaper and measurable, without a rewrite.

Every name is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentperf_core.optional import lazy_exports

if TYPE_CHECKING:
    from llamaindex_agentperf.embeddings import EmbeddingCacheStore
    from llamaindex_agentperf.instrumentation import (
        LatencyEventHandler,
        LatencySpanHandler,
        instrument,
    )
    from llamaindex_agentperf.llms.cached import CachedLLM
    from llamaindex_agentperf.profiles import model_profile
    from llamaindex_agentperf.tools.cached import CachedTool, cached_tools

__all__ = [
    "CachedLLM",
    "CachedTool",
    "EmbeddingCacheStore",
    "LatencyEventHandler",
    "LatencySpanHandler",
    "cached_tools",
    "instrument",
    "model_profile",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "CachedLLM": "llms.cached",
        "CachedTool": "tools.cached",
        "EmbeddingCacheStore": "embeddings",
        "LatencyEventHandler": "instrumentation",
        "LatencySpanHandler": "instrumentation",
        "cached_tools": "tools.cached",
        "instrument": "instrumentation",
        "model_profile": "profiles",
    },
    needs="llama_index.core",
    extra="llamaindex",
)
