"""Warm-up: what the first request would otherwise wait for, done before it comes.

Steps run at once, each for itself: one that fails, or takes too long, costs the others nothing and
is reported with its reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import Any

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.tools.executor import ToolExecutor

__all__ = [
    "WarmStep",
    "WarmUpReport",
    "Warmed",
    "warm_up",
]


@dataclass(frozen=True, slots=True)
class WarmStep:
    """Something to be done before the first request.

    Attributes:
        what: what it is, in the report.
        step: does it; a text that it returns is what there is to know of it.
    """

    what: str
    step: Step[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """What came of a step.

    Attributes:
        what: what it was.
        seconds: how long it took.
        ok: whether it was done.
        reason: why not, or what there is to know; may be empty.
    """

    what: str
    seconds: float
    ok: bool
    reason: str = ""

    def __str__(self) -> str:
        outcome = "ok" if self.ok else "not done"
        return f"{self.what}: {outcome}, {self.seconds:.2f} s" + (
            f" ({self.reason})" if self.reason else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpReport:
    """What came of a warm-up.

    Attributes:
        steps: in the order in which they were given.
        seconds: how long it took altogether.
    """

    steps: tuple[Warmed, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether everything was done."""
        return all(step.ok for step in self.steps)

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


def warm_up(
    steps: Sequence[WarmStep],
    *,
    timeout_s: float = 60.0,
    executor: ToolExecutor | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Flow[WarmUpReport]:
    """Do everything at once, and say what came of it.

    Args:
        steps: what to do.
        timeout_s: seconds to wait for all of it; what takes longer is reported so. A thread that
            hangs goes on behind, a task is cancelled.
        executor: has the threads; default one of its own.
        clock: where the time comes from.

    Raises:
        ConfigError: if `timeout_s` is not above zero.

    Example:
        >>> async def load() -> None: ...
        >>> step = WarmStep("an encoder", Step(lambda: None, load))
        >>> run(warm_up([step])).ok
        True
    """
    require_positive(timeout_s=timeout_s)
    began = clock.monotonic()
    owner = executor if executor is not None else ToolExecutor()
    work = [partial(_done, step, clock) for step in steps]
    try:
        found: list[Warmed | None] = yield from Step(_all, _aall, work, owner, timeout_s)
    finally:
        if executor is None:
            owner.close()
    late = f"it takes longer than timeout_s={timeout_s:g}"
    seconds = clock.monotonic() - began
    warmed = tuple(
        one or Warmed(what=step.what, seconds=seconds, ok=False, reason=late)
        for one, step in zip(found, steps, strict=True)
    )
    return WarmUpReport(steps=warmed, seconds=seconds)


def _done(step: WarmStep, clock: Clock) -> Flow[Warmed]:
    began, ok, reason = clock.monotonic(), True, ""
    try:
        said: object = yield from step.step
        reason = said if isinstance(said, str) else ""
    except Exception as error:
        ok, reason = False, f"{type(error).__name__}: {error}"
    return Warmed(what=step.what, seconds=clock.monotonic() - began, ok=ok, reason=reason)


def _all(
    work: Sequence[Callable[[], Flow[Warmed]]], executor: ToolExecutor, timeout_s: float
) -> list[Warmed | None]:
    futures = [executor.in_background(_run, make) for make in work]
    wait(futures, timeout_s)
    return [future.result() if future.done() else None for future in futures]


async def _aall(
    work: Sequence[Callable[[], Flow[Warmed]]], executor: ToolExecutor, timeout_s: float
) -> list[Warmed | None]:
    del executor  # its threads are for sync callers
    if not work:
        return []
    tasks = [asyncio.create_task(arun(make())) for make in work]
    try:
        await asyncio.wait(tasks, timeout=timeout_s)
    finally:
        for task in tasks:
            task.cancel()
    return [task.result() if task.done() and not task.cancelled() else None for task in tasks]


def _run(make: Callable[[], Flow[Warmed]]) -> Warmed:
    return run(make())
