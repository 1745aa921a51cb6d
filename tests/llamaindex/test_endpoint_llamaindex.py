"""LlamaIndex `OpenAI`, `OpenAILike`, `FunctionAgent` against the scripted endpoint, unchanged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike

from agentperf_core.bench.endpoint import ChatRequest, Fault, Reply, ScriptedEndpoint
from agentperf_core.types import ToolCall

# workflows looks steps up with inspect.getmembers(), which touches pydantic's deprecated names.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)

ANSWER = "Order 7 has shipped; it weighs 3 kg."
LONG = "You are the support desk. " * 400
ASK = [ChatMessage(role=MessageRole.USER, content="Where is order 7?")]


def get_order(order_id: int) -> str:
    """State of an order."""
    return f"order {order_id}: shipped"


async def get_weight(order_id: int) -> str:
    """Weight of an order."""
    return f"order {order_id}: 3 kg"


TOOLS = [FunctionTool.from_defaults(get_order), FunctionTool.from_defaults(async_fn=get_weight)]
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


class Llms:
    """Builds LLMs on HTTP clients that the test closes: LlamaIndex never closes its own."""

    def __init__(self, clients: dict[str, Any]) -> None:
        self.clients = clients

    def build(self, kind: str, endpoint: ScriptedEndpoint, **options: Any) -> OpenAI:
        options |= {"api_base": endpoint.base_url, "api_key": "x", **self.clients}
        if kind == "openai":
            return OpenAI(model="gpt-4o-mini", **options)
        options |= {"is_chat_model": True, "is_function_calling_model": True}
        return OpenAILike(model="scripted", **options)


@pytest.fixture
async def llms() -> AsyncIterator[Llms]:
    with openai.DefaultHttpxClient() as sync_client:
        async with openai.DefaultAsyncHttpxClient() as async_client:
            yield Llms({"http_client": sync_client, "async_http_client": async_client})


both = pytest.mark.parametrize("kind", ["openai", "openai_like"])
STREAM_USAGE = {"stream_options": {"include_usage": True}}


def usage_of(response: ChatResponse) -> Any:
    return response.raw.usage  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue] - raw is typed Any | None


@both
def test_chat_gives_text_and_usage(endpoint: ScriptedEndpoint, llms: Llms, kind: str):
    response = llms.build(kind, endpoint).chat(ASK)
    assert response.message.content == ANSWER
    usage = usage_of(response)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens_details.reasoning_tokens == 8


@both
async def test_achat_gives_the_same(endpoint: ScriptedEndpoint, llms: Llms, kind: str):
    assert (await llms.build(kind, endpoint).achat(ASK)).message.content == ANSWER


@both
def test_stream_chat_arrives_in_pieces_and_ends_with_usage(
    endpoint: ScriptedEndpoint, llms: Llms, kind: str
):
    chunks = list(llms.build(kind, endpoint, additional_kwargs=STREAM_USAGE).stream_chat(ASK))
    assert "".join(chunk.delta or "" for chunk in chunks) == ANSWER
    assert len([chunk for chunk in chunks if chunk.delta]) > 3
    assert usage_of(chunks[-1]) == usage_of(llms.build(kind, endpoint).chat(ASK))


@both
async def test_astream_chat_gives_the_same(endpoint: ScriptedEndpoint, llms: Llms, kind: str):
    stream = await llms.build(kind, endpoint).astream_chat(ASK)
    assert "".join([chunk.delta or "" async for chunk in stream]) == ANSWER


@both
@pytest.mark.parametrize("streaming", [False, True])
def test_parallel_tool_calls_are_read_from_plain_and_streamed_replies(
    endpoint: ScriptedEndpoint, llms: Llms, kind: str, streaming: bool
):
    llm = llms.build(kind, endpoint)
    options: dict[str, Any] = {"chat_history": ASK, "allow_parallel_tool_calls": True}
    if streaming:
        *_, response = llm.stream_chat_with_tools(TOOLS, **options)
    else:
        response = llm.chat_with_tools(TOOLS, **options)
    calls = llm.get_tool_calls_from_response(response)
    assert [(call.tool_name, call.tool_kwargs) for call in calls] == [
        (call.name, call.arguments) for call in CALLS
    ]
    assert len({call.tool_id for call in calls}) == 2


@both
def test_cached_tokens_grow_over_a_conversation(endpoint: ScriptedEndpoint, llms: Llms, kind: str):
    llm = llms.build(kind, endpoint)
    history = [ChatMessage(role=MessageRole.SYSTEM, content=LONG)]
    cached: list[int] = []
    for turn in range(3):
        question = f"Question {turn}: " + "where is my parcel? " * 40
        history.append(ChatMessage(role=MessageRole.USER, content=question))
        response = llm.chat(history)
        cached.append(usage_of(response).prompt_tokens_details.cached_tokens)
        history.append(response.message)
    assert cached[0] == 0
    assert 1024 <= cached[1] < cached[2]


@both
@pytest.mark.parametrize("streaming", [False, True])
async def test_function_agent_runs_end_to_end(
    endpoint: ScriptedEndpoint, llms: Llms, kind: str, streaming: bool
):
    agent = FunctionAgent(
        tools=[*TOOLS],
        llm=llms.build(kind, endpoint),
        streaming=streaming,
        allow_parallel_tool_calls=True,
    )
    handler = agent.run(user_msg="Where is order 7?")  # pyright: ignore[reportDeprecated] - pyright picks the wrong overload
    results: list[str] = []
    text = ""
    async for event in handler.stream_events():
        if isinstance(event, ToolCallResult):
            results.append(event.tool_output.content)
        elif isinstance(event, AgentStream):
            text += event.delta
    answer = await handler
    assert str(answer) == ANSWER
    assert sorted(results) == ["order 7: 3 kg", "order 7: shipped"]
    assert text == (ANSWER if streaming else "")
    assert [record.status for record in endpoint.requests] == [200, 200]
    assert all(record.stream is streaming for record in endpoint.requests)


@both
def test_a_rate_limit_is_retried_by_the_client(llms: Llms, kind: str):
    with ScriptedEndpoint(
        desk, time_scale=0, faults=[Fault("rate_limit", at=0, retry_after_s=0.01)]
    ) as endpoint:
        assert llms.build(kind, endpoint, max_retries=1).chat(ASK).message.content == ANSWER
    assert [record.status for record in endpoint.requests] == [429, 200]


def test_a_history_that_splits_a_tool_call_is_refused_like_by_the_provider(
    endpoint: ScriptedEndpoint, llms: Llms
):
    orphan = ChatMessage(
        role=MessageRole.TOOL, content="shipped", additional_kwargs={"tool_call_id": "call_1"}
    )
    with pytest.raises(openai.BadRequestError, match="must answer a preceding message"):
        llms.build("openai", endpoint, max_retries=0).chat([*ASK, orphan])
