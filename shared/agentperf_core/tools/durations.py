"""How long tools take, learnt from their calls: a weighted mean that follows changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

__all__ = ["Durations", "Timed"]

_WEIGHT = 0.2  # of the newest call
_ENDED = frozenset({"ok", "error"})
_UNKNOWN_S = 1.0  # of a tool that was never called, if no other was either


class Timed(Protocol):
    """A span of a trace, as far as it matters here; a `telemetry.Span` is one."""

    @property
    def kind(self) -> str:
        """What it spends its time on."""
        ...

    @property
    def name(self) -> str:
        """The tool's name, if it is a tool."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...

    @property
    def status(self) -> str:
        """How it ended."""
        ...


class Durations:
    """Seconds that each tool takes, as far as is known.

    Example:
        >>> durations = Durations()
        >>> durations.learn("search", 2.0)
        >>> durations.expected_s("search"), durations.expected_s("unknown")
        (2.0, 2.0)
    """

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def learn(self, tool: str, seconds: float) -> None:
        """Note how long a call took."""
        known = self._known.get(tool)
        self._known[tool] = seconds if known is None else known + _WEIGHT * (seconds - known)

    def learn_spans(self, spans: Iterable[Timed]) -> None:
        """Note the tool spans of a recorded trace; others, and calls cut short, teach nothing."""
        for span in spans:
            if span.kind == "tool" and span.status in _ENDED:
                self.learn(span.name, span.seconds)

    def expected_s(self, tool: str) -> float:
        """Seconds that a call will take; of a tool that is not known, as long as the others do."""
        found = self._known.get(tool)
        if found is not None:
            return found
        known = list(self._known.values())  # another thread may learn meanwhile
        return sum(known) / len(known) if known else _UNKNOWN_S
