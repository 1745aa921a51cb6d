"""The prefetcher: rules and a budget for all conversations of an application."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeVar
from weakref import WeakSet

from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.executor import ToolExecutor
from agentperf_core.tools.prefetch.budget import Governor, PrefetchBudget
from agentperf_core.tools.prefetch.fetching import PrefetchTools
from agentperf_core.tools.prefetch.prediction import Guess, Predictor, Seats
from agentperf_core.tools.prefetch.rules import PrefetchRule, read_rules
from agentperf_core.tools.prefetch.session import PrefetchSession
from agentperf_core.tools.prefetch.shared import Shared
from agentperf_core.tools.prefetch.stats import PrefetchStats, PrefetchTally

__all__ = ["Prefetcher"]

T = TypeVar("T")

_MOST_SESSIONS = 1000
_IDLE_S = 300.0  # after which a conversation's last run is taken to be over


class Prefetcher:
    """Calls tools before an agent asks: while its model still thinks, what it will likely want.

    Rules say what is likely, declared or learnt (`learn_rules`). Only tools whose policy says
    `prefetch=True` are called, and results go to the cache that the agent's own calls go through: a
    call that was foreseen is an ordinary hit, or joins the one in flight. A guess waits behind all
    calls of agents, and whatever becomes of it, the run does not hear of it.

    Args:
        rules: rules, or their text.
        executor: makes the calls; share the one of your agents, so that guesses come last.
        budget: what it may cost.
        predictor: who else is asked for likely calls: a function, or a `Predictor` with limits.
        clock: where the time comes from.
        bus: receives a `DecisionMade` of the room `"prefetch"` per call that has turned out, and
            when a rule is stopped or resumed; and faults.

    Raises:
        ConfigError: if an argument is of another kind, or a rule cannot be read.

    Example:
        >>> prefetcher = Prefetcher(["after get_user: get_order(order_id=result.orders[].id)"])
        >>> prefetcher.stats().begun
        0
    """

    def __init__(
        self,
        rules: Iterable[PrefetchRule | str] = (),
        *,
        executor: ToolExecutor | None = None,
        budget: PrefetchBudget | None = None,
        predictor: Predictor | Guess | None = None,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        require_instance(ToolExecutor, "give a ToolExecutor or leave it out", executor=executor)
        require_instance(PrefetchBudget, "give a PrefetchBudget or leave it out", budget=budget)
        if predictor is not None and not isinstance(predictor, Predictor):
            predictor = Predictor(function=predictor)
        budget = budget if budget is not None else PrefetchBudget()
        self._governor = Governor(budget, clock=clock, bus=bus)
        self._tally = PrefetchTally()
        self._shared = Shared(
            executor=executor if executor is not None else ToolExecutor(clock=clock, bus=bus),
            rules=read_rules(rules),
            budget=budget,
            governor=self._governor,
            tally=self._tally,
            predictor=predictor,
            seats=Seats(predictor.max_concurrency if predictor is not None else 1),
            clock=clock,
            bus=bus,
        )
        self._named: OrderedDict[Hashable, PrefetchSession[Any]] = OrderedDict()
        self._sessions: WeakSet[PrefetchSession[Any]] = WeakSet()
        self._lock = threading.Lock()

    @property
    def rules(self) -> tuple[PrefetchRule, ...]:
        """Which calls are likely next."""
        return tuple(self._shared.rules)

    @property
    def executor(self) -> ToolExecutor:
        """Who makes the calls."""
        return self._shared.executor

    def check(self, policies: Mapping[str, ToolPolicy], *, complete: bool = True) -> None:
        """Check that every tool that a rule calls may be called on a guess.

        Args:
            policies: what is declared of the tools, by name.
            complete: whether nothing is declared of other tools.

        Raises:
            ConfigError: naming the first one that may not.
        """
        for rule in self._shared.rules:
            policy = policies.get(rule.call)
            if policy is None and not complete:
                continue
            if policy is None or not policy.prefetch:
                declared = "no policy" if policy is None else "prefetch=False"
                msg = (
                    f"a rule may only call tools with prefetch=True, got {declared} for "
                    f"{rule.call!r} in {str(rule)!r}; declare it, or drop the rule"
                )
                raise ConfigError(msg)

    def session(self, tools: PrefetchTools[T], name: Hashable = None) -> PrefetchSession[T]:
        """The conversation of this name, with the tools of its current run.

        Args:
            tools: how to call them.
            name: what the conversation is known by from one run to the next, such as the id of a
                thread; `None` for one of a single run. Two users must not share a name.
        """
        if name is None:
            session = PrefetchSession(self._shared, tools)
            with self._lock:
                self._sessions.add(session)
            return session
        with self._lock:
            session = self._named.pop(name, None)
            if session is None:
                session = PrefetchSession(self._shared, tools)
                self._sessions.add(session)
            session.seen_at = self._shared.clock.monotonic()
            self._named[name] = session
            self._drop_old()
        session.tools = tools
        return session

    def end(self, name: Hashable) -> Flow[None]:
        """A run of this conversation is over, see `PrefetchSession.end`."""
        with self._lock:
            session = self._named.get(name)
        if session is not None:
            yield from session.end()

    def stats(self) -> PrefetchStats:
        """What prefetch has brought so far, of each rule and of all."""
        return self._tally.stats(stopped=self._governor.stopped(), running=self._governor.running)

    def drain(self, timeout_s: float | None = None) -> None:
        """Wait for the calls on a guess that sync callers have brought about.

        Args:
            timeout_s: seconds to wait at most for each conversation, `None` for no limit.
        """
        for session in self._all():
            session.errands.drain(timeout_s)

    async def adrain(self) -> None:
        """Wait for the calls on a guess of this event loop, and for those of sync callers."""
        for session in self._all():
            await session.errands.adrain()

    def _all(self) -> list[PrefetchSession[Any]]:
        with self._lock:
            return list(self._sessions)

    def _drop_old(self) -> None:
        """Forget conversations that are too many, or that nothing was heard of for long."""
        before = self._shared.clock.monotonic() - _IDLE_S
        while self._named:
            name, oldest = next(iter(self._named.items()))
            if len(self._named) <= _MOST_SESSIONS and oldest.seen_at >= before:
                return
            del self._named[name]
            oldest.settle()
