"""The right, and the duty, to make the call that others may be waiting for."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from agentperf_core.cache.answers import AnswerCodec, CacheRequest, Hit
from agentperf_core.cache.codec import Entry
from agentperf_core.cache.decisions import CacheDecision
from agentperf_core.cache.flight.across import Held
from agentperf_core.cache.flight.single import Lead
from agentperf_core.flow import Flow

__all__ = ["Lease"]

T = TypeVar("T")


class _Cache(Protocol):
    """What a lease needs of the cache that gave it."""

    def judge(
        self,
        request: CacheRequest,
        codec: AnswerCodec[T],
        answer: T,
        started: float | None,
        /,
    ) -> tuple[CacheDecision, bytes | None]: ...

    def put(self, key: CacheRequest, raw: bytes, /) -> Flow[None]: ...

    def note(self, decision: CacheDecision, /) -> CacheDecision: ...

    def ended(
        self, lease: Lease[T], codec: AnswerCodec[T], answer: T, decision: CacheDecision, /
    ) -> CacheDecision: ...

    def rescued(
        self,
        request: CacheRequest,
        codec: AnswerCodec[T],
        spare: Entry | None,
        error: BaseException,
        /,
    ) -> Hit[T] | None: ...


class Lease(Generic[T]):
    """The right, and the duty, to make the call: end it with one of `finish`, `fail`, `pass_on`.

    Attributes:
        request: what was asked.
        started: when the right was given, in seconds of the cache's monotonic clock.
        memo: what a further tier wants to remember of this request until it is over.
    """

    __slots__ = ("_cache", "_codec", "_held", "_lead", "_spare", "memo", "request", "started")

    def __init__(
        self,
        cache: _Cache,
        codec: AnswerCodec[T],
        request: CacheRequest,
        *,
        lead: Lead[bytes] | None = None,
        spare: Entry | None = None,
        started: float,
    ) -> None:
        self._cache = cache
        self._codec = codec
        self._lead = lead
        self._held: Held | None = None
        self._spare = spare
        self.memo: object = None
        self.request = request
        self.started = started

    def hold(self, held: Held) -> None:
        """Also answer for the lease of this process among others."""
        self._held = held

    def finish(self, answer: T) -> Flow[CacheDecision]:
        """Store the answer if it may be stored, share it, and say what was done."""
        decision = yield from self.store(answer)
        return self._cache.note(self._cache.ended(self, self._codec, answer, decision))

    def store(self, answer: T) -> Flow[CacheDecision]:
        """Like `finish`, for callers that put the decision on record themselves."""
        raw: bytes | None = None
        held, self._held = self._held, None
        try:
            decision, raw = self._cache.judge(self.request, self._codec, answer, self.started)
            if raw is not None:
                yield from self._cache.put(self.request, raw)
        except BaseException:
            if held is not None:
                held.drop()
            raise
        finally:
            if self._lead is not None:
                self._lead.land(raw)
        if held is not None:
            yield from held.end(stored=raw is not None)
        return decision

    def pass_on(self, raw: bytes | None) -> None:
        """No call is needed, an answer was found elsewhere: hand its bytes to those who wait."""
        if self._lead is not None:
            self._lead.land(raw)
        if self._held is not None:
            self._held.drop()

    def fail(self, error: BaseException) -> None:
        """The call failed or was given up: nothing is stored, and those who wait may try."""
        if self._lead is not None:
            self._lead.fail(error)
        if self._held is not None:
            self._held.drop()

    def rescue(self, error: BaseException) -> Hit[T] | None:
        """`fail`, and the stale answer to give instead of the error where the policy has one."""
        self.fail(error)
        return self._cache.rescued(self.request, self._codec, self._spare, error)

    def __enter__(self) -> Lease[T]:
        if self._lead is not None:
            self._lead.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._lead is not None:
            self._lead.__exit__(*exc_info)
