"""Single flights that tests can watch: no sleeping, every wait is for something that happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agentperf_core.cache.flight.single import SingleFlight

__all__ = ["WatchedFlight", "in_threads", "outcome"]


class WatchedFlight(SingleFlight[Any]):
    """Counts who has joined, so that a leader can hold its call until everybody is there."""

    def __init__(self) -> None:
        super().__init__()
        self._joined = 0
        self._seen = threading.Condition()

    def wait_for(self, joined: int) -> None:
        """Block until so many callers have joined in all."""
        with self._seen:
            assert self._seen.wait_for(lambda: self._joined >= joined, timeout=30)

    def _enter(self, key: Hashable) -> Any:
        entered = super()._enter(key)
        with self._seen:
            self._joined += 1
            self._seen.notify_all()
        return entered


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the error that it raises."""
    try:
        return call()
    except Exception as error:
        return error


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """The outcomes of so many threads that make the same call."""
    gate = threading.Barrier(count)

    def work(_: int) -> Any:
        gate.wait(timeout=30)
        return outcome(call)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
