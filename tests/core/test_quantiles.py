"""Quantiles: equal to the reference, with intervals that hold what they promise."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.errors import ConfigError
from agentperf_core.telemetry.quantiles import Quantile, order_interval, quantile, quantiles

SAMPLES = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False), min_size=1, max_size=60
)
QS = st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0]) | st.floats(0, 1)


@given(SAMPLES, QS)
def test_the_estimate_is_numpy_s_median_unbiased_one(sample: list[float], q: float):
    expected = float(np.quantile(sample, q, method="median_unbiased"))
    assert quantile(sorted(sample), q) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(SAMPLES, QS)
def test_the_estimate_lies_in_the_sample(sample: list[float], q: float):
    assert min(sample) <= quantile(sorted(sample), q) <= max(sample)


@given(SAMPLES)
def test_a_higher_quantile_is_not_lower(sample: list[float]):
    ordered = sorted(sample)
    estimates = [quantile(ordered, q / 20) for q in range(21)]
    assert all(a <= b or math.isclose(a, b) for a, b in pairwise(estimates))


def test_p95_of_twenty_is_not_the_maximum():
    """`sorted(x)[int(0.95 * n)]` is, which makes one outlier the p95 of every short benchmark."""
    sample = [1.0] * 19 + [100.0]
    assert quantile(sample, 0.95) < 100.0


@pytest.mark.parametrize(("sample", "q"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_what_has_no_quantile_is_refused(sample: list[float], q: float):
    with pytest.raises(ConfigError, match="at least one value and 0 <= q <= 1"):
        quantile(sample, q)


def exact_cdf(n: int, q: float) -> list[float]:
    """P(X < r) for r = 0..n+1 with X binomial(n, q), by exact sums."""
    total, cdf = 0.0, [0.0]
    for k in range(n + 1):
        total += math.comb(n, k) * q**k * (1 - q) ** (n - k)
        cdf.append(total)
    return cdf


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("q", [0.05, 0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 2, 5, 10, 20, 59, 60, 100, 300])
def test_the_interval_is_the_one_of_exact_binomial_sums(n: int, q: float, confidence: float):
    """Low is the highest rank, high the lowest, that leaves half the error on its side."""
    tail, below = (1 - confidence) / 2, exact_cdf(n, q)
    lows = [rank for rank in range(1, n + 1) if below[rank] <= tail]
    highs = [rank for rank in range(1, n + 1) if 1 - below[rank] <= tail]
    expected = (
        float(max(lows)) if lows else None,
        float(min(highs)) if highs else None,
    )
    assert order_interval([float(r) for r in range(1, n + 1)], q, confidence) == expected


def test_small_samples_have_no_upper_bound_of_p95_and_larger_ones_have():
    """0.95 ** n falls below 2.5 % at n = 72."""
    assert order_interval([float(i) for i in range(71)], 0.95)[1] is None
    assert order_interval([float(i) for i in range(72)], 0.95)[1] == 71.0


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_the_interval_covers_the_true_quantile_as_often_as_it_says(q: float):
    """500 seeded samples of an exponential distribution, whose quantiles are known."""
    rng = random.Random(7)
    truth, hits, rounds = -math.log(1 - q), 0, 500
    for _ in range(rounds):
        low, high = order_interval(sorted(rng.expovariate(1) for _ in range(100)), q)
        assert low is not None
        assert high is not None
        hits += low <= truth <= high
    assert hits / rounds >= 0.93


def test_the_interval_of_a_large_sample_is_finite_and_narrow():
    low, high = order_interval([float(i) for i in range(20_000)], 0.99)
    assert low is not None
    assert high is not None
    assert 19_765 < low < 19_800 < high < 19_835


def test_quantiles_of_one_sample():
    values = quantiles([3.0, 1.0, 2.0], (0.5, 0.95))
    assert values[0] == Quantile(0.5, 2.0, 3, None, None)
    assert not values[0].bounded
    assert [value.q for value in values] == [0.5, 0.95]


def test_a_large_sample_is_bounded_on_both_sides():
    (median,) = quantiles((float(i) for i in range(100)), (0.5,))
    assert (median.value, median.low, median.high, median.bounded) == (49.5, 39.0, 60.0, True)


def test_an_empty_sample_has_no_quantiles():
    assert quantiles([]) == []
