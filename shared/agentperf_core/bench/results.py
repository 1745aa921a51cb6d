"""What a benchmark gives back: plain tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from agentperf_core.bench.stats import Estimate, Summary

__all__ = ["BenchResult", "Comparison"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """The latency of one target over many runs; `str()` is a plain table.

    Attributes:
        name: what was measured.
        latencies_s: seconds of every successful run, in the order of their intended starts.
        summary: the figures that this sample supports; `None` if no run succeeded.
        cold_s: seconds of the very first run (imports, connections), never part of the sample;
            `None` if it failed.
        warmup: runs before the measured ones, the cold one included.
        concurrency: how many runs were under way at once, at most.
        wall_s: seconds from the first intended start to the last end.
        cpu_s: CPU seconds that this process spent meanwhile, in all its threads.
        errors: failed runs by exception type; they are in no latency figure.
        warmup_errors: the same for the warm-up.
    """

    name: str
    latencies_s: tuple[float, ...]
    summary: Summary | None
    cold_s: float | None
    warmup: int
    concurrency: int
    wall_s: float
    cpu_s: float
    errors: Mapping[str, int] = field(default_factory=dict[str, int])
    warmup_errors: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def failed(self) -> int:
        """How many measured runs raised."""
        return sum(self.errors.values())

    @property
    def cpu_s_per_run(self) -> float:
        """CPU seconds per measured run, failed ones included; 0 without runs."""
        runs = len(self.latencies_s) + self.failed
        return self.cpu_s / runs if runs else 0.0

    def to_json(self) -> str:
        """Everything as one JSON object."""
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        runs = f"{len(self.latencies_s)} ok, {self.failed} failed{_kinds(self.errors)}"
        rows = [("benchmark", self.name), ("runs", f"{runs}, {self.warmup} warm-up")]
        cold = f"failed{_kinds(self.warmup_errors)}" if self.cold_s is None else _s(self.cold_s)
        rows.append(("cold first run", cold))
        if self.summary is not None:
            rows += _summary_rows(self.summary)
        rows += [("CPU per run", _s(self.cpu_s_per_run)), ("wall time", _s(self.wall_s))]
        return _table(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two targets measured in interleaved pairs; `str()` is a plain table.

    Attributes:
        a: the baseline.
        b: the candidate.
        ratio: median of b over median of a with its interval, from the pairs in which both runs
            succeeded in measurable time; `None` if there is no such pair.
        pair_ratios: b over a of each such pair, in order of time.
        spread: the lower and upper quartile of `pair_ratios`; `None` without pairs.
    """

    a: BenchResult
    b: BenchResult
    ratio: Estimate | None
    pair_ratios: tuple[float, ...]
    spread: tuple[float, float] | None

    @property
    def verdict(self) -> Literal["faster", "slower", "no clear difference"]:
        """What the interval of the ratio allows to say about b."""
        ratio = self.ratio
        if ratio is None or ratio.low is None or ratio.high is None:
            return "no clear difference"
        if ratio.high < 1:
            return "faster"
        return "slower" if ratio.low > 1 else "no clear difference"

    def to_json(self) -> str:
        """Everything as one JSON object."""
        return json.dumps({**asdict(self), "verdict": self.verdict})

    def __str__(self) -> str:
        rows = [("ratio b / a", "no pair in which both runs succeeded")]
        if self.ratio is not None and self.spread is not None:
            low, high = self.spread
            figure = f"{self.ratio.value:.3f}{_interval(self.ratio, '{:.3f}'.format)}"
            rows = [
                ("ratio b / a", figure),
                ("pair ratios", f"quartiles {low:.3f}..{high:.3f}, {self.ratio.n} pairs"),
                ("verdict", f"{self.b.name} is {self.verdict}" if self._clear else self.verdict),
            ]
        return f"{self.a}\n\n{self.b}\n\n{_table(rows)}"

    @property
    def _clear(self) -> bool:
        return self.verdict in {"faster", "slower"}


def _summary_rows(summary: Summary) -> list[tuple[str, str]]:
    median = f"{_s(summary.median.value)}{_interval(summary.median, _s)}"
    if summary.p95 is None:
        return [("median", median), (f"max of {summary.n}", _s(summary.maximum))]
    low, high = summary.p95.low, summary.p95.high
    interval = "" if low is None or high is None else f"  (95 % interval {_s(low)}..{_s(high)})"
    return [("median", median), ("p95", f"{_s(summary.p95.value)}{interval}")]


def _interval(estimate: Estimate, show: Callable[[float], str]) -> str:
    if estimate.low is None or estimate.high is None:
        return f"  (n = {estimate.n}: too few for an interval)"
    level = f"{estimate.confidence * 100:g} %"
    return f"  ({level} interval {show(estimate.low)}..{show(estimate.high)})"


def _kinds(errors: Mapping[str, int]) -> str:
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(errors.items()))
    return f" ({listed})" if listed else ""


def _s(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.3f} s"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)
