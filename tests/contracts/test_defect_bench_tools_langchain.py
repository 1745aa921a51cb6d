"""How LangGraph's node and LangChain's agents run tools: each trap shown, and absent in ours.

A test that pins an upstream defect fails when upstream repairs it: then the note in our code goes.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.errors import NodeTimeoutError
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf import ParallelToolsMiddleware, PerfToolNode, ToolCacheMiddleware
from tests.langchain.scripted_models import ScriptedChat, call, say

# What `asyncio` and `concurrent.futures` take if nobody says otherwise.
THREADS = min(32, (os.cpu_count() or 1) + 4)
Named = tuple[str, dict[str, Any]]


def asking(named: Sequence[Named]) -> Any:
    calls = [call(name, f"c{n}", **arguments) for n, (name, arguments) in enumerate(named)]
    return say("", *calls)


def graph(node: Any, named: Sequence[Named]) -> tuple[Any, Any]:
    made = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools").compile()
    return made, {"messages": [asking(named)]}


def agent(tools: Sequence[BaseTool], named: Sequence[Named], *middleware: Any) -> tuple[Any, Any]:
    model = ScriptedChat(
        answer=lambda _, messages: (
            asking(named) if isinstance(messages[-1], HumanMessage) else say("done")
        )
    )
    return create_agent(model, tools, middleware=middleware), {"messages": ["go"]}


Policies = Mapping[str, ToolPolicy]


def stock_node(
    tools: Sequence[BaseTool], named: Sequence[Named], policies: Policies, **options: Any
) -> tuple[Any, Any]:
    return graph(ToolNode(tools, **options), named)


def our_node(
    tools: Sequence[BaseTool], named: Sequence[Named], policies: Policies, **options: Any
) -> tuple[Any, Any]:
    return graph(PerfToolNode(tools, policies=policies, max_concurrency=64, **options), named)


def stock_agent(
    tools: Sequence[BaseTool], named: Sequence[Named], policies: Policies
) -> tuple[Any, Any]:
    return agent(tools, named)


def our_agent(
    tools: Sequence[BaseTool], named: Sequence[Named], policies: Policies
) -> tuple[Any, Any]:
    parallel = ParallelToolsMiddleware(policies=policies, max_concurrency=64)
    return agent(tools, named, parallel, ToolCacheMiddleware(policies=policies, ttl_s=None))


Make = Callable[..., tuple[Any, Any]]
STOCK: Sequence[Make] = [stock_node, stock_agent]
OURS: Sequence[Make] = [our_node, our_agent]
every = pytest.mark.parametrize("make", [*STOCK, *OURS], ids=lambda made: made.__name__)
nodes = pytest.mark.parametrize("make", [stock_node, our_node], ids=lambda made: made.__name__)
use_async = pytest.mark.parametrize("use_async", [False, True], ids=["invoke", "ainvoke"])


def results(state: Any) -> list[str]:
    return [m.text for m in state["messages"] if isinstance(m, ToolMessage)]


def go(runner: Any, given: Any, *, use_async: bool, config: Any = None) -> list[str]:
    if use_async:
        return results(asyncio.run(runner.ainvoke(given, config)))
    return results(runner.invoke(given, config))


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opens at the end of a test, so that no thread of it stays behind."""
    event = threading.Event()
    yield event
    event.set()


@tool
def look(at: int) -> str:
    """Look."""
    return f"seen {at}"


class Meeting:
    """A tool that counts how many of its calls are there at once, and lets them go together."""

    def __init__(self, gate: threading.Event, enough: int) -> None:
        self._gate, self._enough = gate, enough
        self._lock = threading.Lock()
        self.there = 0
        self.full = threading.Event()
        self.threads: set[str] = set()
        self.tool = StructuredTool.from_function(self.meet)

    def meet(self, at: int) -> str:
        """Meet."""
        with self._lock:
            self.there += 1
            self.threads.add(threading.current_thread().name)
            if self.there == self._enough:
                self.full.set()
        self._gate.wait(30)
        return "met"


@every
async def test_sync_tools_of_an_async_run_share_the_few_threads_of_the_event_loop(
    make: Make, gate: threading.Event
):
    """All libraries of a process share them: file access, name look-ups, other tools."""
    calls = THREADS + 3
    meeting = Meeting(gate, THREADS if make in STOCK else calls)
    runner, given = make([meeting.tool], [("meet", {"at": n}) for n in range(calls)], {})
    running = asyncio.create_task(runner.ainvoke(given))
    while not meeting.full.is_set():  # noqa: ASYNC110 - threads set it
        await asyncio.sleep(0)
    for _ in range(200):
        await asyncio.sleep(0)
    assert meeting.there == (THREADS if make in STOCK else calls)
    name = "asyncio_" if make in STOCK else "agentperf-tool"
    assert all(thread.startswith(name) for thread in meeting.threads)
    gate.set()
    assert results(await running) == ["met"] * calls


@nodes
def test_sync_tools_of_a_sync_run_have_as_few(make: Make, gate: threading.Event):
    """The node makes a new pool for every message; in agents LangGraph's own pool is the limit."""
    calls = THREADS + 3
    meeting = Meeting(gate, THREADS if make in STOCK else calls)
    runner, given = make([meeting.tool], [("meet", {"at": n}) for n in range(calls)], {})
    found: list[Any] = []
    running = threading.Thread(target=lambda: found.append(runner.invoke(given)))
    running.start()
    assert meeting.full.wait(30)
    assert meeting.there == (THREADS if make in STOCK else calls)
    gate.set()
    running.join(30)
    assert results(found[0]) == ["met"] * calls


@nodes
async def test_the_limit_of_the_config_is_ignored_by_the_async_node(make: Make):
    """langgraph#8517. Ours has limits of its own, for all tools and for each."""
    running, most = [0], [0]

    @tool
    async def work(at: int) -> str:
        """Work."""
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0)
        running[0] -= 1
        return "done"

    policies = {"work": ToolPolicy(max_concurrency=2)}
    runner, given = make([work], [("work", {"at": n}) for n in range(8)], policies)
    assert len(results(await runner.ainvoke(given, {"max_concurrency": 2}))) == 8
    assert most[0] == (8 if make in STOCK else 2)


@every
@use_async
def test_a_tool_that_raises_ends_the_run_and_the_results_of_the_others_are_lost(
    make: Make, use_async: bool
):
    """langgraph#7412, #6486: only wrong arguments are told to the model."""

    @tool
    def broken(at: int) -> str:
        """Break."""
        raise ConnectionError("down")

    runner, given = make([look, broken], [("look", {"at": 1}), ("broken", {"at": 2})], {})
    if make in STOCK:
        with pytest.raises(ConnectionError):
            go(runner, given, use_async=use_async)
        return
    first, second = go(runner, given, use_async=use_async)
    assert first == "seen 1"
    assert "ConnectionError: down" in second


@nodes
async def test_the_others_go_on_unseen_when_one_has_ended_the_run(make: Make):
    """The first error goes to the caller at once, and nobody cancels or awaits the rest."""
    gate, ended = asyncio.Event(), asyncio.Event()

    @tool
    async def broken(at: int) -> str:
        """Break."""
        raise ConnectionError("down")

    @tool
    async def slow(at: int) -> str:
        """Work."""
        await gate.wait()
        ended.set()
        return "done"

    runner, given = make([broken, slow], [("broken", {"at": 1}), ("slow", {"at": 2})], {})
    running = asyncio.create_task(runner.ainvoke(given))
    if make in STOCK:
        with pytest.raises(ConnectionError):
            await running
        assert not ended.is_set()
        gate.set()
        await ended.wait()  # it ran on, with nobody to take what it did
    else:
        gate.set()
        assert results(await running)[1] == "done"


@every
async def test_a_tool_that_hangs_holds_up_the_run_for_ever(make: Make):
    """langgraph#6412: there is no time-out for a tool. Ours has one per tool, sync or async."""
    begun, never = asyncio.Event(), asyncio.Event()

    @tool
    async def hang(at: int) -> str:
        """Hang."""
        begun.set()
        await never.wait()
        return "late"

    policies = {"hang": ToolPolicy(timeout_s=0.05)}
    runner, given = make([look, hang], [("look", {"at": 1}), ("hang", {"at": 2})], policies)
    running = asyncio.create_task(runner.ainvoke(given))
    await begun.wait()
    if make in STOCK:
        await asyncio.wait([running], timeout=0.2)
        assert not running.done()
        never.set()
        assert results(await running) == ["seen 1", "late"]
    else:
        first, second = results(await running)
        assert first == "seen 1"
        assert "it took longer than timeout_s=0.05" in second


@nodes
def test_a_sync_node_waits_for_the_thread_of_a_tool_that_hangs(make: Make, gate: threading.Event):
    """`with ThreadPoolExecutor(...)` ends when all its threads have."""

    @tool
    def hang(at: int) -> str:
        """Hang."""
        gate.wait(30)
        return "late"

    policies = {"hang": ToolPolicy(timeout_s=0.05)}
    runner, given = make([look, hang], [("look", {"at": 1}), ("hang", {"at": 2})], policies)
    found: list[Any] = []
    running = threading.Thread(target=lambda: found.append(runner.invoke(given)))
    running.start()
    running.join(0.5 if make in STOCK else 30)
    assert running.is_alive() is (make in STOCK)
    if make in OURS:
        assert results(found[0])[0] == "seen 1"
    gate.set()
    running.join(30)


async def test_the_time_out_of_a_node_costs_all_results_and_refuses_sync_runs():
    """What LangGraph has is for nodes: one tool that hangs takes the others with it."""
    from langgraph.types import TimeoutPolicy

    never = asyncio.Event()

    @tool
    async def hang(at: int) -> str:
        """Hang."""
        await never.wait()
        return "late"

    builder = StateGraph(MessagesState)
    node: Any = ToolNode([look, hang])
    builder.add_node("tools", node, timeout=TimeoutPolicy(run_timeout=0.05))
    runner = builder.add_edge(START, "tools").compile()
    given: Any = {"messages": [asking([("look", {"at": 1}), ("hang", {"at": 2})])]}
    with pytest.raises(NodeTimeoutError):
        await runner.ainvoke(given)
    with pytest.raises(ValueError, match="timeout"):
        runner.invoke(given)


@nodes
async def test_a_sync_wrapper_stops_the_event_loop_and_runs_tools_one_by_one(make: Make):
    """langgraph#7591. In the stock node a second call that waits for a first one never comes."""
    order: list[str] = []
    second = threading.Event()

    def wrap(request: Any, execute: Callable[..., Any]) -> Any:
        name = request.tool_call["id"]
        order.append(f"{name} begins")
        if name == "c0" and make in OURS:
            assert second.wait(30)
        if name == "c1":
            second.set()
        result = execute(request)
        order.append(f"{name} ends")
        return result

    calls: list[Named] = [("look", {"at": 1}), ("look", {"at": 2})]
    runner, given = make([look], calls, {}, wrap_tool_call=wrap)
    assert results(await runner.ainvoke(given)) == ["seen 1", "seen 2"]
    if make in STOCK:
        assert order == ["c0 begins", "c0 ends", "c1 begins", "c1 ends"]
    else:
        assert order.index("c1 begins") < order.index("c0 ends")


class SyncOnly(AgentMiddleware[Any, Any, Any]):
    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(request)


async def test_middleware_of_one_flavour_breaks_the_other_kind_of_run():
    """So every middleware of ours has both."""
    runner, given = agent([look], [("look", {"at": 1})], SyncOnly())
    with pytest.raises(NotImplementedError):
        await runner.ainvoke(given)
    for ours in (ParallelToolsMiddleware, ToolCacheMiddleware):
        runner, given = agent([look], [("look", {"at": 1})], ours())
        assert results(await runner.ainvoke(given)) == results(runner.invoke(given)) == ["seen 1"]


@every
async def test_a_run_that_is_cancelled_leaves_its_sync_tools_running(
    make: Make, gate: threading.Event
):
    """A thread cannot be stopped. Ours counts it, and another takes its place in the pool."""
    begun = threading.Event()
    ended: list[int] = []

    @tool
    def slow(at: int) -> str:
        """Work."""
        begun.set()
        gate.wait(30)
        ended.append(at)
        return "done"

    runner, given = make([slow], [("slow", {"at": 1})], {})
    running = asyncio.create_task(runner.ainvoke(given))
    while not begun.is_set():  # noqa: ASYNC110 - a thread sets it
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == []
    gate.set()
    while not ended:  # noqa: ASYNC110 - a thread does it
        await asyncio.sleep(0)


async def test_an_orphan_is_counted():
    gate, begun = threading.Event(), threading.Event()

    @tool
    def slow(at: int) -> str:
        """Work."""
        begun.set()
        gate.wait(30)
        return "done"

    parallel = ParallelToolsMiddleware()
    runner, given = agent([slow], [("slow", {"at": 1})], parallel)
    running = asyncio.create_task(runner.ainvoke(given))
    while not begun.is_set():  # noqa: ASYNC110 - a thread sets it
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert parallel.executor.stats().orphans == 1
    gate.set()
    while parallel.executor.stats().orphans:  # noqa: ASYNC110 - a thread ends it
        await asyncio.sleep(0)


@every
async def test_equal_calls_at_once_run_as_often_as_they_are_asked(make: Make):
    """Ours run a read-only tool once for all of them; nothing is kept for later."""
    calls, ran = 8, [0]
    gate = asyncio.Event()

    @tool
    async def search(query: str) -> str:
        """Search."""
        ran[0] += 1
        if ran[0] == (calls if make in STOCK else 1):
            gate.set()
        await gate.wait()
        for _ in range(200):
            await asyncio.sleep(0)
        return "found"

    policies = {"search": ToolPolicy(read_only=True)}
    runner, given = make([search], [("search", {"query": "x"})] * calls, policies)
    assert results(await runner.ainvoke(given)) == ["found"] * calls
    assert ran[0] == (calls if make in STOCK else 1)


@every
@use_async
def test_calls_that_depend_on_each_other_run_at_once_all_the_same(make: Make, use_async: bool):
    """mkdir, cd, mv: of stateful tools nobody may assume that calls of one message are independent.

    The first call takes longest; without an order the second one is done before it.
    """
    ran: list[int] = []
    passed = threading.Event()

    @tool
    def shell(step: int) -> str:
        """Run."""
        if step == 0 and make in STOCK:
            passed.wait(30)
        ran.append(step)
        passed.set()
        return "done"

    policies = {"shell": ToolPolicy(exclusive="shell")}
    runner, given = make([shell], [("shell", {"step": n}) for n in range(3)], policies)
    go(runner, given, use_async=use_async)
    if make in STOCK:
        assert ran[0] != 0
    else:
        assert ran == [0, 1, 2]


@every
@use_async
def test_results_are_in_the_order_of_the_calls_in_both(make: Make, use_async: bool):
    """What LangGraph does well has to stay: the prompt is the same in every run."""
    passed = threading.Event()

    @tool
    def work(at: int) -> str:
        """Work."""
        if at == 0:
            passed.wait(30)
        passed.set()
        return f"done {at}"

    runner, given = make([work], [("work", {"at": n}) for n in range(3)], {})
    assert go(runner, given, use_async=use_async) == ["done 0", "done 1", "done 2"]
