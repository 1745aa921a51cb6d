"""The exact response cache: equal request, equal answer, one model call.

`answer()` is the whole of it for calls that return at once. Streams use its two halves, `acquire()`
and `Lease`, since a stream ends later than the function that opened it.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from agentperf_core.cache.answers import AnswerCodec, CacheRequest, Hit
from agentperf_core.cache.codec import Entry, pack, unpack
from agentperf_core.cache.flight import Failed, Landed, Lead, SingleFlight
from agentperf_core.cache.policy import CacheDecision, CachePolicy
from agentperf_core.cache.stores import MemoryStore, Store, checked
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.events import BUS, DecisionMade, EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["ExactCache", "Lease"]

T = TypeVar("T")

_REASONS = {
    "hit": "an equal request was answered before",
    "coalesced": "an equal request was in flight",
}


class Lease(Generic[T]):
    """The right, and the duty, to make the call: end it with `finish` or `fail`."""

    __slots__ = ("_cache", "_codec", "_lead", "_request", "_started")

    def __init__(
        self,
        cache: ExactCache,
        codec: AnswerCodec[T],
        request: CacheRequest,
        lead: Lead[bytes] | None,
        started: float,
    ) -> None:
        self._cache = cache
        self._codec = codec
        self._request = request
        self._lead = lead
        self._started = started

    def finish(self, answer: T) -> Flow[CacheDecision]:
        """Store the answer if it may be stored, share it, and say what was done."""
        raw: bytes | None = None
        try:
            decision, raw = self._cache.judge(self._request, self._codec, answer, self._started)
            if raw is not None and self._request.key is not None:
                yield from self._cache.put(self._request.key, raw)
        finally:
            if self._lead is not None:
                self._lead.land(raw)
        return self._cache.note(decision)

    def fail(self, error: BaseException) -> None:
        """The call failed or was given up: nothing is stored, and those who wait may try."""
        if self._lead is not None:
            self._lead.fail(error)

    def __enter__(self) -> Lease[T]:
        if self._lead is not None:
            self._lead.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._lead is not None:
            self._lead.__exit__(*exc_info)


class ExactCache:
    """Serves equal requests from a store and joins equal calls in flight.

    A store that fails is a miss; what fails is reported on the bus and never reaches the call.

    Args:
        store: where answers live, default a `MemoryStore`; `ConfigError` if it lacks a method.
        policy: what may be cached; default `CachePolicy()`.
        max_wait_s: seconds to wait for an equal call in flight before making the call, too; `None`
            for no limit, which waits for ever on a stream that its reader left standing.
        clock: where the time comes from.
        bus: receives a `DecisionMade` per request and a `Fault` per failure.

    Raises:
        ConfigError: if `max_wait_s` is not positive.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        policy: CachePolicy | None = None,
        max_wait_s: float | None = 60.0,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        self.store: Store = checked(store) if store is not None else MemoryStore(clock=clock)
        self.policy = policy if policy is not None else CachePolicy()
        self._clock = clock
        self._bus = bus
        self._flight = SingleFlight[bytes](max_wait_s)

    def answer(self, request: CacheRequest, call: Step[T], codec: AnswerCodec[T]) -> Flow[T]:
        """The answer to a request: stored, shared with an equal call in flight, or `call`'s."""
        got = yield from self.acquire(request, codec)
        if isinstance(got, Hit):
            return got.answer
        with got:
            try:
                answer = yield from call
            except BaseException as error:
                got.fail(error)
                raise
        decision = yield from got.finish(answer)
        try:
            return codec.mark(answer, decision)
        except Exception as error:
            self._bus.fault("cache.mark", error)
            return answer

    def acquire(self, request: CacheRequest, codec: AnswerCodec[T]) -> Flow[Hit[T] | Lease[T]]:
        """A stored or shared answer, or the lease to make the call.

        Raises:
            BaseException: the error of the call that this one waited for, if it failed twice.
        """
        key = request.key
        if key is None:
            return self._lease(request, codec, None)
        landed = self._flight.landed
        hit = yield from self.recall(key, codec)
        if hit is not None:
            return hit
        joined = yield from self._flight.join(key)
        if isinstance(joined, Failed):
            raise joined.error
        if isinstance(joined, Landed):
            entry = self._decode(joined.value) if joined.value is not None else None
            hit = self._hit(key, entry, codec, "coalesced")
            return hit if hit is not None else self._lease(request, codec, None)
        if self._flight.landed != landed:
            # An equal call may have landed between our look and our joining: look again.
            try:
                raw = yield from self._raw(key)
            except BaseException as error:
                joined.fail(error)
                raise
            entry = self._decode(raw) if raw is not None else None
            hit = self._hit(key, entry, codec, "hit")
            if hit is not None:
                joined.land(raw)
                return hit
        return self._lease(request, codec, joined)

    def recall(self, key: str, codec: AnswerCodec[T]) -> Flow[Hit[T] | None]:
        """The stored answer alone, for interfaces that do not say whether a call will follow."""
        raw = yield from self._raw(key)
        return self._hit(key, self._decode(raw) if raw is not None else None, codec, "hit")

    def put(self, key: str, raw: bytes) -> Flow[None]:
        """Store an entry; a store that fails keeps nothing."""
        try:
            yield from Step(self.store.set, self.store.aset, key, raw, self.policy.ttl_s)
        except Exception as error:
            self._bus.fault("cache.store", error)

    def judge(
        self, request: CacheRequest, codec: AnswerCodec[T], answer: T, started: float | None
    ) -> tuple[CacheDecision, bytes | None]:
        """Whether an answer may be stored, and its bytes; `started` is `None` if nobody knows."""
        if request.key is None:
            return CacheDecision(outcome="bypass", reason=request.bypass), None
        short = request.key[:16]
        try:
            facts = codec.facts(answer)
            refusal = self.policy.refuse_answer(facts)
            if refusal is not None:
                return CacheDecision(outcome="bypass", reason=refusal, key=short), None
            raw = pack(
                Entry(
                    body=codec.encode(answer),
                    made_at=self._clock.time(),
                    took_s=None if started is None else self._clock.monotonic() - started,
                    usage=facts.usage,
                )
            )
        except Exception as error:
            self._bus.fault("cache.encode", error)
            return CacheDecision(outcome="bypass", reason="not plain data", key=short), None
        return CacheDecision(outcome="miss", reason="answered and stored", key=short), raw

    def note(self, decision: CacheDecision) -> CacheDecision:
        """Put a decision on the bus and give it back."""
        details = decision.record()
        self._bus.emit(
            DecisionMade(
                room="cache", outcome=decision.outcome, reason=decision.reason, details=details
            )
        )
        return decision

    def _lease(
        self, request: CacheRequest, codec: AnswerCodec[T], lead: Lead[bytes] | None
    ) -> Lease[T]:
        return Lease(self, codec, request, lead, self._clock.monotonic())

    def _raw(self, key: str) -> Flow[bytes | None]:
        try:
            return (yield from Step(self.store.get, self.store.aget, key))
        except Exception as error:
            self._bus.fault("cache.store", error)
            return None

    def _hit(
        self,
        key: str,
        entry: Entry | None,
        codec: AnswerCodec[T],
        outcome: Literal["hit", "coalesced"],
    ) -> Hit[T] | None:
        if entry is None:
            return None
        decision = CacheDecision(
            outcome=outcome,
            reason=_REASONS[outcome],
            key=key[:16],
            age_s=max(self._clock.time() - entry.made_at, 0.0),
            saved_usage=entry.usage,
            saved_s=entry.took_s,
        )
        try:
            answer = codec.decode(entry.body, decision)
        except Exception as error:
            self._bus.fault("cache.decode", error)
            return None
        self.note(decision)
        return Hit(answer, decision)

    def _decode(self, raw: bytes) -> Entry | None:
        try:
            return unpack(raw)
        except Exception as error:
            self._bus.fault("cache.decode", error)
            return None
