"""`PerfToolNode` in graphs of one's own, in place of LangGraph's `ToolNode`."""

from __future__ import annotations

import asyncio
import gc
import operator
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, ToolRuntime
from langgraph.types import Command, interrupt

from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor
from langchain_agentperf import PerfToolNode
from langchain_agentperf._tools.bound import Passage
from tests.langchain.tool_agents import alook, asking, counted_work, look, results, tool_mark


def graph(node: Any, state: Any = MessagesState, **options: Any) -> Any:
    return StateGraph(state).add_node("tools", node).add_edge(START, "tools").compile(**options)


def asked_for(*named: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"messages": [asking(*named)]}


def invoke(runner: Any, given: Any, config: Any = None) -> list[ToolMessage]:
    return results(runner.invoke(given, config)["messages"])


def ainvoke(runner: Any, given: Any, config: Any = None) -> list[ToolMessage]:
    return results(asyncio.run(runner.ainvoke(given, config))["messages"])


Go = Callable[..., list[ToolMessage]]
both = pytest.mark.parametrize("go", [invoke, ainvoke], ids=lambda go: go.__name__)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@both
def test_results_come_in_the_order_of_the_calls_and_say_how_they_went(go: Go):
    node = PerfToolNode([look])
    found = go(graph(node), asked_for(*[("look", {"at": n}) for n in range(8)]))
    assert [message.content for message in found] == [f"seen {n}" for n in range(8)]
    assert {tool_mark(message)["outcome"] for message in found} == {"ok"}
    assert node.executor.stats().calls == 8


@both
def test_a_tool_that_fails_or_hangs_costs_the_others_nothing(go: Go, gate: threading.Event):
    @tool
    def broken(at: int) -> str:
        """Break."""
        raise ConnectionError("down")

    @tool
    def hang(at: int) -> str:
        """Hang."""
        gate.wait(30)
        return "late"

    node = PerfToolNode([look, broken, hang], policies={"hang": ToolPolicy(timeout_s=0.05)})
    message = asked_for(
        ("look", {"at": 1}), ("broken", {"at": 2}), ("hang", {"at": 3}), ("look", {"at": 4})
    )
    first, second, third, fourth = go(graph(node), message)
    assert (first.content, fourth.content) == ("seen 1", "seen 4")
    assert second.text.endswith("ConnectionError: down")
    assert tool_mark(third)["outcome"] == "timeout"


@both
def test_sync_tools_run_all_at_once(go: Go):
    """LangGraph's node has six threads on a machine with two processors, sync or async."""
    together = threading.Barrier(24)

    @tool
    def meet(at: int) -> str:
        """Meet."""
        together.wait(30)
        return "met"

    found = go(graph(PerfToolNode([meet])), asked_for(*[("meet", {"at": n}) for n in range(24)]))
    assert [message.content for message in found] == ["met"] * 24


def test_the_callers_own_limit_of_threads_holds():
    work, most = counted_work()
    message = asked_for(*[("work", {"at": n}) for n in range(12)])
    invoke(graph(PerfToolNode([work])), message, {"max_concurrency": 1})
    assert most == [1]


@both
def test_what_the_graph_gives_tools_is_given(go: Go):
    class Counting(MessagesState):
        count: int

    @tool
    def read(
        at: int,
        count: Annotated[int, InjectedState("count")],
        runtime: ToolRuntime,
        call_id: Annotated[str, InjectedToolCallId],
    ) -> Command[Any]:
        """Read."""
        said = ToolMessage(f"{at} {count} {runtime.tool_call_id}", tool_call_id=call_id)
        return Command(update={"count": count + 1, "messages": [said]})

    runner = graph(PerfToolNode([read, look]), Counting)
    given = {**asked_for(("read", {"at": 1}), ("look", {"at": 2})), "count": 3}
    found = go(runner, given)
    assert [message.content for message in found] == ["1 3 c0", "seen 2"]
    assert runner.invoke(given)["count"] == 4


@both
def test_a_tool_that_asks_a_person_pauses_the_graph(go: Go):
    @tool
    def book(room: int) -> str:
        """Book."""
        return f"booked {room}: {interrupt({'room': room})}"

    runner = graph(PerfToolNode([book]), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    go(runner, asked_for(("book", {"room": 7})), config)
    (message,) = go(runner, Command(resume="yes"), config)
    assert message.content == "booked 7: yes"


# Wrappers of one's own


def test_a_sync_wrapper_leaves_the_event_loop_alone():
    """In LangGraph it runs on the loop, one call after the other.

    Here no call ends before all have begun, and the loop does its work meanwhile.
    """
    together = threading.Barrier(8)
    ticks: list[int] = []

    def wrap(request: Any, execute: Callable[..., Any]) -> Any:
        together.wait(30)
        result = execute(request)
        return result.model_copy(update={"content": f"wrapped {result.content}"})

    async def main() -> list[ToolMessage]:
        runner = graph(PerfToolNode([look, alook], wrap_tool_call=wrap))
        names = ["look", "alook"] * 4
        message = asked_for(*[(name, {"at": n}) for n, name in enumerate(names)])
        running = asyncio.create_task(runner.ainvoke(message))
        while not running.done():
            ticks.append(1)
            await asyncio.sleep(0)
        return results((await running)["messages"])

    found = asyncio.run(main())
    assert [message.content for message in found] == [f"wrapped seen {n}" for n in range(8)]
    assert len(ticks) > 8


@pytest.mark.parametrize("use_async", [False, True], ids=["invoke", "ainvoke"])
def test_wrappers_are_used_as_in_langgraph(use_async: bool):
    def wrap(request: Any, execute: Callable[..., Any]) -> Any:
        assert request.tool.name == "look"
        return execute(request.override(tool_call={**request.tool_call, "args": {"at": 5}}))

    async def awrap(request: Any, execute: Callable[..., Any]) -> Any:
        return await execute(request.override(tool_call={**request.tool_call, "args": {"at": 6}}))

    node = PerfToolNode([look], wrap_tool_call=wrap, awrap_tool_call=awrap)
    go = ainvoke if use_async else invoke
    (message,) = go(graph(node), asked_for(("look", {"at": 1})))
    assert message.content == ("seen 6" if use_async else "seen 5")


@both
def test_a_wrapper_that_answers_by_itself_needs_no_tool(go: Go):
    def wrap(request: Any, execute: Callable[..., Any]) -> Any:
        return ToolMessage("by hand", tool_call_id=request.tool_call["id"])

    node = PerfToolNode([look], wrap_tool_call=wrap)
    (message,) = go(graph(node), asked_for(("look", {"at": 1})))
    assert message.content == "by hand"
    assert tool_mark(message)["attempts"] == 0


@both
def test_a_wrapper_that_raises_is_an_error_of_the_call(go: Go):
    def wrap(request: Any, execute: Callable[..., Any]) -> Any:
        raise KeyError("settings")

    node = PerfToolNode([look], wrap_tool_call=wrap)
    (message,) = go(graph(node), asked_for(("look", {"at": 1})))
    assert (message.status, "KeyError" in message.text) == ("error", True)


async def test_a_run_that_is_cancelled_cancels_the_tool_behind_a_sync_wrapper():
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def hang(at: int) -> str:
        """Hang."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "never"

    node = PerfToolNode([hang], wrap_tool_call=lambda request, execute: execute(request))
    running = asyncio.create_task(graph(node).ainvoke(asked_for(("hang", {"at": 1}))))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await cancelled.wait()


# The options of `ToolNode`


@both
def test_errors_end_the_run_for_who_says_so(go: Go):
    @tool
    def broken(at: int) -> str:
        """Break."""
        raise ConnectionError("down")

    for node in (
        PerfToolNode([broken], handle_tool_errors=False),
        PerfToolNode([broken], raises=[ConnectionError]),
    ):
        with pytest.raises(ConnectionError):
            go(graph(node), asked_for(("broken", {"at": 1})))


@both
def test_a_handler_of_errors_writes_them_itself(go: Go):
    @tool
    def broken(at: int) -> str:
        """Break."""
        raise ConnectionError("down")

    node = PerfToolNode([broken], handle_tool_errors="Try later.")
    (message,) = go(graph(node), asked_for(("broken", {"at": 1})))
    assert (message.content, message.status) == ("Try later.", "error")


class History(TypedDict):
    history: Annotated[list[Any], operator.add]


@both
def test_messages_may_be_under_another_key(go: Go):
    ran: list[int] = []

    @tool
    def step(at: int) -> str:
        """Step."""
        ran.append(at)
        return f"step {at}"

    node = PerfToolNode(
        [step], messages_key="history", name="steps", policies={"step": ToolPolicy(exclusive="s")}
    )
    assert node.name == "steps"
    given = {"history": asked_for(*[("step", {"at": n}) for n in range(5)])["messages"]}
    runner = graph(node, History)
    state = runner.invoke(given) if go is invoke else asyncio.run(runner.ainvoke(given))
    assert [m.content for m in results(state["history"])] == [f"step {n}" for n in range(5)]
    assert ran == list(range(5))


def test_it_is_a_tool_node_and_takes_functions():
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    node = PerfToolNode([add, look])
    assert isinstance(node, ToolNode)
    assert list(node.tools_by_name) == ["add", "look"]
    (message,) = invoke(graph(node), asked_for(("add", {"a": 1, "b": 2})))
    assert message.content == "3"
    assert isinstance(asked_for(("add", {}))["messages"][0], AIMessage)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"policies": {"lok": ToolPolicy()}}, r"policies must name tools, got \['lok'\]"),
        ({"policies": {"look": 7}}, "policies holds ToolPolicy values, got 7 for 'look'"),
        ({"executor": 7}, "executor must be a ToolExecutor, got 7"),
        ({"max_concurrency": 0}, "max_concurrency must be > 0, got 0"),
    ],
)
def test_wrong_configuration_is_an_error_at_once(options: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        PerfToolNode([look], **options)


def test_two_nodes_may_share_an_executor():
    executor = ToolExecutor()
    for node in (PerfToolNode([look], executor=executor), PerfToolNode([look], executor=executor)):
        invoke(graph(node), asked_for(("look", {"at": 1})))
    assert executor.stats().calls == 2


def passages() -> list[Passage]:
    # By type: asking some lazy modules for their class imports what they stand for.
    return [one for one in gc.get_objects() if type(one) is Passage]


async def test_a_call_leaves_nothing_for_the_garbage_collector():
    """It held itself, by the step that it was given: a hundred objects a call, and slower runs."""
    runner = graph(PerfToolNode([alook]))
    await runner.ainvoke(asked_for(("alook", {"at": 1})))
    gc.collect()
    gc.disable()
    try:
        before = passages()  # calls of other tests that hang, and are held by their threads
        await runner.ainvoke(asked_for(("alook", {"at": 2})))
        assert not [one for one in passages() if not any(one is other for other in before)]
    finally:
        gc.enable()
