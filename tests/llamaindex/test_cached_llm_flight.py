"""`CachedLLM` under concurrency, and streams that end early."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llamaindex_tools import ScriptedLLM, mark, says, user
from pydantic import PrivateAttr

from agentperf_core.cache import MemoryStore
from llamaindex_agentperf import CachedLLM
from llamaindex_agentperf._usage import usage_of

ASK = [user("Where is order 7?")]


class _GatedLLM(ScriptedLLM):
    """Lets other tasks run before it answers; the first `failures` calls raise."""

    failures: int = 0

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: object) -> ChatResponse:
        for _ in range(20):
            await asyncio.sleep(0)
        answer = self._answer(messages)
        if self.calls_made <= self.failures:
            msg = "overloaded"
            raise ConnectionError(msg)
        return ChatResponse(message=answer)


@pytest.mark.parametrize(("failures", "calls"), [(0, 1), (1, 2)], ids=["works", "first fails"])
async def test_100_tasks_make_one_call_and_one_more_if_the_first_fails(
    failures: int, calls: int
) -> None:
    inner = _GatedLLM(failures=failures)
    llm = CachedLLM(inner)
    answers = await asyncio.gather(*(llm.achat(ASK) for _ in range(100)), return_exceptions=True)
    assert inner.calls_made == calls
    assert sum(isinstance(answer, ChatResponse) for answer in answers) == 100 - failures


@pytest.mark.parametrize(("failures", "calls"), [(0, 1), (1, 2)], ids=["works", "first fails"])
def test_100_threads_make_one_call_and_one_more_if_the_first_fails(
    failures: int, calls: int
) -> None:
    everyone = threading.Barrier(100)
    asked = threading.Semaphore(0)

    def script(_: object) -> ChatMessage | Exception:
        asked.release()
        return ConnectionError("overloaded") if inner.calls_made <= failures else says("fine")

    inner = ScriptedLLM(script)
    gate = threading.Event()
    inner._gate = gate
    llm = CachedLLM(inner)

    def ask() -> str | None:
        everyone.wait(20)
        try:
            return llm.chat(ASK).message.content
        except ConnectionError:
            return None

    with ThreadPoolExecutor(100) as pool:
        futures = [pool.submit(ask) for _ in range(100)]
        gate.set()
        answers = [future.result(20) for future in futures]
    assert inner.calls_made == calls
    assert answers.count("fine") == 100 - failures


async def test_equal_streams_at_the_same_time_make_one_call() -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)

    async def read() -> str:
        return "".join([c.delta or "" async for c in await llm.astream_chat(ASK)])

    texts = await asyncio.gather(*(read() for _ in range(20)))
    assert set(texts) == {"echo Where is order 7?"}
    assert inner.calls_made == 1


@pytest.mark.parametrize("how", ["closed", "dropped", "never read"])
def test_a_stream_given_up_stores_nothing_and_lets_others_try(how: str) -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    stream = llm.stream_chat(ASK)
    if how != "never read":
        next(stream)
    if how == "closed":
        stream.close()
    del stream
    gc.collect()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(llm.chat, ASK).result(10)
    assert mark(answer)["outcome"] == "miss"
    assert inner.calls_made == 2


class _HeldLLM(ScriptedLLM):
    """Its streams stop after the first chunk until they are let go."""

    _go: asyncio.Event = PrivateAttr(default_factory=asyncio.Event)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: object) -> Any:
        async def chunks() -> AsyncIterator[ChatResponse]:
            for number, chunk in enumerate(self._chunks(self._answer(messages))):
                if number:
                    await self._go.wait()
                yield chunk

        return chunks()


@pytest.mark.parametrize("how", ["closed", "dropped", "never read"])
async def test_an_async_stream_given_up_stores_nothing_and_lets_others_try(how: str) -> None:
    inner = _HeldLLM()
    llm = CachedLLM(inner)
    stream = await llm.astream_chat(ASK)
    if how != "never read":
        await anext(stream)
    if how == "closed":
        await stream.aclose()
    del stream
    answer = await asyncio.create_task(llm.achat(ASK))
    assert mark(answer)["outcome"] == "miss"
    assert inner.calls_made == 2


async def test_equal_async_streams_see_the_first_words_when_the_model_says_them() -> None:
    inner = _HeldLLM()
    llm = CachedLLM(inner)
    first, second = await llm.astream_chat(ASK), await llm.astream_chat(ASK)
    assert [(await anext(stream)).delta for stream in (first, second)] == ["echo", "echo"]
    inner._go.set()
    rest = [[chunk async for chunk in stream] for stream in (first, second)]
    assert [chunks[-1].message.content for chunks in rest] == ["echo Where is order 7?"] * 2
    assert [mark(chunks[-1])["outcome"] for chunks in rest] == ["miss", "coalesced"]
    paid = usage_of(rest[0][-1])
    assert paid is not None
    assert rest[1][-1].raw is None
    assert mark(rest[1][-1])["saved_usage"] == paid.as_dict()
    assert inner.calls_made == 1
    assert llm.stats().coalesced == 1


def test_equal_streams_of_threads_see_the_first_words_when_the_model_says_them() -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    first = llm.stream_chat(ASK)
    next(first)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(lambda: list(llm.stream_chat(ASK))).result(10)
    assert [chunk.delta for chunk in second] == ["echo", " Where", " is", " order", " 7?"]
    assert mark(second[-1])["outcome"] == "coalesced"
    assert [chunk.delta for chunk in first] == [" Where", " is", " order", " 7?"]
    assert mark(llm.chat(ASK))["outcome"] == "hit"
    assert inner.calls_made == 1


async def test_a_follower_reads_on_when_the_one_who_opened_the_stream_goes() -> None:
    inner = _HeldLLM()
    llm = CachedLLM(inner)
    first, second = await llm.astream_chat(ASK), await llm.astream_chat(ASK)
    await anext(first)
    await first.aclose()
    inner._go.set()
    assert [chunk async for chunk in second][-1].message.content == "echo Where is order 7?"
    assert mark(await llm.achat(ASK))["outcome"] == "hit"
    assert inner.calls_made == 1


async def test_what_one_reader_does_to_a_chunk_no_other_sees() -> None:
    inner = _HeldLLM()
    llm = CachedLLM(inner)
    streams = [await llm.astream_chat(ASK) for _ in range(3)]
    inner._go.set()
    for stream in streams[1:]:
        async for chunk in stream:
            assert chunk.message.additional_kwargs == {}
            chunk.message.additional_kwargs["seen"] = True
            chunk.message.blocks.clear()
            chunk.delta = "changed"
    assert "".join([chunk.delta or "" async for chunk in streams[0]]) == "echo Where is order 7?"


def test_a_stream_that_breaks_raises_and_stores_nothing() -> None:
    inner = ScriptedLLM(break_after=2)
    llm = CachedLLM(inner)
    with pytest.raises(ConnectionError):
        list(llm.stream_chat(ASK))
    inner.break_after = None
    assert mark(list(llm.stream_chat(ASK))[-1])["outcome"] == "miss"


def test_a_stream_without_finish_reason_is_not_stored() -> None:
    """A server that dies in mid-answer ends the stream cleanly for the client."""

    class Dying(ScriptedLLM):
        def _raw(self, reply: ChatMessage, *, last: bool = True) -> dict[str, object]:
            return super()._raw(reply, last=False)

    llm = CachedLLM(Dying())
    last = list(llm.stream_chat(ASK))[-1]
    assert mark(last)["outcome"] == "bypass"
    assert "not whole" in mark(last)["reason"]


def test_a_caller_with_an_equal_stream_open_does_not_wait_for_itself() -> None:
    """Two equal streams read in turn by one caller: waiting would never end."""
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    pairs = zip(llm.stream_chat(ASK), llm.stream_chat(ASK), strict=True)
    assert all(one.delta == other.delta for one, other in pairs)
    assert inner.calls_made == 1


async def test_a_task_with_an_equal_stream_open_does_not_wait_for_itself() -> None:
    llm = CachedLLM(ScriptedLLM())
    first = await llm.astream_chat(ASK)
    await anext(first)
    second = await llm.astream_chat(ASK)
    assert mark(await anext(second))["reason"]
    assert "".join([c.delta or "" async for c in second]).endswith("order 7?")
    assert [c async for c in first]


async def test_a_task_with_an_equal_stream_open_can_ask_plainly_too() -> None:
    llm = CachedLLM(ScriptedLLM())
    stream = await llm.astream_chat(ASK)
    await anext(stream)
    assert (await llm.achat(ASK)).message.content == "echo Where is order 7?"
    assert [c async for c in stream]


def test_two_wrappers_with_one_cache_do_not_wait_for_each_other() -> None:
    inner = ScriptedLLM()
    once = CachedLLM(inner)
    twice = CachedLLM(once, cache=once.cache)
    assert twice.chat(ASK).message.content == "echo Where is order 7?"
    assert len(list(twice.stream_chat(ASK))) > 1
    assert inner.calls_made == 1


def test_a_store_that_raises_is_a_miss() -> None:
    class Broken(MemoryStore):
        in_process = False

        def get(self, key: str) -> bytes | None:
            raise OSError

        def set(
            self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
        ) -> None:
            raise OSError

    llm = CachedLLM(ScriptedLLM(), store=Broken())
    assert [llm.chat(ASK).message.content for _ in range(2)] == ["echo Where is order 7?"] * 2
