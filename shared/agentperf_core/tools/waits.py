"""A moment that threads and event loops wait for.

Own code because a future of `concurrent.futures` that is awaited wakes its event loop through a
socket, also where whoever completes it runs on that loop: 5 us of the 12 that a call costs.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from agentperf_core.flow import Step

__all__ = ["Moment"]


class Moment:
    """Something that happens once.

    Attributes:
        come: whether it has.

    Example:
        >>> moment = Moment()
        >>> moment.wait(0.001).sync(0.001), moment.happen(), moment.wait(None).sync(None)
        (False, None, True)
    """

    __slots__ = ("_event", "_futures", "_lock", "come")

    def __init__(self) -> None:
        self.come = False
        self._event: threading.Event | None = None
        self._futures: list[asyncio.Future[None]] = []
        self._lock = threading.Lock()

    def happen(self) -> None:
        """Let everyone go who waits, and who comes later."""
        with self._lock:
            self.come = True
            event, futures = self._event, self._futures
            self._futures = []
        if event is not None:
            event.set()
        for future in futures:
            _wake(future)

    def wait(self, wait_s: float | None) -> Step[bool]:
        """Wait at most so many seconds, `None` for no limit; whether the moment has come."""
        return Step(self._wait, self._await, wait_s)

    def _wait(self, wait_s: float | None) -> bool:
        with self._lock:
            if self.come:
                return True
            if self._event is None:
                self._event = threading.Event()
        return self._event.wait(wait_s)

    async def _await(self, wait_s: float | None) -> bool:
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            if self.come:
                return True
            self._futures.append(future)
        if wait_s is None:
            await future
        else:
            await asyncio.wait((future,), timeout=wait_s)
        return self.come


def _wake(future: asyncio.Future[None]) -> None:
    loop = future.get_loop()
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        _settle(future)
    else:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(_settle, future)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
