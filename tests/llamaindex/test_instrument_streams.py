"""Streams in the recorder: when they end, how they fail, and that nothing leaks."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.llms.mock import MockLLM
from llamaindex_tools import ScriptedLLM, user

from agentperf_core.events import BUS
from agentperf_core.telemetry import Span, SpanKind
from llamaindex_agentperf import CachedLLM, instrument
from llamaindex_agentperf.instrumentation import Instrumentation

ASK = [user("Where is order 7?")]


def _faults() -> dict[str, int]:
    # Caches of other tests, whose stores are gone by now, report their statistics at any time.
    return {where: count for where, count in BUS.faults().items() if where != "cache.stats"}


@pytest.fixture
def seen() -> Iterator[Instrumentation]:
    before = _faults()
    with instrument() as instrumentation:
        yield instrumentation
    assert _faults() == before, "a handler failed"


def _call(seen: Instrumentation) -> Span:
    (call,) = seen.report().llm_calls
    return call


def test_a_stream_ends_when_it_was_read_and_knows_its_chunks(seen: Instrumentation) -> None:
    stream = ScriptedLLM().stream_chat(ASK)
    next(stream)
    assert seen.recorder.open_runs() == 1
    list(stream)
    call = _call(seen)
    assert call.status == "ok"
    assert call.chunks == 5
    assert call.ttft_s is not None
    assert call.usage is not None
    assert not call.usage.estimated


@pytest.mark.parametrize("how", ["closed", "dropped", "never read"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "cached"])
def test_a_stream_given_up_is_cancelled_with_an_estimate(
    seen: Instrumentation, how: str, wrapped: bool
) -> None:
    """LlamaIndex sends no end event then: recorders keyed on it leak."""
    inner = ScriptedLLM()
    stream = (CachedLLM(inner) if wrapped else inner).stream_chat(ASK)
    if how != "never read":
        next(stream)
        next(stream)
    if how == "closed":
        stream.close()
    del stream
    gc.collect()
    call = _call(seen)
    assert call.status == "cancelled"
    assert call.usage is not None
    assert call.usage.estimated
    assert call.usage.input_tokens > 0
    assert seen.recorder.open_runs() == 0


def test_a_stream_that_breaks_is_an_error(seen: Instrumentation) -> None:
    with pytest.raises(ConnectionError):
        list(ScriptedLLM(break_after=2).stream_chat(ASK))
    call = _call(seen)
    assert call.error == "ConnectionError: connection lost"
    assert call.chunks == 2


async def test_an_async_stream_given_up_is_cancelled(seen: Instrumentation) -> None:
    stream = await ScriptedLLM().astream_chat(ASK)
    await anext(stream)
    await stream.aclose()
    assert _call(seen).status == "cancelled"


def test_a_stream_without_reported_usage_is_estimated(seen: Instrumentation) -> None:
    """Most servers report usage in a stream only when asked: zero would be wrong."""
    list(ScriptedLLM(report_usage=False).stream_chat(ASK))
    usage = _call(seen).usage
    assert usage is not None
    assert usage.estimated
    assert usage.output_tokens >= 4


def test_the_first_token_is_the_first_with_content(seen: Instrumentation) -> None:
    """Providers open a stream with an empty chunk that only names the role."""
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse

    class Opening(ScriptedLLM):
        def _chunks(self, reply: ChatMessage) -> Iterator[ChatResponse]:
            yield ChatResponse(message=ChatMessage(role="assistant", content=""), delta="")
            yield from super()._chunks(reply)

    list(Opening().stream_chat(ASK))
    assert _call(seen).chunks == 5


@pytest.mark.parametrize("method", ["achat", "astream_chat", "acomplete", "astream_complete"])
async def test_nested_events_count_once(seen: Instrumentation, method: str) -> None:
    """`CustomLLM.achat` fires three pairs of events for one call."""
    given: Any = ASK if "chat" in method else "hello"
    answer = await getattr(MockLLM(max_tokens=3), method)(given)
    if "stream" in method:
        assert [chunk async for chunk in answer]
    call = _call(seen)
    assert len(seen.recorder.traces()) == 1
    assert call.name == "MockLLM"


async def test_two_equal_streams_of_one_model_stay_two_calls(seen: Instrumentation) -> None:
    llm = MockLLM(max_tokens=3)
    streams = [await llm.astream_chat(ASK) for _ in range(2)]
    for stream in streams:
        assert [chunk async for chunk in stream]
    assert len(seen.report().llm_calls) == 2


def test_a_replayed_stream_is_a_cache_span(seen: Instrumentation) -> None:
    llm = CachedLLM(ScriptedLLM())
    for _ in range(2):
        list(llm.stream_chat(ASK))
    report = seen.report()
    assert (len(report.llm_calls), len(report.cache_hits)) == (1, 1)
    assert report.cache_hits[0].usage == report.llm_calls[0].usage


def test_nothing_is_kept_of_what_has_ended(seen: Instrumentation) -> None:
    """`SimpleSpanHandler` keeps every span for good."""
    llm = ScriptedLLM()
    for _ in range(300):
        llm.chat(ASK)
        list(llm.stream_chat(ASK))
        stream = llm.stream_chat(ASK)
        next(stream)
        stream.close()
    assert seen.open_spans() == 0
    assert seen.recorder.open_runs() == 0
    assert len(seen.recorder.traces()) == 256


def test_one_trace_per_model_call_of_its_own(seen: Instrumentation) -> None:
    llm = ScriptedLLM()
    llm.chat(ASK)
    llm.complete("hi")
    assert [trace.root.kind for trace in seen.recorder.traces()] == [SpanKind.LLM] * 2
