"""Calls that are made before the agent asks for them, and handed over when it does.

Only calls that may be made twice are made early, and none that an earlier call of the same answer
may disturb: that one has not run yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.begun import Begun
from agentperf_core.tools.executor import ToolExecutor
from agentperf_core.tools.jobs import Done, ToolJob
from agentperf_core.tools.order import conflicts
from agentperf_core.types import ToolCall

__all__ = ["EarlyCalls", "EarlyStats"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EarlyStats:
    """What came of the calls that were made early.

    Attributes:
        started: how many there were.
        claimed: how many the agent has asked for.
        dropped: how many it has not; they were cancelled.
    """

    started: int = 0
    claimed: int = 0
    dropped: int = 0

    def __add__(self, other: EarlyStats) -> EarlyStats:
        return EarlyStats(
            self.started + other.started,
            self.claimed + other.claimed,
            self.dropped + other.dropped,
        )


class EarlyCalls(Generic[T]):
    """The early calls of one run of an agent.

    Args:
        executor: makes the calls.
        job_of: the job of a call, `None` if it cannot be made before its time, for instance because
            the agent must give it something.
        policy_of: what is declared of a tool, by name.
        bus: where faults go.
    """

    def __init__(
        self,
        executor: ToolExecutor,
        job_of: Callable[[ToolCall], ToolJob[T] | None],
        policy_of: Callable[[str], ToolPolicy | None],
        *,
        bus: EventBus = BUS,
    ) -> None:
        self._executor = executor
        self._job_of = job_of
        self._policy_of = policy_of
        self._bus = bus
        self._answer: list[tuple[ToolCall, ToolPolicy | None]] = []
        self._begun: dict[str, tuple[ToolCall, Begun[Done[T]]]] = {}
        self._started = self._claimed = self._dropped = 0
        self._lock = threading.Lock()

    def new_answer(self) -> None:
        """A model begins to answer: what was made early for the answer before is of no use now."""
        self.drop()
        self._answer = []

    def offer(self, call: ToolCall) -> bool:
        """Make a call now if it may be made early; never raises.

        Args:
            call: the next whole call of the answer, in order.
        """
        policy = self._policy_of(call.name)
        before = [*self._answer]
        self._answer.append((call, policy))
        if policy is None or not policy.repeatable or call.id in self._begun:
            return False
        if any(_unknown(earlier) for _, earlier in before):
            return False
        if conflicts([*before, (call, policy)]).get(len(before)):
            return False
        try:
            job = self._job_of(call)
            if job is None:
                return False
            begun = self._executor.begin(job)
        except Exception as error:
            self._bus.fault("tools.early", error)
            return False
        with self._lock:
            self._begun[call.id] = (call, begun)
            self._started += 1
        return True

    def claim(self, call: ToolCall) -> Flow[Done[T]] | None:
        """What comes of a call that was made early; `None` if none was, with these arguments."""
        with self._lock:
            early, begun = self._begun.pop(call.id, (None, None))
            if early is None or begun is None:
                return None
            same = early.name == call.name and dict(early.arguments) == dict(call.arguments)
            self._claimed += same
            self._dropped += not same
        if not same:
            begun.cancel()
            return None
        return begun.done()

    def drop(self) -> int:
        """Cancel the calls that nobody has asked for; how many there were."""
        with self._lock:
            unclaimed = [begun for _, begun in self._begun.values()]
            self._begun.clear()
            self._dropped += len(unclaimed)
        for begun in unclaimed:
            begun.cancel()
        return len(unclaimed)

    def stats(self) -> EarlyStats:
        """What came of the early calls so far."""
        with self._lock:
            return EarlyStats(self._started, self._claimed, self._dropped)


def _unknown(policy: ToolPolicy | None) -> bool:
    """Whether nobody knows what a call that has not run yet will change."""
    return policy is None or not (policy.repeatable or policy.writes)
