"""`LatencyCallbackHandler` and the response cache on `ChatOpenAI` over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from agentperf_core.bench.endpoint import ChatRequest, Fault, Reply, ScriptedEndpoint
from agentperf_core.telemetry import SpanKind
from agentperf_core.types import ToolCall
from langchain_agentperf import ResponseCacheMiddleware, latency_callback

ASKED: Any = {"messages": [HumanMessage("Where is order 7?")]}


@tool
def get_order(order_id: int) -> str:
    """State of an order."""
    return f"order {order_id}: shipped"


def desk(request: ChatRequest) -> Reply:
    if request.tools and len(request.turn) == 1:
        return Reply("", (ToolCall("", "get_order", {"order_id": 7}),))
    return Reply("Order 7 has shipped; it weighs 3 kg.")


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(desk, time_scale=0) as server:
        yield server


Build = Callable[..., ChatOpenAI]


@pytest.fixture
async def model() -> AsyncIterator[Build]:
    """Models on HTTP clients that the test closes: langchain-openai keeps its own for ever."""
    with openai.DefaultHttpxClient() as sync_client:
        async with openai.DefaultAsyncHttpxClient() as async_client:

            def build(server: ScriptedEndpoint) -> ChatOpenAI:
                return ChatOpenAI(
                    model="gpt-4o-mini",
                    base_url=server.base_url,
                    api_key=SecretStr("x"),
                    http_client=sync_client,
                    http_async_client=async_client,
                    max_retries=0,
                    streaming=True,
                    stream_usage=True,
                )

            yield build


async def test_a_real_integration_reports_model_provider_usage_and_first_token(
    model: Build, endpoint: ScriptedEndpoint
) -> None:
    with latency_callback() as handler:
        await create_agent(model(endpoint), [get_order]).ainvoke(ASKED)
    spans = handler.report().llm_calls
    assert [(span.model, span.provider) for span in spans] == [("gpt-4o-mini", "openai")] * 2
    assert [span.attributes["finish_reason"] for span in spans] == ["tool_calls", "stop"]
    assert all(span.usage is not None and span.usage.output_tokens for span in spans)
    assert all(span.ttft_s is not None for span in spans)


async def test_a_second_run_makes_no_request(model: Build, endpoint: ScriptedEndpoint) -> None:
    """Provider ids, tool-call ids and usage of the first run must not keep the second from hits."""
    agent = create_agent(
        model(endpoint), [get_order], middleware=[ResponseCacheMiddleware()], name="desk"
    )
    first = await agent.ainvoke(ASKED)
    made = len(endpoint.requests)
    with latency_callback() as handler:
        second = await agent.ainvoke(ASKED)
    assert made == 2
    assert len(endpoint.requests) == made
    assert [m.text for m in first["messages"]] == [m.text for m in second["messages"]]
    assert [span.kind for span in handler.report().cache_hits] == [SpanKind.CACHE] * 2
    assert handler.report().saved_usage.input_tokens > 0


def test_a_dropped_stream_is_an_error_and_is_not_cached(model: Build) -> None:
    fault = Fault("drop_stream", at=0, after_chunks=3)
    with ScriptedEndpoint(desk, time_scale=0, faults=[fault]) as endpoint:
        agent = create_agent(model(endpoint), middleware=[ResponseCacheMiddleware()])
        with latency_callback() as handler, pytest.raises((httpx.HTTPError, openai.APIError)):
            agent.invoke(ASKED)
        (span,) = handler.report().llm_calls
        assert (span.status, span.streamed) == ("error", True)
        assert span.usage is not None
        assert span.usage.estimated
        assert agent.invoke(ASKED)["messages"][-1].text.startswith("Order 7")
    assert len(endpoint.requests) == 2


def test_a_stream_cut_short_without_a_finish_reason_is_not_cached(model: Build) -> None:
    """The client takes it for a whole answer; serving it again would make the fault lasting."""
    fault = Fault("truncate_stream", at=0, after_chunks=3)
    with ScriptedEndpoint(desk, time_scale=0, faults=[fault]) as endpoint:
        agent = create_agent(model(endpoint), middleware=[ResponseCacheMiddleware()])
        cut, whole = (agent.invoke(ASKED)["messages"][-1] for _ in range(2))
    assert whole.text.startswith(cut.text)
    assert whole.text.endswith("3 kg.")
    assert cut.response_metadata["agentperf"]["cache"]["outcome"] == "bypass"
