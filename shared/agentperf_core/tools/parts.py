"""What the calls of one executor share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from agentperf_core.breaker import Breaker
from agentperf_core.clock import Clock
from agentperf_core.events import EventBus
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.inside import inside
from agentperf_core.tools.limits import Limits
from agentperf_core.tools.pool import ThreadPool

__all__ = ["Parts"]

T = TypeVar("T")


class Parts:
    """What the calls of an executor share.

    Attributes:
        limits: who may run.
        clock: where the time comes from.
        bus: where faults and decisions go.
        orphans: async calls given up that did not end at once.
    """

    def __init__(self, *, limits: Limits, max_threads: int, clock: Clock, bus: EventBus) -> None:
        self.limits = limits
        self.clock = clock
        self.bus = bus
        self.orphans: set[asyncio.Task[Any]] = set()
        self._breakers: dict[str, Breaker] = {}
        self._max_threads = max_threads
        self._pools = {(0, False): ThreadPool(max_threads=max_threads)}

    @property
    def pools(self) -> tuple[ThreadPool, ...]:
        """All threads for sync tools."""
        return tuple(self._pools.values())

    def pool(self, depth: int, *, aside: bool = False) -> ThreadPool:
        """The threads for calls with so many calls around them.

        Of one pool for all, callers could take every thread and wait for ever for their own calls.

        Args:
            depth: how many calls are around.
            aside: for threads that make whole calls, which may need a thread for their tool.
        """
        found = self._pools.get((depth, aside))
        if found is None:
            made = ThreadPool(max_threads=self._max_threads)
            found = self._pools.setdefault((depth, aside), made)
        return found

    def leave_behind(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task and forget it, but keep it from the garbage until it has ended."""
        task.cancel()
        self.orphans.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.orphans.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio logs what nobody has looked at

    def breaker(self, tool: str, policy: ToolPolicy) -> Breaker | None:
        """The breaker of a tool; `None` if its policy asks for none."""
        if policy.breaker is None:
            return None
        found = self._breakers.get(tool)
        if found is None:
            made = Breaker(failures=policy.breaker, open_s=policy.breaker_s, clock=self.clock)
            found = self._breakers.setdefault(tool, made)
        return found

    async def offload(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run a sync function in the pool; the async side of a tool that has none.

        One that is cancelled goes on as an orphan, and the call that it belongs to says so.
        """
        under_way = inside()
        pool = self.pool(0 if under_way is None else under_way.depth)
        job = pool.submit(partial(function, *args, **kwargs))
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            if job.abandon() and under_way is not None:
                under_way.run.orphaned = True
            raise
