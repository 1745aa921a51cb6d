"""Refreshing behind a stale result: at most one per key, off the path of the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from agentperf_core.cache.exact.refresh import Refresher
from agentperf_core.clock import Clock
from agentperf_core.events import EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["Refreshes", "in_this_context"]

T = TypeVar("T")

_LOST_S = 60.0  # after this long without an end, a refresh is taken for lost


class Refreshes:
    """What is being fetched anew.

    Args:
        clock: where the time comes from.
        bus: where faults go.
    """

    def __init__(self, *, clock: Clock, bus: EventBus) -> None:
        self._clock = clock
        self._bus = bus
        self._refresher = Refresher(bus=bus)
        self._until: dict[str, float] = {}

    def begin(self, key: str, fetch: Callable[[], Flow[None]]) -> Flow[None]:
        """Fetch soon, unless `key` is being fetched or there is too much to fetch."""
        now = self._clock.monotonic()
        if self._until.get(key, now) <= now:
            self._until[key] = now + _LOST_S
            begun = yield from self._refresher.begin(partial(self._fetch, key, fetch))
            if not begun:
                self._until.pop(key, None)

    def drain(self, timeout_s: float | None = None) -> None:
        """Wait for what sync callers have begun, at most `timeout_s` seconds."""
        self._refresher.drain(timeout_s)

    async def adrain(self) -> None:
        """Wait for what was begun on this event loop."""
        await self._refresher.adrain()

    def _fetch(self, key: str, fetch: Callable[[], Flow[None]]) -> Flow[None]:
        try:
            yield from fetch()
        except Exception as error:
            self._bus.fault("tool_cache.refresh", error)
        finally:
            self._until.pop(key, None)


def in_this_context(step: Step[T]) -> Step[T]:
    """A step that runs with the caller's context variables, whenever and wherever it runs.

    A tool may read from them whose data it is to fetch.
    """
    context = copy_context()

    async def later() -> T:
        async def call() -> T:
            return await step.async_(*step.args)

        return await asyncio.get_running_loop().create_task(call(), context=context)

    return Step(lambda: context.run(step.sync, *step.args), later)
