"""A stored answer in LangChain's event protocol: each block and each tool call once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from langchain_agentperf.chat_models._replay import ReplayChatModel
from tests.langchain.scripted_models import ScriptedChat, call, say
from tests.langchain.test_response_cache import cached

pytestmark = [
    pytest.mark.filterwarnings("ignore:The v3 streaming protocol on Pregel is experimental"),
    pytest.mark.filterwarnings("ignore:The method `BaseChatModel._a?chat_model_stream_v3`"),
]

OSLO = call("weather", "t1", city="Oslo")
STANDARD = {"type": "tool_call", "id": "t1", "name": "weather", "args": {"city": "Oslo"}}


@dataclass(frozen=True)
class Case:
    """An answer as one of the integrations keeps it."""

    name: str
    content: Any
    calls: tuple[Any, ...] = (OSLO,)
    provider: str = ""
    version: str = ""
    text: str = "hi you"


HI = {"type": "text", "text": "hi you"}
CASES = (
    Case("text and calls", "hi you"),
    Case("calls alone", "", text=""),
    Case("standard content", [{**HI, "index": 0}, STANDARD], version="v1"),
    Case("standard calls alone", [STANDARD], version="v1", text=""),
    Case(
        "anthropic",
        [HI, {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}],
        provider="anthropic",
    ),
    Case(
        "openai responses",
        [
            HI,
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "t1",
                "name": "weather",
                "arguments": '{"city":"Oslo"}',
            },
        ],
        provider="openai",
    ),
    Case("calls beside blocks", [HI], provider="openai"),
    Case("two calls", "hi you", calls=(OSLO, call("weather", "t2", city="Bergen"))),
    Case("reasoning", [{"type": "reasoning", "reasoning": "well"}, HI], calls=(), version="v1"),
)


def replay(case: Case) -> ReplayChatModel:
    metadata = {"model_provider": case.provider, "output_version": case.version}
    answer = AIMessage(
        content=case.content,
        tool_calls=list(case.calls),
        response_metadata={key: value for key, value in metadata.items() if value},
    )
    return ReplayChatModel.of(answer, FakeListChatModel(responses=["x"]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_text_and_each_call_come_once(case: Case) -> None:
    stream = replay(case).stream_events("?", version="v3")
    list(stream)
    assert stream.output.text == case.text
    assert [(c["id"], c["args"]) for c in stream.output.tool_calls] == [
        (c["id"], c["args"]) for c in case.calls
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_async_gives_the_same(case: Case) -> None:
    stream = await replay(case).astream_events("?", version="v3")
    async for _ in stream:
        pass
    answer = await stream.output
    assert (answer.text, len(answer.tool_calls)) == (case.text, len(case.calls))


def test_text_comes_in_pieces() -> None:
    events: list[Any] = list(replay(CASES[0]).stream_events("?", version="v3"))
    pieces = [e["delta"]["text"] for e in events if e["event"] == "content-block-delta"]
    assert pieces == ["hi ", "you"]


def test_an_agent_runs_the_tool_of_a_hit_once() -> None:
    """The answer was stored from such a stream too, so its content holds the call."""
    ran: list[str] = []

    @tool
    def weather(city: str) -> str:
        """The weather."""
        ran.append(city)
        return "sunny"

    def script(number: int, messages: list[BaseMessage]) -> AIMessage:
        asked = isinstance(messages[-1], HumanMessage)
        return say("Let me see. ", OSLO) if asked else say("Sunny.")

    model = ScriptedChat(answer=script)
    agent = cached(model, [weather])
    question: Any = {"messages": [HumanMessage("How is the weather in Oslo?")]}
    for expected in (1, 2, 3):
        messages: list[BaseMessage] = agent.stream_events(question, version="v3").output["messages"]
        assert ran == ["Oslo"] * expected
        assert [type(m) for m in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert model.calls == 2
