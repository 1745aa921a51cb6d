"""What a tool-result cache has done so far, tool by tool: calls by outcome, and what was saved."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentperf_core.cache.stats import add_reason
from agentperf_core.cache.toolresults.types import ToolDecision

__all__ = ["ToolCounter", "ToolCounts", "ToolStats", "added_tools"]

# Tools can be made at run time: beyond this many they are counted together.
_MOST_TOOLS = 500
_OTHERS = "other tools"
_NUMBERS = ("hits", "coalesced", "misses", "stale", "refreshes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCounts:
    """What was done with the calls of one tool, or of several; calls that failed are not counted.

    Attributes:
        hits: results from the store, remembered errors too.
        coalesced: results shared with an equal call in flight.
        misses: calls whose result is kept now.
        bypasses: calls whose result is not, by reason.
        stale: how many of the hits were past their time.
        refreshes: results fetched anew in the background.
        saved_s: seconds that the served results took when they were made.

    Example:
        >>> ToolCounts(hits=3, misses=1).hit_rate
        0.75
    """

    hits: int = 0
    coalesced: int = 0
    misses: int = 0
    bypasses: Mapping[str, int] = field(default_factory=dict[str, int])
    stale: int = 0
    refreshes: int = 0
    saved_s: float = 0.0

    @property
    def served(self) -> int:
        """How many were answered without the tool."""
        return self.hits + self.coalesced

    @property
    def calls(self) -> int:
        """How many calls came."""
        return self.served + self.misses + sum(self.bypasses.values())

    @property
    def hit_rate(self) -> float:
        """Share of the calls that were served; 0 without calls."""
        return self.served / self.calls if self.calls else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, the derived figures included."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found["bypasses"] = dict(self.bypasses)
        return found | {"calls": self.calls, "hit_rate": self.hit_rate}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> ToolCounts:
        """What `as_dict` was made of.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: if it is something else.
        """
        return cls(
            **{name: int(found[name]) for name in _NUMBERS},
            bypasses={str(reason): int(count) for reason, count in found["bypasses"].items()},
            saved_s=float(found["saved_s"]),
        )


@dataclass(frozen=True, slots=True)
class ToolStats:
    """What a tool-result cache has done since it was made; a snapshot that does not change.

    Attributes:
        by_tool: counts by the name of the tool.

    Example:
        >>> stats = ToolStats({"search": ToolCounts(hits=2, misses=1, saved_s=3.0)})
        >>> stats.by_tool["search"].served, stats.total.saved_s
        (2, 3.0)
    """

    by_tool: Mapping[str, ToolCounts] = field(default_factory=dict[str, ToolCounts])

    @property
    def total(self) -> ToolCounts:
        """All tools together."""
        return _sum(self.by_tool.values())

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data: the total, and each tool under `by_tool`."""
        each = {tool: counts.as_dict() for tool, counts in self.by_tool.items()}
        return self.total.as_dict() | {"by_tool": each}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> ToolStats:
        """What `as_dict` was made of; raises what `ToolCounts.of` raises."""
        return cls({str(tool): ToolCounts.of(one) for tool, one in found["by_tool"].items()})


def added_tools(many: Iterable[ToolStats]) -> ToolStats:
    """The sum of several statistics, tool by tool."""
    together: dict[str, list[ToolCounts]] = {}
    for stats in many:
        for tool, counts in stats.by_tool.items():
            together.setdefault(tool, []).append(counts)
    return ToolStats({tool: _sum(counts) for tool, counts in together.items()})


def _sum(many: Iterable[ToolCounts]) -> ToolCounts:
    known = list(many)
    bypasses = Counter[str]()
    for counts in known:
        bypasses.update(counts.bypasses)
    return ToolCounts(
        **{name: sum(getattr(counts, name) for counts in known) for name in _NUMBERS},
        bypasses=dict(bypasses),
        saved_s=sum(counts.saved_s for counts in known),
    )


class _Tally:
    """The counts of one tool while they grow."""

    __slots__ = ("bypasses", "numbers", "saved_s")

    def __init__(self) -> None:
        self.numbers: dict[str, int] = dict.fromkeys(_NUMBERS, 0)
        self.bypasses: dict[str, int] = {}
        self.saved_s = 0.0


_FIELDS = {"hit": "hits", "coalesced": "coalesced", "miss": "misses"}


class ToolCounter:
    """Counts decisions; safe under threads.

    Example:
        >>> counter = ToolCounter()
        >>> counter.count(ToolDecision(outcome="miss", reason="called and kept", tool="search"))
        >>> counter.snapshot().total.misses
        1
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after a fork, whose parent counts on."""
        # Re-entrant, and a new one: as in the counter of the response caches.
        self._lock = threading.RLock()
        self._tallies: dict[str, _Tally] = {}

    def count(self, decision: ToolDecision) -> None:
        """Take note of what was done with a call."""
        with self._lock:
            tally = self._of(decision.tool)
            if decision.outcome == "bypass":
                add_reason(tally.bypasses, decision.reason)
                return
            tally.numbers[_FIELDS[decision.outcome]] += 1
            tally.numbers["stale"] += decision.stale
            tally.saved_s += decision.saved_s or 0.0

    def count_refresh(self, tool: str) -> None:
        """Take note of a result that was fetched anew in the background."""
        with self._lock:
            self._of(tool).numbers["refreshes"] += 1

    def snapshot(self) -> ToolStats:
        """Everything so far."""
        with self._lock:
            return ToolStats(
                {
                    tool: ToolCounts(
                        **tally.numbers, bypasses=dict(tally.bypasses), saved_s=tally.saved_s
                    )
                    for tool, tally in self._tallies.items()
                }
            )

    def _of(self, tool: str) -> _Tally:
        if tool not in self._tallies and len(self._tallies) >= _MOST_TOOLS:
            tool = _OTHERS
        return self._tallies.setdefault(tool, _Tally())
