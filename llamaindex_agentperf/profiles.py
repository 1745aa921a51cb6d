"""What is known about a LlamaIndex model before it is called."""

from __future__ import annotations

from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.llm import LLM

from agentperf_core.accounting import ModelProfile, ModelRegistry

__all__ = ["model_profile"]


def model_profile(llm: LLM, registry: ModelRegistry | None = None) -> ModelProfile:
    """Context length, price and priors of a model, `None` where nobody knows.

    What the model's own `metadata` says is fed into the registry first; your overrides win over it.
    LlamaIndex has no word for "unknown", so its default context window counts as not known.

    Args:
        llm: any model.
        registry: where profiles are kept; default a new one.

    Example:
        >>> from llama_index.core.llms.mock import MockLLM
        >>> model_profile(MockLLM()).context_tokens is None
        True
    """
    registry = registry if registry is not None else ModelRegistry()
    metadata = llm.metadata
    window = metadata.context_window
    registry.feed(
        metadata.model_name,
        {
            "max_input_tokens": window if window != DEFAULT_CONTEXT_WINDOW else None,
            "tool_calling": metadata.is_function_calling_model,
        },
    )
    return registry.get(metadata.model_name)
