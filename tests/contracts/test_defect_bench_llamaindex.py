"""Defects of LlamaIndex and of its one cache peer, each shown and then shown to be absent in ours.

A test that pins an upstream defect fails when upstream repairs it: then the note in our code goes.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import openai
import pytest
import tiktoken
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage] - its home
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from pydantic import PrivateAttr

from agentperf_core.bench.endpoint import ChatRequest, Reply, ScriptedEndpoint
from llamaindex_agentperf import CachedLLM, instrument

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)

ASK = [ChatMessage(role=MessageRole.USER, content="What is 1 + 2?")]


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


TOOLS = [FunctionTool.from_defaults(add)]


def desk(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    if messages[-1].role == MessageRole.TOOL:
        return ChatMessage(role=MessageRole.ASSISTANT, content=str(messages[-1].content))
    call = ToolCallBlock(tool_call_id="c", tool_name="add", tool_kwargs={"a": 1, "b": 2})
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[call])


class Counting(BaseEventHandler):
    """Counts events by name."""

    _names: list[str] = PrivateAttr(default_factory=list)

    def handle(self, event: Any, **kwargs: Any) -> None:
        self._names.append(type(event).__name__)

    def count(self, name: str) -> int:
        return self._names.count(name)


@pytest.fixture
def counting() -> Any:
    root, handler = get_dispatcher(), Counting()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers = [h for h in root.event_handlers if h is not handler]


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_function_agent_accepts_the_cache(streaming: bool) -> None:
    """The peer's wrapper raises AttributeError in a `FunctionAgent`, and does not cache streams."""
    seen = 0

    def script(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        nonlocal seen
        seen += 1
        return desk(messages)

    llm = CachedLLM(MockFunctionCallingLLM(response_generator=script))
    agent: Any = FunctionAgent(llm=llm, tools=TOOLS, streaming=streaming)
    for _ in range(2):
        assert str(await agent.run(user_msg="1 + 2")) == "3"
    assert seen == 2


@pytest.mark.parametrize(
    ("messages", "changes"),
    [
        ([ChatMessage(role=MessageRole.SYSTEM, content="Be rude."), *ASK], {}),
        ([ChatMessage(role=MessageRole.USER, content="before"), *ASK], {}),
        (ASK, {"model": "gpt-4o"}),
        (ASK, {"temperature": 0.0}),
    ],
    ids=["system prompt", "history", "model", "temperature"],
)
def test_the_last_user_message_alone_is_no_key(
    messages: list[ChatMessage], changes: dict[str, Any]
) -> None:
    """The peer keys on the last user message: each of these got the other's answer."""
    with ScriptedEndpoint(lambda _: Reply("three"), time_scale=0) as server:
        client = openai.DefaultHttpxClient()
        llm = OpenAI(model="gpt-4o-mini", api_base=server.base_url, api_key="x", http_client=client)
        cached = CachedLLM(llm)
        cached.chat(ASK)
        for name, value in changes.items():
            setattr(llm, name, value)
        cached.chat(messages)
        assert len(server.requests) == 2
        cached.chat(messages)
        assert len(server.requests) == 2
        client.close()


def test_the_name_in_saved_form_is_its_own() -> None:
    """The peer inherits `base_component`."""
    assert CachedLLM.class_name() == "agentperf_cached_llm"
    assert CachedLLM(MockLLM()).to_dict()["class_name"] == "agentperf_cached_llm"


def test_to_dict_of_openai_holds_the_key_and_ours_does_not() -> None:
    llm = OpenAI(model="gpt-4o-mini", api_key="sk-secret", default_headers={"Authorization": "b"})
    assert "sk-secret" in str(llm.to_dict())
    saved = str(CachedLLM(llm).to_dict())
    assert "sk-secret" not in saved
    assert "Authorization" not in saved


def test_the_callers_history_stays_as_it_is() -> None:
    """`OpenAI._prepare_chat_with_tools` appends the user's message to the caller's own list."""
    with ScriptedEndpoint(lambda _: Reply("three"), time_scale=0) as server:
        client = openai.DefaultHttpxClient()
        llm = OpenAI(model="gpt-4o-mini", api_base=server.base_url, api_key="x", http_client=client)
        history = list(ASK)
        llm.chat_with_tools(TOOLS, user_msg="and 2 + 2?", chat_history=history)
        assert len(history) == 2, "upstream is repaired"
        history = list(ASK)
        CachedLLM(llm).chat_with_tools(TOOLS, user_msg="and 2 + 2?", chat_history=history)
        assert history == ASK
        client.close()


async def test_one_call_of_a_custom_llm_fires_three_start_events(counting: Counting) -> None:
    """So handlers count its tokens three times (#13748): the recorder counts one call."""
    with instrument() as seen:
        await MockLLM(max_tokens=3).achat(ASK)
    starts = counting.count("LLMChatStartEvent") + counting.count("LLMCompletionStartEvent")
    assert starts == 3
    assert len(seen.report().llm_calls) == 1


def test_the_wrapper_adds_no_events_and_a_hit_has_none(counting: Counting) -> None:
    llm = CachedLLM(MockFunctionCallingLLM(response_generator=desk))
    llm.chat(ASK)
    assert counting.count("LLMChatStartEvent") == 1
    llm.chat(ASK)
    assert counting.count("LLMChatStartEvent") == 1
    assert counting.count("CacheHitEvent") == 1


def test_a_token_counter_does_not_count_a_hit() -> None:
    counter = TokenCountingHandler(tokenizer=tiktoken.get_encoding("cl100k_base").encode)
    with ScriptedEndpoint(lambda _: Reply("three"), time_scale=0) as server:
        client = openai.DefaultHttpxClient()
        llm = OpenAI(
            model="gpt-4o-mini",
            api_base=server.base_url,
            api_key="x",
            http_client=client,
            callback_manager=CallbackManager([counter]),
        )
        cached = CachedLLM(llm)
        cached.chat(ASK)
        once = counter.total_llm_token_count
        cached.chat(ASK)
        list(cached.stream_chat(ASK))
        assert counter.total_llm_token_count == once > 0
        client.close()


LONG = ChatMessage(role=MessageRole.SYSTEM, content="You are the support desk. " * 400)


def _script(_: ChatRequest) -> Reply:
    return Reply("Order 7 has shipped.", reasoning_tokens=8)


@pytest.mark.parametrize("include", [True, False], ids=["asked for", "not asked for"])
def test_a_streamed_call_has_usage(include: bool) -> None:
    """Streams report usage only when asked (#16721), and counters then show zero (#19740)."""
    options = {"stream_options": {"include_usage": True}} if include else {}
    with ScriptedEndpoint(_script, time_scale=0) as server, instrument() as seen:
        client = openai.DefaultHttpxClient()
        llm = OpenAI(
            model="gpt-4o-mini",
            api_base=server.base_url,
            api_key="x",
            http_client=client,
            additional_kwargs=options,
        )
        list(llm.stream_chat([LONG, *ASK]))
        client.close()
    (call,) = seen.report().llm_calls
    assert call.usage is not None
    assert call.usage.estimated is not include
    assert call.usage.input_tokens > 1000
    assert call.usage.output_tokens > 0
    assert call.ttft_s is not None
    assert call.attributes["finish_reason"] == "stop"


def test_cached_and_reasoning_tokens_are_told_apart() -> None:
    """`TokenCountingHandler` has no field for either (#17372)."""
    with ScriptedEndpoint(_script, time_scale=0) as server, instrument() as seen:
        client = openai.DefaultHttpxClient()
        llm = OpenAI(model="gpt-4o-mini", api_base=server.base_url, api_key="x", http_client=client)
        for _ in range(2):
            llm.chat([LONG, *ASK])
        client.close()
    first, second = seen.report().llm_calls
    assert first.usage is not None
    assert second.usage is not None
    assert first.usage.cached_input_tokens == 0
    assert second.usage.cached_input_tokens > 1000
    assert second.usage.reasoning_tokens == 8


def test_simple_span_handler_keeps_every_span_and_ours_none() -> None:
    root, simple = get_dispatcher(), SimpleSpanHandler()
    root.add_span_handler(simple)  # pyright: ignore[reportUnknownMemberType] - untyped upstream
    llm = MockFunctionCallingLLM(response_generator=desk)
    with instrument() as seen:
        for _ in range(400):
            llm.chat(ASK)
        assert len(simple.completed_spans) == 400
        assert seen.open_spans() == 0
        assert len(seen.recorder.traces()) == 256
    root.span_handlers = [h for h in root.span_handlers if h is not simple]


def test_a_stream_closed_early_has_no_end_event_and_yet_ends(counting: Counting) -> None:
    with instrument() as seen:
        stream = MockFunctionCallingLLM(response_generator=desk).stream_chat(ASK)
        next(stream)
        stream.close()
        del stream
        gc.collect()
        assert seen.recorder.open_runs() == 0
    assert counting.count("LLMChatEndEvent") == 0
    assert [call.status for call in seen.report().llm_calls] == ["cancelled"]


async def test_agents_emit_no_tool_events_and_the_recorder_has_the_tools(
    counting: Counting,
) -> None:
    """`AgentToolCallEvent` exists and is never sent (#18776)."""
    llm = MockFunctionCallingLLM(response_generator=desk)
    agent: Any = FunctionAgent(llm=llm, tools=TOOLS)
    with instrument() as seen:
        await agent.run(user_msg="1 + 2")
    assert counting.count("AgentToolCallEvent") == 0
    assert [tool.name for tool in seen.report().tool_calls] == ["add"]


def test_what_a_handler_raises_is_swallowed() -> None:
    """So a handler cannot enforce a budget, and ours reports its own faults on the bus instead."""

    class Raising(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            raise SystemExit

    root, handler = get_dispatcher(), Raising()
    root.add_event_handler(handler)
    assert MockLLM(max_tokens=1).complete("x").text == "text"
    root.event_handlers = [h for h in root.event_handlers if h is not handler]
