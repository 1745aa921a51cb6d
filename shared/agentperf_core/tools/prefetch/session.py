"""Prefetch in one conversation: watches its calls, and has the next ones made meanwhile."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from agentperf_core.flow import Flow, Step, run
from agentperf_core.toolpolicy import Substitute, ToolPolicy
from agentperf_core.tools.inside import leave
from agentperf_core.tools.jobs import Through
from agentperf_core.tools.prefetch.attempts import Attempt, Attempts
from agentperf_core.tools.prefetch.crew import Crew
from agentperf_core.tools.prefetch.errands import Errands
from agentperf_core.tools.prefetch.fetching import PrefetchTools
from agentperf_core.tools.prefetch.foresight import Foresight, Offer, call_key
from agentperf_core.tools.prefetch.learning.runs import Called
from agentperf_core.tools.prefetch.prediction import Predictor
from agentperf_core.tools.prefetch.shared import Shared
from agentperf_core.types import ToolCall

__all__ = ["PrefetchSession"]

T = TypeVar("T")
R = TypeVar("R")

_REMEMBERED = 20  # events that a predictor is told of
_PREDICTED = 0.5  # how far a predictor is trusted, beside the bounds of learnt rules


class PrefetchSession(Generic[T]):
    """Follows the calls of one conversation; `Prefetcher.session` makes it.

    Nothing of it fails or delays a call: what goes wrong is a fault, and calls on a guess run in
    threads of the executor for sync callers, in tasks of the event loop for async ones.

    Attributes:
        tools: how to call the tools of the current run.
        errands: what runs on a guess now.
        seen_at: when something last happened here.
    """

    def __init__(self, shared: Shared, tools: PrefetchTools[T]) -> None:
        self.tools = tools
        self.errands = Errands(shared.executor)
        self.seen_at = shared.clock.monotonic()
        self._shared = shared
        self._lock = threading.RLock()
        self._foresight = Foresight(
            shared.rules, most=shared.budget.max_per_call, key_of=self._key_of
        )
        self._attempts = Attempts(shared.governor, shared.tally, clock=shared.clock, bus=shared.bus)
        self._crew = Crew[T](shared, self._attempts, self.errands, self._lock)
        self._reads: dict[bytes, frozenset[str]] = {}
        self._happened: deque[Called | str] = deque(maxlen=_REMEMBERED)
        self._asks = 0

    @property
    def listens(self) -> bool:
        """Whether anybody wants to hear what the user says."""
        return self._foresight.listens or self._shared.predictor is not None

    def heard(self, message: str) -> Flow[None]:
        """The user has said something."""
        self._safely(self._hear, message)
        yield from self._begin()

    def around(
        self,
        call: ToolCall,
        step: Step[T],
        *,
        through: Through[T] | None = None,
        ran: Callable[[], bool] | None = None,
        read: Callable[[T], Any],
    ) -> Flow[T]:
        """A call of the agent, from the cache where it was foreseen.

        Args:
            call: what is called.
            step: makes the call.
            through: the cache that it goes through, the same that `tools` uses.
            ran: whether the tool ran for it, if that is not told by the step having been taken.
            read: the result as plain JSON data, see `paths.plain`; `None` for an error.

        Raises:
            BaseException: what the call raised.
        """
        claim = self._safely(self._ask, call)
        yield from self._begin()
        asked, taken = self._shared.clock.monotonic(), list[bool]()
        noted = _noted(step, taken)
        served = False
        try:
            result = yield from (noted if through is None else through(noted))
            served = not (ran() if ran is not None else taken)
        finally:
            if claim is not None:
                with self._lock:
                    waited_s = self._shared.clock.monotonic() - asked
                    self._attempts.turned_out(claim, served=served, waited_s=waited_s)
        self._safely(self._finish, call, result, read)
        yield from self._begin()
        yield from self._predict()
        return result

    def end(self) -> Flow[None]:
        """The run is over: what still runs on a guess is cancelled, and counts as in vain.

        The conversation may go on in another run: results that were kept are still there, and count
        as used if they are asked for then.
        """
        self.settle()
        yield from self.errands.cancel()

    def stop(self) -> None:
        """Like `end`, for who can neither wait nor await."""
        run(self.end())

    def settle(self) -> None:
        """What nobody has asked for by now was in vain."""
        with self._lock:
            self._asks = 0
            self._attempts.close()

    def _key_of(self, tool: str, arguments: Mapping[str, Any]) -> bytes:
        return call_key(tool, self.tools.arguments(tool, arguments))

    def _hear(self, message: str) -> None:
        self._happened.append(message)
        self._add(self._foresight.heard(message))

    def _ask(self, call: ToolCall) -> Attempt | None:
        self.seen_at = self._shared.clock.monotonic()
        key = self._key_of(call.name, call.arguments)
        policy = self.tools.policy(call.name)
        if policy is not None and policy.reads:
            self._reads[key] = frozenset(policy.tags_read(call.arguments))
        claim = self._attempts.claim(key)
        _, offers = self._foresight.asked(key)
        self._add(offers)
        return claim

    def _finish(self, call: ToolCall, result: T, read: Callable[[T], Any]) -> None:
        policy = self.tools.policy(call.name)
        if policy is not None and policy.writes:
            self._written(frozenset(policy.tags_written(call.arguments)))
        self._attempts.sweep()
        plain = read(result)
        if plain is not None:
            self._happened.append((call.name, call.arguments, plain))
            self._add(self._foresight.finished(call.name, call.arguments, plain))

    def _written(self, tags: frozenset[str]) -> None:
        """What the cache has forgotten may be foreseen again."""
        gone = [key for key, read in self._reads.items() if read & tags]
        for key in (*gone, *self._attempts.written(tags)):
            self._reads.pop(key, None)
            self._foresight.forget(key)

    def _add(self, offers: Iterable[Offer]) -> None:
        for offer in offers:
            policy = self.tools.policy(offer.tool)
            if policy is not None and _may_be_called(policy, offer):
                self._attempts.add(offer, policy)
        for one in self._attempts.waiting()[self._shared.budget.max_waiting :]:
            self._attempts.give_up(one)

    def _begin(self) -> Flow[None]:
        try:
            yield from self._crew.begin(self.tools)
        except Exception as error:
            self._shared.bus.fault("tools.prefetch.begin", error)

    def _predict(self) -> Flow[None]:
        """Ask somebody else for likely calls, behind the run."""
        predictor, seats = self._shared.predictor, self._shared.seats
        if predictor is None or self._asks >= predictor.max_asks or not seats.enter():
            return
        self._asks += 1
        yield from self.errands.begin(partial(self._predicted, predictor), seats.leave)

    def _predicted(self, predictor: Predictor) -> Flow[None]:
        leave()
        with self._lock:
            happened, asks = list(self._happened), self._asks
        try:
            likely = yield from predictor.ask(happened, self._shared.executor)
        except Exception as error:
            self._shared.bus.fault("tools.predictor", error)
            return
        if self._asks >= asks:  # else its run is over
            self._safely(self._propose, predictor, likely)
            yield from self._begin()

    def _propose(
        self, predictor: Predictor, likely: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> None:
        self._add(self._foresight.proposed(predictor.name, likely, _PREDICTED))

    def _safely(self, function: Callable[..., R], *args: Any) -> R | None:
        """What a function gives, one at a time; an error of ours is not the run's."""
        try:
            with self._lock:
                return function(*args)
        except Exception as error:
            self._shared.bus.fault("tools.prefetch.watch", error)
            return None


def _may_be_called(policy: ToolPolicy, offer: Offer) -> bool:
    """Whether a tool may be called on a guess, and its substitute does not answer anyway."""
    substitute = policy.substitute
    answered = isinstance(substitute, Substitute) and substitute.suits(offer.arguments)
    return policy.prefetch and policy.read_only and not answered


def _noted(step: Step[T], taken: list[bool]) -> Step[T]:
    """The step, and a note that it was taken."""

    def sync(*args: Any) -> T:
        taken.append(True)
        return step.sync(*args)

    async def async_(*args: Any) -> T:
        taken.append(True)
        return await step.async_(*args)

    return Step(sync, async_, *step.args)
