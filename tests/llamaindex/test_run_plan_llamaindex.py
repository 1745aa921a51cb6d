"""`run_plan` with LlamaIndex's tools: what flows, what fails, and what passes through."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from context_tools import ask
from llama_index.core.tools import FunctionTool, ToolOutput
from llama_index.core.workflow import (
    Context,
    HumanResponseEvent,
    InputRequiredEvent,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
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

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.telemetry import SpanKind
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import Done, PlannedCall, ToolExecutor
from llamaindex_agentperf import ManagedTool, arun_plan, instrument, run_plan


def made(how: str, *args: Any, **options: Any) -> list[Done[ToolOutput]]:
    if how == "sync":
        return run_plan(*args, **options)
    return asyncio.run(arun_plan(*args, **options))


def contents(done: list[Done[ToolOutput]]) -> list[str]:
    return [one.result.content for one in done]


class Order(BaseModel):
    id: int
    total: float


@dataclass
class User:
    name: str
    orders: list[int]


def get_user(name: str) -> User:
    return User(name, [7, 9])


async def get_total(order_id: int) -> Order:
    return Order(id=order_id, total=order_id * 1.5)


# The same plan, with a field of what `get_total` returns.
FIELDS = [{**PLAN[0], "arguments": {"text": "${user.name} owes ${total.total}"}}, *PLAN[1:]]


@HOW
def test_what_tools_return_flows_into_arguments(how: str):
    done = made(how, FIELDS, [get_user, get_total, FunctionTool.from_defaults(send)])
    assert contents(done)[0] == "sent: Ada owes 13.5"
    assert done[1].result.raw_output == Order(id=9, total=13.5)
    assert done[2].result.raw_output == User("Ada", [7, 9])
    assert [(one.run.call_id, one.run.tool, one.run.outcome, one.run.attempts) for one in done] == [
        ("mail", "send", "ok", 1),
        ("total", "get_total", "ok", 1),
        ("user", "get_user", "ok", 1),
    ]


@HOW
def test_calls_that_need_nothing_of_each_other_run_at_once(how: str):
    plan, meet = meeting()
    assert contents(made(how, plan, [meet])) == ["met", "met"]


def test_what_has_no_json_form_is_its_text():
    def draw() -> object:
        return {1, 2} and complex(1, 2)

    plan = [PlannedCall("a", "draw"), PlannedCall("b", "send", {"text": "$a"})]
    assert contents(run_plan(plan, [draw, send]))[1] == "sent: (1+2j)"


# What goes wrong


def test_what_goes_wrong_costs_only_what_depends_on_it():
    done = run_plan(BROKEN_PLAN, [broken, send, get_user])
    assert outcomes(done) == BROKEN_OUTCOMES
    assert [one.result.is_error for one in done] == [True] * 5 + [False]
    assert [one.result.tool_name for one in done] == [one["tool"] for one in BROKEN_PLAN]
    assert isinstance(done[0].result.exception, LookupError)
    assert "depends on 'a', which gave no result" in done[1].result.content
    assert "takes ['text'], got ['words']" in done[3].result.content
    assert "the keys ['name', 'orders'], not 'nmae'" in done[4].result.content


@MISTAKES
def test_mistakes_of_the_program_are_said_before_anything_runs(options: dict[str, Any], said: str):
    given: dict[str, Any] = {"plan": PLAN, "tools": [send], **options}
    with pytest.raises(ConfigError, match=said):
        run_plan(given.pop("plan"), given.pop("tools"), **given)


def test_one_name_is_one_tool():
    with pytest.raises(ConfigError, match="two of the name 'send'"):
        run_plan(PLAN, [send, FunctionTool.from_defaults(send)])


# Settings


def test_policies_hold_for_the_calls_of_a_plan():
    began: list[str] = []
    plan, tools, policies = writers(began)
    run_plan(plan, tools, policies=policies)
    assert began == ["first", "second", "third"]


def test_results_may_come_from_a_cache_and_their_values_are_the_same():
    cache, asked = ToolResultCache(), list[str]()

    def find(name: str) -> dict[str, str]:
        asked.append(name)
        return {"mail": f"{name}@example.org"}

    policies = {"find": ToolPolicy(read_only=True, ttl_s=60)}
    plan = [
        PlannedCall("a", "find", {"name": "ada"}),
        PlannedCall("b", "send", {"text": "$a.mail"}),
    ]
    for _ in range(2):
        done = run_plan(plan, [find, send], policies=policies, cache=cache)
        assert contents(done)[1] == "sent: ada@example.org"
    assert asked == ["ada"]


def test_managed_tools_keep_their_policy_and_one_executor_makes_the_calls():
    executor = ToolExecutor()
    tool = ManagedTool(send, policy=ToolPolicy(timeout_s=20))
    plan = [PlannedCall("a", "send", {"text": "hi"}), PlannedCall("b", "send", {"text": "$a"})]
    assert contents(run_plan(plan, [tool], executor=executor))[1] == "sent: sent: hi"
    assert executor.stats().calls == 2
    assert executor.durations.expected_s("send") < 20


def test_calls_of_a_plan_have_spans_of_their_own_from_which_durations_are_learnt():
    with instrument() as seen:
        run_plan(PLAN, [get_user, get_total, send])
    spans = [span for trace in seen.recorder.traces() for span in trace.spans]
    assert {s.name for s in spans if s.kind is SpanKind.TOOL} == {"get_user", "get_total", "send"}


# Workflows


class Approval(Workflow):
    """One step, which runs a plan of which one call asks a person."""

    @step
    async def only(self, ctx: Context, ev: StartEvent) -> StopEvent:
        plan = [
            PlannedCall("ok", "ask", {"who": "Ada"}),
            PlannedCall("mail", "send", {"text": "$ok"}),
        ]
        done = await arun_plan(plan, [ask, send], ctx=ctx)
        return StopEvent(result=contents(done))


@pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)
async def test_a_question_to_a_person_is_asked_and_its_answer_resumes_the_plan():
    handler = Approval(timeout=30).run()
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            answer: Any = {"who": event.who, "response": "yes"}
            context = handler.ctx
            assert context is not None
            context.send_event(HumanResponseEvent(**answer))
    assert await handler == ["Ada says yes", "sent: Ada says yes"]


async def test_a_cancelled_plan_cancels_its_calls():
    assert await cancelled(arun_plan, FunctionTool.from_defaults)
