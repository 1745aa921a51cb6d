"""The call itself: the tool runs, and what comes of it is kept and shared, or not."""

from __future__ import annotations

from typing import TypeVar

from agentperf_core.cache.flight.single import Lead
from agentperf_core.cache.stores import Store
from agentperf_core.cache.toolresults.entries import KEEPS_NONE, Call, Fresh, judge, judge_error
from agentperf_core.cache.toolresults.types import ToolDecision
from agentperf_core.cache.toolresults.writes import Notices, Writes
from agentperf_core.clock import Clock
from agentperf_core.events import EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["Caller"]

T = TypeVar("T")


class Caller:
    """Calls tools that read, for those who wait for the same result, too.

    Args:
        store: where results are kept.
        writes: what is being written meanwhile.
        clock: where the time comes from.
        bus: where faults go.
    """

    def __init__(self, store: Store, writes: Writes, *, clock: Clock, bus: EventBus) -> None:
        self._store = store
        self._writes = writes
        self._clock = clock
        self._bus = bus

    def lead(self, call: Call[T], step: Step[T], lead: Lead[bytes]) -> Flow[tuple[T, ToolDecision]]:
        """Run the tool; what is kept of it goes to the store and to those who wait.

        Raises:
            BaseException: what the tool raised.
        """
        started = self._clock.monotonic()
        before: Notices = None
        with lead:
            try:
                if call.kept:
                    before = yield from self._writes.notices(call.request.tags)
                result = yield from step
            except Exception as error:
                yield from self._failed(call, error, lead, started, before)
                raise
            except BaseException as error:
                lead.fail(error)
                raise
        if not (call.kept or lead.awaited):
            lead.land(None)
            return result, call.decision("bypass", reason=KEEPS_NONE)
        now, fresh = self._clock.time(), None
        try:
            try:
                took_s = self._clock.monotonic() - started
                fresh = judge(call, result, now=now, took_s=took_s)
                refusal = yield from self._keep(call, fresh, before)
            except Exception as error:
                self._bus.fault("tool_cache.encode", error)
                refusal = "it is not plain data"
        finally:
            lead.land(fresh.raw if fresh is not None else None)
        expires_at = None
        if call.kept:
            expires_at = fresh.expires_at if fresh is not None else now + (call.policy.ttl_s or 0.0)
        if refusal is None:
            return result, call.decision("miss", expires_at=expires_at)
        return result, call.decision("bypass", reason=refusal, expires_at=expires_at)

    def _failed(
        self, call: Call[T], error: Exception, lead: Lead[bytes], started: float, before: Notices
    ) -> Flow[None]:
        """The tool raised: those who wait try for themselves, unless the error is remembered."""
        try:
            text = call.codec.error(error)
            if text is None:
                # No failure but a question to a person, or the like: each caller has its own.
                lead.fail(GeneratorExit())
            elif call.policy.negative_ttl_s is not None:
                now, took_s = self._clock.time(), self._clock.monotonic() - started
                fresh = judge_error(call, error, text, now=now, took_s=took_s)
                yield from self._keep(call, fresh, before)
                lead.land(fresh.raw)
        except Exception as fault:
            self._bus.fault("tool_cache.encode", fault)
        finally:
            lead.fail(error)  # counts only if nothing was done above

    def _keep(self, call: Call[T], fresh: Fresh, before: Notices) -> Flow[str | None]:
        """Store a result; the reason if it is not kept."""
        if fresh.refusal is not None:
            return fresh.refusal
        store, tags = self._store, call.request.tags
        written = "what it reads was written meanwhile"
        if not self._writes.quiet(tags, call.stamp):
            return written
        try:
            yield from Step(store.set, store.aset, call.key, fresh.raw, fresh.keep_s, tags)
            if self._writes.quiet(tags, call.stamp) and (
                yield from self._writes.unchanged(tags, before)
            ):
                return None
            yield from Step(store.delete, store.adelete, call.key)
        except Exception as error:
            self._bus.fault("tool_cache.store", error)
            return "the store failed"
        return written
