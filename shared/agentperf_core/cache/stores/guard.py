"""A budget of time and a circuit breaker around whatever may fail or hang."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from agentperf_core.breaker import Breaker
from agentperf_core.clock import Clock
from agentperf_core.errors import require_positive
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.flow import Flow, Step, arun, run

__all__ = ["BUDGET_S", "Guard"]

T = TypeVar("T")

BUDGET_S = 0.05


class Guard:
    """Makes a miss of what fails or takes too long, and after some in a row asks no more.

    Async calls are given up when the budget is spent. A sync call cannot be; it runs to its end,
    and is counted as a failure if that was over the budget.

    Args:
        what: is guarded, as in "the store".
        where: the component that faults are counted for, and the room of the decisions `"open"`
            and `"closed"` when the breaker turns.
        budget_s: seconds that a call may take.
        failures: how many failures in a row open the breaker.
        open_s: seconds until an open breaker lets a call through.
        clock: where the time comes from; that of the budget is the event loop's.
        bus: receives faults and decisions.

    Raises:
        ConfigError: if a number is not positive.

    Example:
        >>> from agentperf_core.clock import SYSTEM_CLOCK
        >>> from agentperf_core.events import EventBus
        >>> guard = Guard("the sum", where="example", clock=SYSTEM_CLOCK, bus=EventBus())
        >>> guard.call(None, sum, [1, 2]), guard.call(None, sum, 3)
        (3, None)
    """

    def __init__(
        self,
        what: str,
        *,
        where: str,
        budget_s: float = BUDGET_S,
        failures: int = 3,
        open_s: float = 5.0,
        clock: Clock,
        bus: EventBus,
    ) -> None:
        require_positive(budget_s=budget_s)
        self.breaker = Breaker(failures=failures, open_s=open_s, clock=clock)
        self._what = what
        self._where = where
        self._budget_s = budget_s
        self._clock = clock
        self._bus = bus

    def flow(self, miss: T, make: Callable[..., Flow[T]], *args: Any) -> Step[T]:
        """A whole flow as one guarded call."""

        async def adrive() -> T:
            return await arun(make(*args))

        return Step(
            lambda: self.call(miss, lambda: run(make(*args))), lambda: self.acall(miss, adrive)
        )

    def call(self, miss: T, ask: Callable[..., T], *args: Any) -> T:
        """What `ask` gives, or `miss`."""
        if not self.breaker.lets_through():
            return miss
        start = self._clock.monotonic()
        try:
            answer = ask(*args)
        except Exception as error:
            self._failed(error)
            return miss
        took = self._clock.monotonic() - start
        if took > self._budget_s:
            self._failed(self._too_slow())
        else:
            self._succeeded()
        return answer

    async def acall(self, miss: T, ask: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Like `call`."""
        if not self.breaker.lets_through():
            return miss
        start = self._clock.monotonic()
        budget = asyncio.timeout(self._budget_s)
        try:
            async with budget:
                answer = await ask(*args)
        except Exception as error:
            if not budget.expired():
                self._failed(error)
            # A loop that was held up for long past the budget says nothing about what it asked.
            elif self._clock.monotonic() - start < 2 * self._budget_s:
                self._failed(self._too_slow())
            else:
                self._bus.fault(self._where, self._too_slow())
            return miss
        self._succeeded()
        return answer

    def _too_slow(self) -> TimeoutError:
        return TimeoutError(f"{self._what} took longer than its budget of {self._budget_s} s")

    def _failed(self, error: Exception) -> None:
        self._bus.fault(self._where, error)
        if self.breaker.failed():
            name = type(error).__name__
            self._turned("open", f"{self._what} failed {name} and is left alone")

    def _succeeded(self) -> None:
        if self.breaker.succeeded():
            self._turned("closed", f"{self._what} answers again")

    def _turned(self, outcome: str, reason: str) -> None:
        self._bus.emit(DecisionMade(room=self._where, outcome=outcome, reason=reason))
