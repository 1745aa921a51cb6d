"""`substitute`: a light function in place of a tool that is called without an agent."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import BaseTool, tool
from langgraph.errors import GraphInterrupt

from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import Substitute
from agentperf_core.tools.light import arithmetic
from langchain_agentperf import substitute


@tool
def add(a: int, b: int) -> str:
    """Add."""
    if b < 0:
        raise ConnectionError("far away")
    return f"{a + b} by the tool"


def light(a: int, b: int) -> int:
    return a + b


def call(a: int, b: int) -> dict[str, Any]:
    return {"type": "tool_call", "id": "c1", "name": "add", "args": {"a": a, "b": b}}


def small(given: Any) -> bool:
    return given["a"] < 10


@pytest.fixture
def lighter() -> BaseTool:
    return substitute(add, light, when=small)


async def test_it_answers_where_its_condition_holds(lighter: BaseTool):
    assert lighter.invoke({"a": 1, "b": 2}) == 3
    assert await lighter.ainvoke({"a": 1, "b": 2}) == 3
    assert lighter.invoke({"a": 10, "b": 2}) == "12 by the tool"
    assert await lighter.ainvoke({"a": 10, "b": 2}) == "12 by the tool"


async def test_a_message_says_who_answered_and_why(lighter: BaseTool):
    for message in (lighter.invoke(call(1, 2)), await lighter.ainvoke(call(1, 2))):
        said = message.response_metadata["agentperf"]["tool"]
        assert (message.content, message.tool_call_id, message.status) == ("3", "c1", "success")
        assert (said["outcome"], said["substitute"]) == ("substituted", "its condition holds")
    assert "agentperf" not in lighter.invoke(call(10, 2)).response_metadata


async def test_it_answers_when_the_tool_has_failed_unless_told_not_to(lighter: BaseTool):
    assert lighter.invoke({"a": 10, "b": -2}) == 8
    said = (await lighter.ainvoke(call(10, -2))).response_metadata["agentperf"]["tool"]
    assert said["substitute"] == "the tool gave no result (error)"
    strict = substitute(add, light, when=small, on_failure=False)
    with pytest.raises(ConnectionError):
        strict.invoke({"a": 10, "b": -2})


def test_what_the_function_raises_the_tool_answers():
    def broken(a: int, b: int) -> int:
        raise ZeroDivisionError

    assert substitute(add, broken, when=small).invoke({"a": 1, "b": 2}) == "3 by the tool"
    with pytest.raises(ConnectionError):
        substitute(add, broken).invoke({"a": 1, "b": -2})


def test_it_is_of_the_tools_class_and_callbacks_hear_of_it(lighter: BaseTool):
    heard: list[str] = []

    class Heard(BaseCallbackHandler):
        def on_tool_end(self, output: Any, **kwargs: Any) -> None:
            heard.append(output.content)

    assert type(lighter) is type(add)
    assert (lighter.name, lighter.args) == (add.name, add.args)
    lighter.invoke(call(1, 2), {"callbacks": [Heard()]})
    assert heard == ["3"]


def test_words_without_names_go_to_the_tool():
    @tool
    def calculate(expression: str) -> str:
        """Calculate."""
        return "by the tool"

    light_one = substitute(calculate, arithmetic())
    assert light_one.invoke("1 + 2") == "by the tool"
    assert light_one.invoke({"expression": "1 + 2"}) == 3


def test_a_question_to_a_person_is_no_failure():
    @tool
    def ask(a: int) -> str:
        """Ask."""
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        substitute(ask, lambda a: a).invoke({"a": 1})


def test_contradictions_are_refused():
    with pytest.raises(ConfigError, match="a Substitute says itself"):
        substitute(add, Substitute(light), when=small)
    with pytest.raises(ConfigError, match="without use"):
        substitute(add, light, on_failure=False)
    with pytest.raises(ConfigError, match="tool"):
        substitute(light, light)  # type: ignore[type-var]
