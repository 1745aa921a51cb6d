"""What a benchmark may claim from n runs: medians with bootstrap intervals, and ratios of medians.

Quantiles and their order-statistic intervals live in `agentperf_core.telemetry.quantiles`; here is
what only a comparison needs. The bootstrap is Efron's percentile method; for the median its 95 %
interval covers 93 to 95 % of the time from 10 samples on, which it does not for p95 (42 % at 10
samples): so p95 gets the order-statistic interval, and below 100 samples no p95 at all.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentperf_core.errors import ConfigError
from agentperf_core.telemetry.quantiles import Quantile, quantile, quantiles

__all__ = [
    "MIN_INTERVAL_SAMPLES",
    "MIN_P95_SAMPLES",
    "Estimate",
    "Summary",
    "bootstrap_median",
    "median_ratio",
    "summarize",
]

MIN_INTERVAL_SAMPLES = 6
"""Below this no 95 % interval of a median exists: 2 * 0.5**5 is more than 0.05."""

MIN_P95_SAMPLES = 100
"""Below this the highest of n runs says more than a p95 whose interval has no upper end."""

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval, in the unit of the samples.

    Attributes:
        value: the estimate.
        low: lower end of the interval, `None` if there are too few samples for one.
        high: upper end of the interval, `None` if there are too few samples for one.
        n: how many samples (or pairs) it rests on.
        confidence: the level of the interval, between 0 and 1.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A sample of latencies in the few figures that it supports.

    Attributes:
        n: sample size.
        minimum: the lowest value.
        median: with its bootstrap interval.
        p95: with its order-statistic interval, `None` below `MIN_P95_SAMPLES`.
        maximum: the highest value.
    """

    n: int
    minimum: float
    median: Estimate
    p95: Quantile | None
    maximum: float


def bootstrap_median(
    values: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The median with its percentile-bootstrap interval.

    Args:
        values: at least one value; fewer than `MIN_INTERVAL_SAMPLES` give no interval.
        confidence: level of the interval, between 0 and 1.
        resamples: how many bootstrap samples.
        seed: of the resampling, so that the same data give the same interval.

    Raises:
        ConfigError: without values, or with a confidence or resamples out of range.

    Example:
        >>> bootstrap_median([1.0, 2.0, 9.0])
        Estimate(value=2.0, low=None, high=None, n=3, confidence=0.95)
        >>> estimate = bootstrap_median([float(i) for i in range(101)])
        >>> estimate.low < estimate.value == 50.0 < estimate.high
        True
    """
    rng = random.Random(seed)  # noqa: S311 - resampling, not secrets
    n = len(values)
    return _estimate(
        statistics.median(values) if values else 0.0,
        lambda: statistics.median(rng.choices(values, k=n)),
        n=n,
        confidence=confidence,
        resamples=resamples,
    )


def median_ratio(
    baseline: Sequence[float],
    candidate: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Median of the candidate over median of the baseline, with a paired bootstrap interval.

    Pairs are resampled together, so what both runs of a pair shared (a slow minute of the machine)
    does not widen the interval. Below 1 the candidate is faster.

    Args:
        baseline: one value above zero per pair.
        candidate: the other value of each pair, in the same order.
        confidence: level of the interval, between 0 and 1.
        resamples: how many bootstrap samples.
        seed: of the resampling.

    Raises:
        ConfigError: for unequal lengths, no pairs, a baseline that is not above zero, or a
            confidence or resamples out of range.

    Example:
        >>> median_ratio([2.0] * 10, [1.0] * 10)
        Estimate(value=0.5, low=0.5, high=0.5, n=10, confidence=0.95)
    """
    n = len(baseline)
    if n != len(candidate) or (n and min(baseline) <= 0):
        msg = (
            "a ratio needs pairs with a baseline above zero, got "
            f"{n} and {len(candidate)} values; drop the pairs of which one side failed"
        )
        raise ConfigError(msg)
    rng = random.Random(seed)  # noqa: S311 - resampling, not secrets

    def ratio(indexes: Sequence[int]) -> float:
        return statistics.median([candidate[i] for i in indexes]) / statistics.median(
            [baseline[i] for i in indexes]
        )

    return _estimate(
        ratio(range(n)) if n else 0.0,
        lambda: ratio(rng.choices(range(n), k=n)),
        n=n,
        confidence=confidence,
        resamples=resamples,
    )


def summarize(values: Sequence[float], *, seed: int = 0) -> Summary:
    """The figures that a sample supports, at 95 % confidence.

    Raises:
        ConfigError: without values.

    Example:
        >>> summary = summarize([0.2, 0.1, 0.4])
        >>> summary.median.value, summary.p95, summary.maximum
        (0.2, None, 0.4)
    """
    median = bootstrap_median(values, seed=seed)
    p95 = quantiles(values, (0.95,))[0] if len(values) >= MIN_P95_SAMPLES else None
    return Summary(len(values), min(values), median, p95, max(values))


def _estimate(
    value: float, resample: Callable[[], float], *, n: int, confidence: float, resamples: int
) -> Estimate:
    if n < 1 or resamples < 1 or not 0 < confidence < 1:
        msg = (
            "an interval needs values, resamples >= 1 and 0 < confidence < 1, got "
            f"{(n, resamples, confidence)!r}; run the benchmark first"
        )
        raise ConfigError(msg)
    if n < MIN_INTERVAL_SAMPLES:
        return Estimate(value, None, None, n, confidence)
    drawn = sorted(resample() for _ in range(resamples))
    tail = (1 - confidence) / 2
    return Estimate(value, quantile(drawn, tail), quantile(drawn, 1 - tail), n, confidence)
