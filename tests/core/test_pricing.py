"""Prices: what genai-prices calculates, the user's own first, `None` for what nobody knows."""

from __future__ import annotations

import logging
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import genai_prices
import pytest
from genai_prices import data_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
)
from genai_prices.types import ModelPrice as ListedPrice
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.accounting import ModelPrice, PriceBook
from agentperf_core.accounting.catalogue import Catalogue, Listing
from agentperf_core.errors import ConfigError
from agentperf_core.types import Usage

USAGE = Usage(
    uncached_input_tokens=700,
    cached_input_tokens=200,
    cache_write_tokens=100,
    output_tokens=50,
    reasoning_tokens=20,
)


def listed(usage: Usage, model: str, provider: str | None = None) -> Decimal:
    """genai-prices' own answer; it takes totals that include cached tokens."""
    total = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    return genai_prices.calc_price(total, model, provider_id=provider).total_price


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-mini", None),
        ("gpt-4o-mini-2024-07-18", None),
        ("gpt-5.2-20251211", None),
        ("claude-sonnet-4-20250514", None),
        ("gemini-2.5-pro", None),
        ("deepseek-chat", None),
        ("gpt-4o-mini", "azure"),
        ("ft:gpt-4o-mini-2024-07-18:acme::x1", "openai"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "amazon_bedrock"),
    ],
)
def test_a_listed_model_costs_what_genai_prices_calculates(
    model: str, provider: str | None
) -> None:
    assert PriceBook().price(USAGE, model, provider=provider) == listed(USAGE, model, provider)


@pytest.mark.parametrize(
    ("name", "model", "provider"),
    [
        ("openai/gpt-4o-mini", "gpt-4o-mini", "openai"),
        ("azure/gpt-4o-mini", "gpt-4o-mini", "azure"),
        ("GPT-4o-Mini", "gpt-4o-mini", "openai"),
        ("openai/ft:gpt-4o-mini-2024-07-18:a::x", "ft:gpt-4o-mini-2024-07-18:a::x", "openai"),
        ("openrouter/anthropic/claude-3.5-sonnet", "anthropic/claude-3.5-sonnet", "openrouter"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro", "google"),
    ],
)
def test_spellings_of_a_name_lead_to_the_same_price(name: str, model: str, provider: str) -> None:
    assert PriceBook().price(USAGE, name) == listed(USAGE, model, provider)


def test_cached_input_is_cheaper_and_counted_once() -> None:
    book = PriceBook()
    plain = book.price(Usage(uncached_input_tokens=1000), "gpt-4o-mini")
    cached = book.price(Usage(cached_input_tokens=1000), "gpt-4o-mini")
    both = book.price(Usage(uncached_input_tokens=1000, cached_input_tokens=1000), "gpt-4o-mini")
    assert plain is not None
    assert cached is not None
    assert cached < plain
    assert both == plain + cached


def test_reasoning_is_part_of_the_output_and_not_paid_twice() -> None:
    book = PriceBook()
    thinking = Usage(output_tokens=100, reasoning_tokens=90)
    assert book.price(thinking, "o3") == book.price(Usage(output_tokens=100), "o3")


def test_every_model_with_plain_rates_costs_what_genai_prices_calculates() -> None:
    """Our short cut for plain rates against the general calculation, over the whole catalogue."""
    short = 0
    for provider in data_snapshot.get_snapshot().providers:
        for model in provider.models:
            listing = Catalogue().find(model.id, provider.id)
            if listing is not None and listing._flat is not None:
                short += 1
                assert listing.price(USAGE) == replace(listing, _flat=None).price(USAGE), model.id
    assert short > 1000


@pytest.mark.parametrize("prompt", [1_000, 300_000])
def test_a_long_prompt_pays_the_tier_that_it_falls_into(prompt: int) -> None:
    usage = Usage(uncached_input_tokens=prompt, output_tokens=10)
    assert PriceBook().price(usage, "gemini-2.5-pro") == listed(usage, "gemini-2.5-pro")


# ---------------------------------------------------------------- models that nobody knows


def test_an_unknown_model_costs_none_and_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    book = PriceBook()
    for _ in range(3):
        assert book.price(USAGE, "house-model") is None
        assert book.price(USAGE, "other-model", provider="nobody") is None
    warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert [r.name for r in warnings] == ["agentperf"] * 2
    assert ["house-model" in r.getMessage() for r in warnings] == [True, False]


def test_threads_that_meet_an_unknown_model_name_it_once(caplog: pytest.LogCaptureFixture) -> None:
    book = PriceBook()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: book.price(USAGE, "house-model"), range(200))) == {None}
    assert len(caplog.records) == 1


def test_an_empty_name_costs_none() -> None:
    assert PriceBook().price(USAGE, "") is None
    assert PriceBook().rates(" ") is None


def test_a_model_of_an_unlisted_provider_is_not_priced_as_somebody_elses() -> None:
    """A local server may well serve a model that a cloud sells under the same name."""
    assert PriceBook().price(USAGE, "gpt-4o-mini", provider="ollama") is None


@pytest.mark.parametrize("missing", ["genai_prices", "genai_prices.data_snapshot"])
def test_without_genai_prices_the_price_is_none_and_the_extra_is_named_once(
    missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    monkeypatch.setitem(sys.modules, missing, None)
    book = PriceBook({"house-model": ModelPrice(Decimal(1), Decimal(1))})
    assert [book.price(USAGE, name) for name in ("gpt-4o", "o3", "gpt-4o")] == [None] * 3
    assert len(caplog.records) == 1
    assert "agentperf-pack[pricing]" in caplog.text
    assert book.rates("gpt-4o") is None
    assert book.price(USAGE, "house-model") == Decimal(1050) / 1_000_000


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *a, **k: pytest.fail("a socket was opened"))
    assert PriceBook().price(USAGE, "gpt-4o-mini") is not None
    assert PriceBook().price(USAGE, "house-model") is None


# ---------------------------------------------------------------- odd listings


def snapshot(prices: ListedPrice | list[ConditionalPrice]) -> data_snapshot.DataSnapshot:
    model = ModelInfo(id="m", match=ClauseEquals("m"), prices=prices)
    provider = Provider(
        id="p", name="P", api_pattern="p", model_match=ClauseEquals("m"), models=[model]
    )
    return data_snapshot.DataSnapshot(providers=[provider], from_auto_update=False)


@dataclass(frozen=True)
class Odd:
    name: str
    prices: ListedPrice | list[ConditionalPrice]
    usage: Usage
    cost: Decimal | None
    rates: ModelPrice | None


IN, OUT = Decimal(2), Decimal(8)
MILLION_IN, MILLION_OUT = Usage(uncached_input_tokens=10**6), Usage(output_tokens=10**6)
ODD = [
    Odd("no token price", ListedPrice(requests_kcount=IN), MILLION_IN, None, None),
    Odd("no price at all", ListedPrice(), MILLION_IN, None, None),
    Odd("input only, asked input", ListedPrice(input_mtok=IN), MILLION_IN, IN, None),
    Odd("input only, asked output", ListedPrice(input_mtok=IN), MILLION_OUT, None, None),
    Odd(
        "free",
        ListedPrice(input_mtok=Decimal(0), output_mtok=Decimal(0)),
        MILLION_IN,
        Decimal(0),
        ModelPrice(Decimal(0), Decimal(0)),
    ),
    Odd(
        "tiers",
        ListedPrice(
            input_mtok=TieredPrices(base=IN, tiers=[Tier(start=200_000, price=OUT)]),
            output_mtok=OUT,
        ),
        MILLION_IN,
        OUT,
        ModelPrice(IN, OUT),
    ),
    Odd(
        "a fee for each request",
        ListedPrice(input_mtok=IN, output_mtok=OUT, requests_kcount=Decimal(1000)),
        MILLION_IN,
        IN + 1,
        ModelPrice(IN, OUT),
    ),
    Odd(
        "reasoning at its own rate",
        ListedPrice(input_mtok=IN, output_mtok=OUT, output_reasoning_mtok=Decimal(80)),
        Usage(output_tokens=10**6, reasoning_tokens=500_000),
        Decimal(44),
        ModelPrice(IN, OUT),
    ),
    Odd(
        "a price that changed",
        [
            ConditionalPrice(prices=ListedPrice(input_mtok=OUT, output_mtok=OUT)),
            ConditionalPrice(
                StartDateConstraint(date(2020, 1, 1)),
                prices=ListedPrice(input_mtok=IN, output_mtok=OUT),
            ),
        ],
        MILLION_IN,
        IN,
        ModelPrice(IN, OUT),
    ),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_odd_listings_are_priced_right_or_not_at_all(
    odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", snapshot(odd.prices))
    book = PriceBook()
    assert book.price(odd.usage, "m") == odd.cost
    assert book.rates("m") == odd.rates


def test_data_that_a_user_replaced_is_used_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    book = PriceBook()
    before = book.price(MILLION_IN, "m")
    monkeypatch.setattr(
        data_snapshot, "_custom_snapshot", snapshot(ListedPrice(input_mtok=IN, output_mtok=OUT))
    )
    assert (before, book.price(MILLION_IN, "m")) == (None, IN)


def test_data_that_cannot_be_calculated_costs_none_and_not_the_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = ListedPrice(input_mtok="two dollars", output_mtok=OUT)  # pyright: ignore[reportArgumentType] - the defect under test
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", snapshot(broken))
    book = PriceBook()
    assert [book.price(MILLION_IN, "m") for _ in range(2)] == [None, None]
    assert len(caplog.records) == 1
    assert book.rates("m") is None


def test_a_second_look_does_not_search_again(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[str] = []
    find = data_snapshot.DataSnapshot.find_provider_model

    def note(self: data_snapshot.DataSnapshot, model: str, *rest: object) -> object:
        searches.append(model)
        return find(self, model, *rest)  # pyright: ignore[reportArgumentType] - passed on as they came

    monkeypatch.setattr(data_snapshot.DataSnapshot, "find_provider_model", note)
    catalogue = Catalogue(limit=2)
    for name in ("gpt-4o", "gpt-4o", "house-model", "house-model", "o3", "o3", "gpt-4o"):
        catalogue.find(name)
    assert searches == ["gpt-4o", "house-model", "o3", "gpt-4o"]


# ---------------------------------------------------------------- the user's own prices

OWN = ModelPrice(Decimal(10), Decimal(20))


@pytest.mark.parametrize(
    ("key", "model", "provider"),
    [
        ("gpt-4o-mini", "gpt-4o-mini", None),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", None),
        ("GPT-4o-mini", "openai/gpt-4o-mini", None),
        ("openai/gpt-4o-mini", "gpt-4o-mini", "openai"),
        ("claude-sonnet-4-0", "claude-sonnet-4-20250514", None),
        ("house-model", "house-model", "nobody"),
        ("house-model", "house-model@20250101", None),
    ],
)
def test_an_override_holds_for_every_spelling_of_its_model(
    key: str, model: str, provider: str | None
) -> None:
    book = PriceBook({key: OWN})
    assert book.price(MILLION_IN, model, provider=provider) == Decimal(10)
    assert book.rates(model, provider=provider) == OWN


def test_the_most_specific_override_wins() -> None:
    dear = ModelPrice(Decimal(99), Decimal(99))
    book = PriceBook({"gpt-4o": OWN, "gpt-4o-2024-08-06": dear, "azure/gpt-4o": dear})
    assert book.rates("gpt-4o-2024-08-06") == dear
    assert book.rates("gpt-4o", provider="azure") == dear
    assert book.rates("gpt-4o-2024-11-20") == OWN


def test_an_override_leaves_other_models_alone() -> None:
    assert PriceBook({"gpt-4o": OWN}).price(USAGE, "gpt-4o-mini") == listed(USAGE, "gpt-4o-mini")


@given(*[st.integers(0, 10**9)] * 4)
def test_a_price_is_the_sum_of_its_parts(plain: int, cached: int, written: int, out: int) -> None:
    price = ModelPrice(Decimal("2.5"), Decimal(10), Decimal("0.25"), Decimal("3.125"))
    parts = [
        Usage(uncached_input_tokens=plain),
        Usage(cached_input_tokens=cached),
        Usage(cache_write_tokens=written),
        Usage(output_tokens=out),
    ]
    together = parts[0] + parts[1] + parts[2] + parts[3]
    assert price.cost(together) == sum(price.cost(part) for part in parts)
    assert price.cost(parts[2]) == written * Decimal("3.125") / 10**6


def test_cached_and_written_tokens_cost_as_input_unless_priced() -> None:
    cost = OWN.cost(Usage(cached_input_tokens=10**6, cache_write_tokens=10**6))
    assert cost == Decimal(20)


@pytest.mark.parametrize(
    "rate", [Decimal(-1), Decimal("NaN"), Decimal("Infinity"), 0.15, None], ids=repr
)
def test_a_rate_that_is_no_price_is_refused(rate: object) -> None:
    with pytest.raises(ConfigError, match="finite Decimal"):
        ModelPrice(Decimal(1), rate)  # pyright: ignore[reportArgumentType] - the mistake under test
    if rate is not None:
        with pytest.raises(ConfigError, match="finite Decimal"):
            ModelPrice(Decimal(1), Decimal(1), rate)  # pyright: ignore[reportArgumentType] - same


@pytest.mark.parametrize("overrides", [{"": OWN}, {" ": OWN}, {"m": {"input": 1}}], ids=repr)
def test_an_override_without_a_name_or_a_price_is_refused(overrides: object) -> None:
    with pytest.raises(ConfigError, match="an override is"):
        PriceBook(overrides)  # pyright: ignore[reportArgumentType] - the mistake under test


def test_a_listing_says_whose_model_it_is() -> None:
    listing = PriceBook().listing("openai/gpt-4o-mini-2024-07-18")
    assert isinstance(listing, Listing)
    assert (listing.provider, listing.model) == ("openai", "gpt-4o-mini")
