"""What the conversations of one prefetcher share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agentperf_core.clock import Clock
from agentperf_core.events import EventBus
from agentperf_core.tools.executor import ToolExecutor
from agentperf_core.tools.prefetch.budget import Governor, PrefetchBudget
from agentperf_core.tools.prefetch.prediction import Predictor, Seats
from agentperf_core.tools.prefetch.rules import PrefetchRule
from agentperf_core.tools.prefetch.stats import PrefetchTally

__all__ = ["Shared"]


class Shared(NamedTuple):
    """Parts that all conversations have in common.

    Attributes:
        executor: makes the calls.
        rules: which calls are likely next.
        budget: what they may cost.
        governor: keeps to the budget.
        tally: counts what they bring.
        predictor: who else is asked for likely calls, if anybody.
        seats: how often that may be asked at once.
        clock: where the time comes from.
        bus: where decisions and faults go.
    """

    executor: ToolExecutor
    rules: Sequence[PrefetchRule]
    budget: PrefetchBudget
    governor: Governor
    tally: PrefetchTally
    predictor: Predictor | None
    seats: Seats
    clock: Clock
    bus: EventBus
