"""Model profiles of LangChain models."""

from __future__ import annotations

from langchain_core.language_models import FakeListChatModel
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from agentperf_core.accounting import ModelProfile, ModelRegistry
from langchain_agentperf import model_profile


def test_a_known_model_has_a_price_and_what_its_own_profile_says():
    model = ChatOpenAI(model="gpt-4o-mini", api_key=SecretStr("none"))
    profile = model_profile(model)
    assert model.profile
    assert profile.context_tokens == model.profile.get("max_input_tokens")
    assert profile.max_output_tokens == model.profile.get("max_output_tokens")
    assert profile.supports_tools is True
    assert profile.price is not None


def test_an_override_wins_over_the_models_own_profile():
    registry = ModelRegistry()
    registry.override(ModelProfile("gpt-4o-mini", context_tokens=8_000, quality=0.6))
    model = ChatOpenAI(model="gpt-4o-mini", api_key=SecretStr("none"))
    profile = model_profile(model, registry)
    assert (profile.context_tokens, profile.quality) == (8_000, 0.6)


def test_an_unknown_model_is_known_by_nothing():
    profile = model_profile(FakeListChatModel(responses=["hi"]))
    assert (profile.context_tokens, profile.price, profile.quality) == (None, None, None)
