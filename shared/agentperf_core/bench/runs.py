"""Single runs of a benchmark: timed samples, the timetable, and sync and async in one flow."""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

from agentperf_core.bench.results import BenchResult, Comparison
from agentperf_core.bench.stats import median_ratio, summarize
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step
from agentperf_core.telemetry.quantiles import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentperf_core.clock import Clock

__all__ = [
    "Plan",
    "Sample",
    "Target",
    "Timetable",
    "comparison_of",
    "name_of",
    "result_of",
    "step_of",
    "timed",
]

Target: TypeAlias = Callable[[], object]
"""Called without arguments once per run; may return an awaitable if driven by the async methods."""


class _NeedsLoopError(ConfigError):
    """A sync benchmark met an async target; that is no failed run but a wrong call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often to run what.

    Raises:
        ConfigError: for a count below one, or a negative interval.
    """

    runs: int
    warmup: int
    concurrency: int = 1
    interval_s: float = 0.0

    def __post_init__(self) -> None:
        if min(self.runs, self.warmup, self.concurrency) < 1 or self.interval_s < 0:
            msg = (
                "runs, warmup and concurrency are >= 1 and interval_s is >= 0, got "
                f"{(self.runs, self.warmup, self.concurrency, self.interval_s)!r}; change them"
            )
            raise ConfigError(msg)


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: when it should have started, how long it took from then, and how it ended."""

    intended: float
    latency_s: float
    cpu_s: float
    error: str | None


@dataclass(slots=True)
class Timetable:
    """Hands out intended starts and collects samples; safe under threads."""

    plan: Plan
    clock: Clock
    samples: list[Sample] = field(default_factory=list[Sample])
    _start: float = field(init=False)
    _taken: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._start = self.clock.monotonic()

    def take(self) -> float | None:
        """The intended start of the next run, or `None` when all are taken."""
        with self._lock:
            if self._taken >= self.plan.runs:
                return None
            planned = self._start + self._taken * self.plan.interval_s
            self._taken += 1
        return planned if self.plan.interval_s else self.clock.monotonic()

    @property
    def wall_s(self) -> float:
        """Seconds since the first intended start."""
        return self.clock.monotonic() - self._start


def step_of(target: Target) -> Step[object]:
    """The target as a step that knows both worlds."""

    def call() -> object:
        result = target()
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            msg = (
                f"{name_of(target)!r} returned an awaitable outside an event loop; await arun() or "
                "acompare(), or pass an 'async def'"
            )
            raise _NeedsLoopError(msg)
        return result

    async def acall() -> object:
        result = target()
        return await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result

    return Step(call, acall)


def timed(
    step: Step[object], intended: float, clock: Clock, cpu_clock: Callable[[], float]
) -> Flow[Sample]:
    """Run a step once; an exception becomes a sample with its type's name."""
    cpu, error = cpu_clock(), None
    try:
        yield from step
    except _NeedsLoopError:
        raise
    except Exception as raised:
        error = type(raised).__name__
    return Sample(intended, clock.monotonic() - intended, cpu_clock() - cpu, error)


def name_of(target: Target) -> str:
    """What to call a target that got no name."""
    return getattr(target, "__qualname__", type(target).__name__)


def result_of(
    name: str,
    warm: Sequence[Sample],
    samples: Sequence[Sample],
    *,
    concurrency: int,
    totals: tuple[float, float],
    seed: int,
) -> BenchResult:
    """Sum samples up; `totals` are the wall and CPU seconds of the measured phase."""
    ordered = sorted(samples, key=lambda sample: sample.intended)
    latencies = tuple(sample.latency_s for sample in ordered if sample.error is None)
    return BenchResult(
        name=name,
        latencies_s=latencies,
        summary=summarize(latencies, seed=seed) if latencies else None,
        cold_s=warm[0].latency_s if warm[0].error is None else None,
        warmup=len(warm),
        concurrency=concurrency,
        wall_s=totals[0],
        cpu_s=totals[1],
        errors=_errors(samples),
        warmup_errors=_errors(warm),
    )


def _errors(samples: Sequence[Sample]) -> dict[str, int]:
    return dict(Counter(sample.error for sample in samples if sample.error is not None))


def comparison_of(
    a: BenchResult, b: BenchResult, kept: tuple[Sequence[Sample], Sequence[Sample]], *, seed: int
) -> Comparison:
    """Put the pairs together of which both sides succeeded, and took time that the clock saw."""
    both = [
        (left.latency_s, right.latency_s)
        for left, right in zip(*kept, strict=True)
        if left.error is None and right.error is None and left.latency_s > 0
    ]
    ratios = tuple(right / left for left, right in both)
    ordered = sorted(ratios)
    return Comparison(
        a=a,
        b=b,
        ratio=median_ratio(*zip(*both, strict=True), seed=seed) if both else None,
        pair_ratios=ratios,
        spread=(quantile(ordered, 0.25), quantile(ordered, 0.75)) if ordered else None,
    )
