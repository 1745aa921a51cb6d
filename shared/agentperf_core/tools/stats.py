"""What an executor has done so far, in numbers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from agentperf_core.tools.records import ToolRun

__all__ = ["ExecutorStats", "Tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorStats:
    """Calls and where their time went.

    Attributes:
        calls: calls that have ended.
        outcomes: how many of them ended how, see `ToolRun.outcome`.
        cached: how many a cache answered.
        repeated: how many more times tools ran than they were called.
        queue_s: seconds that calls waited for a place, in total.
        run_s: seconds that tools ran, in total.
        running: calls that hold a place now.
        waiting: calls that wait for one now.
        orphans: calls that still run though nobody waits for them.
        threads: threads of the pool now, those of orphans not counted.
    """

    calls: int
    outcomes: Mapping[str, int]
    cached: int
    repeated: int
    queue_s: float
    run_s: float
    running: int
    waiting: int
    orphans: int
    threads: int


class Tally:
    """Counts calls; safe under threads."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._cached = 0
        self._repeated = 0
        self._queue_s = 0.0
        self._run_s = 0.0
        self._lock = threading.Lock()

    def add(self, ran: ToolRun) -> None:
        """Count a call that has ended."""
        with self._lock:
            self._outcomes[ran.outcome] += 1
            self._cached += ran.cached
            self._repeated += max(ran.attempts - 1, 0)
            self._queue_s += ran.queue_s
            self._run_s += ran.run_s

    def stats(self, *, running: int, waiting: int, orphans: int, threads: int) -> ExecutorStats:
        """The counts so far, beside what is the case now."""
        with self._lock:
            return ExecutorStats(
                calls=self._outcomes.total(),
                outcomes=dict(self._outcomes),
                cached=self._cached,
                repeated=self._repeated,
                queue_s=self._queue_s,
                run_s=self._run_s,
                running=running,
                waiting=waiting,
                orphans=orphans,
                threads=threads,
            )
