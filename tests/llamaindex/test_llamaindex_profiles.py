"""Model profiles of LlamaIndex models."""

from __future__ import annotations

from llama_index.core.llms.mock import MockLLM
from llama_index.llms.openai import OpenAI

from agentperf_core.accounting import ModelProfile, ModelRegistry
from llamaindex_agentperf import CachedLLM, model_profile


def test_a_known_model_has_a_price_and_what_its_metadata_says():
    llm = OpenAI(model="gpt-4o-mini", api_key="none")
    profile = model_profile(CachedLLM(llm))
    assert profile.context_tokens == llm.metadata.context_window
    assert profile.supports_tools is True
    assert profile.price is not None


def test_an_override_wins_over_the_models_metadata():
    registry = ModelRegistry()
    registry.override(ModelProfile("gpt-4o-mini", context_tokens=8_000))
    profile = model_profile(OpenAI(model="gpt-4o-mini", api_key="none"), registry)
    assert profile.context_tokens == 8_000


def test_the_frameworks_placeholder_for_an_unknown_window_counts_as_unknown():
    assert model_profile(MockLLM()).context_tokens is None
