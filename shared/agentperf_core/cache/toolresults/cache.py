"""The tool-result cache: equal call, equal result, as long as nobody wrote what it read.

Nothing is cached that is not declared: see `ToolPolicy`. A result carries until when it is good and
what makes it worthless, so that an answer built on it can be forgotten with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from agentperf_core.cache.decisions import Outcome
from agentperf_core.cache.flight.single import Failed, Landed, Lead, SingleFlight
from agentperf_core.cache.requests.keys import Unkeyable
from agentperf_core.cache.stores import MemoryStore, Store, checked
from agentperf_core.cache.stores.guarded import guarded
from agentperf_core.cache.toolresults.calls import Caller
from agentperf_core.cache.toolresults.entries import Call, Found, recall
from agentperf_core.cache.toolresults.notes import Notes
from agentperf_core.cache.toolresults.refresh import Refreshes, in_this_context
from agentperf_core.cache.toolresults.stats import ToolStats
from agentperf_core.cache.toolresults.types import (
    RememberedToolError,
    ToolDecision,
    ToolRequest,
    ToolResultCodec,
    inherited,
    tool_key,
)
from agentperf_core.cache.toolresults.writes import Writes
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, Step

__all__ = [
    "RememberedToolError",
    "ToolDecision",
    "ToolRequest",
    "ToolResultCache",
    "ToolResultCodec",
    "inherited",
]

T = TypeVar("T")


class ToolResultCache:
    """Serves equal tool calls from a store and joins equal calls in flight.

    Calls of a tool that is `read_only` or `idempotent` are joined even where `ttl_s` says that
    nothing is kept; `cache_scope` and the tenant say whose calls are equal.

    One cache for all tools of an application: a call of a tool that writes makes the results of
    those that read forgotten, in this cache. A store that fails is a miss, and the tool runs.

    Args:
        store: where results live; default a `MemoryStore`. `ConfigError` if it lacks a method. One
            that may wait or fail is guarded, see `GuardedStore`.
        answers: stores of response caches, in which a write forgets what was built on the results.
        require_tenant: never keep the result of a call without a tenant.
        max_wait_s: seconds to wait for an equal call in flight before making the call, too; `None`
            for no limit.
        clock: where the time comes from.
        bus: receives a `DecisionMade` of the room `"tool_cache"` per call, a `Fault` per failure.

    Example:
        >>> from agentperf_core.flow import run
        >>> cache = ToolResultCache()
        >>> run(cache.invalidate("orders:7"))
        0
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        answers: Sequence[Store] = (),
        require_tenant: bool = False,
        max_wait_s: float | None = 60.0,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        self.store: Store = checked(store) if store is not None else MemoryStore(clock=clock)
        self._require_tenant = require_tenant
        self._clock = clock
        self._bus = bus
        self._guarded = guarded(self.store, clock=clock, bus=bus)
        self._writes = Writes(self._guarded, [checked(s) for s in answers], clock=clock, bus=bus)
        self._notes = Notes(self.store, clock=clock, bus=bus)
        self._caller = Caller(self._guarded, self._writes, clock=clock, bus=bus)
        self._flight = SingleFlight[bytes](max_wait_s)
        self._refreshes = Refreshes(clock=clock, bus=bus)

    def run(
        self,
        request: ToolRequest,
        step: Step[T],
        codec: ToolResultCodec[T],
        *,
        refresh: Step[T] | None = None,
    ) -> Flow[T]:
        """The result of a call: kept, shared with an equal call in flight, or the tool's own.

        Args:
            request: what is called, how, and for whom.
            step: runs the tool.
            codec: how results of this framework are read.
            refresh: runs the tool outside of the caller's run, for `stale_ttl_s`; without it a
                result past its time is never served.

        Raises:
            RememberedToolError: if an equal call failed less than `negative_ttl_s` ago.
            BaseException: what the tool raised.
        """
        policy = request.policy
        if policy is not None and policy.writes:
            result = yield from self._writes.around(policy.tags_written(request.arguments), step)
            return self._past(request, result, codec, "it writes")
        call = self._plan(request, codec)
        if isinstance(call, str):
            result = yield from step
            return self._past(request, result, codec, call)
        landed = self._flight.landed
        found = yield from self._look(call, refresh)
        if found is not None:
            return found.give()
        # Who comes after a write must not wait for a result that was read before it.
        joined = yield from self._flight.join((call.key, call.stamp))
        if isinstance(joined, Failed):
            raise joined.error
        if isinstance(joined, Landed):
            found = self._recall(call, joined.value, "coalesced")
            joined = Lead(self._flight, call.key, None)
        elif self._flight.landed != landed:
            # An equal call may have landed between our look and our joining: look again.
            found = yield from self._look(call, None)
        if found is not None:
            joined.fail(GeneratorExit())  # those who wait by now find it in the store, too
            return found.give()
        result, decision = yield from self._caller.lead(call, step, joined)
        return self._notes.mark(result, codec, self._notes.call(decision))

    def stats(self) -> ToolStats:
        """What was done so far, tool by tool."""
        return self._notes.counter.snapshot()

    def invalidate(self, *tags: str) -> Flow[int]:
        """Forget the results with any of these tags, and those just being made; how many."""
        gone = 0
        self._writes.begin(tags)
        self._writes.end(tags, settled=True)
        for tag in tags:
            gone += yield from Step(self.store.invalidate, self.store.ainvalidate, tag)
        return gone

    def clear(self) -> Flow[int]:
        """Forget everything that was stored through this cache's store; how much there was."""
        return (yield from Step(self.store.clear, self.store.aclear))

    def drain(self, timeout_s: float | None = None) -> None:
        """Wait for the refreshes that sync callers have begun, at most `timeout_s` seconds."""
        self._refreshes.drain(timeout_s)

    async def adrain(self) -> None:
        """Wait for the refreshes that were begun on this event loop."""
        await self._refreshes.adrain()

    def _plan(self, request: ToolRequest, codec: ToolResultCodec[T]) -> Call[T] | str:
        policy = request.policy
        if policy is None:
            return "nothing is declared of the tool"
        if self._require_tenant and request.tenant is None:
            return "the call has no tenant"
        try:
            key = tool_key(request, policy)
        except Unkeyable as reason:
            return str(reason)
        except Exception as error:
            self._bus.fault("tool_cache.key", error)
            return f"the call has no key: {type(error).__name__}"
        return Call(request, policy, codec, key, self._writes.stamp(request.tags))

    def _look(self, call: Call[T], refresh: Step[T] | None) -> Flow[Found[T] | None]:
        if not call.kept:
            return None
        try:
            raw = yield from Step(self._guarded.get, self._guarded.aget, call.key)
        except Exception as error:
            self._bus.fault("tool_cache.store", error)
            return None
        found = self._recall(call, raw, "hit", stale=refresh is not None)
        if found is not None and found.decision.stale and refresh is not None:
            fetch = partial(self._refresh, call, in_this_context(refresh))
            yield from self._refreshes.begin(call.key, fetch)
        return found

    def _recall(
        self, call: Call[T], raw: bytes | None, outcome: Outcome, *, stale: bool = True
    ) -> Found[T] | None:
        if raw is None:
            return None
        try:
            got = recall(call, raw, outcome, now=self._clock.time())
        except Exception as error:
            self._bus.fault("tool_cache.decode", error)
            return None
        if got is None:
            return None
        found, made_at = got
        if outcome == "hit":
            if found.decision.stale and not stale:
                return None
            if not self._writes.intact(call.request.tags, made_at):
                return None
        self._notes.call(found.decision)
        return found

    def _refresh(self, call: Call[T], step: Step[T]) -> Flow[None]:
        call = replace(call, stamp=self._writes.stamp(call.request.tags))
        joined = yield from self._flight.join((call.key, call.stamp))
        if isinstance(joined, Lead):
            _, decision = yield from self._caller.lead(call, step, joined)
            self._notes.refresh(
                replace(decision, reason=f"{decision.reason}, behind a stale result")
            )

    def _past(self, request: ToolRequest, result: T, codec: ToolResultCodec[T], reason: str) -> T:
        """The result of a call that goes past the cache."""
        ttl_s = request.policy.ttl_s if request.policy is not None else None
        decision = ToolDecision(
            outcome="bypass",
            reason=reason,
            tool=request.tool,
            expires_at=self._clock.time() + ttl_s if ttl_s is not None else None,
            tags=request.tags,
        )
        return self._notes.mark(result, codec, self._notes.call(decision))
