"""`CachedLLM` under concurrency, and streams that end early."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llamaindex_tools import ScriptedLLM, mark, says, user

from llamaindex_agentperf import CachedLLM

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


@pytest.mark.parametrize("how", ["closed", "dropped", "never read"])
async def test_an_async_stream_given_up_stores_nothing_and_lets_others_try(how: str) -> None:
    inner = ScriptedLLM()
    llm = CachedLLM(inner)
    stream = await llm.astream_chat(ASK)
    if how != "never read":
        await anext(stream)
    if how == "closed":
        await stream.aclose()
    del stream
    answer = await asyncio.create_task(llm.achat(ASK))
    assert mark(answer)["outcome"] == "miss"
    # A stream that was never read never reached the model.
    assert inner.calls_made == (1 if how == "never read" else 2)


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
    assert inner.calls_made == 2


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
    class Broken:
        def get(self, key: str) -> bytes | None:
            raise OSError

        async def aget(self, key: str) -> bytes | None:
            raise OSError

        def set(self, key: str, value: bytes, ttl_s: float | None) -> None:
            raise OSError

        async def aset(self, key: str, value: bytes, ttl_s: float | None) -> None:
            raise OSError

        def clear(self) -> None:
            raise OSError

        async def aclear(self) -> None:
            raise OSError

    llm = CachedLLM(ScriptedLLM(), store=Broken())
    assert [llm.chat(ASK).message.content for _ in range(2)] == ["echo Where is order 7?"] * 2
