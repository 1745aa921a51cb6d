"""Profiles: put together from the user, the framework and genai-prices, in that order."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.accounting import ModelPrice, ModelProfile, ModelRegistry, PriceBook
from agentperf_core.errors import ConfigError

OWN = ModelPrice(Decimal(10), Decimal(20))


def test_a_listed_model_has_a_provider_a_context_and_a_price() -> None:
    profile = ModelRegistry().get("gpt-4o-mini")
    assert (profile.name, profile.provider) == ("gpt-4o-mini", "openai")
    assert profile.context_tokens == 128_000
    assert profile.price == PriceBook().rates("gpt-4o-mini")
    assert profile.price is not None
    assert profile.price.cached_input_usd_per_million is not None
    assert profile.price.cached_input_usd_per_million < profile.price.input_usd_per_million


def test_an_unknown_model_has_a_profile_of_nothing_and_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert ModelRegistry().get("house-model") == ModelProfile("house-model")
    assert not caplog.records


def test_each_field_comes_from_the_first_source_that_knows_it() -> None:
    registry = ModelRegistry()
    listed = registry.get("gpt-4o-mini")
    registry.feed("gpt-4o-mini", {"max_input_tokens": 111, "max_output_tokens": 222})
    fed = registry.get("gpt-4o-mini")
    assert fed == replace(listed, context_tokens=111, max_output_tokens=222)
    registry.override(ModelProfile("gpt-4o-mini", context_tokens=333, quality=0.5, price=OWN))
    assert registry.get("gpt-4o-mini") == replace(fed, context_tokens=333, quality=0.5, price=OWN)


def test_the_order_of_entering_does_not_matter() -> None:
    registry = ModelRegistry()
    registry.override(ModelProfile("m", context_tokens=333))
    registry.feed("m", {"max_input_tokens": 111, "tool_calling": False})
    profile = registry.get("m")
    assert (profile.context_tokens, profile.supports_tools) == (333, False)


@pytest.mark.parametrize(
    "name", ["gpt-4o-mini", "GPT-4o-mini", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"]
)
def test_an_entry_holds_for_every_spelling_of_its_model(name: str) -> None:
    registry = ModelRegistry()
    registry.override(ModelProfile("gpt-4o-mini", quality=0.5))
    profile = registry.get(name)
    assert (profile.name, profile.quality) == (name, 0.5)


def test_a_dated_name_can_have_its_own_entry() -> None:
    registry = ModelRegistry()
    registry.override(ModelProfile("gpt-4o", quality=0.5))
    registry.override(ModelProfile("gpt-4o-2024-08-06", quality=0.9))
    assert registry.get("gpt-4o-2024-08-06").quality == 0.9
    assert registry.get("gpt-4o").quality == 0.5


def test_entries_of_two_providers_stay_apart() -> None:
    registry = ModelRegistry()
    registry.override(ModelProfile("m", "azure", quality=0.1))
    registry.override(ModelProfile("m", "openai", quality=0.2))
    assert registry.get("m", "azure").quality == 0.1
    assert registry.get("m", "openai").quality == 0.2
    assert registry.get("m", "groq").quality is None
    assert registry.get("m").quality == 0.2
    registry.override(ModelProfile("m", "azure", quality=0.3))
    assert (registry.get("m").quality, registry.get("m").provider) == (0.3, "azure")


def test_an_entry_without_a_provider_holds_for_all_that_have_none() -> None:
    registry = ModelRegistry()
    registry.feed("m", {"max_input_tokens": 1000})
    registry.feed("m", {"max_input_tokens": 2000}, provider="azure")
    assert registry.get("m", "groq").context_tokens == 1000
    assert registry.get("m", "azure").context_tokens == 2000


def test_prices_of_the_users_book_show_in_profiles() -> None:
    registry = ModelRegistry(prices=PriceBook({"gpt-4o-mini": OWN, "house-model": OWN}))
    assert registry.get("gpt-4o-mini-2024-07-18").price == OWN
    assert registry.get("house-model").price == OWN


@pytest.mark.parametrize(
    "fed",
    [
        {},
        {"max_input_tokens": None, "max_output_tokens": 0, "tool_calling": None},
        {"max_input_tokens": -5, "max_output_tokens": "many", "tool_calling": "yes"},
        {"max_input_tokens": True, "image_inputs": True},
    ],
    ids=repr,
)
def test_what_a_framework_does_not_know_stays_unknown(fed: dict[str, Any]) -> None:
    registry = ModelRegistry()
    registry.feed("house-model", fed)
    assert registry.get("house-model") == ModelProfile("house-model")


def test_without_genai_prices_the_other_sources_still_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    registry = ModelRegistry()
    registry.feed("gpt-4o-mini", {"max_input_tokens": 1000})
    assert registry.get("gpt-4o-mini") == ModelProfile("gpt-4o-mini", context_tokens=1000)


def test_threads_may_enter_and_ask_at_once() -> None:
    registry = ModelRegistry()

    def work(number: int) -> int | None:
        registry.override(ModelProfile("m", f"p{number}", context_tokens=number + 1))
        return registry.get("m", f"p{number}").context_tokens

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(200))) == list(range(1, 201))


@given(st.floats(0, 1), st.integers(1), st.floats(0, 1e6))
def test_figures_in_range_are_kept_as_they_are(quality: float, tokens: int, ttft: float) -> None:
    profile = ModelProfile("m", quality=quality, context_tokens=tokens, ttft_s=ttft)
    registry = ModelRegistry()
    registry.override(profile)
    assert registry.get("m") == profile


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "got ''"),
        ({"name": "  "}, "got '  '"),
        ({"context_tokens": 0}, "context_tokens is above 0, got 0"),
        ({"context_tokens": -1}, "got -1"),
        ({"max_output_tokens": 0}, "max_output_tokens is above 0"),
        ({"tokens_per_s": 0.0}, "tokens_per_s is above 0"),
        ({"tokens_per_s": float("nan")}, "got nan"),
        ({"ttft_s": -0.1}, "ttft_s is 0 or more"),
        ({"quality": 1.5}, "quality lies between 0 and 1, got 1.5"),
    ],
    ids=repr,
)
def test_a_profile_with_a_figure_out_of_range_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    given_fields: dict[str, Any] = {"name": "m"} | fields
    with pytest.raises(ConfigError, match=message):
        ModelProfile(**given_fields)


def test_an_empty_name_is_refused_everywhere() -> None:
    registry = ModelRegistry()
    for attempt in (lambda: registry.get(""), lambda: registry.feed(" ", {})):
        with pytest.raises(ConfigError, match="a model has a name"):
            attempt()
