"""`ChatOpenAI` and `create_agent` against the scripted endpoint, unchanged, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from agentperf_core.bench.endpoint import ChatRequest, Fault, Reply, ScriptedEndpoint
from agentperf_core.types import ToolCall
from langchain_agentperf import CachedChatModel

ANSWER = "Order 7 has shipped; it weighs 3 kg."
LONG = "You are the support desk. " * 400


@tool
def get_order(order_id: int) -> str:
    """State of an order."""
    return f"order {order_id}: shipped"


@tool
def get_weight(order_id: int) -> str:
    """Weight of an order."""
    return f"order {order_id}: 3 kg"


CALLS = (
    ToolCall("", "get_order", {"order_id": 7}),
    ToolCall("", "get_weight", {"order_id": 7}),
)


def desk(request: ChatRequest) -> Reply:
    """First both tools at once, then the answer."""
    if request.tools and len(request.turn) == 1:
        return Reply("", CALLS)
    return Reply(ANSWER, reasoning_tokens=8)


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(desk, time_scale=0) as server:
        yield server


Build = Callable[..., ChatOpenAI]


@pytest.fixture
async def model(endpoint: ScriptedEndpoint) -> AsyncIterator[Build]:
    """Models on HTTP clients that the test closes: langchain-openai keeps its own for ever."""
    with openai.DefaultHttpxClient() as sync_client:
        async with openai.DefaultAsyncHttpxClient() as async_client:

            def build(server: ScriptedEndpoint = endpoint, **options: Any) -> ChatOpenAI:
                return ChatOpenAI(
                    model="gpt-4o-mini",
                    base_url=server.base_url,
                    api_key=SecretStr("x"),
                    http_client=sync_client,
                    http_async_client=async_client,
                    **options,
                )

            yield build


def total(chunks: Iterable[AIMessage]) -> AIMessageChunk:
    """The chunks added up; `bind_tools` types what it streams as plain messages."""
    first, *rest = [chunk for chunk in chunks if isinstance(chunk, AIMessageChunk)]
    return add_ai_message_chunks(first, *rest)


def test_invoke_gives_text_usage_and_the_name_of_the_stand_in(model: Build):
    message = model().invoke("Where is order 7?")
    assert message.content == ANSWER
    assert message.response_metadata["system_fingerprint"] == "scripted-endpoint"
    usage = message.usage_metadata
    assert usage is not None
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage.get("output_token_details", {}).get("reasoning") == 8


async def test_ainvoke_gives_the_same(model: Build):
    assert (await model().ainvoke("Where is order 7?")).content == ANSWER


def test_stream_arrives_in_pieces_and_ends_with_usage(model: Build):
    chunks = list(model(stream_usage=True).stream("Where is order 7?"))
    message = total(chunks)
    assert len([chunk for chunk in chunks if chunk.content]) > 3
    assert message.content == ANSWER
    assert message.response_metadata["finish_reason"] == "stop"
    plain = model().invoke("Where is order 7?")
    assert message.usage_metadata == plain.usage_metadata


async def test_astream_gives_the_same(model: Build):
    chunks = [chunk async for chunk in model(stream_usage=True).astream("Order 7?")]
    assert total(chunks).content == ANSWER
    assert total(chunks).usage_metadata is not None


@pytest.mark.parametrize("streaming", [False, True])
def test_parallel_tool_calls_are_read_from_plain_and_streamed_replies(
    model: Build, streaming: bool
):
    bound = model().bind_tools([get_order, get_weight])
    message = total(bound.stream("Order 7?")) if streaming else bound.invoke("Order 7?")
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [
        (call.name, call.arguments) for call in CALLS
    ]
    assert len({call["id"] for call in message.tool_calls}) == 2
    assert not message.invalid_tool_calls


def test_cached_tokens_grow_over_a_conversation(model: Build):
    chat = model()
    history: list[Any] = [("system", LONG)]
    cached: list[int] = []
    for turn in range(3):
        history.append(HumanMessage(f"Question {turn}: " + "where is my parcel? " * 40))
        message = chat.invoke(history)
        assert message.usage_metadata is not None
        cached.append(message.usage_metadata.get("input_token_details", {}).get("cache_read", -1))
        history.append(message)
    assert cached[0] == 0
    assert 1024 <= cached[1] < cached[2]


def check_agent(messages: list[Any], endpoint: ScriptedEndpoint) -> None:
    kinds = [type(message) for message in messages]
    assert kinds == [HumanMessage, AIMessage, ToolMessage, ToolMessage, AIMessage]
    assert [m.content for m in messages[2:4]] == ["order 7: shipped", "order 7: 3 kg"]
    assert messages[-1].content == ANSWER
    assert [record.status for record in endpoint.requests] == [200, 200]


def test_create_agent_runs_end_to_end(endpoint: ScriptedEndpoint, model: Build):
    agent = create_agent(model(), tools=[get_order, get_weight])
    state = agent.invoke({"messages": [HumanMessage("Where is order 7?")]})
    check_agent(state["messages"], endpoint)


async def test_create_agent_runs_end_to_end_async_and_streamed(
    endpoint: ScriptedEndpoint, model: Build
):
    agent = create_agent(model(streaming=True), tools=[get_order, get_weight])
    texts: list[str] = []
    state: Any = {}
    stream: Any = agent.astream(
        {"messages": [HumanMessage("Where is order 7?")]}, stream_mode=["messages", "values"]
    )
    async for kind, part in stream:
        if kind == "values":
            state = part
        else:
            texts.append(str(part[0].content) if isinstance(part[0], AIMessageChunk) else "")
    check_agent(state["messages"], endpoint)
    assert "".join(texts) == ANSWER
    assert all(record.stream for record in endpoint.requests)


def test_a_rate_limit_is_retried_by_the_client(model: Build):
    with ScriptedEndpoint(
        desk, time_scale=0, faults=[Fault("rate_limit", at=0, retry_after_s=0.01)]
    ) as endpoint:
        assert model(endpoint, max_retries=1).invoke("Order 7?").content == ANSWER
    assert [record.status for record in endpoint.requests] == [429, 200]


def test_a_history_that_splits_a_tool_call_is_refused_like_by_the_provider(
    model: Build,
):
    orphan = ToolMessage("order 7: shipped", tool_call_id="call_1")
    with pytest.raises(openai.BadRequestError, match="must answer a preceding message"):
        model().invoke([HumanMessage("Order 7?"), orphan])


async def test_a_cached_model_works_over_real_sockets(
    model: Build, endpoint: ScriptedEndpoint
) -> None:
    """Streams, tools in parallel and an agent: the second time, nothing goes over the wire."""
    chat = CachedChatModel(model(streaming=True, stream_usage=True))
    agent: Any = create_agent(chat, [get_order, get_weight])
    question = {"messages": [HumanMessage("How is order 7?")]}

    async def run_once() -> tuple[str, list[AIMessageChunk]]:
        chunks: list[AIMessageChunk] = [
            message
            async for message, _ in agent.astream(question, stream_mode="messages")
            if isinstance(message, AIMessageChunk)
        ]
        return "".join(str(chunk.text) for chunk in chunks), chunks

    live, live_chunks = await run_once()
    served = len(endpoint.requests)
    hit, hit_chunks = await run_once()
    assert live == hit == ANSWER
    assert len(endpoint.requests) == served == 2
    assert [c.text for c in live_chunks if c.text] == [c.text for c in hit_chunks if c.text]
    assert sum(bool(c.usage_metadata) for c in live_chunks) == 2
    assert not any(c.usage_metadata for c in hit_chunks)


class Shipment(BaseModel):
    """A shipment."""

    order: int


async def test_structured_output_of_a_cached_model_is_the_providers_own(model: Build) -> None:
    with ScriptedEndpoint(lambda request: Reply('{"order": 7}'), time_scale=0) as server:
        chat: Any = CachedChatModel(model(server)).with_structured_output(Shipment)
        assert [await chat.ainvoke("Order?") for _ in range(2)] == [Shipment(order=7)] * 2
        assert len(server.requests) == 1
