"""Answers in a store: which may be put there, which may be given, and what is said of each."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from agentperf_core.cache.answers import AnswerCodec, CacheRequest, Hit
from agentperf_core.cache.codec import Entry, OldVersion, unpack
from agentperf_core.cache.decisions import CacheDecision
from agentperf_core.cache.exact.entries import Served, packed, served_decision
from agentperf_core.cache.exact.lifetimes import Freshness, freshness, lifetime, rescues
from agentperf_core.cache.exact.upkeep import ENTRY_DIGITS, Upkeep
from agentperf_core.cache.ledger import Ledger
from agentperf_core.cache.policy import CachePolicy
from agentperf_core.cache.stats import CacheStats, StatsCounter
from agentperf_core.cache.stores import MemoryStore, Store, checked
from agentperf_core.cache.stores.guarded import guarded
from agentperf_core.cache.stores.never_waits import NeverWaits
from agentperf_core.clock import Clock
from agentperf_core.errors import require_instance
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["Shelf"]

T = TypeVar("T")


class Shelf(Upkeep):
    """The half of `ExactCache` that makes no calls and waits for nobody.

    Args:
        store: where answers live; `None` for a `MemoryStore`.
        policy: what may be cached; `None` for `CachePolicy()`.
        keep_questions: store with each answer what it answered.
        clock: where the time comes from.
        bus: receives a `DecisionMade` per request and a `Fault` per failure.

    Attributes:
        store: where answers live.
        policy: what may be cached.
        wants_questions: whether its requests must say what they ask in words; exact hits need not.

    Raises:
        ConfigError: if the store lacks a method, or the policy is none.
    """

    wants_questions = False

    def __init__(
        self,
        store: Store | None,
        *,
        policy: CachePolicy | None,
        keep_questions: bool,
        clock: Clock,
        bus: EventBus,
    ) -> None:
        require_instance(CachePolicy, "say what may be cached", policy=policy)
        super().__init__(checked(store) if store is not None else MemoryStore(clock=clock))
        self.policy = policy if policy is not None else CachePolicy()
        self._guarded = guarded(self.store, clock=clock, bus=bus)
        self._never_waits = getattr(type(self.store), "aget", None) is vars(NeverWaits)["aget"]
        self._keep_questions = keep_questions
        if keep_questions:
            self.wants_questions = True
        self._clock = clock
        self._bus = bus
        self._counter = StatsCounter()
        self._ledger = Ledger(self.store, self._counter, clock=clock, bus=bus)

    def recall(self, key: CacheRequest | str, codec: AnswerCodec[T]) -> Flow[Hit[T] | None]:
        """The stored answer alone, for interfaces that do not say whether a call will follow."""
        request = _request(key)
        entry = yield from self.look(request)
        return None if entry is None else self.serve(request, entry, codec, "hit")

    def look(self, key: CacheRequest | str) -> Flow[Entry | None]:
        """What is stored and within its time; nobody is told of it."""
        request = _request(key)
        entry = yield from self._entry(request)
        if entry is None or self._freshness(request, entry) != "fresh":
            return None
        return entry

    def put(self, key: CacheRequest | str, raw: bytes) -> Flow[None]:
        """Store an entry; a store that fails keeps nothing."""
        request = _request(key)
        if request.key is None:
            return
        now = self._clock.time()
        keep_s = lifetime(self._policy(request), request.key, now, request.expires_at).keep_s
        store, tags = self._guarded, request.tags
        try:
            yield from Step(store.set, store.aset, request.key, raw, keep_s, tags)
        except Exception as error:
            self._bus.fault("cache.store", error)

    def judge(
        self, request: CacheRequest, codec: AnswerCodec[T], answer: T, started: float | None
    ) -> tuple[CacheDecision, bytes | None]:
        """Whether an answer may be stored, and its bytes; `started` is `None` if nobody knows."""
        if request.key is None:
            return CacheDecision(outcome="bypass", reason=request.bypass), None
        try:
            reason, raw = packed(
                request,
                codec,
                answer,
                policy=self._policy(request),
                now=self._clock.time(),
                took_s=None if started is None else self._clock.monotonic() - started,
                keep_question=self._keep_questions,
            )
        except Exception as error:
            self._bus.fault("cache.encode", error)
            reason, raw = "not plain data", None
        outcome: Literal["miss", "bypass"] = "bypass" if raw is None else "miss"
        return CacheDecision(outcome=outcome, reason=reason, key=request.key[:ENTRY_DIGITS]), raw

    def serve(
        self,
        request: CacheRequest,
        entry: Entry,
        codec: AnswerCodec[T],
        outcome: Served,
        /,  # `entry` is a field of the decision, too
        **details: Any,
    ) -> Hit[T] | None:
        """A fresh answer made of an entry, on record; `None` if the entry cannot be read.

        Args:
            request: what is asked.
            entry: what answers it.
            codec: reads it.
            outcome: where it came from.
            **details: fields of the decision, in place of those that follow from the rest.
        """
        decision = served_decision(request, entry, outcome, now=self._clock.time(), details=details)
        try:
            answer = codec.decode(entry.body, decision)
        except Exception as error:
            self._bus.fault("cache.decode", error)
            self._counter.count_discarded("it does not fit the adapter")
            return None
        self.note(decision)
        return Hit(answer, decision)

    def rescued(
        self,
        request: CacheRequest,
        codec: AnswerCodec[T],
        spare: Entry | None,
        error: BaseException,
    ) -> Hit[T] | None:
        """The stale answer to give instead of an error, where the policy allows one.

        A cancelled call wants no answer, so only an `Exception` has one.
        """
        policy = self._policy(request)
        if spare is None or not policy.stale_if_error_s or not isinstance(error, Exception):
            return None
        if not rescues(policy, spare, self._clock.time()):
            return None
        reason = f"the call failed ({type(error).__name__}), so an answer past its time is given"
        return self.serve(request, spare, codec, "hit", reason=reason, stale=True)

    def note(self, decision: CacheDecision) -> CacheDecision:
        """Put a decision on the bus and into the statistics, and give it back."""
        self._counter.count(decision)
        self._ledger.touch()
        if self._bus.listening:
            self._bus.emit(
                DecisionMade(
                    room="cache",
                    outcome=decision.outcome,
                    reason=decision.reason,
                    details=decision.record(),
                )
            )
        return decision

    def stats(self) -> CacheStats:
        """What was done so far."""
        return self._counter.snapshot()

    def _policy(self, request: CacheRequest) -> CachePolicy:
        return request.policy if request.policy is not None else self.policy

    def _freshness(self, request: CacheRequest, entry: Entry) -> Freshness:
        return freshness(self._policy(request), entry, self._clock.time())

    def _entry(self, request: CacheRequest) -> Flow[Entry | None]:
        raw = yield from self._raw(request)
        return None if raw is None else self._unpacked(raw)

    def _raw(self, request: CacheRequest) -> Flow[bytes | None]:
        if request.key is None:
            return None
        store = self._guarded
        try:
            if self._never_waits:
                return store.get(request.key)  # a step would be a detour of 1 us
            return (yield from Step(store.get, store.aget, request.key))
        except Exception as error:
            self._bus.fault("cache.store", error)
            return None

    def _unpacked(self, raw: bytes) -> Entry | None:
        try:
            return unpack(raw)
        except OldVersion as error:
            reason, cause = "it is of another version", error
        except Exception as error:
            reason, cause = "it cannot be read", error
        self._bus.fault("cache.decode", cause)
        self._counter.count_discarded(reason)
        return None


def _request(key: CacheRequest | str) -> CacheRequest:
    return CacheRequest(key) if isinstance(key, str) else key
