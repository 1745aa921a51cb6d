"""Whose call it is: an answer that is there, one that is on its way, or the right to ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from agentperf_core.cache.answers import AnswerCodec, CacheRequest, Hit
from agentperf_core.cache.codec import Entry
from agentperf_core.cache.decisions import CacheDecision
from agentperf_core.cache.exact.lease import Lease
from agentperf_core.cache.exact.refresh import Refresher
from agentperf_core.cache.exact.shelf import Shelf
from agentperf_core.cache.flight.across import Held, Pause, ProcessFlight, process_flight, sleeping
from agentperf_core.cache.flight.single import Failed, Landed, Lead, SingleFlight
from agentperf_core.cache.policy import CachePolicy
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.events import BUS, DecisionMade, EventBus
from agentperf_core.flow import Flow, Step

if TYPE_CHECKING:
    from agentperf_core.cache.stores import Store

__all__ = ["Claims"]

T = TypeVar("T")


class Claims(Shelf):
    """The half of `ExactCache` that joins equal calls: in this process, and in others.

    The arguments are those of `ExactCache`.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        policy: CachePolicy | None = None,
        max_wait_s: float | None = 60.0,
        keep_questions: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
        pause: Pause = sleeping,
    ) -> None:
        super().__init__(store, policy=policy, keep_questions=keep_questions, clock=clock, bus=bus)
        self._flight = SingleFlight[bytes](max_wait_s)
        self._refresher = Refresher(bus=bus)
        self._across = process_flight(
            self.policy, self._guarded, max_wait_s=max_wait_s, clock=clock, bus=bus, pause=pause
        )

    def claim(
        self, request: CacheRequest, codec: AnswerCodec[T], *, refresh: Step[T] | None = None
    ) -> Flow[Hit[T] | Lease[T]]:
        """A stored or shared answer to an equal request, or the lease to make the call.

        Raises:
            BaseException: the error of the call that this one waited for, if it failed twice.
        """
        if request.key is None:
            return self._lease(request, codec)
        landed = self._flight.landed
        entry = yield from self._entry(request)
        if entry is not None:
            hit = self._fresh(request, entry, codec)
            hit = hit or (yield from self._stale(request, entry, codec, refresh))
            if hit is not None:
                return hit
        joined = yield from self._flight.join(request.key)
        if isinstance(joined, Failed):
            hit = self.rescued(request, codec, entry, joined.error)
            if hit is None:
                raise joined.error
            return hit
        if isinstance(joined, Landed):
            hit = self._shared(request, joined.value, codec)
            return hit if hit is not None else self._lease(request, codec, spare=entry)
        lease = self._lease(request, codec, lead=joined, spare=entry)
        try:
            # An equal call may have landed between our look and our joining: look again.
            hit = None
            if self._flight.landed != landed:
                hit = yield from self._looked_again(lease, codec)
            across = self._across_for(request)
            if hit is None and across is not None:
                hit = yield from self._joined_across(lease, across, codec)
        except BaseException as error:
            lease.fail(error)
            raise
        return lease if hit is None else hit

    def ended(
        self, lease: Lease[T], codec: AnswerCodec[T], answer: T, decision: CacheDecision
    ) -> CacheDecision:
        """A call is over, its answer judged and stored; gives what to put on record.

        For caches that learn from fresh answers; it must not raise.
        """
        return decision

    def _fresh(self, request: CacheRequest, entry: Entry, codec: AnswerCodec[T]) -> Hit[T] | None:
        if self._freshness(request, entry) != "fresh":
            return None
        return self.serve(request, entry, codec, "hit")

    def _stale(
        self, request: CacheRequest, entry: Entry, codec: AnswerCodec[T], refresh: Step[T] | None
    ) -> Flow[Hit[T] | None]:
        if refresh is None or self._freshness(request, entry) != "stale":
            return None
        reason = "an answer past its time, while a new one is made"
        hit = self.serve(request, entry, codec, "hit", reason=reason, stale=True)
        if hit is not None and request.key is not None:
            lead = self._flight.lead_now(request.key)
            if lead is not None:
                lease = self._lease(request, codec, lead=lead)
                yield from self._begin_to_renew(lease, codec, refresh)
        return hit

    def _begin_to_renew(
        self, lease: Lease[T], codec: AnswerCodec[T], refresh: Step[T]
    ) -> Flow[None]:
        begun = False
        try:
            begun = yield from self._refresher.begin(lambda: self._renewed(lease, codec, refresh))
        except Exception as error:  # the interpreter is going down
            self._bus.fault("cache.refresh", error)
        finally:
            if not begun:
                lease.fail(GeneratorExit())

    def _renewed(self, lease: Lease[T], codec: AnswerCodec[T], refresh: Step[T]) -> Flow[None]:
        try:
            across = self._across_for(lease.request)
            if across is not None:
                held = yield from across.lead_now(lease.request.key or "")
                if held is None:
                    lease.fail(GeneratorExit())  # another process is at it
                    return
                lease.hold(held)
            with lease:
                answer = yield from refresh
        except BaseException as error:
            lease.fail(error)
            raise
        decision = self.ended(lease, codec, answer, (yield from lease.store(answer)))
        self._counter.count_refresh()
        self._bus.emit(
            DecisionMade(
                room="cache",
                outcome="refresh",
                reason=f"asked anew, the answer was past its time: {decision.reason}",
                details=decision.record(),
            )
        )

    def _shared(
        self, request: CacheRequest, raw: bytes | None, codec: AnswerCodec[T]
    ) -> Hit[T] | None:
        entry = self._unpacked(raw) if raw is not None else None
        return None if entry is None else self.serve(request, entry, codec, "coalesced")

    def _looked_again(self, lease: Lease[T], codec: AnswerCodec[T]) -> Flow[Hit[T] | None]:
        raw = yield from self._raw(lease.request)
        entry = self._unpacked(raw) if raw is not None else None
        if entry is None or self._freshness(lease.request, entry) != "fresh":
            return None
        hit = self.serve(lease.request, entry, codec, "hit")
        if hit is not None:
            lease.pass_on(raw)
        return hit

    def _across_for(self, request: CacheRequest) -> ProcessFlight | None:
        return self._across if self._policy(request).across_processes else None

    def _joined_across(
        self, lease: Lease[T], across: ProcessFlight, codec: AnswerCodec[T]
    ) -> Flow[Hit[T] | None]:
        request = lease.request

        def usable(raw: bytes) -> bool:
            entry = self._unpacked(raw)
            return entry is not None and self._freshness(request, entry) == "fresh"

        got = yield from across.join(request.key or "", usable)
        if isinstance(got, Held):
            lease.hold(got)
        elif got is not None:
            hit = self._shared(request, got, codec)
            if hit is not None:
                lease.pass_on(got)
            return hit
        return None

    def _lease(
        self,
        request: CacheRequest,
        codec: AnswerCodec[T],
        *,
        lead: Lead[bytes] | None = None,
        spare: Entry | None = None,
    ) -> Lease[T]:
        started = self._clock.monotonic()
        return Lease(self, codec, request, lead=lead, spare=spare, started=started)
