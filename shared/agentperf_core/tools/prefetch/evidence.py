"""How far a rule may be trusted: what it offered in recorded runs, and what was asked for then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from agentperf_core.errors import ConfigError

__all__ = ["Evidence", "lower_bound"]

_Z = 1.645  # of a one-sided bound at 95 %


def lower_bound(used: float, offered: float) -> float:
    """What a share is at least, at 95 %: the bound of Wilson, which thin evidence keeps low.

    Example:
        >>> [round(lower_bound(used, 2 * used), 2) for used in (1, 10, 100)]
        [0.12, 0.33, 0.44]
    """
    if offered <= 0:
        return 0.0
    share, z2 = used / offered, _Z**2
    middle = share + z2 / (2 * offered)
    spread = _Z * math.sqrt(share * (1 - share) / offered + z2 / (4 * offered**2))
    return max((middle - spread) / (1 + z2 / offered), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What became of a rule's offers in recorded runs.

    Attributes:
        offered: calls that it proposed and that nobody had made before.
        used: how many of them were then asked for.
        runs: in how many runs that was.

    Raises:
        ConfigError: if a count is negative, or more was used than offered.

    Example:
        >>> Evidence(offered=10, used=6, runs=4).confidence
        0.6
    """

    offered: int
    used: int
    runs: int

    def __post_init__(self) -> None:
        counts = (self.offered, self.used, self.runs)
        if not all(type(count) is int and count >= 0 for count in counts) or (
            self.used > self.offered or self.runs > self.used
        ):
            msg = f"evidence counts offered >= used >= runs >= 0, got {counts!r}; count again"
            raise ConfigError(msg)

    @property
    def confidence(self) -> float:
        """The share of offers that were asked for; 0 without offers."""
        return self.used / self.offered if self.offered else 0.0

    @property
    def at_least(self) -> float:
        """What that share is at least, at 95 %, see `lower_bound`."""
        return lower_bound(self.used, self.offered)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data; `Evidence(**data)` is equal again."""
        return {"offered": self.offered, "used": self.used, "runs": self.runs}
