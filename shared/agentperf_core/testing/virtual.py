"""Virtual time: an event loop on which waiting takes no time.

Own code because loops with virtual time are no dependency that a test of users should need, and the
core of one is a selector of ten lines.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from agentperf_core.clock import FakeClock

__all__ = ["VirtualTime"]

T = TypeVar("T")


class VirtualTime(FakeClock):
    """A clock, and event loops that live by it: where all wait, the next timer comes at once.

    For code that waits on its loop only. What happens elsewhere, in a thread or at the other end of
    a socket, takes real time, and any timer comes before it.

    Example:
        >>> time = VirtualTime()
        >>> async def nap() -> float:
        ...     await asyncio.sleep(3600)
        ...     return time.monotonic()
        >>> time.run(nap())
        3600.0
    """

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, like `asyncio.run`.

        Raises:
            BaseException: what the coroutine raised.
        """
        with asyncio.Runner(loop_factory=lambda: _VirtualLoop(self)) as runner:
            return runner.run(work)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__(_VirtualSelector(clock))
        self._virtual = clock
        # asyncio's own attribute: a timer is due when its moment lies before now plus this, and a
        # clock that stands at that very moment, far from zero, cannot tell a nanosecond.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._virtual.monotonic()


class _VirtualSelector(selectors.DefaultSelector):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._virtual = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            # By a nanosecond at least: less would be nothing, and the loop would ask for ever.
            self._virtual.advance(max(timeout, 1e-9))
        return ready
