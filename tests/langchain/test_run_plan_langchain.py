"""`run_plan` with LangChain's tools: what flows, what fails, and what passes through."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from plan_cases import (
    BROKEN_OUTCOMES,
    BROKEN_PLAN,
    HOW,
    MISTAKES,
    PLAN,
    broken,
    cancelled,
    meeting,
    outcomes,
    send,
    writers,
)
from pydantic import BaseModel
from typing_extensions import TypedDict

from agentperf_core.errors import ConfigError
from agentperf_core.telemetry import SpanKind
from agentperf_core.tools import Done, PlannedCall
from agentperf_core.tools import ToolExecutor as CoreExecutor
from langchain_agentperf import LatencyCallbackHandler, ToolExecutor, arun_plan, run_plan


def made(how: str, *args: Any, **options: Any) -> list[Done[ToolMessage]]:
    if how == "sync":
        return run_plan(*args, **options)
    return asyncio.run(arun_plan(*args, **options))


def contents(done: list[Done[ToolMessage]]) -> list[object]:
    return [one.result.content for one in done]


def get_user(name: str) -> dict[str, Any]:
    """Look a user up."""
    return {"name": name, "orders": [7, 9]}


@tool
def get_total(order_id: int) -> str:
    """The total of an order."""
    return str(order_id * 10)


@tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@HOW
def test_what_tools_say_flows_into_arguments(how: str):
    done = made(how, PLAN, [get_user, get_total, send])
    assert contents(done) == [
        "sent: Ada owes 90 of $$5",
        "90",
        '{"name": "Ada", "orders": [7, 9]}',
    ]
    assert [one.result.tool_call_id for one in done] == ["mail", "total", "user"]
    assert [(one.run.tool, one.run.outcome, one.run.attempts) for one in done] == [
        ("send", "ok", 1),
        ("get_total", "ok", 1),
        ("get_user", "ok", 1),
    ]
    assert all(type(one.result) is ToolMessage for one in done)


def test_messages_say_how_their_calls_went():
    mark = run_plan(PLAN, [get_user, get_total, send])[0].result.response_metadata["agentperf"]
    assert (mark["tool"]["tool"], mark["tool"]["outcome"]) == ("send", "ok")


def test_the_calls_of_a_message_are_a_plan():
    calls: Any = [{"name": "add", "args": {"a": 1, "b": n}, "id": f"call_{n}"} for n in (1, 2)]
    message = AIMessage("", tool_calls=calls)
    last = {"name": "add", "args": {"a": "$call_1", "b": "$call_2"}, "id": "call_3"}
    plan: Any = [*message.tool_calls, last]
    assert contents(asyncio.run(arun_plan(plan, [add]))) == ["2", "3", "5"]


@HOW
def test_calls_that_need_nothing_of_each_other_run_at_once(how: str):
    plan, meet = meeting()
    assert contents(made(how, plan, [meet])) == ["met", "met"]


def test_content_blocks_are_read_as_their_text():
    def told() -> list[dict[str, str]]:
        """Tell."""
        return [{"type": "text", "text": '{"city": '}, {"type": "text", "text": '"Paris"}'}]

    plan = [PlannedCall("a", "told"), PlannedCall("b", "send", {"text": "$a.city"})]
    assert contents(run_plan(plan, [told, send]))[1] == "sent: Paris"


class Address(BaseModel):
    city: str
    code: int


def test_objects_and_numbers_arrive_as_the_schema_of_the_next_tool_says():
    def label(address: Address, copies: int) -> str:
        """Print a label."""
        return f"{copies} x {address.city} {address.code}"

    def find() -> str:
        """Find an address."""
        return '{"city": "Paris", "code": 75001}'

    plan = [
        PlannedCall("home", "find"),
        PlannedCall("total", "get_total", {"order_id": 1}),
        PlannedCall("label", "label", {"address": "$home", "copies": "$total"}),
    ]
    assert contents(run_plan(plan, [find, label, get_total]))[2] == "10 x Paris 75001"


# What goes wrong


def test_what_goes_wrong_costs_only_what_depends_on_it():
    done = run_plan(BROKEN_PLAN, [broken, send, get_user])
    assert outcomes(done) == BROKEN_OUTCOMES
    assert [one.result.status for one in done] == ["error"] * 5 + ["success"]
    assert "LookupError: no such order" in str(done[0].result.content)
    assert "depends on 'a', which gave no result" in str(done[1].result.content)
    assert "the keys ['name', 'orders'], not 'nmae'" in str(done[4].result.content)


def test_a_message_that_says_error_is_a_failure():
    def refuse() -> str:
        """Refuse."""
        raise ValueError

    careful = StructuredTool.from_function(refuse, handle_tool_error=True)

    @tool
    def sorry() -> str:
        """Say that it failed."""
        from langchain_core.tools import ToolException

        raise ToolException("sorry")

    sorry.handle_tool_error = True
    plan = [
        PlannedCall("a", "sorry"),
        PlannedCall("b", "send", {"text": "hi"}, ["a"]),
        PlannedCall("c", "refuse"),
    ]
    done = run_plan(plan, [sorry, send, careful])
    assert outcomes(done) == ["failed", "dependency", "error"]
    assert done[0].result.content == "sorry"


def test_a_command_has_no_value_to_refer_to():
    @tool
    def go() -> Any:
        """Go on elsewhere."""
        return Command(goto="elsewhere")

    plan = [PlannedCall("a", "go"), PlannedCall("b", "send", {"text": "$a"})]
    done = run_plan(plan, [go, send])
    assert outcomes(done) == ["ok", "arguments"]
    assert "the result of 'a' is no plain value" in str(done[1].result.content)


@MISTAKES
def test_mistakes_of_the_program_are_said_before_anything_runs(options: dict[str, Any], said: str):
    given: dict[str, Any] = {"plan": PLAN, "tools": [send], **options}
    with pytest.raises(ConfigError, match=said):
        run_plan(given.pop("plan"), given.pop("tools"), **given)


def test_one_name_is_one_tool_and_a_tool_executor_has_its_settings():
    with pytest.raises(ConfigError, match="two of the name 'send'"):
        run_plan(PLAN, [send, tool(send)])
    with pytest.raises(ConfigError, match="has its own executor and policies"):
        run_plan(PLAN, ToolExecutor([send]), policies={})


# Settings


def test_policies_hold_for_the_calls_of_a_plan():
    began: list[str] = []
    plan, tools, policies = writers(began)
    run_plan(plan, tools, policies=policies)
    assert began == ["first", "second", "third"]


def test_a_tool_executor_brings_its_tools_and_what_it_has_learnt():
    runnable = ToolExecutor([get_user, get_total, send])
    assert outcomes(run_plan(PLAN, runnable)) == ["ok"] * 3
    assert runnable.executor.stats().calls == 3


def test_durations_are_learnt_from_the_traces_of_the_handler():
    handler = LatencyCallbackHandler()
    run_plan(PLAN, [get_user, get_total, send], config={"callbacks": [handler]})
    spans = [span for trace in handler.recorder.traces() for span in trace.spans]
    assert {s.name for s in spans if s.kind is SpanKind.TOOL} == {"get_user", "get_total", "send"}
    executor = CoreExecutor()
    executor.durations.learn("other", 1e9)
    executor.durations.learn_spans(spans)
    assert executor.durations.expected_s("send") < 1e9


# Graphs


class State(TypedDict):
    said: list[object]


@HOW
def test_a_question_to_a_person_interrupts_the_graph_and_its_answer_resumes_the_plan(how: str):
    def approve(what: str) -> str:
        """Ask a person."""
        return f"{what}: {interrupt('May I?')}"

    plan = [
        PlannedCall("ok", "approve", {"what": "refund"}),
        PlannedCall("mail", "send", {"text": "$ok"}),
    ]

    def node(state: State) -> State:
        return {"said": contents(run_plan(plan, [approve, send]))}

    async def anode(state: State) -> State:
        return {"said": contents(await arun_plan(plan, [approve, send]))}

    builder = StateGraph(State).add_node("plan", node if how == "sync" else anode)
    graph = builder.add_edge(START, "plan").compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}

    def ask(given: Any) -> Any:
        if how == "sync":
            return graph.invoke(given, config)
        return asyncio.run(graph.ainvoke(given, config))

    asked = ask({"said": []})
    assert [one.value for one in asked["__interrupt__"]] == ["May I?"]
    assert ask(Command(resume="yes"))["said"] == ["refund: yes", "sent: refund: yes"]


async def test_a_cancelled_plan_cancels_its_calls():
    assert await cancelled(arun_plan, tool)
