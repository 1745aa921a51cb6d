"""The exact response cache: equal request, equal answer, one model call.

`answer()` is the whole of it for calls that return at once. Streams use its two halves, `acquire()`
and `Lease`, since a stream ends later than the function that opened it.
"""

from __future__ import annotations

from typing import TypeVar, cast

from agentperf_core.cache.answers import AnswerCodec, CacheRequest, Hit
from agentperf_core.cache.exact.claims import Claims
from agentperf_core.cache.exact.lease import Lease
from agentperf_core.flow import Flow, Step

__all__ = ["ExactCache", "Lease"]

T = TypeVar("T")


class ExactCache(Claims):
    """Serves equal requests from a store and joins equal calls in flight.

    A store that fails is a miss; what fails is reported on the bus and never reaches the call.

    Args:
        store: where answers live, default a `MemoryStore`; `ConfigError` if it lacks a method. One
            that may wait or fail is guarded, see `GuardedStore`.
        policy: what may be cached; default `CachePolicy()`.
        max_wait_s: seconds to wait for an equal call in flight before making the call, too; `None`
            for no limit, which waits for ever on a stream that its reader left standing.
        keep_questions: store with each answer what it answered, for a semantic tier.
        clock: where the time comes from.
        bus: receives a `DecisionMade` per request and a `Fault` per failure.
        pause: how to wait between two looks for the answer of another process.

    Attributes:
        store: where answers live.
        policy: what may be cached.
        wants_questions: whether its requests must say what they ask in words; exact hits need not.

    Raises:
        ConfigError: if `max_wait_s` is not positive, or a policy says `across_processes=True` where
            the store has no leases or `max_wait_s` is `None`.

    Example:
        >>> cache = ExactCache()
        >>> cache.stats().hit_rate
        0.0
    """

    def answer(
        self,
        request: CacheRequest,
        call: Step[T],
        codec: AnswerCodec[T],
        *,
        refresh: Step[T] | None = None,
        live: bool = False,
    ) -> Flow[T]:
        """The answer to a request: stored, shared with an equal call in flight, or `call`'s.

        Args:
            request: what is asked.
            call: asks the model.
            codec: reads and writes its answers.
            refresh: asks the model too, but apart from the caller's run, which may be over by then;
                without it, an answer past its time is not served, whatever the policy says.
            live: whether `call` must not be begun in vain: it shows its answer to somebody while
                it comes, or does more than ask the model.

        Raises:
            BaseException: the error of the call, unless a stale answer may be given instead.
        """
        got = yield from self.claim(request, codec, refresh=refresh)
        if isinstance(got, Hit):
            return got.answer
        with got:
            try:
                answer = yield from self.ask(got, call, codec, live=live)
            except BaseException as error:
                hit = got.rescue(error)
                if hit is None:
                    raise
                return hit.answer
        if isinstance(answer, Hit):
            return cast("Hit[T]", answer).answer
        decision = yield from got.finish(answer)
        try:
            return codec.mark(answer, decision)
        except Exception as error:
            self._bus.fault("cache.mark", error)
            return answer

    def acquire(
        self, request: CacheRequest, codec: AnswerCodec[T], *, refresh: Step[T] | None = None
    ) -> Flow[Hit[T] | Lease[T]]:
        """A stored or shared answer, or the lease to make the call.

        Raises:
            BaseException: the error of the call that this one waited for, if it failed twice.
        """
        return (yield from self.claim(request, codec, refresh=refresh))

    def ask(
        self, lease: Lease[T], call: Step[T], codec: AnswerCodec[T], *, live: bool
    ) -> Flow[T | Hit[T]]:
        """The model's answer, or one from a further tier; who gives a `Hit` has ended the lease."""
        return (yield from call)

    def drain(self, timeout_s: float | None = None) -> None:
        """Wait for the stale answers that sync callers have begun to renew.

        Args:
            timeout_s: seconds to wait at most; `None` for no limit.
        """
        self._refresher.drain(timeout_s)

    async def adrain(self) -> None:
        """Wait for the stale answers that are being renewed on this event loop."""
        await self._refresher.adrain()
