"""Core values: what the rooms pass to each other instead of framework objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from agentperf_core.errors import ConfigError

__all__ = ["Message", "Role", "ToolCall", "Usage"]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that a model asked for."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One chat message, framework-free.

    Attributes:
        role: who speaks.
        text: the text of the message, text blocks joined.
        name: the optional author name.
        tool_calls: calls that an assistant message asks for, in order.
        tool_call_id: for a tool message, the call that it answers.
        blocks: content that is not text (images, audio, reasoning items), as plain mappings.
        origin: the framework's own object, so that an unchanged message goes back as the same one.
    """

    role: Role
    text: str = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    blocks: tuple[Mapping[str, Any], ...] = ()
    origin: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one model call, in buckets that do not overlap.

    Providers disagree on whether "input" includes cached tokens; here it never does, so a sum can
    count nothing twice. Adapters convert at the border.

    Attributes:
        uncached_input_tokens: input billed at the full rate.
        cached_input_tokens: input read from the provider's prompt cache.
        cache_write_tokens: input written to the provider's prompt cache.
        output_tokens: all output, reasoning included.
        reasoning_tokens: the part of the output spent on reasoning.
        estimated: True if any number was counted here because the provider sent none.

    Raises:
        ConfigError: if a count is negative or reasoning exceeds output.

    Example:
        >>> usage = Usage(uncached_input_tokens=100, cached_input_tokens=900, output_tokens=50)
        >>> usage.input_tokens, usage.total_tokens
        (1000, 1050)
    """

    uncached_input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    def __post_init__(self) -> None:
        counts = (
            self.uncached_input_tokens,
            self.cached_input_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            self.reasoning_tokens,
        )
        if min(counts) < 0 or self.reasoning_tokens > self.output_tokens:
            msg = (
                "token counts are >= 0 and reasoning is part of output, got "
                f"{counts!r}; convert the provider's totals with Usage.from_totals(...)"
            )
            raise ConfigError(msg)

    @classmethod
    def from_totals(
        cls,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        estimated: bool = False,
    ) -> Usage:
        """Build from a provider's report whose `input_tokens` includes the cached ones.

        Reports that contradict themselves are clamped instead of rejected: accounting must not
        break a call because a provider miscounted.
        """
        cached = min(max(cached_input_tokens, 0), max(input_tokens, 0))
        written = min(max(cache_write_tokens, 0), max(input_tokens, 0) - cached)
        output = max(output_tokens, 0)
        return cls(
            uncached_input_tokens=max(input_tokens, 0) - cached - written,
            cached_input_tokens=cached,
            cache_write_tokens=written,
            output_tokens=output,
            reasoning_tokens=min(max(reasoning_tokens, 0), output),
            estimated=estimated,
        )

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data; `Usage(**usage.as_dict())` is equal again.

        Own code because `dataclasses.asdict` copies deeply, at several times the price, and cache
        hits do this on the way of the call.
        """
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def input_tokens(self) -> int:
        """All input tokens: uncached, cached and written to the cache."""
        return self.uncached_input_tokens + self.cached_input_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Input plus output."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            uncached_input_tokens=self.uncached_input_tokens + other.uncached_input_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            estimated=self.estimated or other.estimated,
        )
