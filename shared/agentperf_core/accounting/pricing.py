"""What a model call cost, in USD."""

from __future__ import annotations

import logging
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING

from agentperf_core.accounting.catalogue import Catalogue, Listing, name_variants
from agentperf_core.accounting.rates import ModelPrice
from agentperf_core.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from agentperf_core.types import Usage

__all__ = ["PRICES", "ModelPrice", "PriceBook"]

logger = logging.getLogger("agentperf")

# Names can come from users (fine-tunes, deployments); beyond this many, unknown ones pass silently.
_MOST_WARNINGS = 1000


class PriceBook:
    """Prices of model calls: the user's own first, then the data that genai-prices ships.

    A model without a known price costs `None`, never 0, and is named once in the log. Nothing is
    fetched. Safe under threads.

    Args:
        overrides: prices by model name, in any case. One for `"gpt-4o-mini"` also holds for
            `"gpt-4o-mini-2024-07-18"` and `"openai/gpt-4o-mini"`, unless that name has its own.

    Raises:
        ConfigError: if a name is empty or a price is not a `ModelPrice`.

    Example:
        >>> from decimal import Decimal
        >>> from agentperf_core.types import Usage
        >>> book = PriceBook({"house-model": ModelPrice(Decimal(1), Decimal(2))})
        >>> book.price(Usage(uncached_input_tokens=1000, output_tokens=500), "house-model")
        Decimal('0.002')
    """

    def __init__(self, overrides: Mapping[str, ModelPrice] | None = None) -> None:
        own: dict[str, ModelPrice] = {}
        for name, price in (overrides or {}).items():
            if not name.strip() or not isinstance(price, ModelPrice):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass dicts
                msg = f"an override is a model name and a ModelPrice, got {name!r}: {price!r}"
                raise ConfigError(msg)
            own[name.strip().lower()] = price
        self.overrides: Mapping[str, ModelPrice] = MappingProxyType(own)
        self._catalogue = Catalogue()
        self._warned: set[str] = set()
        # Re-entrant: the garbage collector may end an abandoned stream, and its span, in here.
        self._lock = threading.RLock()

    def price(self, usage: Usage, model: str, *, provider: str | None = None) -> Decimal | None:
        """USD for a usage of a model, `None` if its price is not known.

        Args:
            usage: what the call used.
            model: name of the model as the provider reports it.
            provider: who served it, such as `"azure"`; without it, the name decides.
        """
        own = self._own(model, provider)
        if own is not None:
            return own.cost(usage)
        try:
            listing = self._find(model, provider)
            own = self._own(listing.model, listing.provider) if listing else None
            cost = own.cost(usage) if own else listing.price(usage) if listing else None
        except MissingExtra as error:
            self._warn("genai-prices", "prices are unknown: %s", error)
            return None
        except Exception as error:
            # Data that genai-prices itself cannot calculate must not break a call.
            self._warn(model, "the price of model %r is unknown (%s)", model, type(error).__name__)
            return None
        if cost is None:
            self._warn(model, "the price of model %r is unknown; pass it in overrides=", model)
        return cost

    def rates(self, model: str, *, provider: str | None = None) -> ModelPrice | None:
        """USD per million tokens of a model now, `None` if not known; logs nothing."""
        own = self._own(model, provider)
        if own is not None:
            return own
        try:
            listing = self._find(model, provider)
            if listing is None:
                return None
            return self._own(listing.model, listing.provider) or listing.rates()
        except Exception:
            return None

    def listing(self, model: str, *, provider: str | None = None) -> Listing | None:
        """What genai-prices lists for a model, `None` if nothing or if it is not installed."""
        try:
            return self._find(model, provider)
        except Exception:
            return None

    def _find(self, model: str, provider: str | None) -> Listing | None:
        return self._catalogue.find(model, provider) if model.strip() else None

    def _own(self, model: str, provider: str | None) -> ModelPrice | None:
        if not self.overrides:
            return None
        names = name_variants(model)
        qualified = [f"{provider.lower()}/{name}" for name in names] if provider else []
        for name in (*qualified, *names):
            if name in self.overrides:
                return self.overrides[name]
        return None

    def _warn(self, model: str, message: str, *args: object) -> None:
        with self._lock:
            if model in self._warned or len(self._warned) >= _MOST_WARNINGS:
                return
            self._warned.add(model)
        logger.warning(message, *args)


PRICES = PriceBook()
"""The book that reports price with unless told otherwise; its warnings come once per process."""
