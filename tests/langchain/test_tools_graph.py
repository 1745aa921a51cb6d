"""What LangGraph gives tools, and takes from them, is the same through the executor.

Everything is run without and with the middlewares: a test that fails in both is wrong itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import pytest
from langchain.agents import AgentState
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt

from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf import (
    ParallelToolsMiddleware,
    ToolCacheMiddleware,
    ToolSubstituteMiddleware,
)
from tests.langchain.tool_agents import Run, agent, ask, each_way, gone_through, results

KEPT = ToolPolicy(read_only=True, timeout_s=30)
THREAD: Any = {"configurable": {"thread_id": "t"}}


def stock(*_: str) -> list[Any]:
    return []


def parallel(*names: str) -> list[Any]:
    return [ParallelToolsMiddleware(policies=dict.fromkeys(names, KEPT))]


def all_three(*names: str) -> list[Any]:
    policies = dict.fromkeys(names, KEPT)
    return [
        ParallelToolsMiddleware(policies=policies),
        ToolCacheMiddleware(policies=policies),
        ToolSubstituteMiddleware({}),
    ]


Stack = Callable[..., list[Any]]
each_stack = pytest.mark.parametrize(
    "stack", [stock, parallel, all_three], ids=lambda made: made.__name__
)


class Counting(AgentState[Any]):
    count: int


@each_stack
@each_way
def test_state_store_runtime_and_call_id_are_injected(stack: Stack, run: Run):
    @tool
    def read(
        at: int,
        count: Annotated[int, InjectedState("count")],
        store: Annotated[BaseStore, InjectedStore()],
        runtime: ToolRuntime,
        call_id: Annotated[str, InjectedToolCallId],
    ) -> str:
        """Read."""
        item = store.get(("notes",), "a")
        text = item.value["text"] if item else "-"
        return (
            f"{at} {count} {text} {runtime.tool_call_id} {call_id} {len(runtime.state['messages'])}"
        )

    store = InMemoryStore()
    store.put(("notes",), "a", {"text": "note"})
    runner = agent(
        ask(("read", {"at": 1, "count": 99})),
        [read],
        *stack("read"),
        store=store,
        state_schema=Counting,
    )
    (message,) = results(run(runner, {"messages": ["go"], "count": 3}))
    assert message.content == "1 3 note c0 c0 2"


@each_stack
@each_way
def test_a_command_changes_the_state(stack: Stack, run: Run):
    @tool
    def count(call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Count."""
        said = ToolMessage("counted", tool_call_id=call_id)
        return Command(update={"count": 8, "messages": [said]})

    runner = agent(ask(("count", {})), [count], *stack("count"), state_schema=Counting)
    (message,) = results(run(runner, {"messages": ["go"], "count": 3}))
    assert (message.content, message.name) == ("counted", "count")
    assert runner.invoke({"messages": ["go"], "count": 3})["count"] == 8


@each_stack
@each_way
def test_a_tool_that_returns_directly_ends_the_run(stack: Stack, run: Run):
    @tool(return_direct=True)
    def final(at: int) -> str:
        """Answer."""
        return "that is it"

    messages = run(agent(ask(("final", {"at": 1})), [final], *stack("final")))
    assert messages[-1].content == "that is it"
    assert isinstance(messages[-1], ToolMessage)


@each_stack
@pytest.mark.parametrize("use_async", [False, True], ids=["invoke", "ainvoke"])
def test_a_tool_that_asks_a_person_pauses_the_run_and_goes_on_with_the_answer(
    stack: Stack, use_async: bool
):
    """The other call of the message has run, and does not run again when the run is resumed."""
    ran: list[str] = []

    @tool
    def book(room: int) -> str:
        """Book."""
        said = interrupt({"room": room})
        ran.append("book")
        return f"booked {room}: {said}"

    @tool
    def look(at: int) -> str:
        """Look."""
        ran.append("look")
        return "seen"

    model = ask(("look", {"at": 1}), ("book", {"room": 7}))
    runner = agent(model, [book, look], *stack("look", "book"), checkpointer=InMemorySaver())
    go: Any = asyncio_run(runner) if use_async else runner.invoke
    paused = go({"messages": ["go"]}, THREAD)
    assert [one.value for one in paused["__interrupt__"]] == [{"room": 7}]
    messages = go(Command(resume="yes"), THREAD)["messages"]
    assert [message.content for message in results(messages)] == ["seen", "booked 7: yes"]
    assert messages[-1].content == "done"
    assert ran == ["look", "book"]


def asyncio_run(runner: Any) -> Callable[..., Any]:
    return lambda *args: asyncio.run(runner.ainvoke(*args))


@pytest.mark.parametrize("use_async", [False, True], ids=["invoke", "ainvoke"])
def test_what_follows_a_call_that_asks_a_person_is_made_after_the_answer(use_async: bool):
    """Both write to one order; the second is not made while the first waits for a person."""
    ran: list[str] = []

    @tool
    def approve(order: int) -> str:
        """Approve."""
        said = interrupt({"order": order})
        ran.append("approve")
        return f"approved: {said}"

    @tool
    def ship(order: int) -> str:
        """Ship."""
        ran.append("ship")
        return "shipped"

    writes = ToolPolicy(writes=["orders:{order}"])
    policies = {"approve": writes, "ship": writes}
    model = ask(("approve", {"order": 7}), ("ship", {"order": 7}), ("ship", {"order": 8}))
    runner = agent(
        model,
        [approve, ship],
        ParallelToolsMiddleware(policies=policies),
        checkpointer=InMemorySaver(),
    )
    go: Any = asyncio_run(runner) if use_async else runner.invoke
    paused = go({"messages": ["go"]}, THREAD)
    assert [one.value for one in paused["__interrupt__"]] == [{"order": 7}]
    assert ran == ["ship"], "the other order's"
    messages = go(Command(resume="yes"), THREAD)["messages"]
    assert [m.content for m in results(messages)] == ["approved: yes", "shipped", "shipped"]
    assert ran == ["ship", "approve", "ship"]


@each_stack
@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ({"type": "approve"}, "paid 5"),
        ({"type": "edit", "edited_action": {"name": "pay", "args": {"sum": 6}}}, "paid 6"),
        ({"type": "reject", "message": "too much"}, "too much"),
    ],
    ids=["approve", "edit", "reject"],
)
def test_a_person_in_the_loop_approves_edits_or_rejects(
    stack: Stack, decision: dict[str, Any], said: str
):
    @tool
    def pay(sum: int) -> str:  # noqa: A002 - the tool's argument
        """Pay."""
        return f"paid {sum}"

    person = HumanInTheLoopMiddleware(interrupt_on={"pay": True})
    runner = agent(
        ask(("pay", {"sum": 5})), [pay], *stack("pay"), person, checkpointer=InMemorySaver()
    )
    paused = runner.invoke({"messages": ["go"]}, THREAD)
    assert len(paused["__interrupt__"]) == 1
    messages = runner.invoke(Command(resume={"decisions": [decision]}), THREAD)["messages"]
    assert results(messages)[0].text.endswith(said)


@each_stack
def test_an_answer_that_does_not_fit_the_question_ends_the_run_to_be_given_again(stack: Stack):
    """No error message for the model, which cannot mend it."""
    from pydantic import BaseModel, ValidationError

    class Answer(BaseModel):
        room: int

    @tool
    def book(at: int) -> str:
        """Book."""
        return f"room {interrupt('which?', response_schema=Answer)}"

    runner = agent(ask(("book", {"at": 1})), [book], *stack("book"), checkpointer=InMemorySaver())
    runner.invoke({"messages": ["go"]}, THREAD)
    with pytest.raises(ValidationError):
        runner.invoke(Command(resume={"room": "none"}), THREAD)
    messages = runner.invoke(Command(resume={"room": 7}), THREAD)["messages"]
    assert results(messages)[0].text.startswith("room ")


@each_stack
@each_way
def test_a_tool_may_write_to_the_custom_stream_and_several_messages_at_once(stack: Stack, run: Run):
    @tool
    def speak(call_id: Annotated[str, InjectedToolCallId], runtime: ToolRuntime) -> list[Any]:
        """Speak."""
        runtime.stream_writer({"progress": 1})
        update: dict[str, Any] = {"count": 2}
        return [Command(update=update), ToolMessage("spoken", tool_call_id=call_id)]

    runner = agent(ask(("speak", {})), [speak], *stack("speak"), state_schema=Counting)
    (message,) = results(run(runner, {"messages": ["go"], "count": 1}))
    assert message.content == "spoken"
    pieces = list(runner.stream({"messages": ["go"], "count": 1}, stream_mode="custom"))
    assert pieces == [{"progress": 1}]


@each_stack
def test_events_of_a_run_name_each_tool_once(stack: Stack):
    @tool
    def look(at: int) -> str:
        """Look."""
        return f"seen {at}"

    runner = agent(ask(("look", {"at": 1}), ("look", {"at": 2})), [look], *stack("look"))
    events = gone_through(runner)
    ends = [event for event in events if event["event"] == "on_tool_end"]
    assert sorted(event["data"]["output"].content for event in ends) == ["seen 1", "seen 2"]
    starts = [event for event in events if event["event"] == "on_tool_start"]
    assert sorted(event["data"]["input"]["at"] for event in starts) == [1, 2]
    assert len({event["run_id"] for event in starts}) == 2


@each_stack
def test_tool_messages_and_tokens_stream_as_before(stack: Stack):
    @tool
    def look(at: int) -> str:
        """Look."""
        return "seen"

    runner = agent(ask(("look", {"at": 1})), [look], *stack("look"))
    seen = [message for message, _ in runner.stream({"messages": ["go"]}, stream_mode="messages")]
    kinds: Sequence[str] = [message.type for message in seen]
    assert kinds.count("tool") == 1
    assert "".join(message.text for message in seen if message.type != "tool") == "done"
