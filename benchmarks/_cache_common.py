"""What the sections of `cache_latency.py` share: interleaved times, ratios to the peer, callers."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from agentperf_core.bench import median_ratio

Call = Callable[[], object]
ACall = Callable[[], Awaitable[object]]
Figures = Mapping[str, Any]

TEXT = "The customer asks about an order, its parcel and a refund. " * 6
MESSAGES = 21
CALLERS = (20, 100)
HELD_S = 0.3
"""How long a model call takes where calls are counted: time for all others to come."""


@dataclass
class Samples:
    """Seconds per call of several targets, taken in turn so that drift of the machine cancels."""

    seconds: Mapping[str, Sequence[float]]
    unit: str = "us"
    _scale: Mapping[str, float] = field(default_factory=lambda: {"us": 1e6, "ms": 1e3})

    def figures(self, peer: str | None = None) -> Figures:
        """Best, median and 95th percentile; to the peer, how many times as long it takes."""
        scale = self._scale[self.unit]
        found: dict[str, Any] = {}
        for name, taken in self.seconds.items():
            ordered = sorted(taken)
            row: dict[str, Any] = {
                f"best_{self.unit}": round(ordered[0] * scale, 2),
                f"median_{self.unit}": round(ordered[len(ordered) // 2] * scale, 2),
                f"p95_{self.unit}": round(ordered[int(len(ordered) * 0.95)] * scale, 2),
            }
            compared = name != peer and not name.startswith(("no cache", "of that"))
            if peer is not None and peer in self.seconds and compared:
                row |= ratio(taken, self.seconds[peer])
            found[name] = row
        return found


def ratio(ours: Sequence[float], peers: Sequence[float]) -> Figures:
    """How many times as long the peer takes, with the 95 % interval of the paired bootstrap."""
    times = median_ratio(ours, peers)
    found: dict[str, Any] = {"peer_takes_times": round(times.value, 2)}
    if times.low is not None and times.high is not None:
        found["from"], found["to"] = round(times.low, 2), round(times.high, 2)
    return found


def cpu_samples(calls: Mapping[str, Call], *, loops: int = 100, rounds: int = 25) -> Samples:
    """CPU time of this process."""
    return _sampled(calls, loops, rounds, time.process_time, "us")


def wall_samples(
    calls: Mapping[str, Call], *, loops: int = 1, rounds: int = 300, unit: str = "us"
) -> Samples:
    """Wall time."""
    return _sampled(calls, loops, rounds, time.perf_counter, unit)


def _sampled(
    calls: Mapping[str, Call], loops: int, rounds: int, now: Callable[[], float], unit: str
) -> Samples:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(3):
            call()
    gc.collect()
    gc.disable()  # a collection that falls into one target would be noise, not cost
    try:
        for number in range(rounds):
            for name in list(calls)[:: 1 if number % 2 == 0 else -1]:
                call, start = calls[name], now()
                for _ in range(loops):
                    call()
                taken[name].append((now() - start) / loops)
    finally:
        gc.enable()
    return Samples(taken, unit)


async def awaited_samples(
    calls: Mapping[str, ACall], *, rounds: int = 300, unit: str = "us"
) -> Samples:
    """Wall time of awaited calls."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(3):
            await call()
    for number in range(rounds):
        for name in list(calls)[:: 1 if number % 2 == 0 else -1]:
            start = time.perf_counter()
            await calls[name]()
            taken[name].append(time.perf_counter() - start)
    return Samples(taken, unit)


def at_once(ask: Callable[[], Any], callers: int, *, is_async: bool) -> None:
    """So many equal calls at the same time, in threads or in tasks."""
    if not is_async:
        with ThreadPoolExecutor(callers) as pool:
            for done in [pool.submit(ask) for _ in range(callers)]:
                done.result()
        return

    async def together() -> None:
        await asyncio.gather(*(ask() for _ in range(callers)))

    asyncio.run(together())
