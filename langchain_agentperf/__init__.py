"""LangChain agents: faster, cheaper and measurable, without a rewrite.

Every name is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentperf_core.optional import lazy_exports

if TYPE_CHECKING:
    from langchain_agentperf.caches import ExactCache
    from langchain_agentperf.callbacks import LatencyCallbackHandler, latency_callback
    from langchain_agentperf.middleware.response_cache import ResponseCacheMiddleware
    from langchain_agentperf.profiles import model_profile

__all__ = [
    "ExactCache",
    "LatencyCallbackHandler",
    "ResponseCacheMiddleware",
    "latency_callback",
    "model_profile",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ExactCache": "caches",
        "LatencyCallbackHandler": "callbacks",
        "ResponseCacheMiddleware": "middleware.response_cache",
        "latency_callback": "callbacks",
        "model_profile": "profiles",
    },
    needs="langchain_core",
    extra="langchain",
)
