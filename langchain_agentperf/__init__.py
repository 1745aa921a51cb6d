"""LangChain agents: faster, cheaper and measurable, without a rewrite.

Every name is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentperf_core.optional import lazy_exports

if TYPE_CHECKING:
    from langchain_agentperf.caches.exact import ExactCache, TieredCache
    from langchain_agentperf.caches.semantic import SemanticCache
    from langchain_agentperf.callbacks import LatencyCallbackHandler, latency_callback
    from langchain_agentperf.chat_histories import (
        SummarizingChatMessageHistory,
        WindowedChatMessageHistory,
    )
    from langchain_agentperf.chat_models.cached import CachedChatModel
    from langchain_agentperf.fit import fit_messages
    from langchain_agentperf.middleware.context_fit import ContextFitMiddleware
    from langchain_agentperf.middleware.parallel_tools import ParallelToolsMiddleware
    from langchain_agentperf.middleware.response_cache import ResponseCacheMiddleware
    from langchain_agentperf.middleware.sliding_window import SlidingWindowMiddleware
    from langchain_agentperf.middleware.summary_trim import SummaryTrimMiddleware
    from langchain_agentperf.middleware.tool_cache import ToolCacheMiddleware
    from langchain_agentperf.middleware.tool_prefetch import ToolPrefetchMiddleware
    from langchain_agentperf.middleware.tool_substitute import ToolSubstituteMiddleware
    from langchain_agentperf.nodes import NodeCache, message_state_key
    from langchain_agentperf.profiles import model_profile
    from langchain_agentperf.tools.cached import cached_tool
    from langchain_agentperf.tools.executor import ToolExecutor
    from langchain_agentperf.tools.node import PerfToolNode
    from langchain_agentperf.tools.plan import arun_plan, run_plan
    from langchain_agentperf.tools.recall import recall_tool
    from langchain_agentperf.tools.substitute import substitute
    from langchain_agentperf.warm import awarm_up, warm_up

__all__ = [
    "CachedChatModel",
    "ContextFitMiddleware",
    "ExactCache",
    "LatencyCallbackHandler",
    "NodeCache",
    "ParallelToolsMiddleware",
    "PerfToolNode",
    "ResponseCacheMiddleware",
    "SemanticCache",
    "SlidingWindowMiddleware",
    "SummarizingChatMessageHistory",
    "SummaryTrimMiddleware",
    "TieredCache",
    "ToolCacheMiddleware",
    "ToolExecutor",
    "ToolPrefetchMiddleware",
    "ToolSubstituteMiddleware",
    "WindowedChatMessageHistory",
    "arun_plan",
    "awarm_up",
    "cached_tool",
    "fit_messages",
    "latency_callback",
    "message_state_key",
    "model_profile",
    "recall_tool",
    "run_plan",
    "substitute",
    "warm_up",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "CachedChatModel": "chat_models.cached",
        "ContextFitMiddleware": "middleware.context_fit",
        "ExactCache": "caches.exact",
        "LatencyCallbackHandler": "callbacks",
        "NodeCache": "nodes",
        "ParallelToolsMiddleware": "middleware.parallel_tools",
        "PerfToolNode": "tools.node",
        "ResponseCacheMiddleware": "middleware.response_cache",
        "SemanticCache": "caches.semantic",
        "SlidingWindowMiddleware": "middleware.sliding_window",
        "SummarizingChatMessageHistory": "chat_histories",
        "SummaryTrimMiddleware": "middleware.summary_trim",
        "TieredCache": "caches.exact",
        "ToolCacheMiddleware": "middleware.tool_cache",
        "ToolExecutor": "tools.executor",
        "ToolPrefetchMiddleware": "middleware.tool_prefetch",
        "ToolSubstituteMiddleware": "middleware.tool_substitute",
        "WindowedChatMessageHistory": "chat_histories",
        "arun_plan": "tools.plan",
        "awarm_up": "warm",
        "cached_tool": "tools.cached",
        "fit_messages": "fit",
        "latency_callback": "callbacks",
        "message_state_key": "nodes",
        "model_profile": "profiles",
        "recall_tool": "tools.recall",
        "run_plan": "tools.plan",
        "substitute": "tools.substitute",
        "warm_up": "warm",
    },
    needs="langchain_core",
    extra="langchain",
)
