"""Intervals that hold: coverage on a known distribution, pairing, and small samples."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.bench.stats import (
    MIN_INTERVAL_SAMPLES,
    MIN_P95_SAMPLES,
    bootstrap_median,
    median_ratio,
    summarize,
)
from agentperf_core.errors import ConfigError

seconds = st.floats(min_value=1e-3, max_value=1e3)


def lognormal(rng: random.Random, n: int) -> list[float]:
    return [rng.lognormvariate(0.0, 1.0) for _ in range(n)]


def test_the_interval_of_the_median_covers_the_true_median():
    """95 % nominal, 93 to 95 % expected; 300 repeats leave a standard error of 1.3 points."""
    rng = random.Random(11)
    hits = 0
    for repeat in range(300):
        found = bootstrap_median(lognormal(rng, 25), resamples=200, seed=repeat)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert hits / 300 >= 0.89


def test_pairing_takes_the_drift_of_the_machine_out_of_the_ratio():
    """The machine gets 3x slower during the run; the true ratio of 0.9 is still seen sharply."""
    rng = random.Random(3)
    drift = [1 + 2 * index / 60 for index in range(60)]
    a = [d * rng.uniform(0.98, 1.02) for d in drift]
    b = [0.9 * d * rng.uniform(0.98, 1.02) for d in drift]
    found = median_ratio(a, b)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.9 < found.high < 1
    assert found.high - found.low < 0.1


@given(st.lists(seconds, min_size=MIN_INTERVAL_SAMPLES, max_size=30), st.integers())
def test_intervals_lie_in_the_sample_around_the_estimate(values: list[float], seed: int):
    found = bootstrap_median(values, resamples=100, seed=seed)
    assert found.value == statistics.median(values)
    assert found.low is not None
    assert found.high is not None
    assert min(values) <= found.low <= found.high <= max(values)


@given(st.lists(seconds, min_size=MIN_INTERVAL_SAMPLES, max_size=20), seconds)
def test_a_constant_factor_is_found_exactly(values: list[float], factor: float):
    found = median_ratio(values, [value * factor for value in values], resamples=50)
    assert found.value == pytest.approx(factor)
    assert found.low == pytest.approx(factor)
    assert found.high == pytest.approx(factor)


def test_the_same_data_and_seed_give_the_same_interval():
    values = lognormal(random.Random(1), 40)
    assert bootstrap_median(values, seed=4) == bootstrap_median(values, seed=4)
    assert bootstrap_median(values, seed=4) != bootstrap_median(values, seed=5)


@pytest.mark.parametrize("n", [1, 2, MIN_INTERVAL_SAMPLES - 1])
def test_too_few_samples_give_a_value_without_an_interval(n: int):
    values = [1.0] * n
    assert (bootstrap_median(values).low, bootstrap_median(values).high) == (None, None)
    assert median_ratio(values, values).high is None


def test_the_smallest_sample_with_an_interval_is_the_one_the_binomial_allows():
    n = MIN_INTERVAL_SAMPLES
    assert 2 * math.pow(0.5, n) <= 0.05 < 2 * math.pow(0.5, n - 1)


@pytest.mark.parametrize("n", [1, 99])
def test_below_100_runs_there_is_a_maximum_and_no_p95(n: int):
    summary = summarize([float(i) for i in range(n)])
    assert summary.p95 is None
    assert (summary.n, summary.minimum, summary.maximum) == (n, 0.0, n - 1.0)


def test_from_100_runs_on_p95_has_an_interval():
    summary = summarize([float(i) for i in range(MIN_P95_SAMPLES)])
    assert summary.p95 is not None
    assert summary.p95.bounded
    assert summary.p95.value == pytest.approx(94.7, abs=0.5)


def test_a_higher_confidence_is_a_wider_interval():
    values = lognormal(random.Random(2), 50)
    wide, narrow = bootstrap_median(values, confidence=0.99), bootstrap_median(values)
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low


@pytest.mark.parametrize(
    "build",
    [
        lambda: bootstrap_median([]),
        lambda: bootstrap_median([1.0], confidence=1.0),
        lambda: bootstrap_median([1.0], resamples=0),
        lambda: median_ratio([], []),
        lambda: median_ratio([1.0], [1.0, 2.0]),
        lambda: median_ratio([0.0], [1.0]),
        lambda: summarize([]),
    ],
)
def test_questions_without_an_answer_are_refused(build: Any):
    with pytest.raises(ConfigError):
        build()
