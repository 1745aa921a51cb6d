"""Substitutes: when a light function answers in place of a tool, and when it must not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_results import RESULTS, Pause, step

from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus
from agentperf_core.flow import arun, run
from agentperf_core.toolpolicy import Substitute
from agentperf_core.tools import SubstituteRegistry, ToolFailure
from agentperf_core.tools.arithmetic import evaluate
from agentperf_core.tools.light import arithmetic, date_time, table
from agentperf_core.types import ToolCall


def fails() -> str:
    raise ConnectionError("the service is down")


def ask(registry: SubstituteRegistry, work: Callable[[], Any], **arguments: Any) -> Any:
    return run(registry.run(ToolCall("1", "tool", arguments), step(work), RESULTS))


def test_it_answers_where_its_condition_holds_and_says_so():
    registry = SubstituteRegistry({"tool": arithmetic("expression")})
    result = ask(registry, lambda: "from the tool", expression="2 + 2")
    assert result.text == "4"
    assert result.run.outcome == "substituted"
    assert result.run.record()["substitute"] == "its condition holds"
    assert ask(registry, lambda: "from the tool", expression="sqrt(4)").text == "from the tool"


async def test_it_answers_async_callers_too():
    registry = SubstituteRegistry({"tool": table({"a": "one"}, "key")})
    call = ToolCall("1", "tool", {"key": "a"})
    assert (await arun(registry.run(call, step(fails), RESULTS))).text == "one"


def test_an_emergency_is_a_tool_that_gave_no_result():
    registry = SubstituteRegistry({"tool": lambda: "the usual answer"})
    assert ask(registry, lambda: "from the tool").text == "from the tool"
    result = ask(registry, fails)
    assert result.text == "the usual answer"
    assert result.run.reason == "the tool gave no result (error)"


def test_the_breakers_refusal_is_an_emergency_and_says_which():
    registry = SubstituteRegistry({"tool": lambda: "the usual answer"})

    def refuse() -> str:
        raise ToolFailure("no", tool="tool", kind="turned_away", elapsed_s=0.0)

    assert ask(registry, refuse).run.reason == "the tool gave no result (turned_away)"


def test_a_question_to_a_person_is_no_emergency():
    registry = SubstituteRegistry({"tool": lambda: "the usual answer"})

    def interrupt() -> str:
        raise Pause

    with pytest.raises(Pause):
        ask(registry, interrupt)


def test_one_that_raises_leaves_the_call_to_the_tool_or_to_its_error():
    bus = EventBus()
    registry = SubstituteRegistry({"tool": Substitute(fails, when=lambda _: True)}, bus=bus)
    assert ask(registry, lambda: "from the tool").text == "from the tool"
    with pytest.raises(ConnectionError):
        ask(registry, fails)
    assert bus.faults()["tools.substitute"] == 3


def test_a_tool_without_one_is_called():
    assert ask(SubstituteRegistry(), lambda: "from the tool").text == "from the tool"


def test_the_decision_is_told():
    bus, seen = EventBus(), []
    bus.subscribe(seen.append)
    ask(SubstituteRegistry({"tool": lambda: 1}, bus=bus), fails)
    assert [(event.room, event.outcome) for event in seen] == [("tools", "substituted")]


def test_a_registry_is_checked_when_it_is_made():
    with pytest.raises(ConfigError, match="must be callable, got 7"):
        SubstituteRegistry({"tool": 7})  # pyright: ignore[reportArgumentType]
    registry = SubstituteRegistry({"tool": fails})
    with pytest.raises(ConfigError, match="has one substitute, got another for 'tool'"):
        registry.add("tool", fails)


# The ready ones


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("-7 // 2", -4),
        ("7 % 3", 1),
        ("1 / 4", 0.25),
        ("2 ** 10", 1024),
        ("+.5e1 - 1_000", -995.0),
        ("2 ** -1", 0.5),
    ],
)
def test_small_arithmetic(expression: str, value: float):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "9 ** 9 ** 9",
        "(-8) ** 0.5",
        "1e308 * 10",
        "1 / 0",
        "1 +",
        "",
        "2 ^ 3",
        "~1",
        "True + 1",
        "'a' * 3",
        "1j * 2",
        "abs(-1)",
        "x + 1",
        "().__class__",
        "[1][0]",
        "1 if 2 else 3",
        "(x := 1)",
        "lambda: 1",
        "1 < 2",
        "1, 2",
        "__import__('os').system('true')",
        "1" * 201,
        "2**1000 * 2**1000 * 2**1000 * 2**1000 * 2**1000",
        "(" * 99 + "1" + ")" * 99,
        "\0",
    ],
)
def test_whatever_else_is_left_to_the_tool(expression: str):
    """Nothing is called, looked up or built, and nothing takes long or much room."""
    small = arithmetic()
    if expression.startswith("((("):
        assert small.function(expression=expression) == 1
        return
    assert not small.suits({"expression": expression})


@given(st.text(alphabet="0123456789+-*/%(). e", max_size=60))
def test_any_text_of_digits_and_operators_has_a_number_or_is_refused(text: str):
    small = arithmetic()
    if small.suits({"expression": text}):
        assert isinstance(small.function(expression=text), int | float)


@pytest.mark.parametrize("arguments", [{}, {"expression": 7}, {"expression": "1", "base": 2}])
def test_arithmetic_wants_its_argument_and_no_other(arguments: dict[str, Any]):
    assert not arithmetic().suits(arguments)


def test_the_time_is_answered_here_unless_a_place_or_a_day_is_asked_for():
    now = date_time(clock=FakeClock(epoch=1_700_000_000.0))
    assert now.suits({})
    assert now.suits({"timezone": None, "city": ""})
    assert not now.suits({"timezone": "Europe/Paris"})
    assert not now.suits({"day": "tomorrow"})
    said = datetime.fromisoformat(now.function())
    assert said.timestamp() == 1_700_000_000
    assert said.utcoffset() is not None


def test_a_table_answers_for_its_keys_and_may_change():
    values = {"France": "Paris"}
    capitals = table(values, "country")
    assert not capitals.suits({"country": "Peru"})
    values["Peru"] = "Lima"
    assert capitals.suits({"country": "Peru"})
    assert capitals.function(country="Peru") == "Lima"
    assert not capitals.suits({"country": "Peru", "year": 1500})
    assert not capitals.suits({"country": ["Peru"]})
