"""Fitting every call of an agent to its model, and `fit_messages` in chains."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel
from scripted_models import ScriptedChat, call, say
from test_sliding_window import conversations, given_, question, working

from agentperf_core.accounting import ModelProfile, ModelRegistry, TokenCounter
from agentperf_core.context import ContextOverflow
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS, DecisionMade
from agentperf_core.testing import chat_objections
from langchain_agentperf import ContextFitMiddleware, fit_messages
from langchain_agentperf._definitions import format_definitions, tool_definitions
from langchain_agentperf._messages import to_core

WORDS = TokenCounter(lambda text: len(text.split()))


@tool
def look(at: int, why: str = "") -> str:
    """Look at a place and say what is there, however quiet it may be, in many words."""
    return f"place {at} is " + "quiet " * 12


class Place(BaseModel):
    """A place and what is there."""

    where: str
    quiet: bool


def done(number: int, messages: list[BaseMessage]) -> AIMessage:
    return say("done")


def sent(model: ScriptedChat, call_number: int = -1, tools: Any = (look,)) -> int:
    """What a call cost, all of it, counted apart from the code under test."""
    definitions = [convert_to_openai_tool(one) for one in tools]
    return WORDS.count_messages(map(to_core, model._calls[call_number]), tools=definitions)


def test_system_prompt_tools_history_and_answer_fit_together():
    """LangChain #34664: tools and system prompt were not counted, and the call overflowed."""
    model = ScriptedChat(answer=working)
    fit = ContextFitMiddleware(context_tokens=400, reserve_output=60, counter=WORDS)
    agent = create_agent(
        model,
        [look],
        system_prompt="Be brief. " * 20,
        middleware=[fit],
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "t"}}
    for number in range(30):
        answer: Any = agent.invoke(question(number), config)["messages"][-1]
        record = answer.response_metadata["agentperf"]["context"]
        assert record["tokens"] == sent(model) <= 340
        assert record["context_tokens"] == 400
    for prompt in model._calls:
        assert chat_objections(convert_to_openai_messages(prompt)) == []  # pyright: ignore[reportArgumentType] - a list for a list


async def test_the_models_own_profile_says_what_fits():
    model = ScriptedChat(answer=done, profile={"max_input_tokens": 1300})
    agent = create_agent(model, middleware=[ContextFitMiddleware(counter=WORDS)])
    history = [("user" if n % 2 == 0 else "ai", "word " * 20) for n in range(41)]
    state: Any = await agent.ainvoke(given_(*history))
    record = state["messages"][-1].response_metadata["agentperf"]["context"]
    assert record["context_tokens"] == 1300
    assert record["left_out"] > 20
    assert sent(model, tools=()) <= 1300 - 1024


def test_what_nobody_knows_is_left_alone_and_said_so():
    model = ScriptedChat(answer=done, model="nobody-knows-it")
    agent = create_agent(model, middleware=[ContextFitMiddleware()])
    state: Any = agent.invoke(given_(*[("user", "word " * 2000)] * 9))
    record = state["messages"][-1].response_metadata["agentperf"]["context"]
    assert (record["context_tokens"], record["left_out"]) == (None, 0)
    assert len(model._calls[0]) == 9


def test_an_override_in_the_registry_wins():
    registry = ModelRegistry()
    registry.override(ModelProfile("scripted-1", context_tokens=1200))
    model = ScriptedChat(answer=done, profile={"max_input_tokens": 100_000})
    agent = create_agent(model, middleware=[ContextFitMiddleware(registry=registry, counter=WORDS)])
    state: Any = agent.invoke(given_(*[("user", "word " * 20)] * 30))
    name = "agentperf"
    assert state["messages"][-1].response_metadata[name]["context"]["context_tokens"] == 1200


def test_a_longer_answer_gets_more_room():
    class Long(ScriptedChat):
        max_tokens: int = 300

        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {"max_tokens": self.max_tokens}

    fit = ContextFitMiddleware(context_tokens=500, reserve_output=10, counter=WORDS)
    history = given_(*[("user" if n % 2 == 0 else "ai", "word " * 20) for n in range(41)])
    long = Long(answer=done)
    create_agent(long, middleware=[fit]).invoke(history)
    usual = ScriptedChat(answer=done)
    create_agent(usual, middleware=[fit]).invoke(history)
    assert sent(long, tools=()) <= 200 < sent(usual, tools=()) <= 490


def test_a_response_format_is_counted_as_what_is_sent_for_it():
    for wanted in (Place, ToolStrategy(Place), ProviderStrategy(Place)):
        (definition,) = format_definitions(wanted)
        assert definition["function"]["name"] == "Place"
        assert "quiet" in definition["function"]["parameters"]["properties"]
    assert format_definitions(None) == []


def test_tools_of_providers_are_counted_as_they_are():
    builtin = {"type": "web_search_preview"}
    found = tool_definitions([look, builtin, look])
    assert found[0]["function"]["name"] == "look"
    assert found[0] is found[2]
    assert WORDS.count_tools(found) > 0


def test_a_structured_answer_still_comes_through():
    def answer(number: int, messages: list[BaseMessage]) -> AIMessage:
        return say("", call("Place", where="here", quiet=True))

    agent = create_agent(
        ScriptedChat(answer=answer),
        middleware=[ContextFitMiddleware(context_tokens=3000)],
        response_format=ToolStrategy(Place),
    )
    state: Any = agent.invoke(given_(("user", "Where?")))
    assert state["structured_response"] == Place(where="here", quiet=True)


def test_what_was_removed_is_a_decision():
    events: list[Any] = []
    stop = BUS.subscribe(events.append)
    try:
        fit = ContextFitMiddleware(context_tokens=200, reserve_output=50, counter=WORDS)
        agent = create_agent(ScriptedChat(answer=done), middleware=[fit])
        agent.invoke(given_(*[("user", "secret " * 20)] * 30))
    finally:
        stop()
    (event,) = [one for one in events if isinstance(one, DecisionMade)]
    assert (event.room, event.outcome) == ("context", "cut")
    assert "secret" not in str(event)


def test_tools_that_leave_no_room_are_an_error_that_says_so():
    fit = ContextFitMiddleware(context_tokens=60, reserve_output=50, counter=WORDS)
    agent = create_agent(ScriptedChat(answer=done), [look], middleware=[fit])
    with pytest.raises(ContextOverflow, match="send fewer tools"):
        agent.invoke(given_(("user", "hi")))


HISTORY: list[Any] = [
    SystemMessage("Be brief."),
    *[HumanMessage(f"q{n} " * 9) if n % 2 == 0 else AIMessage(f"a{n} " * 9) for n in range(30)],
    HumanMessage("The last one?"),
]


def test_fit_messages_in_place_of_trim_messages():
    fitted = fit_messages(HISTORY, max_tokens=100, token_counter=WORDS)
    assert fitted[0] is HISTORY[0]
    assert fitted[-1] is HISTORY[-1]
    assert WORDS.count_messages(map(to_core, fitted)) <= 100
    assert fit_messages(fitted, max_tokens=100, token_counter=WORDS) == fitted


def test_fit_messages_in_a_chain():
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Be brief."), MessagesPlaceholder("history")]
    )
    model = ScriptedChat(answer=done)
    chain: Any = prompt | fit_messages(max_tokens=100, token_counter=WORDS) | model
    assert chain.invoke({"history": HISTORY[1:]}).text == "done"
    assert model._calls[0][0].text == "Be brief."
    assert model._calls[0][-1].text == "The last one?"
    assert len(model._calls[0]) < 10


async def test_the_runnable_follows_a_conversation():
    fit: Any = fit_messages(max_tokens=400, token_counter=WORDS)
    before: list[BaseMessage] = []
    kept = 0
    for upto in range(2, len(HISTORY), 2):
        fitted = await fit.ainvoke(HISTORY[:upto])
        kept += fitted[: len(before)] == before
        before = fitted
    assert kept >= 12


def test_tools_and_the_answer_take_their_share():
    alone = fit_messages(HISTORY, max_tokens=200, token_counter=WORDS)
    beside = fit_messages(
        HISTORY, max_tokens=200, token_counter=WORDS, tools=[look], reserve_output=60
    )
    assert len(beside) < len(alone)


@pytest.mark.parametrize(
    "counting",
    [
        None,
        "approximate",
        lambda messages: sum(len(m.text) for m in messages),
        ScriptedChat(profile={"max_input_tokens": 300}),
    ],
    ids=["default", "approximate", "function", "model"],
)
def test_tokens_are_counted_as_the_caller_wants(counting: Any):
    limit = None if isinstance(counting, BaseChatModel) else 300
    fitted = fit_messages(HISTORY, max_tokens=limit, token_counter=counting)
    assert fitted[0] is HISTORY[0]
    assert fitted[-1] is HISTORY[-1]
    assert 2 < len(fitted) < len(HISTORY)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give max_tokens"),
        ({"token_counter": ScriptedChat(model="nobody-knows-it")}, "give max_tokens"),
        ({"max_tokens": 100, "token_counter": 7}, "leave it out for the tokens of gpt-4o"),
        ({"max_tokens": 100, "reserve_output": 100}, "leaves no room"),
    ],
)
def test_arguments_that_mean_nothing(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as caught:
        fit_messages(HISTORY, **options)
    assert said in str(caught.value)


@settings(max_examples=60)
@given(conversations())
def test_whatever_is_fitted_is_valid_and_stays_so(history: list[BaseMessage]):
    asked = [SystemMessage("Be brief."), *history, HumanMessage("And the last one?")]
    fitted = fit_messages(asked, max_tokens=500, token_counter=WORDS)
    assert WORDS.count_messages(map(to_core, fitted)) <= 500
    assert fitted[0] is asked[0]
    assert fitted[-1] is asked[-1]
    calls = [
        c["id"]
        for m in fitted
        if isinstance(m, AIMessage)
        for c in (*m.tool_calls, *m.invalid_tool_calls)
    ]
    assert calls == [m.tool_call_id for m in fitted if isinstance(m, ToolMessage)]
    again = fit_messages(fitted, max_tokens=500, token_counter=WORDS)
    assert [m.content for m in again] == [m.content for m in fitted]


def test_a_chain_may_go_on_with_the_list():
    chain: Any = fit_messages(max_tokens=100, token_counter=WORDS) | RunnableLambda(len)
    assert chain.invoke(HISTORY) < 10


def test_large_arguments_of_a_call_are_cut_in_either_form():
    """The agent's run ended with an overflow: its last call alone was larger than the window."""
    text = "line of code\n" * 2000
    calling = AIMessage("", tool_calls=[{"name": "write", "args": {"text": text}, "id": "c"}])
    blocks: list[str | dict[Any, Any]] = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "tool_use", "id": "c", "name": "write", "input": {"text": text}},
    ]
    for message in (calling, AIMessage(blocks, tool_calls=calling.tool_calls)):
        given_history = [HumanMessage("write it"), message, ToolMessage("ok", tool_call_id="c")]
        found = fit_messages(given_history, max_tokens=120, token_counter=WORDS)
        assert sum(WORDS.count_message(to_core(one)) for one in found) <= 120
        sent_ = found[1]
        assert isinstance(sent_, AIMessage)
        assert "characters left out" in sent_.tool_calls[0]["args"]["text"]
        assert text not in str(sent_.content)
        assert chat_objections([convert_to_openai_messages(one) for one in found]) == []
        assert message.tool_calls[0]["args"]["text"] == text


def test_a_state_is_not_taken_for_its_keys():
    """`pre_model_hook=fit_messages(...)` sent "messages" and "remaining_steps" to the model."""
    with pytest.raises(ConfigError, match=r"pass state\['messages'\]"):
        fit_messages(max_tokens=100).invoke({"messages": [HumanMessage("hello")]})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_bound_is_called_as_it_was_given():
    with pytest.raises(ConfigError, match="max_tokens must be a whole number >= 1, got 0"):
        fit_messages(max_tokens=0)
    with pytest.raises(ConfigError, match="pin must be a function, got 'x'"):
        fit_messages(max_tokens=10, pin="x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def test_the_first_call_does_not_hold_the_event_loop(monkeypatch: pytest.MonkeyPatch):
    """Loading a vocabulary takes a third of a second; it did so between two awaits."""
    threads: list[bool] = []
    counted = TokenCounter.for_model

    def for_model(model: str) -> TokenCounter:
        threads.append(threading.current_thread() is threading.main_thread())
        return counted(model)

    monkeypatch.setattr(TokenCounter, "for_model", for_model)
    agent = create_agent(ScriptedChat(answer=done), middleware=[ContextFitMiddleware()])
    await agent.ainvoke({"messages": [HumanMessage("hello")]})
    assert threads == [False]
