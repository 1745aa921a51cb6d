"""What genai-prices knows about a model, read from the data it ships; never from the network."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentperf_core.accounting.rates import ModelPrice
from agentperf_core.optional import require

if TYPE_CHECKING:
    from agentperf_core.types import Usage

__all__ = ["Catalogue", "Listing", "name_variants"]

_DATE = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|20\d{6})$")

# What a usage of ours can be charged for, and what it never contains.
_FLAT_KEYS = {
    *("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"),
    *("cache_write_1h_mtok", "web_searches_kcount", "storage_searches_kcount"),
}


def name_variants(model: str) -> tuple[str, ...]:
    """The names under which a user may have entered a model, most specific first, in lower case.

    Answers carry dated names ("gpt-4o-mini-2024-07-18") and proxies a provider in front.

    Example:
        >>> name_variants("openai/gpt-4o-mini-2024-07-18")[-1]
        'gpt-4o-mini'
    """
    full = model.strip().lower()
    bare = full.rpartition("/")[2]
    names = (full, bare, _DATE.sub("", full), _DATE.sub("", bare))
    return tuple(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True, slots=True)
class Listing:
    """One model as genai-prices lists it.

    Attributes:
        provider: identifier of the provider, such as `"openai"`.
        model: identifier of the model at that provider.
        context_tokens: largest input in tokens, `None` if not listed.
    """

    provider: str
    model: str
    context_tokens: int | None
    _provider_info: Any
    _model_info: Any
    _flat: ModelPrice | None

    def price(self, usage: Usage) -> Decimal | None:
        """USD for a usage as genai-prices calculates it; `None` if it lists no token price."""
        if self._flat is not None:
            return self._flat.cost(usage)
        now = datetime.now(tz=UTC)
        listed = self._model_info.get_prices(now)
        if usage.input_tokens and listed.input_mtok is None:
            return None
        if usage.output_tokens and listed.output_mtok is None:
            return None
        counted = require("genai_prices", extra="pricing").Usage(
            # genai-prices wants totals: cached and written tokens are part of the input.
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        )
        info = self._model_info
        return info.calc_price(
            counted, self._provider_info, genai_request_timestamp=now
        ).total_price

    def rates(self) -> ModelPrice | None:
        """USD per million tokens now, at the lowest tier; `None` if one of the two is missing."""
        return _four_rates(self._model_info.get_prices(datetime.now(tz=UTC)))


def _four_rates(listed: Any) -> ModelPrice | None:
    prices = (
        listed.input_mtok,
        listed.output_mtok,
        listed.cache_read_mtok,
        listed.cache_write_mtok,
    )
    found = [getattr(price, "base", price) for price in prices]
    return None if found[0] is None or found[1] is None else ModelPrice(*found)


def _flat_rates(info: Any) -> ModelPrice | None:
    """The rates of a model whose price depends on nothing but four token counts.

    Nearly all are such: 3 microseconds instead of the 90 of genai-prices' general calculation.
    Tiers, times of day, fees per request and prices by modality are left to genai-prices.
    """
    prices: object = info.prices
    if isinstance(prices, list):
        return None
    listed: dict[str, object] = vars(prices)
    for key, price in listed.items():
        if price is not None and (key not in _FLAT_KEYS or not isinstance(price, Decimal)):
            return None
    return _four_rates(info.prices)


class Catalogue:
    """Looks models up and remembers what it found, at most `limit` names."""

    def __init__(self, *, limit: int = 4096) -> None:
        self._limit = limit
        self._snapshot: object = None
        self._found: dict[tuple[str, str | None], Listing | None] = {}
        # Re-entrant: the garbage collector may end an abandoned stream, and its span, in here.
        self._lock = threading.RLock()

    def find(self, model: str, provider: str | None = None) -> Listing | None:
        """The listing of a model, `None` if genai-prices has none.

        Args:
            model: name of the model, with or without a provider in front or a date behind.
            provider: only at this provider; without it, the one that the name belongs to.

        Raises:
            MissingExtra: if genai-prices is not installed.
        """
        module = require("genai_prices.data_snapshot", extra="pricing", purpose="the price book")
        snapshot = module.get_snapshot()
        key = (model.strip().lower(), provider)
        with self._lock:
            if snapshot is not self._snapshot:  # a user may replace genai-prices' data at run time
                self._snapshot, self._found = snapshot, {}
            if key not in self._found:
                if len(self._found) >= self._limit:
                    self._found.clear()
                self._found[key] = _look_up(snapshot, *key)
            return self._found[key]


def _look_up(snapshot: Any, model: str, provider: str | None) -> Listing | None:
    # "models/" is how Google's API spells its own names. "litellm" makes genai-prices read a
    # provider in front of the name; it changes nothing for a bare name.
    name = model.removeprefix("models/")
    try:
        maker, info = snapshot.find_provider_model(name, None, provider or "litellm", None)
    except LookupError:
        return None
    return Listing(maker.id, info.id, info.context_window, maker, info, _flat_rates(info))
