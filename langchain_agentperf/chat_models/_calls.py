"""One call of a cached chat model: plain or streamed, sync or async, from one description."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import lru_cache, partial
from inspect import signature
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from agentperf_core.cache import CacheDecision, CacheRequest, Hit, Lease
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.cache.flight.live import LiveStreams, Opening, Reader, joined_decision
from agentperf_core.flow import Flow, Step, arun, run
from langchain_agentperf.chat_models._chunks import Unbilled, last_chunk, merged, own, whole_chunk
from langchain_agentperf.chat_models._results import RESULTS, Said

__all__ = ["Call"]

_Chunk: TypeAlias = ChatGenerationChunk

# By cache: wrappers that are made anew for every request share the live streams of their cache.
_live: WeakKeyDictionary[CoreCache, LiveStreams[_Chunk]] = WeakKeyDictionary()


def _live_of(cache: CoreCache) -> LiveStreams[_Chunk]:
    found = _live.get(cache)
    return found if found is not None else _live.setdefault(cache, LiveStreams())


@dataclass(slots=True)
class Call:
    """What is asked, of which model, and how the cache sees it.

    The model's own `_generate` and `_stream` are called, never `invoke`: that would be a second run
    inside this one, with every token streamed and counted twice.

    Attributes:
        inner: the model.
        cache: the core cache.
        request: from `chat_request`.
        messages, stop, kwargs, run_manager: as LangChain hands them over.
    """

    inner: BaseChatModel
    cache: CoreCache
    request: CacheRequest
    messages: list[BaseMessage]
    stop: list[str] | None
    run_manager: Any
    kwargs: Mapping[str, Any]

    def result(self) -> Flow[ChatResult]:
        """The whole answer, stored or live."""
        # An equal stream whose reader has stopped half way would not end by itself.
        yield from _live_of(self.cache).read_out(self.request.key)
        step: Step[Said] = Step(self.ask, self.aask)
        said = yield from self.cache.answer(self.request, step, RESULTS, refresh=self._refresh())
        return said.as_result()

    def open(self) -> Said | Generator[_Chunk]:
        """A stored answer, or the chunks of a live stream: one's own, or another caller's."""
        got = run(_live_of(self.cache).join(self.request.key))
        if isinstance(got, Reader):
            return self._read(got)
        with got:
            found = run(self.cache.acquire(self.request, RESULTS, refresh=self._refresh()))
            if isinstance(found, Hit):
                return found.answer
            with found:
                try:
                    return self._read(got.start(self._watched(found)))
                except BaseException as error:
                    return _rescued(found, error)

    async def aopen(self) -> Said | AsyncGenerator[_Chunk]:
        """Like `open`."""
        got: Reader[_Chunk] | Opening[_Chunk] = await arun(
            _live_of(self.cache).join(self.request.key)
        )
        if isinstance(got, Reader):
            return self._aread(got)
        with got:
            refresh = self._refresh()
            found = await arun(self.cache.acquire(self.request, RESULTS, refresh=refresh))
            if isinstance(found, Hit):
                return found.answer
            with found:
                try:
                    return self._aread(await got.astart(self._awatched(found)))
                except BaseException as error:
                    return _rescued(found, error)

    def _read(self, reader: Reader[_Chunk]) -> Generator[_Chunk]:
        unbilled = Unbilled()
        try:
            for chunk in reader:
                yield (unbilled.take(chunk) if reader.following else own(chunk)) or (
                    self._joined(unbilled, chunk)
                )
        finally:
            reader.close()

    async def _aread(self, reader: Reader[_Chunk]) -> AsyncGenerator[_Chunk]:
        unbilled = Unbilled()
        try:
            async for chunk in reader:
                yield (unbilled.take(chunk) if reader.following else own(chunk)) or (
                    self._joined(unbilled, chunk)
                )
        finally:
            await reader.aclose()

    def _joined(self, unbilled: Unbilled, last: _Chunk) -> _Chunk:
        decision = self.cache.note(joined_decision(self.request.key, unbilled.usage))
        return last_chunk(decision, blocks=not isinstance(last.message.content, str))

    def _watched(self, lease: Lease[Said]) -> Generator[_Chunk]:
        """The live stream; at its normal end the answer is stored, and a last chunk says so."""
        seen: list[_Chunk] = []
        chunks = self._chunks()
        try:
            for chunk in chunks:
                seen.append(chunk)
                yield chunk
        except BaseException as error:
            lease.fail(error)
            _close(chunks)
            raise
        yield self._last(run(lease.finish(merged(seen))), seen)

    async def _awatched(self, lease: Lease[Said]) -> AsyncGenerator[_Chunk]:
        seen: list[_Chunk] = []
        chunks = self._achunks()
        try:
            async for chunk in chunks:
                seen.append(chunk)
                yield chunk
        except BaseException as error:
            lease.fail(error)
            await _aclose(chunks)
            raise
        yield self._last(await arun(lease.finish(merged(seen))), seen)

    def _last(self, decision: CacheDecision, seen: Sequence[_Chunk]) -> _Chunk:
        blocks = bool(seen) and not isinstance(seen[-1].message.content, str)
        return last_chunk(decision, blocks=blocks)

    def _chunks(self) -> Iterator[_Chunk]:
        if not _streams(type(self.inner), sync=True):
            return iter([whole_chunk(self.ask())])
        if self.inner.rate_limiter is not None:
            self.inner.rate_limiter.acquire(blocking=True)
        return self._hook("_stream", self.run_manager)()

    async def _achunks(self) -> AsyncIterator[_Chunk]:
        if not _streams(type(self.inner), sync=False):
            yield whole_chunk(await self.aask())
            return
        if self.inner.rate_limiter is not None:
            await self.inner.rate_limiter.aacquire(blocking=True)
        chunks: AsyncIterator[_Chunk] = self._hook("_astream", self.run_manager)()
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await _aclose(chunks)

    def ask(self) -> Said:
        """Ask the model, past the cache."""
        return self._asked(self.run_manager)

    async def aask(self) -> Said:
        """Like `ask`."""
        return await self._aasked(self.run_manager)

    def _asked(self, run_manager: Any) -> Said:
        if self.inner.rate_limiter is not None:
            self.inner.rate_limiter.acquire(blocking=True)
        return Said.by(self._hook("_generate", run_manager)())

    async def _aasked(self, run_manager: Any) -> Said:
        if self.inner.rate_limiter is not None:
            await self.inner.rate_limiter.aacquire(blocking=True)
        return Said.by(await self._hook("_agenerate", run_manager)())

    def _refresh(self) -> Step[Said]:
        """The same call apart from this run, which may be over by then."""
        return Step(self._asked, self._aasked, None)

    def _hook(self, name: str, run_manager: Any) -> Callable[[], Any]:
        """One of the model's own methods, with what it is asked."""
        options = dict(self.kwargs)
        if run_manager is not None and _takes_manager(type(self.inner), name):
            options["run_manager"] = run_manager
        return partial(getattr(self.inner, name), self.messages, stop=self.stop, **options)


def _rescued(lease: Lease[Said], error: BaseException) -> Said:
    """A stale answer in place of a stream that could not be opened, where the policy has one."""
    hit = lease.rescue(error)
    if hit is None:
        raise error
    return hit.answer


@lru_cache(maxsize=256)
def _takes_manager(kind: type[BaseChatModel], method: str) -> bool:
    return "run_manager" in signature(getattr(kind, method)).parameters


@lru_cache(maxsize=256)
def _streams(kind: type[BaseChatModel], *, sync: bool) -> bool:
    """Whether a model has a stream of its own; LangChain's async one falls back on the sync one."""
    names = ("_stream",) if sync else ("_stream", "_astream")
    return any(getattr(kind, name) is not getattr(BaseChatModel, name) for name in names)


def _close(chunks: object) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


async def _aclose(chunks: object) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
