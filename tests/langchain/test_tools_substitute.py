"""`ToolSubstituteMiddleware` on real agents, and the three tool middlewares in one agent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.tools import BaseTool, tool

from agentperf_core.cache import ToolResultCache
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus
from agentperf_core.telemetry import SpanKind
from agentperf_core.toolpolicy import Substitute, ToolPolicy
from agentperf_core.tools import SubstituteRegistry, ToolExecutor
from agentperf_core.tools.light import arithmetic, date_time, table
from langchain_agentperf import (
    ParallelToolsMiddleware,
    ToolCacheMiddleware,
    ToolSubstituteMiddleware,
    latency_callback,
)
from tests.langchain.tool_agents import (
    Run,
    agent,
    ask,
    each_way,
    gone_through,
    invoke,
    results,
    tool_mark,
    until,
)


class Desk:
    """A calculator and a clock that cost something, and how often they were asked."""

    def __init__(self) -> None:
        self.ran: list[str] = []

        @tool
        def calculator(expression: str) -> str:
            """Calculate."""
            self.ran.append("calculator")
            return f"{expression} by the tool"

        @tool
        def now(timezone: str = "") -> str:
            """Time."""
            self.ran.append("now")
            return f"time in {timezone}"

        @tool
        def capital(country: str) -> str:
            """Capital."""
            self.ran.append("capital")
            raise ConnectionError("down")

        self.tools: list[BaseTool] = [calculator, now, capital]


@pytest.fixture
def desk() -> Desk:
    return Desk()


LIGHT: dict[str, Any] = {
    "calculator": arithmetic("expression"),
    "now": date_time(form="%Y", clock=FakeClock(epoch=1e9)),
    "capital": table({"France": "Paris"}, "country"),
}


@each_way
def test_a_substitute_answers_where_it_can_and_says_so(run: Run, desk: Desk):
    model = ask(
        ("calculator", {"expression": "2 * 21"}),
        ("calculator", {"expression": "sqrt(2)"}),
        ("now", {}),
        ("now", {"timezone": "Asia/Tokyo"}),
        ("capital", {"country": "France"}),
    )
    found = results(run(agent(model, desk.tools, ToolSubstituteMiddleware(LIGHT))))
    said = ["42", "sqrt(2) by the tool", "2001", "time in Asia/Tokyo", "Paris"]
    assert [message.content for message in found] == said
    assert [message.tool_call_id for message in found] == [f"c{n}" for n in range(5)]
    for message, answered in zip(found, [True, False, True, False, True], strict=True):
        mark = message.response_metadata.get("agentperf", {}).get("tool", {})
        assert (mark.get("outcome") == "substituted") is answered
        assert message.name in {"calculator", "now", "capital"}
    assert sorted(desk.ran) == ["calculator", "now"]


@each_way
def test_an_emergency_function_answers_for_a_tool_that_raised(run: Run, desk: Desk):
    light = ToolSubstituteMiddleware({"capital": lambda country: f"{country}: look it up"})
    (message,) = results(run(agent(ask(("capital", {"country": "Peru"})), desk.tools, light)))
    assert message.content == "Peru: look it up"
    assert tool_mark(message)["reason"] == "the tool gave no result (error)"


@each_way
def test_a_substitute_that_raises_leaves_the_call_to_the_tool(run: Run, desk: Desk):
    def fails(**_: Any) -> str:
        raise ZeroDivisionError

    bus = EventBus()
    registry = SubstituteRegistry({"now": Substitute(fails, when=lambda _: True)}, bus=bus)
    runner = agent(ask(("now", {})), desk.tools, ToolSubstituteMiddleware(registry))
    assert results(run(runner))[0].content == "time in "
    assert bus.faults() == {"tools.substitute": 1}


def test_a_substitute_may_answer_for_a_tool_that_nobody_has(desk: Desk):
    light = ToolSubstituteMiddleware({"ping": Substitute(lambda: "pong", when=lambda _: True)})
    assert results(invoke(agent(ask(("ping", {})), desk.tools, light)))[0].content == "pong"


def test_a_substituted_result_has_the_events_of_a_tool_and_a_span_that_says_so(desk: Desk):
    runner = agent(ask(("now", {})), desk.tools, ToolSubstituteMiddleware(LIGHT))
    ends = [e for e in gone_through(runner) if e["event"] == "on_tool_end"]
    assert [end["data"]["output"].content for end in ends] == ["2001"]
    with latency_callback() as handler:
        invoke(runner)
    (span,) = [span for span in handler.report().traces[0].spans if span.name == "now"]
    assert span.kind is SpanKind.TOOL
    assert span.attributes["substitute"] == "its condition holds"


def test_wrong_configuration_is_an_error_at_once():
    with pytest.raises(ConfigError, match="registry must be a SubstituteRegistry, got 7"):
        ToolSubstituteMiddleware(7)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="must be callable, got 7"):
        ToolSubstituteMiddleware({"now": 7})  # pyright: ignore[reportArgumentType]


# All three in one agent


class Together:
    """An executor, a cache and substitutes around one desk, with what each has seen."""

    def __init__(self, desk: Desk, **policies: ToolPolicy) -> None:
        self.desk = desk
        self.executor = ToolExecutor(clock=FakeClock())
        self.cache = ToolResultCache()
        policies = {"now": ToolPolicy(read_only=True, ttl_s=60), **policies}
        self.stack = [
            ParallelToolsMiddleware(executor=self.executor, policies=policies),
            ToolCacheMiddleware(cache=self.cache, policies=policies),
            ToolSubstituteMiddleware(LIGHT),
        ]

    def agent(self, *named: tuple[str, dict[str, Any]]) -> Any:
        return agent(ask(*named), self.desk.tools, *self.stack)


@each_way
def test_a_kept_result_takes_no_place_and_counts_as_no_run_of_the_tool(run: Run, desk: Desk):
    together = Together(desk)
    runner = together.agent(("now", {"timezone": "UTC"}))
    first, second = (results(run(runner))[0] for _ in range(2))
    assert desk.ran == ["now"]
    assert (tool_mark(first)["attempts"], tool_mark(second)["attempts"]) == (1, 0)
    assert second.response_metadata["agentperf"]["cache"]["outcome"] == "hit"
    assert together.executor.stats().cached == 1
    assert together.executor.durations.expected_s("now") == 0.0


@each_way
def test_a_kept_result_does_not_wait_behind_slow_tools(run: Run, desk: Desk):
    """Every place is taken, and nobody gives one back; the kept result comes all the same."""
    together = Together(desk)
    runner = together.agent(("now", {"timezone": "UTC"}))
    run(runner)
    limits = together.executor.limits
    limits._running = limits._most
    assert results(run(runner))[0].content == "time in UTC"


@each_way
def test_a_substituted_result_is_kept_like_any_other_and_says_who_answered(run: Run, desk: Desk):
    together = Together(desk)
    runner = together.agent(("now", {}))
    first, second = (results(run(runner))[0] for _ in range(2))
    assert first.content == second.content == "2001"
    assert desk.ran == []
    assert tool_mark(first)["outcome"] == "substituted"
    assert tool_mark(first)["attempts"] == 0
    assert second.response_metadata["agentperf"]["cache"]["outcome"] == "hit"


@each_way
def test_a_tool_that_fails_is_rescued_before_it_becomes_an_error(run: Run, desk: Desk):
    together = Together(desk)
    together.stack[2] = ToolSubstituteMiddleware({"capital": lambda country: "look it up"})
    (message,) = results(run(together.agent(("capital", {"country": "Peru"}))))
    assert (message.content, message.status) == ("look it up", "success")


@each_way
def test_an_open_breaker_is_an_emergency_too(run: Run, desk: Desk):
    together = Together(desk, capital=ToolPolicy(breaker=1))
    together.stack[2] = ToolSubstituteMiddleware({"capital": lambda country: "look it up"})
    runner = together.agent(("capital", {"country": "Peru"}))
    reasons = [tool_mark(results(run(runner))[0])["reason"] for _ in range(2)]
    assert reasons == [
        "the tool gave no result (error)",
        "the tool gave no result (turned_away)",
    ]
    assert desk.ran == ["capital"]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@each_way
def test_a_time_out_is_of_the_tool_alone_and_reaches_substitutes(
    run: Run, desk: Desk, gate: threading.Event
):
    @tool
    def slow(at: int) -> str:
        """Hang."""
        gate.wait(30)
        return "late"

    policies = {"slow": ToolPolicy(timeout_s=0.05)}
    light = ToolSubstituteMiddleware({"slow": lambda at: "a guess"})
    stack = [ParallelToolsMiddleware(policies=policies), ToolCacheMiddleware(), light]
    (message,) = results(run(agent(ask(("slow", {"at": 1})), [slow], *stack)))
    assert message.content == "a guess"
    assert tool_mark(message)["reason"] == "the tool gave no result (timeout)"
    assert tool_mark(message)["orphaned"] is True


def test_the_report_shows_who_waited_for_a_place():
    """One place and two calls: the second one waits, and its wait is a span of its own."""
    executor = ToolExecutor(max_concurrency=1)
    first: list[int] = []

    @tool
    def work(at: int) -> str:
        """Work."""
        first.append(at)
        until(lambda: len(first) > 1 or executor.limits.waiting)
        return "done"

    parallel = ParallelToolsMiddleware(executor=executor)
    with latency_callback() as handler:
        invoke(agent(ask(("work", {"at": 1}), ("work", {"at": 1})), [work], parallel))
    spans = handler.report().traces[0].spans
    (wait,) = [span for span in spans if span.kind is SpanKind.WAIT]
    assert wait.name == "work"
    by_id = {span.id: span for span in spans}
    assert wait.parent_id is not None
    assert by_id[wait.parent_id].name == "tools"
    works = [span for span in spans if span.name == "work" and span.kind is SpanKind.TOOL]
    assert any(span.start_ns >= wait.end_ns for span in works)
