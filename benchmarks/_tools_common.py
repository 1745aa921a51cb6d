"""What the sections of `tools_latency.py` share: arms that run in turn, and rows of their figures.

Machines that measure are busy. So every arm runs in turn with the others, several times, and a row
gives best, median and the middle half. CPU time is of the whole process, all threads included.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Who: TypeAlias = Literal["stock", "peer", "ours", "bare"]
Row: TypeAlias = Mapping[str, Any]
BEST_ONLY = "best run only"
Groups: TypeAlias = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Arm:
    """One way to do the same.

    Attributes:
        who: whose way.
        what: its name in tables.
        run: does it once.
        goal: what it is to stay below, in the unit of its section; `None` for none.
    """

    who: Who
    what: str
    run: Callable[[], Awaitable[Any]]
    goal: float | None = None


@dataclass
class Taken:
    """Seconds of each run of an arm: on the wall, and of the CPU."""

    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])


async def alternate(
    arms: Sequence[Arm], *, rounds: int, loops: int = 1, warm: bool = False
) -> list[Taken]:
    """Run all arms once per round, in random order; times are those of one run.

    Args:
        arms: what is compared.
        rounds: how often.
        loops: so many runs in a row are one sample.
        warm: whether one more run, which is not timed, goes before each sample: after another arm
            the caches of the processor are cold, which costs a short arm as much as itself.
    """
    found = [Taken() for _ in arms]
    chance = random.Random(1)
    for arm in arms:
        await arm.run()
    gc.collect()
    gc.freeze()  # what the frameworks hold is no arm's garbage
    try:
        for _ in range(rounds):
            for place in chance.sample(range(len(arms)), len(arms)):
                run = arms[place].run
                if warm:
                    await run()
                wall, cpu = time.perf_counter(), time.process_time()
                for _ in range(loops):
                    await run()
                found[place].cpu.append((time.process_time() - cpu) / loops)
                found[place].wall.append((time.perf_counter() - wall) / loops)
    finally:
        gc.unfreeze()
    return found


def walls(arms: Sequence[Arm], taken: Sequence[Taken]) -> list[Row]:
    """Wall times in milliseconds, beside the CPU time that the same run took."""
    return [
        {
            "who": arm.who,
            "what": arm.what,
            **spread(one.wall, 1e3, "ms"),
            "cpu_best_ms": round(min(one.cpu) * 1e3, 1),
            **reached(arm.goal, [second * 1e3 for second in one.wall], "ms"),
        }
        for arm, one in zip(arms, taken, strict=True)
    ]


def spread(seconds: Sequence[float], scale: float, unit: str, digits: int = 1) -> Row:
    """Best, median, and the middle half."""
    ordered = sorted(second * scale for second in seconds)
    quarter = len(ordered) // 4
    return {
        f"best_{unit}": round(ordered[0], digits),
        f"median_{unit}": round(ordered[len(ordered) // 2], digits),
        "half_of_them": f"{ordered[quarter]:.{digits}f} to {ordered[-1 - quarter]:.{digits}f}",
    }


def reached(goal: float | None, values: Sequence[float], unit: str) -> Row:
    """Whether the median keeps to the goal, or at least the best run."""
    if goal is None:
        return {}
    median = sorted(values)[len(values) // 2]
    said = "yes" if median <= goal else BEST_ONLY if min(values) <= goal else "no"
    return {"goal": f"{goal:g} {unit}", "reached": said}


def counted(goal: int, value: int) -> Row:
    """The same for a number that no machine changes."""
    return {"goal": f"{goal}", "reached": "yes" if value == goal else "no"}


def middle(values: Sequence[float]) -> float:
    """The median, as one of the values."""
    return sorted(values)[len(values) // 2]
