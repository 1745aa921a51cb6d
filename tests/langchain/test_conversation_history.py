"""`ConversationHistory`: what a session said comes back as it was, from wherever it is kept."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core._api.deprecation import LangChainDeprecationWarning
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from scripted_models import ScriptedChat, call, say

from agentperf_core.bench.servers import RedisServer
from agentperf_core.cache.conversations import (
    Conversations,
    ConversationUnavailable,
    RedisConversations,
)
from agentperf_core.errors import CodecError, ConfigError
from agentperf_core.events import BUS
from langchain_agentperf import ConversationHistory

TALK: Sequence[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Where is order 7?", name="ana", id="m1"),
    AIMessage(
        "",
        tool_calls=[call("find", "c1", order=7)],
        usage_metadata=UsageMetadata(input_tokens=10, output_tokens=5, total_tokens=15),
        response_metadata={"model_name": "m", "logprobs": None},
    ),
    ToolMessage("in Ghent", tool_call_id="c1", artifact={"rows": [1, 2]}, status="success"),
    AIMessage([{"type": "text", "text": "In Ghent."}, {"type": "reasoning", "id": "r"}]),
    HumanMessage(
        [
            {"type": "text", "text": "And this one?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/label.png"}},
        ]
    ),
    ChatMessage(content="as you wish", role="butler"),
    AIMessageChunk(content="cut off"),
]


def test_messages_come_back_as_they_were(conversations: Conversations) -> None:
    """All kinds, with ids, calls, usage, artifacts and blocks."""
    ConversationHistory("s", conversations).add_messages(TALK)
    assert ConversationHistory("s", conversations).messages == list(TALK)
    assert ConversationHistory("other", conversations).messages == []
    assert ConversationHistory("s", conversations, tenant="t").messages == []


async def test_async_methods_do_the_same(conversations: Conversations) -> None:
    """And need no thread of LangChain's."""
    history = ConversationHistory("s", conversations)
    await history.aadd_messages(TALK[:2])
    await history.aadd_messages(TALK[2:])
    assert await history.aget_messages() == list(TALK)
    await history.aclear()
    assert await history.aget_messages() == []
    await conversations.aclose()


async def test_fifty_writers_on_one_session_lose_nothing(conversations: Conversations) -> None:
    """Each adds a question and its answer, which stay together."""

    async def write(number: int) -> None:
        history = ConversationHistory("s", conversations)
        await history.aadd_messages([HumanMessage(f"{number}"), AIMessage(f"re {number}")])

    await asyncio.gather(*map(write, range(50)))
    found = await ConversationHistory("s", conversations).aget_messages()
    pairs = [(found[at].content, found[at + 1].content) for at in range(0, 100, 2)]
    assert sorted(pairs) == sorted((f"{n}", f"re {n}") for n in range(50))
    await conversations.aclose()


def test_an_agent_goes_on_where_another_process_stopped(conversations: Conversations) -> None:
    """The trajectory of one run, tools included, is the start of the next."""

    @tool
    def find(order: int) -> str:
        """Find an order."""
        return f"order {order} is in Ghent"

    def answer(number: int, messages: list[BaseMessage]) -> AIMessage:
        return say("", call("find", order=7)) if number == 1 else say(f"{len(messages)} seen")

    history = ConversationHistory("s", conversations)
    agent: Any = create_agent(ScriptedChat(answer=answer), [find])
    first = agent.invoke({"messages": [*history.messages, HumanMessage("Where is it?")]})
    history.add_messages(first["messages"])
    again = ConversationHistory("s", conversations)
    second = agent.invoke({"messages": [*again.messages, HumanMessage("Sure?")]})
    assert [message.type for message in again.messages] == ["human", "ai", "tool", "ai"]
    assert second["messages"][-1].content == "5 seen"


def test_runnable_with_message_history(conversations: Conversations) -> None:
    """The legacy wrapper takes it as a factory of histories."""
    prompt = ChatPromptTemplate.from_messages(
        [MessagesPlaceholder("history"), ("human", "{question}")]
    )
    seen: list[int] = []

    def answer(number: int, messages: list[BaseMessage]) -> AIMessage:
        seen.append(len(messages))
        return say(f"answer {number}")

    make: Callable[[str], ConversationHistory] = lambda session_id: ConversationHistory(  # noqa: E731
        session_id, conversations
    )
    with pytest.warns(LangChainDeprecationWarning):
        chain: Any = RunnableWithMessageHistory(
            prompt | ScriptedChat(answer=answer),
            make,
            input_messages_key="question",
            history_messages_key="history",
        )
    config = {"configurable": {"session_id": "s"}}
    for _ in range(3):
        chain.invoke({"question": "hi"}, config)
    assert seen == [1, 3, 5]
    assert len(ConversationHistory("s", conversations).messages) == 6


def test_what_json_lacks() -> None:
    """A tool's own object beside its answer becomes text, and no number breaks a conversation."""

    class Row:
        def __str__(self) -> str:
            return "row 1"

    history = ConversationHistory("s")
    history.add_message(ToolMessage("found", tool_call_id="c", artifact=Row()))
    history.add_message(AIMessage("x", response_metadata={"logprob": -math.inf}))
    found: Any = history.messages
    assert found[0].artifact == "row 1"
    assert found[1].response_metadata == {"logprob": -math.inf}
    with pytest.raises(CodecError, match="plain data"):
        history.add_message(HumanMessage("x", additional_kwargs={"raw": b"\xff"}))


ODD: dict[str, Any] = {
    "a whole number of 74 bits": 12345678901234567890123,
    "a whole number of 81 bits": 2**80,
    "infinity": [math.inf, -math.inf],
    "half a character": "half \ud83d of one",
    "a name of ours": {"json": "{}"},
    "plain data": {"n": 2**63, "x": [1.5, None, True], "": {}},
}


@pytest.mark.parametrize("name", ODD)
def test_arguments_of_tools_come_back_as_they_were(conversations: Conversations, name: str) -> None:
    """A large order number once came back as a float, and infinity as nothing."""
    said = [AIMessage("", tool_calls=[call("find", "c1", order=ODD[name])]), AIMessage("next")]
    history = ConversationHistory("s", conversations)
    history.add_messages(said)
    assert history.messages == said
    assert history.messages[0].model_dump() == said[0].model_dump()


def test_no_number_comes_back_as_no_number() -> None:
    """NaN is no null; it equals nothing, so it has a test of its own."""
    history = ConversationHistory("s")
    history.add_message(HumanMessage("x", additional_kwargs={"score": math.nan}))
    assert math.isnan(history.messages[0].additional_kwargs["score"])


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "[" * 100_000, "9" * 5000, 5, None])
def test_a_damaged_text_is_left_out(text: Any) -> None:
    """What the store holds in place of such a message takes nobody down."""
    conversations = Conversations()
    conversations.of("s").append([{"json": text}])
    before = BUS.faults().get("history.codec", 0)
    assert ConversationHistory("s", conversations).messages == []
    assert BUS.faults()["history.codec"] - before == 1


def test_an_object_without_a_text_is_refused() -> None:
    """Whatever its own methods raise."""

    class Shy:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    history = ConversationHistory("s")
    with pytest.raises(CodecError, match="a ToolMessage must be plain data to be kept"):
        history.add_message(ToolMessage("x", tool_call_id="c", artifact=Shy()))
    assert history.messages == []


@pytest.mark.parametrize("given", [["x"], [HumanMessage("fine"), 5], [("user", "x")], "x", None, 5])
async def test_only_messages_are_added(given: Any) -> None:
    """They were errors of missing attributes."""
    history = ConversationHistory("s")
    with pytest.raises(ConfigError, match=r"must be a (list of )?BaseMessage, got"):
        history.add_messages(given)
    with pytest.raises(ConfigError, match=r"must be a (list of )?BaseMessage, got"):
        await history.aadd_messages(given)
    with pytest.raises(ConfigError, match="got a HumanMessage; put one into a list"):
        history.add_messages(HumanMessage("x"))  # pyright: ignore[reportArgumentType]
    assert history.messages == []


def test_a_poisoned_store_gives_messages_only() -> None:
    """No class of a stored text is looked up; what is no message is left out and told."""
    conversations = Conversations()
    talk = conversations.of("s")
    talk.append(
        [
            {"type": "human", "data": {"type": "human", "content": "hi"}},
            {"type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}},
            {"lc": 1, "type": "secret", "data": {}},
            {"type": "human", "data": {"content": 7}},
            {"type": "ai", "data": []},
        ]
    )
    before = BUS.faults().get("history.codec", 0)
    assert ConversationHistory("s", conversations).messages == [HumanMessage("hi")]
    assert BUS.faults()["history.codec"] - before == 4


def test_a_store_that_is_down(own_server: RedisServer, namespace: str) -> None:
    """The conversation in hand stays whole; one that nobody read here is no empty one."""
    store = RedisConversations(own_server.url, namespace=namespace, timeout_s=10.0)
    with Conversations(store) as conversations:
        history = ConversationHistory("s", conversations)
        history.add_user_message("before")
        assert len(history.messages) == 1
        own_server.stop()
        history.add_ai_message("during")
        assert [message.content for message in history.messages] == ["before", "during"]
        assert conversations.waiting == 1
        with pytest.raises(ConversationUnavailable):
            _ = ConversationHistory("other", conversations).messages


def test_bad_arguments() -> None:
    """The mistake is named."""
    with pytest.raises(ConfigError, match="address of a store"):
        ConversationHistory("s", "mongodb://localhost")
    with pytest.raises(ConfigError, match="has a session"):
        ConversationHistory("")
