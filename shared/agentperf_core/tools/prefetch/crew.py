"""Makes the calls that were foreseen: the likeliest first, as many at once as may be."""

from __future__ import annotations

import threading
from functools import partial
from itertools import count
from typing import Generic, TypeVar

from agentperf_core.flow import Flow
from agentperf_core.tools.inside import leave
from agentperf_core.tools.jobs import ToolJob
from agentperf_core.tools.prefetch.attempts import Attempt, Attempts
from agentperf_core.tools.prefetch.errands import Errands
from agentperf_core.tools.prefetch.fetching import PrefetchTools, fetch
from agentperf_core.tools.prefetch.shared import Shared
from agentperf_core.types import ToolCall

__all__ = ["Crew"]

T = TypeVar("T")

_numbers = count(1)


class Crew(Generic[T]):
    """Workers of one conversation; each holds one of the places of all conversations.

    Args:
        shared: what all conversations have in common.
        attempts: the calls that wait.
        errands: runs the workers.
        lock: of the conversation.
    """

    def __init__(
        self, shared: Shared, attempts: Attempts, errands: Errands, lock: threading.RLock
    ) -> None:
        self._shared = shared
        self._attempts = attempts
        self._errands = errands
        self._lock = lock

    def begin(self, tools: PrefetchTools[T]) -> Flow[None]:
        """Have the calls that wait made, as long as there are places."""
        with self._lock:
            waiting = len(self._attempts.waiting())
        for _ in range(waiting):
            if not self._shared.governor.enter():
                break
            yield from self._errands.begin(partial(self._work, tools), self._shared.governor.leave)

    def _work(self, tools: PrefetchTools[T]) -> Flow[None]:
        leave()
        while (found := self._next(tools)) is not None:
            yield from self._fetch(*found)

    def _next(self, tools: PrefetchTools[T]) -> tuple[Attempt, ToolJob[T]] | None:
        with self._lock:
            for one in self._attempts.waiting():
                if not self._shared.governor.lets(one.offer.source):
                    one.state = "stopped"
                    continue
                job = self._job(one, tools)
                if job is not None:
                    one.taken = True
                    return one, job
                self._attempts.give_up(one)
        return None

    def _job(self, one: Attempt, tools: PrefetchTools[T]) -> ToolJob[T] | None:
        offer = one.offer
        call = ToolCall(f"prefetch-{next(_numbers)}", offer.tool, offer.arguments)
        try:
            job = tools.job(call)
        except Exception as error:
            self._shared.bus.fault("tools.prefetch.job", error)
            return None
        # Without a cache, nobody would get what comes of it.
        return job if job is not None and job.through is not None else None

    def _fetch(self, one: Attempt, job: ToolJob[T]) -> Flow[None]:
        shared = self._shared
        try:
            answered = yield from fetch(
                job,
                one.policy,
                shared.executor,
                wait_s=shared.budget.max_wait_s,
                wanted=lambda: one.state == "waiting",
                begun=partial(self._begun, one),
            )
        except Exception as error:
            if one.begun:  # else there was no place for it
                shared.bus.fault("tools.prefetch", error)
            self._ended(one, answered=False)
        except BaseException:
            with self._lock:
                self._attempts.give_up(one)
            raise
        else:
            self._ended(one, answered=answered)

    def _begun(self, one: Attempt) -> None:
        with self._lock:
            self._attempts.begin(one)

    def _ended(self, one: Attempt, *, answered: bool) -> None:
        with self._lock:
            if one.begun:
                self._attempts.end(one, kept=answered)
            else:
                self._attempts.give_up(one)
