"""What is said of a call: to the bus, to the statistics, and on the result itself."""

from __future__ import annotations

from typing import TypeVar

from agentperf_core.cache.ledger import Ledger
from agentperf_core.cache.stores import Store
from agentperf_core.cache.toolresults.stats import ToolCounter
from agentperf_core.cache.toolresults.types import ToolDecision, ToolResultCodec
from agentperf_core.cache.totals import TOOL_STATS_PREFIX
from agentperf_core.clock import Clock
from agentperf_core.events import DecisionMade, EventBus

__all__ = ["Notes"]

T = TypeVar("T")


class Notes:
    """Puts decisions on record.

    Args:
        store: where the counts are kept, if others share it or it outlives the process.
        clock: where the time comes from.
        bus: receives decisions and faults.

    Attributes:
        counter: the counts.
    """

    def __init__(self, store: Store, *, clock: Clock, bus: EventBus) -> None:
        self.counter = ToolCounter()
        self._bus = bus
        self._ledger = Ledger(store, self.counter, prefix=TOOL_STATS_PREFIX, clock=clock, bus=bus)

    def call(self, decision: ToolDecision) -> ToolDecision:
        """Put on record what was done with a call, and give it back."""
        self.counter.count(decision)
        return self._tell(decision)

    def refresh(self, decision: ToolDecision) -> ToolDecision:
        """The same for a result that was fetched behind a stale one: nobody called for it."""
        self.counter.count_refresh(decision.tool)
        return self._tell(decision)

    def mark(self, result: T, codec: ToolResultCodec[T], decision: ToolDecision) -> T:
        """The result with the decision on it, where the codec can."""
        try:
            return codec.mark(result, decision)
        except Exception as error:
            self._bus.fault("tool_cache.mark", error)
            return result

    def _tell(self, decision: ToolDecision) -> ToolDecision:
        self._ledger.touch()
        self._bus.emit(
            DecisionMade(
                room="tool_cache",
                outcome=decision.outcome,
                reason=decision.reason,
                details=decision.record(),
            )
        )
        return decision
