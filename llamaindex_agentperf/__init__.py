"""LlamaIndex agents: faster, cheaper and measurable, without a rewrite.

Every name is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentperf_core.optional import lazy_exports

if TYPE_CHECKING:
    from llamaindex_agentperf._compression import compressed_output, rewriting_strategy
    from llamaindex_agentperf.agents.parallel import ParallelAgentWorkflow, ParallelFunctionAgent
    from llamaindex_agentperf.chat_store import AgentPerfChatStore
    from llamaindex_agentperf.embeddings import EmbeddingCacheStore
    from llamaindex_agentperf.instrumentation import (
        LatencyEventHandler,
        LatencySpanHandler,
        instrument,
    )
    from llamaindex_agentperf.llms.cached import CachedLLM
    from llamaindex_agentperf.llms.context_fit import ContextFitLLM
    from llamaindex_agentperf.memory.recall_block import RecallMemoryBlock
    from llamaindex_agentperf.memory.sliding import SlidingWindowMemory
    from llamaindex_agentperf.memory.summary_block import SummaryMemoryBlock
    from llamaindex_agentperf.memory.summary_trim import SummaryTrimMemory
    from llamaindex_agentperf.postprocessors.compression import PromptCompressionPostprocessor
    from llamaindex_agentperf.profiles import model_profile
    from llamaindex_agentperf.redis_chat_store import RedisAsyncChatStore
    from llamaindex_agentperf.tools.cached import CachedTool, cached_tools
    from llamaindex_agentperf.tools.manage import manage_tools
    from llamaindex_agentperf.tools.managed import ManagedTool
    from llamaindex_agentperf.tools.plan import arun_plan, run_plan
    from llamaindex_agentperf.tools.prefetch import prefetch_tools
    from llamaindex_agentperf.tools.recall import recall_tool
    from llamaindex_agentperf.tools.substitute import SubstituteTool
    from llamaindex_agentperf.warm import awarm_up, warm_up

__all__ = [
    "AgentPerfChatStore",
    "CachedLLM",
    "CachedTool",
    "ContextFitLLM",
    "EmbeddingCacheStore",
    "LatencyEventHandler",
    "LatencySpanHandler",
    "ManagedTool",
    "ParallelAgentWorkflow",
    "ParallelFunctionAgent",
    "PromptCompressionPostprocessor",
    "RecallMemoryBlock",
    "RedisAsyncChatStore",
    "SlidingWindowMemory",
    "SubstituteTool",
    "SummaryMemoryBlock",
    "SummaryTrimMemory",
    "arun_plan",
    "awarm_up",
    "cached_tools",
    "compressed_output",
    "instrument",
    "manage_tools",
    "model_profile",
    "prefetch_tools",
    "recall_tool",
    "rewriting_strategy",
    "run_plan",
    "warm_up",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AgentPerfChatStore": "chat_store",
        "CachedLLM": "llms.cached",
        "CachedTool": "tools.cached",
        "ContextFitLLM": "llms.context_fit",
        "EmbeddingCacheStore": "embeddings",
        "LatencyEventHandler": "instrumentation",
        "LatencySpanHandler": "instrumentation",
        "ManagedTool": "tools.managed",
        "ParallelAgentWorkflow": "agents.parallel",
        "ParallelFunctionAgent": "agents.parallel",
        "PromptCompressionPostprocessor": "postprocessors.compression",
        "RecallMemoryBlock": "memory.recall_block",
        "RedisAsyncChatStore": "redis_chat_store",
        "SlidingWindowMemory": "memory.sliding",
        "SubstituteTool": "tools.substitute",
        "SummaryMemoryBlock": "memory.summary_block",
        "SummaryTrimMemory": "memory.summary_trim",
        "arun_plan": "tools.plan",
        "awarm_up": "warm",
        "cached_tools": "tools.cached",
        "compressed_output": "_compression",
        "instrument": "instrumentation",
        "manage_tools": "tools.manage",
        "model_profile": "profiles",
        "prefetch_tools": "tools.prefetch",
        "recall_tool": "tools.recall",
        "rewriting_strategy": "_compression",
        "run_plan": "tools.plan",
        "warm_up": "warm",
    },
    needs="llama_index.core",
    extra="llamaindex",
)
