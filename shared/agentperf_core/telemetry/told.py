"""What a span says of itself when it begins and when it ends; may be worked out after the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from agentperf_core.telemetry.spans import SpanKind
from agentperf_core.types import Usage

__all__ = ["Closing", "Facts", "Opening", "TellClosing", "TellOpening"]


class Opening(NamedTuple):
    """What is known of a span when it begins.

    Attributes:
        kind: what it spends its time on.
        name: the model's, tool's or step's name.
        model: the model asked, for LLM and embedding spans.
        provider: the provider's name where known.
        attributes: small plain data, no prompts.
    """

    kind: SpanKind
    name: str
    model: str | None = None
    provider: str | None = None
    attributes: Mapping[str, Any] | None = None


class Closing(NamedTuple):
    """What is known of a span only when it ends.

    Attributes:
        usage: tokens of the call, if reported.
        model: the model that answered; kept as `response_model` beside the one asked for.
        cache: what a cache says of its hit; makes the span a `CACHE` span, billed nothing.
        attributes: more small plain data; wins over what was said before.
    """

    usage: Usage | None = None
    model: str | None = None
    cache: Mapping[str, Any] | None = None
    attributes: Mapping[str, Any] | None = None


Facts: TypeAlias = tuple[Any, ...]
TellOpening: TypeAlias = Callable[..., Opening]
TellClosing: TypeAlias = Callable[..., Closing]
