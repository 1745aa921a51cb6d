"""The benchmark on a clock that the test moves: what is measured, kept apart, said."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import pytest

from agentperf_core.bench.harness import AgentBenchmark
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError


class Bench:
    """A benchmark whose clock only the targets and the waits move."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cpu = 0.0
        self.benchmark = AgentBenchmark(
            clock=self.clock,
            cpu_clock=lambda: self.cpu,
            sleep=self.clock.advance,
            asleep=self._asleep,
        )

    async def _asleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def target(self, durations: Iterable[float | Exception], *, cpu: float = 0.0):
        """A target whose runs take the given seconds one after the other, or raise."""
        queue = iter(durations)

        def call() -> None:
            step = next(queue)
            if isinstance(step, Exception):
                raise step
            self.clock.advance(step)
            self.cpu += cpu

        return call

    def async_target(self, durations: Iterable[float]):
        sync = self.target(durations)

        async def acall() -> None:
            sync()

        return acall


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_cold_run_and_the_warm_up_are_no_samples(bench: Bench):
    target = bench.target([9.0, 5.0, 1.0, 2.0, 3.0], cpu=0.25)
    result = bench.benchmark.run(target, runs=3, warmup=2, name="agent")
    assert result.cold_s == 9.0
    assert result.latencies_s == (1.0, 2.0, 3.0)
    assert (result.wall_s, result.cpu_s, result.cpu_s_per_run) == (6.0, 0.75, 0.25)
    assert result.summary is not None
    assert result.summary.median.value == 2.0


def test_failed_runs_are_counted_and_in_no_latency(bench: Bench):
    target = bench.target([1.0, 1.0, ValueError(), 2.0, KeyError(), ValueError()])
    result = bench.benchmark.run(target, runs=5, name="agent")
    assert result.latencies_s == (1.0, 2.0)
    assert result.errors == {"ValueError": 2, "KeyError": 1}
    assert "2 ok, 3 failed (1 KeyError, 2 ValueError)" in str(result)


def test_a_target_that_always_fails_gives_a_table_without_figures(bench: Bench):
    result = bench.benchmark.run(bench.target([ValueError()] * 3), runs=2, name="agent")
    assert result.summary is None
    assert result.cold_s is None
    assert result.warmup_errors == {"ValueError": 1}
    assert "median" not in str(result)
    assert "failed (1 ValueError)" in str(result)


def test_latency_counts_from_the_intended_start(bench: Bench):
    """One stall of 10 s delays the runs behind it; a closed loop would report 10, 1, 1, 1."""
    target = bench.target([1.0, 10.0, 1.0, 1.0, 1.0])
    result = bench.benchmark.run(target, runs=4, interval_s=3.0)
    assert result.latencies_s == (10.0, 8.0, 6.0, 4.0)


def test_a_run_does_not_start_before_its_time(bench: Bench):
    result = bench.benchmark.run(bench.target([1.0] * 4), runs=3, interval_s=5.0)
    assert result.latencies_s == (1.0, 1.0, 1.0)
    assert result.wall_s == 11.0


async def test_async_runs_give_the_same_figures(bench: Bench):
    target = bench.async_target([9.0, 1.0, 10.0, 1.0])
    result = await bench.benchmark.arun(target, runs=3, interval_s=3.0)
    assert result.cold_s == 9.0
    assert result.latencies_s == (1.0, 10.0, 8.0)


def test_an_async_def_gets_a_loop_of_its_own(bench: Bench):
    result = bench.benchmark.run(bench.async_target([1.0, 2.0, 3.0]), runs=2)
    assert result.latencies_s == (2.0, 3.0)


async def test_a_lambda_that_returns_an_awaitable_is_awaited(bench: Bench):
    target = bench.async_target([1.0, 2.0])
    result = await bench.benchmark.arun(lambda: target(), runs=1)  # noqa: PLW0108 - the case itself
    assert result.latencies_s == (2.0,)


def test_an_awaitable_outside_a_loop_is_a_wrong_call_and_no_failed_run(bench: Bench):
    target = bench.async_target([1.0])
    with pytest.raises(ConfigError, match=r"await arun\(\)"):
        bench.benchmark.run(lambda: target(), runs=1)  # noqa: PLW0108 - the case itself


async def test_run_inside_a_loop_says_to_await(bench: Bench):
    with pytest.raises(ConfigError, match=r"await arun\(\)"):
        bench.benchmark.run(bench.async_target([1.0]), runs=1)


def test_concurrent_sync_runs_are_under_way_at_once_and_inherit_context():
    barrier = threading.Barrier(4, timeout=20)
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    seen: list[str] = []
    cold = True

    def target() -> None:
        nonlocal cold
        if cold:
            cold = False
            return
        seen.append(tenant.get())
        barrier.wait()

    token = tenant.set("acme")
    result = AgentBenchmark().run(target, runs=8, concurrency=4)
    tenant.reset(token)
    assert len(result.latencies_s) == 8
    assert seen == ["acme"] * 8


async def test_concurrent_async_runs_are_under_way_at_once():
    waiting = 0
    everyone = asyncio.Event()
    cold = True

    async def target() -> None:
        nonlocal waiting, cold
        if cold:
            cold = False
            return
        waiting += 1
        if waiting == 4:
            everyone.set()
        await everyone.wait()

    result = await AgentBenchmark().arun(target, runs=4, concurrency=4)
    assert len(result.latencies_s) == 4


def test_one_sync_run_at_a_time_stays_in_the_calling_thread():
    """An SQLite connection of the caller must stay usable."""
    threads: set[int] = set()
    AgentBenchmark().run(lambda: threads.add(threading.get_ident()), runs=3)
    assert threads == {threading.get_ident()}


def test_a_cancellation_is_no_failed_run():
    def target() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        AgentBenchmark().run(target, runs=3)


def test_pairs_are_interleaved_a_b_b_a(bench: Bench):
    order: list[str] = []
    for_a, for_b = bench.target([2.0] * 5), bench.target([1.0] * 5)

    def a() -> None:
        order.append("a")
        for_a()

    def b() -> None:
        order.append("b")
        for_b()

    result = bench.benchmark.compare(a, b, pairs=4)
    assert "".join(order) == "ab" + "abbaabba"
    assert result.ratio is not None
    assert result.ratio.value == 0.5
    assert result.pair_ratios == (0.5,) * 4
    assert result.spread == (0.5, 0.5)


def test_the_verdict_follows_the_interval(bench: Bench):
    faster = bench.benchmark.compare(bench.target([2.0] * 21), bench.target([1.0] * 21), pairs=20)
    assert faster.verdict == "faster"
    slower = bench.benchmark.compare(bench.target([1.0] * 21), bench.target([2.0] * 21), pairs=20)
    assert slower.verdict == "slower"
    few = bench.benchmark.compare(bench.target([2.0] * 4), bench.target([1.0] * 4), pairs=3)
    assert few.verdict == "no clear difference"
    noisy = [1.0, 3.0] * 10
    same = bench.benchmark.compare(
        bench.target([1.0, *noisy]), bench.target([1.0, *reversed(noisy)]), pairs=20
    )
    assert same.verdict == "no clear difference"


def test_a_pair_with_a_failed_side_is_in_no_ratio(bench: Bench):
    a = bench.target([1.0, 2.0, ValueError(), 2.0])
    b = bench.target([1.0, 1.0, 1.0, 1.0])
    result = bench.benchmark.compare(a, b, pairs=3, names=("bare", "tuned"))
    assert result.pair_ratios == (0.5, 0.5)
    assert (len(result.a.latencies_s), len(result.b.latencies_s)) == (2, 3)
    assert result.a.errors == {"ValueError": 1}


def test_a_comparison_in_which_nothing_succeeds_says_so(bench: Bench):
    result = bench.benchmark.compare(
        bench.target([ValueError()] * 3), bench.target([1.0] * 3), pairs=2
    )
    assert (result.ratio, result.spread) == (None, None)
    assert "no pair in which both runs succeeded" in str(result)


async def test_async_comparisons_give_the_same(bench: Bench):
    result = await bench.benchmark.acompare(
        bench.async_target([2.0] * 3), bench.async_target([1.0] * 3), pairs=2
    )
    assert result.pair_ratios == (0.5, 0.5)


def test_async_defs_are_compared_in_a_loop_of_their_own(bench: Bench):
    result = bench.benchmark.compare(
        bench.async_target([2.0] * 3), bench.async_target([1.0] * 3), pairs=2
    )
    assert result.pair_ratios == (0.5, 0.5)


def test_the_table_says_max_below_100_runs_and_p95_from_then_on(bench: Bench):
    few = str(bench.benchmark.run(bench.target([0.1] * 31), runs=30, name="desk"))
    assert few.splitlines()[0].split() == ["benchmark", "desk"]
    assert "max of 30" in few
    assert "p95" not in few
    many = str(bench.benchmark.run(bench.target([0.1] * 101), runs=100, name="desk"))
    assert "p95             100.00 ms  (95 % interval 100.00 ms..100.00 ms)" in many
    assert "max of" not in many


def test_the_comparison_table_has_both_sides_and_the_ratio(bench: Bench):
    result = bench.benchmark.compare(
        bench.target([2.0] * 11), bench.target([1.0] * 11), pairs=10, names=("bare", "tuned")
    )
    text = str(result)
    assert "benchmark       bare" in text
    assert "ratio b / a  0.500  (95 % interval 0.500..0.500)" in text
    assert "verdict      tuned is faster" in text


def test_json_holds_what_was_measured(bench: Bench):
    target = bench.target([9.0, 1.0, ValueError(), 2.0])
    result = bench.benchmark.run(target, runs=3, name="agent")
    plain = json.loads(result.to_json())
    assert plain["latencies_s"] == [1.0, 2.0]
    assert plain["errors"] == {"ValueError": 1}
    assert plain["summary"]["median"]["value"] == 1.5
    compared = bench.benchmark.compare(bench.target([1.0] * 2), bench.target([1.0] * 2), pairs=1)
    assert json.loads(compared.to_json())["verdict"] == "no clear difference"


@pytest.mark.parametrize(
    "options", [{"runs": 0}, {"warmup": 0}, {"concurrency": 0}, {"interval_s": -1.0}]
)
def test_counts_below_one_are_refused(options: dict[str, Any]):
    with pytest.raises(ConfigError, match=">= 1"):
        AgentBenchmark().run(lambda: None, **options)
