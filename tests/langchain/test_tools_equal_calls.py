"""Equal calls of one message that do not run at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf import ParallelToolsMiddleware, PerfToolNode
from tests.langchain.scripted_models import ScriptedChat, call, say

ONE_BY_ONE: Any = {"max_concurrency": 1}
LOOK, SET = call("look", "c1"), call("set_to", "c2", value=7)
POLICIES = {
    "look": ToolPolicy(read_only=True, reads=["it"]),
    "set_to": ToolPolicy(writes=["it"]),
}


class Thing:
    """A value that can be looked at, which counts how often it is."""

    def __init__(self) -> None:
        self.value = 0
        self.looks = 0

    def tools(self) -> list[Any]:
        @tool
        def look() -> str:
            """Look."""
            self.looks += 1
            return f"{self.value}"

        @tool
        def set_to(value: int) -> str:
            """Set."""
            self.value = value
            return "set"

        return [look, set_to]


def agent(thing: Thing, *calls: Any) -> Any:
    def answer(number: int, messages: list[BaseMessage]) -> AIMessage:
        return say("done") if isinstance(messages[-1], ToolMessage) else say("", *calls)

    parallel = ParallelToolsMiddleware(policies=POLICIES)
    return create_agent(ScriptedChat(answer=answer), thing.tools(), middleware=[parallel])


def node(thing: Thing, *calls: Any) -> Any:
    def ask(_: MessagesState) -> Any:
        return {"messages": [AIMessage("", id="m", tool_calls=[*calls])]}

    builder: Any = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_node("tools", PerfToolNode(thing.tools(), policies=POLICIES))
    return builder.add_edge(START, "ask").add_edge("ask", "tools").compile()


either = pytest.mark.parametrize("make", [agent, node])
Make = Callable[..., Any]


def contents(runner: Any) -> list[str]:
    state = runner.invoke({"messages": [HumanMessage("go")]}, ONE_BY_ONE)
    return [m.text for m in state["messages"] if isinstance(m, ToolMessage)]


def again(number: int) -> Any:
    return call("look", f"again-{number}")


@either
def test_equal_calls_of_a_message_are_one_though_they_come_one_after_the_other(make: Make):
    """LangGraph runs six threads on two processors: a hundred equal calls were seventeen."""
    thing = Thing()
    assert contents(make(thing, LOOK, again(1), again(2))) == ["0", "0", "0"]
    assert thing.looks == 1


@either
def test_an_equal_call_after_a_write_sees_what_was_written(make: Make):
    thing = Thing()
    assert contents(make(thing, LOOK, SET, again(1))) == ["0", "set", "7"]
    assert thing.looks == 2


@either
def test_the_next_run_looks_again_though_its_message_may_have_the_same_id(make: Make):
    thing = Thing()
    runner = make(thing, LOOK, again(1))
    assert contents(runner) == ["0", "0"]
    thing.value = 1
    assert contents(runner) == ["1", "1"]


def test_a_result_that_is_shared_says_nothing_of_how_long_it_is_good():
    """Answers that are built on it are worth as much as the tool's own message allows."""
    state = agent(Thing(), LOOK, again(1)).invoke({"messages": [HumanMessage("go")]}, ONE_BY_ONE)
    _, _, own, shared, _ = state["messages"]
    assert "cache" not in own.response_metadata["agentperf"]
    mark = shared.response_metadata["agentperf"]["cache"]
    assert mark["outcome"] == "hit"
    assert "expires_at" not in mark
