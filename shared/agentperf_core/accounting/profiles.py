"""What is known about a model before it is called."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from agentperf_core.accounting.catalogue import name_variants
from agentperf_core.accounting.pricing import ModelPrice, PriceBook
from agentperf_core.errors import ConfigError

__all__ = ["ModelProfile", "ModelRegistry"]


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """Facts and priors of one model; `None` means not known.

    Attributes:
        name: the model's name.
        provider: who serves it, such as `"openai"`.
        context_tokens: largest input in tokens.
        max_output_tokens: longest answer in tokens.
        price: USD per million tokens.
        ttft_s: prior for the time to the first token, in seconds.
        tokens_per_s: prior for the speed of the answer, in tokens per second.
        quality: prior between 0 and 1, on the user's own scale.
        supports_tools: whether the model can call tools.

    Raises:
        ConfigError: if the name is empty or a figure is out of range.

    Example:
        >>> ModelProfile("house-model", context_tokens=32_000).max_output_tokens is None
        True
    """

    name: str
    provider: str | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    price: ModelPrice | None = None
    ttft_s: float | None = None
    tokens_per_s: float | None = None
    quality: float | None = None
    supports_tools: bool | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            msg = f"a model has a name, got {self.name!r}; pass the one that the provider uses"
            raise ConfigError(msg)
        for field in ("context_tokens", "max_output_tokens", "tokens_per_s"):
            value = getattr(self, field)
            if value is not None and not value > 0:
                msg = (
                    f"{field} is above 0, got {value!r} for {self.name!r}; leave it out if unknown"
                )
                raise ConfigError(msg)
        if self.ttft_s is not None and not self.ttft_s >= 0:
            msg = f"ttft_s is 0 or more seconds, got {self.ttft_s!r}; leave it out if unknown"
            raise ConfigError(msg)
        if self.quality is not None and not 0 <= self.quality <= 1:
            msg = f"quality lies between 0 and 1, got {self.quality!r}; rescale your scores"
            raise ConfigError(msg)


class ModelRegistry:
    """Profiles of models, put together field by field when asked.

    For each field the first source that knows it wins: `override()`, then `feed()`, then what
    genai-prices lists. A model that nobody knows has a profile of `None`s. Safe under threads.

    Args:
        prices: where prices come from, so that a user's price overrides show in profiles too.

    Example:
        >>> registry = ModelRegistry()
        >>> registry.feed("house-model", {"max_input_tokens": 32_000, "tool_calling": True})
        >>> registry.override(ModelProfile("house-model", quality=0.7))
        >>> profile = registry.get("house-model")
        >>> profile.context_tokens, profile.quality, profile.ttft_s
        (32000, 0.7, None)
    """

    def __init__(self, *, prices: PriceBook | None = None) -> None:
        self.prices = PriceBook() if prices is None else prices
        self._overrides: dict[str, dict[str | None, ModelProfile]] = {}
        self._fed: dict[str, dict[str | None, ModelProfile]] = {}
        # Re-entrant: the garbage collector may end an abandoned stream, and its span, in here.
        self._lock = threading.RLock()

    def get(self, name: str, provider: str | None = None) -> ModelProfile:
        """The profile of a model.

        Args:
            name: the model's name; what was entered for `"gpt-4o"` also holds for a dated name or
                one with a provider in front, unless that name has its own entry.
            provider: who serves it; without it, the latest entry of that name, or the provider
                that the name belongs to.

        Raises:
            ConfigError: if `name` is empty.
        """
        profile = ModelProfile(name, provider)
        listing = self.prices.listing(name, provider=provider)
        names = name_variants(name) + ((listing.model,) if listing else ())
        with self._lock:
            known = [_entry(source, names, provider) for source in (self._overrides, self._fed)]
        for source in filter(None, known):
            profile = _fill(profile, source)
        if listing is not None:
            listed = ModelProfile(name, listing.provider, listing.context_tokens or None)
            profile = _fill(profile, listed)
        return _fill(profile, ModelProfile(name, price=self.prices.rates(name, provider=provider)))

    def feed(self, name: str, profile: Mapping[str, Any], provider: str | None = None) -> None:
        """Take in what a framework knows: LangChain's `model.profile` as a plain mapping.

        Reads `max_input_tokens`, `max_output_tokens` and `tool_calling`; other keys, and values
        that are no positive number, are left alone: a framework's data must not stop a run.

        Raises:
            ConfigError: if `name` is empty.
        """
        tools = profile.get("tool_calling")
        entry = ModelProfile(
            name,
            provider,
            _positive(profile.get("max_input_tokens")),
            _positive(profile.get("max_output_tokens")),
            supports_tools=tools if isinstance(tools, bool) else None,
        )
        self._put(self._fed, entry)

    def override(self, profile: ModelProfile) -> None:
        """Enter what you know better; its `None` fields still come from the other sources.

        A profile with a provider holds for that provider, one without for all.
        """
        self._put(self._overrides, profile)

    def _put(self, source: dict[str, dict[str | None, ModelProfile]], entry: ModelProfile) -> None:
        with self._lock:
            entries = source.setdefault(entry.name.strip().lower(), {})
            entries.pop(entry.provider, None)  # so that the latest entry is the last one
            entries[entry.provider] = entry


def _entry(
    source: Mapping[str, Mapping[str | None, ModelProfile]],
    names: tuple[str, ...],
    provider: str | None,
) -> ModelProfile | None:
    for entries in (source[name] for name in names if name in source):
        if provider in entries or None in entries:
            return entries.get(provider) or entries[None]
        if provider is None:
            return list(entries.values())[-1]
    return None


def _fill(profile: ModelProfile, source: ModelProfile) -> ModelProfile:
    """`profile` with the fields that it lacks taken from `source`."""
    missing = [field.name for field in fields(profile) if getattr(profile, field.name) is None]
    return replace(profile, **{name: getattr(source, name) for name in missing})


def _positive(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return None
