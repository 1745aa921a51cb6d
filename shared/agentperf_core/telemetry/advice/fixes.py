"""What fixes what, by framework: dotted names that exist today (a test imports every one)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = [
    "CACHED_TOOL",
    "EXACT_CACHE",
    "FASTER_MODEL",
    "FEWER_STEPS",
    "PARALLEL_TOOLS",
    "SHORTER_PROMPT",
    "STREAMING",
]

Fix = Mapping[str, str]

EXACT_CACHE: Final[Fix] = {
    "langchain": "langchain_agentperf.ResponseCacheMiddleware",
    "llamaindex": "llamaindex_agentperf.CachedLLM",
}
# Where the pack has no class yet, the framework's own means are named.
FASTER_MODEL: Final[Fix] = {
    "langchain": "langchain.agents.middleware.wrap_model_call",
    "llamaindex": "llama_index.llms.openai.OpenAI",
}
PARALLEL_TOOLS: Final[Fix] = {
    "langchain": "langchain_agentperf.ParallelToolsMiddleware",
    "llamaindex": "llamaindex_agentperf.ParallelFunctionAgent",
}
CACHED_TOOL: Final[Fix] = {
    "langchain": "langchain_agentperf.ToolCacheMiddleware",
    "llamaindex": "llamaindex_agentperf.CachedTool",
}
SHORTER_PROMPT: Final[Fix] = {
    "langchain": "langchain.agents.middleware.SummarizationMiddleware",
    "llamaindex": "llama_index.core.memory.Memory",
}
STREAMING: Final[Fix] = {
    "langchain": "langchain_core.runnables.Runnable.stream",
    "llamaindex": "llama_index.core.agent.workflow.FunctionAgent",
}
FEWER_STEPS: Final[Fix] = {
    "langchain": "langchain.agents.create_agent",
    "llamaindex": "llama_index.core.agent.workflow.FunctionAgent",
}
