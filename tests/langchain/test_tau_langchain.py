"""Recorded tool conversations through a real agent: every prompt valid, none over its bound."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from scripted_models import ScriptedChat

from agentperf_core.accounting import TokenCounter
from agentperf_core.testing import chat_objections
from langchain_agentperf import ContextFitMiddleware, SlidingWindowMiddleware
from langchain_agentperf._messages import to_core
from tests.tau_sessions import Session, needs_tau, sessions

COUNTER = TokenCounter.for_encoding("o200k_base")
ANY: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": True}


def replayed(session: Session, middleware: Any) -> list[list[BaseMessage]]:
    """The prompts of an agent that says and finds what was recorded."""
    said = session.messages("assistant")
    found = session.messages("tool")

    def answer(number: int, messages: list[BaseMessage]) -> AIMessage:
        one = next(said)
        calls = [
            {
                "id": call["id"],
                "name": call["function"]["name"],
                "args": json.loads(call["function"]["arguments"]),
            }
            for call in one.get("tool_calls") or ()
        ]
        return AIMessage(one["content"] or "", tool_calls=calls)

    def look(**_: Any) -> str:
        return str(next(found)["content"])

    tools = [
        StructuredTool.from_function(look, name=name, description=name, args_schema=ANY)
        for name in sorted(session.tools)
    ]
    model = ScriptedChat(answer=answer)
    agent = create_agent(
        model,
        tools,
        system_prompt=session.system,
        middleware=[middleware],
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "t"}}
    for text, _ in session.turns:
        agent.invoke({"messages": [("user", text)]}, config)  # pyright: ignore[reportArgumentType] - its own type is stricter than it is
    return model._calls


@needs_tau
@pytest.mark.parametrize("number", range(3))
def test_recorded_conversations_through_the_window(number: int):
    session = sessions(number + 1)[number]
    window = SlidingWindowMiddleware(max_tokens=6144, recall="auto", counter=COUNTER)
    prompts = replayed(session, window)
    assert len(prompts) > 60
    for prompt in prompts:
        assert chat_objections(convert_to_openai_messages(prompt)) == []  # pyright: ignore[reportArgumentType] - a list for a list
        assert sum(COUNTER.count_message(to_core(message)) for message in prompt) <= 6144
        assert prompt[0].text == session.system


@needs_tau
def test_recorded_conversations_through_the_fitter():
    (session,) = sessions(1)
    fit = ContextFitMiddleware(context_tokens=8192, reserve_output=1024, counter=COUNTER)
    for prompt in replayed(session, fit):
        assert chat_objections(convert_to_openai_messages(prompt)) == []  # pyright: ignore[reportArgumentType] - a list for a list
        assert COUNTER.count_messages(map(to_core, prompt)) <= 8192 - 1024
