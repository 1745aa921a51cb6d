"""A model's price as four rates, for overrides and for profiles."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from agentperf_core.errors import ConfigError

if TYPE_CHECKING:
    from agentperf_core.types import Usage

__all__ = ["ModelPrice"]

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """USD per million tokens.

    Attributes:
        input_usd_per_million: input that no cache served.
        output_usd_per_million: output, reasoning included.
        cached_input_usd_per_million: input read from the provider's cache; `None` means as input.
        cache_write_usd_per_million: input written to the cache; `None` means as input.

    Raises:
        ConfigError: if a rate is not a finite `Decimal` of zero or more.

    Example:
        >>> from agentperf_core.types import Usage
        >>> price = ModelPrice(Decimal("0.15"), Decimal("0.60"))
        >>> price.cost(Usage(uncached_input_tokens=2_000_000, output_tokens=500_000))
        Decimal('0.60')
    """

    input_usd_per_million: Decimal
    output_usd_per_million: Decimal
    cached_input_usd_per_million: Decimal | None = None
    cache_write_usd_per_million: Decimal | None = None

    def __post_init__(self) -> None:
        for rate in (self.input_usd_per_million, self.output_usd_per_million):
            _check(rate)
        for rate in (self.cached_input_usd_per_million, self.cache_write_usd_per_million):
            if rate is not None:
                _check(rate)

    def cost(self, usage: Usage) -> Decimal:
        """USD for a usage."""
        cached, written = self.cached_input_usd_per_million, self.cache_write_usd_per_million
        fallback = self.input_usd_per_million
        return (
            usage.uncached_input_tokens * fallback
            + usage.cached_input_tokens * (fallback if cached is None else cached)
            + usage.cache_write_tokens * (fallback if written is None else written)
            + usage.output_tokens * self.output_usd_per_million
        ) / _MILLION


def _check(rate: object) -> None:
    if not isinstance(rate, Decimal) or not rate.is_finite() or rate < 0:
        msg = f"a price is a finite Decimal >= 0, got {rate!r}; write Decimal('0.15')"
        raise ConfigError(msg)
