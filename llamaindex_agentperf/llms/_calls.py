"""One call of a cached model: plain or streamed, sync or async, from one description."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
)
from functools import partial
from typing import Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.llms.llm import LLM

from agentperf_core.cache import CacheRequest, ExactCache, Hit, Lease
from agentperf_core.cache.flight.live import LiveStreams, Reader, joined_decision
from agentperf_core.flow import Flow, Step, arun, run
from llamaindex_agentperf.events import announce_hit, heard
from llamaindex_agentperf.llms._codec import Said
from llamaindex_agentperf.llms._endpoints import Endpoint
from llamaindex_agentperf.llms._replay import areplay
from llamaindex_agentperf.llms._streams import Follower, Watch

__all__ = ["Call"]

A = TypeVar("A", ChatResponse, CompletionResponse)


# By cache: wrappers that are made anew for every request share the live streams of their cache.
_live: WeakKeyDictionary[ExactCache, LiveStreams[Any]] = WeakKeyDictionary()


def _live_of(cache: ExactCache) -> LiveStreams[Any]:
    found = _live.get(cache)
    return found if found is not None else _live.setdefault(cache, LiveStreams())


class Call(Generic[A]):
    """What is asked, of which model, and how the cache sees it.

    Args:
        inner: the model.
        cache: the core cache.
        request: from `llm_request`.
        endpoint: chats or completions.
        subject: the messages or the prompt.
        kwargs: the other arguments, as LlamaIndex hands them over.
    """

    __slots__ = ("_cache", "_endpoint", "_inner", "_kwargs", "_request", "_subject")

    def __init__(
        self,
        inner: LLM,
        cache: ExactCache,
        request: CacheRequest,
        endpoint: Endpoint[A],
        subject: object,
        kwargs: Mapping[str, Any],
    ) -> None:
        self._inner = inner
        self._cache = cache
        self._request = request
        self._endpoint = endpoint
        self._subject = subject
        self._kwargs = kwargs

    def result(self) -> Flow[A]:
        """The whole answer, stored or live."""
        step: Step[Said[A]] = Step(self.ask, self.aask)
        # Only a cache that looks at questions begins calls in vain.
        live = self._cache.wants_questions and heard(self._inner)
        codec = self._endpoint.codec
        answer = self._cache.answer(self._request, step, codec, refresh=step, live=live)
        return (yield from answer).answer

    def ask(self) -> Said[A]:
        """Ask the model, past the cache."""
        return Said(self._method("")())

    async def aask(self) -> Said[A]:
        """Like `ask`."""
        return Said(await self._method("a")())

    def open(self, opened: Callable[[], Callable[[], object]]) -> Generator[A]:
        """A stored answer, or the chunks of a live stream: one's own, or another caller's.

        Args:
            opened: called when a stream of one's own is opened; gives what to call at its end.
        """
        got = run(_live_of(self._cache).join(self._request.key))
        if isinstance(got, Reader):
            return self._follow(cast("Reader[A]", got))
        with got:
            found = run(self._acquire())
            if isinstance(found, Hit):
                return self._replayed(found.answer)
            watch = Watch(self._endpoint.empty)
            with found:
                try:
                    reader = got.start(self._watched(found, watch, opened()))
                except BaseException as error:
                    return self._replayed(_rescued(found, error))
            return _read(reader, watch)

    async def aopen(self, opened: Callable[[], Callable[[], object]]) -> AsyncGenerator[A]:
        """Like `open`."""
        got = await arun(_live_of(self._cache).join(self._request.key))
        if isinstance(got, Reader):
            return self._afollow(cast("Reader[A]", got))
        with got:
            found = await arun(self._acquire())
            if isinstance(found, Hit):
                return areplay(self._replayed(found.answer))
            watch = Watch(self._endpoint.empty)
            with found:
                try:
                    reader = await got.astart(self._awatched(found, watch, opened()))
                except BaseException as error:
                    return areplay(self._replayed(_rescued(found, error)))
            return _aread(reader, watch)

    def _acquire(self) -> Flow[Hit[Said[A]] | Lease[Said[A]]]:
        refresh: Step[Said[A]] = Step(self.ask, self.aask)
        return self._cache.acquire(self._request, self._endpoint.codec, refresh=refresh)

    def _replayed(self, said: Said[A]) -> Generator[A]:
        return self._endpoint.replay(said.answer, said.pieces)

    def _method(self, kind: str) -> Callable[[], Any]:
        return partial(
            getattr(self._inner, kind + self._endpoint.method), self._subject, **self._kwargs
        )

    def _watched(
        self, lease: Lease[Said[A]], watch: Watch[A], ended: Callable[[], object]
    ) -> Generator[A]:
        """The model's stream; at its normal end the answer is stored."""
        chunks: Iterator[A] | None = None
        try:
            chunks = self._method("stream_")()
            for chunk in cast("Iterator[A]", chunks):
                watch.see(chunk)
                yield chunk
        except BaseException as error:
            lease.fail(error)
            _close(chunks)
            raise
        finally:
            ended()
        decision = run(lease.finish(watch.whole()))
        watch.record.clear()
        watch.record.update(decision.record())

    async def _awatched(
        self, lease: Lease[Said[A]], watch: Watch[A], ended: Callable[[], object]
    ) -> AsyncGenerator[A]:
        chunks: AsyncIterator[A] | None = None
        try:
            chunks = await self._method("astream_")()
            async for chunk in cast("AsyncIterator[A]", chunks):
                watch.see(chunk)
                yield chunk
        except BaseException as error:
            lease.fail(error)
            await _aclose(chunks)
            raise
        finally:
            ended()
        decision = await arun(lease.finish(watch.whole()))
        watch.record.clear()
        watch.record.update(decision.record())

    def _joined(self) -> Follower[A]:
        record = joined_decision(self._request.key).record()
        announce_hit(record)
        return Follower(record)

    def _follow(self, reader: Reader[A]) -> Generator[A]:
        return self._followed(reader, self._joined())

    def _followed(self, reader: Reader[A], follower: Follower[A]) -> Generator[A]:
        try:
            for chunk in reader:
                yield follower.take(chunk)
        finally:
            reader.close()
        self._note(follower)

    def _afollow(self, reader: Reader[A]) -> AsyncGenerator[A]:
        return self._afollowed(reader, self._joined())

    async def _afollowed(self, reader: Reader[A], follower: Follower[A]) -> AsyncGenerator[A]:
        try:
            async for chunk in reader:
                yield follower.take(chunk)
        finally:
            await reader.aclose()
        self._note(follower)

    def _note(self, follower: Follower[A]) -> None:
        decision = self._cache.note(joined_decision(self._request.key, follower.usage))
        follower.record.update(decision.record())


def _read(reader: Reader[A], watch: Watch[A]) -> Generator[A]:
    try:
        for chunk in reader:
            yield watch.mark(chunk)
    finally:
        reader.close()


async def _aread(reader: Reader[A], watch: Watch[A]) -> AsyncGenerator[A]:
    try:
        async for chunk in reader:
            yield watch.mark(chunk)
    finally:
        await reader.aclose()


def _rescued(lease: Lease[Said[A]], error: BaseException) -> Said[A]:
    """A stale answer in place of a stream that could not be opened, where the policy has one."""
    hit = lease.rescue(error)
    if hit is None:
        raise error
    return hit.answer


def _close(chunks: object) -> None:
    if isinstance(chunks, Generator):
        cast("Generator[Any]", chunks).close()


async def _aclose(chunks: object) -> None:
    if isinstance(chunks, AsyncGenerator):
        await cast("AsyncGenerator[Any]", chunks).aclose()
