"""What the benchmarks share: paired CPU measurements and their table."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

from agentperf_core.bench import Estimate, median_ratio


@dataclass(frozen=True)
class Paired:
    """Two targets measured in turn: medians in seconds per call, and the ratio with its spread."""

    a_s: float
    b_s: float
    ratio: Estimate  # b over a
    difference_s: float  # median over pairs of b - a

    def cell(self) -> str:
        low, high = self.ratio.low, self.ratio.high
        spread = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
        return f"{self.ratio.value:.2f}{spread}"


def cpu(target: Callable[[], object], loops: int) -> float:
    """CPU seconds of this process per call."""
    start = time.process_time()
    for _ in range(loops):
        target()
    return (time.process_time() - start) / loops


def paired(
    a: Callable[[], object], b: Callable[[], object], *, loops: int, pairs: int = 15
) -> Paired:
    """Measure `a` and `b` alternately (a b b a ...), so that drift of the machine cancels out."""
    for target in (a, b):
        cpu(target, loops)
    times: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.disable()  # a collection that falls into one side would be noise, not cost
    try:
        for index in range(pairs):
            for side in (0, 1) if index % 2 == 0 else (1, 0):
                times[side].append(cpu((a, b)[side], loops))
    finally:
        gc.enable()
    middle = sorted(y - x for x, y in zip(*times, strict=True))[pairs // 2]
    return Paired(
        sorted(times[0])[pairs // 2],
        sorted(times[1])[pairs // 2],
        median_ratio(times[0], times[1]),
        middle,
    )


def table(headers: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def us(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f} us"
