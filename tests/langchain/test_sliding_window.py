"""The sliding window around real agents: valid, within its bound, prefix-stable, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
)
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from scripted_models import ScriptedChat, call, say

from agentperf_core.accounting import TokenCounter
from agentperf_core.context import ContextOverflow, RecallSettings
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS, DecisionMade
from agentperf_core.testing import chat_objections
from langchain_agentperf import ResponseCacheMiddleware, SlidingWindowMiddleware, recall_tool
from langchain_agentperf._messages import to_core

WORDS = TokenCounter(lambda text: len(text.split()))


@tool
def look(at: int) -> str:
    """Look at a place."""
    return f"place {at} is " + "quiet " * 12


def working(number: int, messages: list[BaseMessage]) -> AIMessage:
    """Looks at two places after each question, then answers."""
    steps = 0
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            break
        steps += isinstance(message, ToolMessage)
    if steps < 2:
        return say(
            f"step {steps}",
            call("look", f"c{number}-0", at=number),
            call("look", f"c{number}-1", at=0),
        )
    return say("All is quiet there, as far as I can see.")


def wire(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    return convert_to_openai_messages([*messages])  # pyright: ignore[reportReturnType] - a list for a list


def cost(messages: Sequence[BaseMessage]) -> int:
    return sum(WORDS.count_message(to_core(message)) for message in messages)


def given_(*messages: Any) -> Any:
    """What an agent is called with; its own type for that is stricter than the agent is."""
    return {"messages": [*messages]}


def question(number: int) -> Any:
    return given_(("user", f"Question {number}?"))


def window(**options: Any) -> SlidingWindowMiddleware:
    merged: dict[str, Any] = {"max_tokens": 240, "counter": WORDS, **options}
    return SlidingWindowMiddleware(**merged)


def test_a_long_tool_conversation_stays_valid_and_within_its_bound():
    """Forty questions with parallel tool calls, seen as the model sees them."""
    model = ScriptedChat(answer=working)
    agent = create_agent(
        model,
        [look],
        system_prompt="Be brief.",
        middleware=[window()],
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "t"}}
    state: Any = None
    for number in range(40):
        state = agent.invoke(question(number), config)
    assert model.calls == 80
    for prompt in model._calls:
        assert chat_objections(wire(prompt)) == []
        assert cost(prompt) <= 240
        assert prompt[0].text == "Be brief."
    asked = [m.text for m in model._calls[-1] if isinstance(m, HumanMessage)]
    assert asked[-1] == "Question 39?"
    assert len(state["messages"]) == 40 * 5  # nothing is lost to the checkpoint


def test_prompts_begin_with_each_other_between_two_cuts():
    """What a moving window loses with every turn, and this one with every tenth."""
    model = ScriptedChat(answer=working)
    agent = create_agent(
        model, [look], middleware=[window(max_tokens=600)], checkpointer=InMemorySaver()
    )
    config: Any = {"configurable": {"thread_id": "t"}}
    cuts = 0
    for number in range(40):
        state = agent.invoke(question(number), config)
        record = state["messages"][-1].response_metadata["agentperf"]["window"]
        cuts += bool(record["cuts"])
    prompts = model._calls
    broken = sum(
        [m.content for m in new[: len(old)]] != [m.content for m in old]
        for old, new in pairwise(prompts)
    )
    assert 0 < broken <= len(prompts) // 8
    assert cuts <= broken


async def test_awaited_agents_see_the_same_prompts():
    prompts: list[list[list[Any]]] = []
    for awaited in (False, True):
        model = ScriptedChat(answer=working)
        agent = create_agent(model, [look], middleware=[window()], checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "t"}}
        for number in range(12):
            asked = question(number)
            if awaited:
                await agent.ainvoke(asked, config)
            else:
                await asyncio.to_thread(agent.invoke, asked, config)
        prompts.append([[m.content for m in prompt] for prompt in model._calls])
    assert prompts[0] == prompts[1]


def test_a_restart_from_a_checkpoint_shows_the_same_window():
    """The middleware of another process reads the conversation anew and comes to the same cut."""
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}
    last: list[list[Any]] = []
    for share in (True, False):
        one, model = window(), ScriptedChat()
        for number in range(10):
            model = ScriptedChat(answer=working)
            middleware = one if share else window()
            agent = create_agent(model, [look], middleware=[middleware], checkpointer=saver)
            agent.invoke(question(number), config)
        last.append([m.content for m in model._calls[-1]])
        saver.delete_thread("t")
    assert [str(c).split("c")[0] for c in last[0]] == [str(c).split("c")[0] for c in last[1]]


contents: st.SearchStrategy[Any] = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=20)),
            st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}),
        ),
        max_size=3,
    ),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[BaseMessage]:
    """Messages as agents leave them behind, some of them broken."""
    found: list[BaseMessage] = [HumanMessage("Hello.")]
    for turn in range(draw(st.integers(1, 6))):
        found.append(HumanMessage(draw(contents) or "hm"))
        for step in range(draw(st.integers(0, 3))):
            ids = [f"{turn}.{step}.{n}" for n in range(draw(st.integers(0, 3)))]
            broken = [{"name": "look", "args": "{", "id": one, "error": None} for one in ids[2:]]
            calls = [{"name": "look", "args": {"at": 1}, "id": one} for one in ids[:2]]
            found.append(
                AIMessage(
                    draw(st.text(max_size=30)) or ("" if ids else "so"),
                    tool_calls=calls,
                    invalid_tool_calls=broken,
                )
            )
            found += [
                ToolMessage(draw(st.text(max_size=200)), tool_call_id=one)
                for one in ids
                if draw(st.integers(0, 9))
            ]
    return found


@settings(max_examples=60)
@given(conversations(), st.integers(400, 900), st.booleans())
def test_whatever_is_shown_is_valid_fits_and_keeps_what_it_must(
    history: list[BaseMessage], limit: int, prompted: bool
):
    model = ScriptedChat(answer=lambda n, messages: say("done"))
    agent = create_agent(
        model,
        [look],
        system_prompt="Be brief." if prompted else None,
        middleware=[window(max_tokens=limit)],
    )
    asked = HumanMessage("And the last one?")
    agent.invoke(given_(*history, asked))
    (shown,) = model._calls
    assert cost(shown) <= limit
    assert any(m.text == asked.text for m in shown if isinstance(m, HumanMessage))
    assert isinstance(shown[0], SystemMessage) == prompted
    objections = chat_objections(wire(shown))
    # LangChain's own converter leaves the calls out that nobody could parse.
    assert [one for one in objections if "without a call" not in one] == []
    again = ScriptedChat(answer=lambda n, messages: say("done"))
    twice = create_agent(again, [look], middleware=[window(max_tokens=limit)])
    twice.invoke(given_(*[m for m in shown if not isinstance(m, SystemMessage)]))
    assert [m.content for m in again._calls[0]] == [
        m.content for m in shown if not isinstance(m, SystemMessage)
    ]


def test_unchanged_messages_are_the_agents_own_objects():
    model = ScriptedChat(answer=lambda n, messages: say("done"))
    agent = create_agent(model, middleware=[window()])
    picture = HumanMessage([{"type": "image_url", "image_url": {"url": "x"}}], id="p")
    state = agent.invoke(given_(picture))
    assert model._calls[0][0].content is picture.content
    assert state["messages"][0] is picture


def test_pinned_messages_stay_and_huge_ones_are_made_smaller_as_asked():
    model = ScriptedChat(answer=lambda n, messages: say("done"))
    seen: list[int] = []

    def shorter(message: BaseMessage, tokens: int) -> BaseMessage:
        seen.append(tokens)
        return HumanMessage("short")

    middleware = window(pin=lambda message: message.name == "rule", oversize=shorter)
    agent = create_agent(model, middleware=[middleware])
    rule = HumanMessage("Never say never.", name="rule")
    talk = [("user" if n % 2 == 0 else "ai", "word " * 20) for n in range(30)]
    agent.invoke(given_(rule, *talk, ("user", "word " * 900)))
    texts = [m.text for m in model._calls[0]]
    assert texts[0] == rule.text
    assert texts[-1] == "short"
    assert seen[0] < 240


def test_what_no_step_can_make_fit_is_an_error_that_says_so():
    agent = create_agent(ScriptedChat(), middleware=[window(oversize="error")])
    with pytest.raises(ContextOverflow, match="raise the limit"):
        agent.invoke(given_(("user", "word " * 900)))


def told(middleware: SlidingWindowMiddleware) -> tuple[list[BaseMessage], AIMessage]:
    model = ScriptedChat(answer=lambda n, messages: say("done"))
    answer = create_agent(model, middleware=[middleware]).invoke(given_(*HISTORY))["messages"][-1]
    return model._calls[0], answer


HISTORY: list[Any] = [
    HumanMessage("My cat is called Miso.", additional_kwargs={"date": "2 May"}),
    *[HumanMessage(f"t{n} " * 12) if n % 2 == 0 else AIMessage(f"t{n} " * 12) for n in range(20)],
    HumanMessage("What is the name of my cat?"),
]


def test_what_a_question_needs_comes_back_behind_it_with_its_date():
    shown, answer = told(window(recall="auto"))
    assert shown[-2].text == "What is the name of my cat?"
    assert "[2 May]\nuser: My cat is called Miso." in shown[-1].text
    record = answer.response_metadata["agentperf"]["window"]
    assert record["recalled"]["tokens"] <= 60
    assert cost(shown) == record["tokens"] <= 240


def test_what_came_back_is_not_in_the_state():
    model = ScriptedChat(answer=lambda n, messages: say("done"))
    state = create_agent(model, middleware=[window(recall="always")]).invoke(given_(*HISTORY))
    assert len(state["messages"]) == len(HISTORY) + 1


@pytest.mark.parametrize("awaited", [False, True])
async def test_a_model_with_the_tool_searches_for_itself(awaited: bool):
    def asks(number: int, messages: list[BaseMessage]) -> AIMessage:
        if number == 1:
            return say("", call("recall_history", query="the cat's name"))
        return say(messages[-1].text)

    agent = create_agent(ScriptedChat(answer=asks), middleware=[window(recall="tool")])
    asked = given_(*HISTORY)
    state = await agent.ainvoke(asked) if awaited else agent.invoke(asked)
    assert "[2 May]\nuser: My cat is called Miso." in state["messages"][-1].text


def test_the_tool_says_when_there_is_nothing():
    middleware = window(recall=RecallSettings(when="auto"))
    finder = recall_tool(middleware, name="search", max_tokens=50)

    def asks(number: int, messages: list[BaseMessage]) -> AIMessage:
        return say("", call("search", query="boat")) if number == 1 else say(messages[-1].text)

    agent = create_agent(ScriptedChat(answer=asks), [finder], middleware=[middleware])
    state = agent.invoke(given_(*HISTORY))
    assert "Nothing that was said earlier matches" in state["messages"][-1].text


def test_a_window_that_recalls_nothing_cannot_be_searched():
    with pytest.raises(ConfigError, match="give recall='tool'"):
        window().find(HISTORY, "cat", max_tokens=10)


def test_cuts_are_decisions_on_the_bus():
    events: list[Any] = []
    stop = BUS.subscribe(events.append)
    try:
        told(window())
    finally:
        stop()
    (event,) = [event for event in events if isinstance(event, DecisionMade)]
    assert (event.room, event.outcome) == ("context", "cut")
    assert "left out now" in event.reason
    assert "Miso" not in str(event)


def test_the_window_of_messages_counts_no_system_prompt():
    model = ScriptedChat(answer=lambda n, messages: say("done"))
    agent = create_agent(
        model,
        system_prompt="Be brief.",
        middleware=[SlidingWindowMiddleware(max_messages=4)],
    )
    agent.invoke(given_(*HISTORY))
    assert 1 < len(model._calls[0]) <= 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "bounded by max_tokens or by max_messages"),
        ({"max_tokens": 10, "recall": "never"}, "when is 'auto'"),
        ({"max_tokens": 10, "reserve": 9, "recall": "auto"}, "leaves no room"),
    ],
)
def test_arguments_that_mean_nothing(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as caught:
        SlidingWindowMiddleware(**options)
    assert said in str(caught.value)


def test_a_response_cache_behind_the_window_knows_requests_as_they_are_sent():
    """In front of it, it keeps nothing that was cut behind it."""
    history = [("user" if n % 2 == 0 else "ai", f"message {n}") for n in range(31)]
    for behind, outcomes, calls in ((True, ["miss", "hit"], 1), (False, ["bypass", "bypass"], 2)):
        model = ScriptedChat(answer=lambda number, messages: say(f"answer {number}"))
        both = [SlidingWindowMiddleware(max_messages=6), ResponseCacheMiddleware()]
        agent = create_agent(model, middleware=both if behind else [*reversed(both)])
        asked: Any = {"messages": history}
        said = [agent.invoke(asked)["messages"][-1] for _ in range(2)]
        marks = [message.response_metadata["agentperf"] for message in said]
        assert [mark["cache"]["outcome"] for mark in marks] == outcomes
        assert [mark["window"]["left_out"] for mark in marks] == [28, 28]
        assert model.calls == calls
