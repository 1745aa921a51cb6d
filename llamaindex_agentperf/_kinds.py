"""What a LlamaIndex span spends its time on, by the class and method that it wraps."""

from __future__ import annotations

from enum import Enum, auto

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.chat_engine.types import BaseChatEngine
from llama_index.core.image_retriever import BaseImageRetriever
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import BaseTool
from llama_index.core.workflow import Workflow

from agentperf_core.telemetry import SpanKind
from llamaindex_agentperf.llms._wrapper import DelegatingLLM

__all__ = ["Role", "role_of"]


class Role(Enum):
    """How a span is recorded."""

    AGENT = auto()  # a run of an agent or workflow
    ENTRY = auto()  # an engine: the agent of a run of its own, a step inside another
    LLM = auto()
    TOOL = auto()
    RETRIEVER = auto()
    EMBEDDING = auto()
    MEMORY = auto()
    STEP = auto()

    @property
    def kind(self) -> SpanKind:
        """The kind of span, for an engine the one inside a run."""
        return _KINDS[self]


_KINDS = {
    Role.AGENT: SpanKind.AGENT,
    Role.ENTRY: SpanKind.CHAIN,
    Role.LLM: SpanKind.LLM,
    Role.TOOL: SpanKind.TOOL,
    Role.RETRIEVER: SpanKind.RETRIEVER,
    Role.EMBEDDING: SpanKind.EMBEDDING,
    Role.MEMORY: SpanKind.MEMORY,
    Role.STEP: SpanKind.CHAIN,
}

_LLM_METHODS = frozenset(
    f"{mode}{what}" for mode in ("", "a", "stream_", "astream_") for what in ("chat", "complete")
)
_TOOL_METHODS = frozenset({"__call__", "call", "acall"})
_MEMORY_METHODS = frozenset({"get", "aget", "put", "aput", "aput_messages", "put_messages"})
_ENGINE_METHODS = frozenset(
    {"query", "aquery", "chat", "achat", "stream_chat", "astream_chat", "retrieve", "aretrieve"}
)


# The first row that fits decides; without methods all of a class count.
_ROLES: tuple[tuple[tuple[type, ...], frozenset[str] | None, Role], ...] = (
    # Wrappers are steps: what they wrap is the model call.
    ((DelegatingLLM, StructuredLLM), None, Role.STEP),
    ((BaseLLM,), _LLM_METHODS, Role.LLM),
    ((Workflow,), frozenset({"run"}), Role.AGENT),
    ((BaseQueryEngine, BaseChatEngine), _ENGINE_METHODS, Role.ENTRY),
    ((BaseRetriever, BaseImageRetriever), None, Role.RETRIEVER),
    ((BaseEmbedding,), None, Role.EMBEDDING),
    ((BaseTool,), _TOOL_METHODS, Role.TOOL),
    ((BaseMemory,), _MEMORY_METHODS, Role.MEMORY),
)


def role_of(cls: type, method: str) -> Role:
    """The role of a method of a class; what is not listed is a step."""
    for bases, methods, role in _ROLES:
        if issubclass(cls, bases) and (methods is None or method in methods):
            return role
    return Role.STEP
