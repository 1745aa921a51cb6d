"""Live streams: equal callers share one stream that is still coming."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agentperf_core.cache.flight.live import LiveStreams, Opening, Reader, joined_decision
from agentperf_core.errors import ConfigError
from agentperf_core.flow import arun, run
from agentperf_core.types import Usage

WORDS = ["one ", "two ", "three"]


class Source:
    """A sync stream that counts how often it was begun and tells how it ended."""

    def __init__(self, items: list[str] | None = None, error: Exception | None = None) -> None:
        self.items = WORDS if items is None else items
        self.error = error
        self.begun = 0
        self.ended = ""

    def __iter__(self) -> Iterator[str]:
        self.begun += 1
        try:
            yield from self.items
            if self.error is not None:
                raise self.error
        except GeneratorExit:
            self.ended = "closed"
            raise
        self.ended = "whole"


def sit(streams: LiveStreams[str], source: Source, key: str = "key") -> Reader[str]:
    got = run(streams.join(key))
    if isinstance(got, Reader):
        return got
    with got:
        return got.start(iter(source))


async def asit(streams: LiveStreams[str], source: AsyncIterator[str]) -> Reader[str]:
    got = await arun(streams.join("key"))
    if isinstance(got, Reader):
        return got
    with got:
        return await got.astart(source)


async def drain(reader: Reader[str]) -> list[str]:
    return [item async for item in reader]


def test_a_newcomer_reads_what_came_before_it() -> None:
    streams, source = LiveStreams[str](), Source()
    first = sit(streams, source)
    assert [next(first), next(first)] == WORDS[:2]
    second = sit(streams, source)
    assert (first.following, second.following) == (False, True)
    assert list(second) == WORDS
    assert list(first) == WORDS[2:]
    assert (source.begun, source.ended) == (1, "whole")
    assert len(streams) == 0


def test_a_reader_that_stops_reading_holds_up_nobody() -> None:
    streams, source = LiveStreams[str](), Source()
    standing = sit(streams, source)
    assert list(sit(streams, source)) == WORDS
    assert list(standing) == WORDS


def test_the_stream_goes_on_until_its_last_reader_leaves() -> None:
    streams, source = LiveStreams[str](), Source()
    opener, follower = sit(streams, source), sit(streams, source)
    opener.close()
    assert (next(follower), source.ended) == ("one ", "")
    follower.close()
    assert (source.ended, len(streams)) == ("closed", 0)
    assert list(follower) == []


def test_a_forgotten_reader_leaves_too() -> None:
    streams, source = LiveStreams[str](), Source()
    reader: Any = sit(streams, source)
    next(reader)
    del reader
    gc.collect()
    assert source.ended == "closed"


def test_an_error_before_the_first_item_lets_another_caller_open() -> None:
    streams = LiveStreams[str]()
    broken = Source([], ConnectionError("refused"))
    with pytest.raises(ConnectionError):
        sit(streams, broken)
    assert list(sit(streams, Source())) == WORDS


def test_an_error_in_the_middle_reaches_every_reader_after_its_items() -> None:
    streams = LiveStreams[str]()
    source = Source(error=ConnectionError("broke off"))
    for reader in (sit(streams, source), sit(streams, source)):
        assert [next(reader) for _ in WORDS] == WORDS
        with pytest.raises(ConnectionError, match="broke off"):
            next(reader)
    assert len(streams) == 0


def test_other_keys_are_other_streams() -> None:
    streams, one, two = LiveStreams[str](), Source(["1"]), Source(["2"])
    first, second = sit(streams, one, "a"), sit(streams, two, "b")
    assert (list(first), list(second)) == (["1"], ["2"])


def test_without_a_key_nothing_is_shared() -> None:
    streams = LiveStreams[str]()
    for _ in range(2):
        opening = run(streams.join(None))
        assert isinstance(opening, Opening)
        with opening:
            assert list(opening.start(iter(WORDS))) == WORDS


def test_who_waited_for_a_hit_asks_the_cache_itself() -> None:
    """A stored answer is not shared: every caller gets a copy of its own."""
    streams = LiveStreams[str]()
    opening = run(streams.join("key"))
    assert isinstance(opening, Opening)
    with opening, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: run(streams.join("key")))
        opening.pass_on()
        assert isinstance(waiting.result(10), Opening)


def test_threads_share_one_stream() -> None:
    streams, seated = LiveStreams[str](), threading.Semaphore(0)
    begun: list[int] = []

    def source() -> Iterator[str]:
        begun.append(1)
        yield "first"
        for _ in range(8):  # all have a seat now
            assert seated.acquire(timeout=10)
        yield from WORDS

    def read(_: int) -> list[str]:
        got = run(streams.join("key"))
        if isinstance(got, Opening):
            with got:
                got = got.start(source())
        seated.release()
        return list(got)

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(read, range(8)))
    assert len(begun) == 1
    assert got == [["first", *WORDS]] * 8


def test_a_long_stream_takes_no_newcomers_and_forgets_what_all_have_read() -> None:
    streams = LiveStreams[str](max_items=3)
    source = Source([str(n) for n in range(10)])
    opener, follower = sit(streams, source), sit(streams, source)
    assert [next(opener) for _ in range(6)] == source.items[:6]
    late = run(streams.join("key"))
    assert isinstance(late, Opening)
    assert list(follower) == source.items
    assert list(opener) == source.items[6:]


def test_a_source_that_asks_for_itself_gets_a_stream_of_its_own() -> None:
    streams = LiveStreams[str]()

    def nested() -> Iterator[str]:
        yield "outer"
        got = run(streams.join("key"))
        assert isinstance(got, Opening)
        yield "done"

    got = run(streams.join("key"))
    assert isinstance(got, Opening)
    with got:
        reader = got.start(nested())
    assert list(reader) == ["outer", "done"]


def test_the_bound_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="max_items"):
        LiveStreams[str](max_items=0)


def test_the_record_of_a_follower_says_what_it_saved() -> None:
    usage = Usage(output_tokens=5)
    decision = joined_decision("k" * 64, usage)
    assert (decision.outcome, decision.served, decision.key) == ("coalesced", True, "k" * 16)
    assert decision.saved_usage == usage


class Gated:
    """An async stream that gives an item per `step()`."""

    def __init__(self, items: list[str] | None = None) -> None:
        self.items = items or WORDS
        self.gate = asyncio.Semaphore(0)
        self.begun = 0
        self.ended = ""

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.gate.release()

    async def __call__(self) -> AsyncIterator[str]:
        self.begun += 1
        try:
            for item in self.items:
                await self.gate.acquire()
                yield item
        except BaseException as error:
            self.ended = type(error).__name__
            raise
        self.ended = "whole"


async def test_async_readers_share_one_stream() -> None:
    streams, source = LiveStreams[str](), Gated()

    async def read() -> list[str]:
        return await drain(await asit(streams, source()))

    readers = [asyncio.create_task(read()) for _ in range(20)]
    await asyncio.sleep(0)
    source.step(3)
    assert await asyncio.gather(*readers) == [WORDS] * 20
    assert (source.begun, source.ended) == (1, "whole")


async def test_a_cancelled_opener_leaves_the_stream_to_the_others() -> None:
    streams, source = LiveStreams[str](), Gated()
    source.step()
    opener = await asit(streams, source())
    follower = await asit(streams, source())
    assert await anext(opener) == "one "
    waiting = asyncio.create_task(drain(opener))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await opener.aclose()
    source.step(2)
    assert await drain(follower) == WORDS


async def test_the_last_async_reader_to_leave_closes_the_stream() -> None:
    streams, source = LiveStreams[str](), Gated()
    source.step()
    reader = await asit(streams, source())
    await reader.aclose()
    assert (source.ended, len(streams)) == ("CancelledError", 0)


async def test_an_opener_that_is_cancelled_before_the_first_item_hands_over() -> None:
    streams, first, second = LiveStreams[str](), Gated(), Gated(["other"])
    opening = asyncio.create_task(asit(streams, first()))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(asit(streams, second()))
    await asyncio.sleep(0)
    opening.cancel()
    second.step()
    assert await drain(await waiting) == ["other"]
    assert first.ended == "CancelledError"


async def test_a_thread_follows_an_async_stream() -> None:
    streams, source = LiveStreams[str](), Gated()
    source.step()
    opener = await asit(streams, source())
    joined = asyncio.Event()
    loop = asyncio.get_running_loop()

    def follow() -> list[str]:
        reader = run(streams.join("key"))
        assert isinstance(reader, Reader)
        loop.call_soon_threadsafe(joined.set)
        return list(reader)

    following = asyncio.create_task(asyncio.to_thread(follow))
    await joined.wait()
    source.step(2)
    assert (await following, await drain(opener)) == (WORDS, WORDS)


async def test_a_sync_caller_on_the_event_loop_does_not_wait_for_it() -> None:
    """Waiting there would hold up the very task that draws the stream."""
    streams, source = LiveStreams[str](), Gated()
    source.step()
    reader = await asit(streams, source())
    assert isinstance(run(streams.join("key")), Opening)
    await reader.aclose()


async def test_async_readers_follow_a_sync_stream() -> None:
    streams, source = LiveStreams[str](), Source()
    opener = sit(streams, source)
    follower = await arun(streams.join("key"))
    assert isinstance(follower, Reader)
    assert await drain(follower) == WORDS
    assert (list(opener), source.begun) == (WORDS, 1)


async def test_an_async_error_reaches_every_reader() -> None:
    streams = LiveStreams[str]()

    async def broken() -> AsyncIterator[str]:
        yield "one "
        raise ConnectionError("broke off")

    opener = await asit(streams, broken())
    follower = await asit(streams, broken())
    for reader in (opener, follower):
        assert await anext(reader) == "one "
        with pytest.raises(ConnectionError, match="broke off"):
            await anext(reader)


def test_a_stream_ends_with_its_event_loop() -> None:
    """Readers of other threads hear of it instead of waiting for ever."""
    streams = LiveStreams[str]()
    followers: list[Any] = []

    async def leave_standing() -> None:
        source = Gated()
        source.step()
        followers.append(await asit(streams, source()))

    asyncio.run(leave_standing())
    reader = followers[0]
    assert next(reader) == "one "
    with pytest.raises(ConnectionError, match="given up"):
        next(reader)
