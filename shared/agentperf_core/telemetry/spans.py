"""The span tree of a run: frozen values, no behaviour beyond reading them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Any, Literal, Protocol, TypeAlias

from agentperf_core.errors import ConfigError
from agentperf_core.types import Usage

__all__ = ["Sink", "Span", "SpanKind", "Status", "Trace"]

Status: TypeAlias = Literal["ok", "error", "cancelled", "unfinished"]


class SpanKind(StrEnum):
    """What a span spends its time on.

    `AGENT` and `CHAIN` are framework work: their self time is the framework's overhead.
    `CACHE` is an answer that came from a cache instead of a model or tool.
    """

    AGENT = "agent"
    CHAIN = "chain"
    LLM = "llm"
    TOOL = "tool"
    RETRIEVER = "retriever"
    EMBEDDING = "embedding"
    CACHE = "cache"
    ROUTER = "router"
    MEMORY = "memory"
    RETRY = "retry"
    WAIT = "wait"

    @classmethod
    def of(cls, kind: SpanKind | str) -> SpanKind:
        """The kind itself, or the one of this value.

        Raises:
            ConfigError: if there is none.
        """
        if isinstance(kind, cls):
            return kind
        try:
            return cls(kind)
        except ValueError as error:
            known = [found.value for found in cls]
            msg = f"kind must be one of {known}, got {kind!r}; use SpanKind"
            raise ConfigError(msg) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One timed piece of a run.

    Attributes:
        id: unique within the trace.
        parent_id: the span that caused this one; `None` for the root.
        kind: what it spends its time on.
        name: the model's, tool's or step's name.
        start_ns: start in nanoseconds of a monotonic clock, comparable within one trace only.
        end_ns: end on the same clock.
        status: how it ended; `"unfinished"` if its run ended first.
        error: `"Type: message"` of what was raised, else `None`.
        model: the model's name, for LLM and embedding spans.
        provider: the provider's name where known.
        usage: tokens, `None` if unknown.
        cost_usd: price of `usage` in USD, `None` if unknown; never 0 for an unknown price.
        chunk_ns: nanoseconds from `start_ns` to each chunk received (the first is the TTFT);
            only the first ones of a very long stream.
        chunks: how many chunks came in all.
        cache: for `CACHE` spans, how the answer was found and what it saved.
        attributes: small plain data (no prompts): finish reason, retry attempt, argument digest.
    """

    id: str
    parent_id: str | None
    kind: SpanKind
    name: str
    start_ns: int
    end_ns: int
    status: Status = "ok"
    error: str | None = None
    model: str | None = None
    provider: str | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    chunk_ns: tuple[int, ...] = ()
    chunks: int = 0
    cache: Mapping[str, Any] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def seconds(self) -> float:
        """Wall time from start to end."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def streamed(self) -> bool:
        """Whether the answer came in chunks."""
        return self.chunks > 0

    @property
    def ttft_s(self) -> float | None:
        """Time to first token in seconds; `None` if the answer was not streamed."""
        return self.chunk_ns[0] / 1e9 if self.chunk_ns else None

    @property
    def tpot_s(self) -> float | None:
        """Time per output token after the first, in seconds; `None` unless streamed with usage."""
        if not self.chunk_ns or self.usage is None or self.usage.output_tokens < 2:
            return None
        return (self.seconds - self.chunk_ns[0] / 1e9) / (self.usage.output_tokens - 1)

    @property
    def gaps_s(self) -> tuple[float, ...]:
        """Seconds between neighbouring chunks."""
        return tuple((later - earlier) / 1e9 for earlier, later in pairwise(self.chunk_ns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One run: its spans in order of start, the root first.

    Attributes:
        id: the run's identifier (the root span's).
        started_at: seconds since the Unix epoch.
        spans: at least the root.
        dropped: spans that did not fit the recorder's bound and are missing here.
    """

    id: str
    started_at: float
    spans: tuple[Span, ...]
    dropped: int = 0

    @property
    def root(self) -> Span:
        """The outermost span."""
        return self.spans[0]

    @property
    def seconds(self) -> float:
        """Wall time of the run."""
        return self.root.seconds

    def of_kind(self, *kinds: SpanKind) -> Iterator[Span]:
        """The spans of the given kinds, in order of start."""
        return (span for span in self.spans if span.kind in kinds)

    def children(self) -> dict[str, list[Span]]:
        """Spans by their parent's id, each list in order of start."""
        tree: dict[str, list[Span]] = {}
        for span in self.spans[1:]:
            tree.setdefault(span.parent_id or self.root.id, []).append(span)
        return tree


class Sink(Protocol):
    """Takes every finished run, in the thread that ended it."""

    def emit(self, trace: Trace) -> None:
        """Export one run; what this raises is counted and never reaches the run."""
        ...
