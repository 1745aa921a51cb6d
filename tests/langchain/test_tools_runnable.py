"""`ToolExecutor` as a runnable: from a model's message to the results of its calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from agentperf_core.cache import ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.telemetry import SpanKind
from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from agentperf_core.tools import ToolExecutor as CoreExecutor
from langchain_agentperf import (
    LatencyCallbackHandler,
    ParallelToolsMiddleware,
    ToolExecutor,
    latency_callback,
)
from tests.core.flight_tools import WatchedFlight
from tests.langchain.scripted_models import ScriptedChat
from tests.langchain.tool_agents import alook, asking, look, tool_mark, until

READS = ToolPolicy(read_only=True)


def invoke(executor: ToolExecutor, given: Any, config: Any = None) -> list[ToolMessage]:
    return executor.invoke(given, config)


def ainvoke(executor: ToolExecutor, given: Any, config: Any = None) -> list[ToolMessage]:
    return asyncio.run(executor.ainvoke(given, config))


def batch(executor: ToolExecutor, given: Any, config: Any = None) -> list[ToolMessage]:
    return executor.batch([given], config)[0]


def astream(executor: ToolExecutor, given: Any, config: Any = None) -> list[ToolMessage]:
    async def drain() -> list[Any]:
        return [piece async for piece in executor.astream(given, config)]

    (whole,) = asyncio.run(drain())
    return whole


Go = Callable[..., list[ToolMessage]]
both = pytest.mark.parametrize("go", [invoke, ainvoke], ids=lambda go: go.__name__)
each = pytest.mark.parametrize("go", [invoke, ainvoke, batch, astream], ids=lambda go: go.__name__)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@each
def test_results_come_in_the_order_of_the_calls(go: Go):
    executor = ToolExecutor([look])
    found = go(executor, asking(*[("look", {"at": n}) for n in range(8)]))
    assert [(m.content, m.tool_call_id) for m in found] == [
        (f"seen {n}", f"c{n}") for n in range(8)
    ]
    assert [tool_mark(m)["outcome"] for m in found] == ["ok"] * 8
    assert executor.executor.stats().calls == 8


class State(BaseModel):
    messages: list[Any]


MESSAGE = asking(("look", {"at": 1}))


@both
@pytest.mark.parametrize(
    "given",
    [
        MESSAGE,
        [HumanMessage("go"), MESSAGE],
        [MESSAGE, ToolMessage("other", tool_call_id="x")],
        {"messages": [HumanMessage("go"), MESSAGE]},
        State(messages=[MESSAGE]),
        MESSAGE.tool_calls,
        MESSAGE.tool_calls[0],
    ],
    ids=["message", "messages", "not last", "state", "model", "calls", "call"],
)
def test_it_takes_whatever_holds_the_calls(go: Go, given: Any):
    assert [message.content for message in go(ToolExecutor([look]), given)] == ["seen 1"]


@both
@pytest.mark.parametrize("given", ["text", [], {}, {"messages": []}, [HumanMessage("go")], 7])
def test_without_a_message_of_a_model_there_is_nothing_to_do(go: Go, given: Any):
    with pytest.raises(ConfigError, match="wants the AIMessage with the calls, got a"):
        go(ToolExecutor([look]), given)


@both
def test_a_message_that_asks_for_nothing_gives_nothing(go: Go):
    assert go(ToolExecutor([look]), AIMessage("hello")) == []


@both
def test_what_a_call_got_wrong_is_told_to_the_model_and_costs_the_others_nothing(go: Go):
    @tool
    def checks(at: int) -> str:
        """Check."""
        return State.model_validate({"messages": at}).model_dump_json()

    message = asking(
        ("look", {"where": 1}), ("nope", {}), ("checks", {"at": 1}), ("look", {"at": 2})
    )
    message.invalid_tool_calls = [
        {"name": "look", "args": "{at:", "id": "bad", "error": None, "type": "invalid_tool_call"}
    ]
    wrong, unknown, own, right, broken = go(ToolExecutor([look, checks]), message)
    assert wrong.content == "tool 'look' got arguments that its schema refuses: at: Field required"
    assert unknown.content == "there is no tool 'nope', try one of look, checks"
    assert "ValidationError" in own.text, "what the tool itself found wrong is no wrong argument"
    assert right.content == "seen 2"
    assert broken.content == "tool 'look' got arguments that are no JSON object"
    outcomes = [tool_mark(m)["outcome"] for m in (wrong, unknown, own, right, broken)]
    assert outcomes == ["arguments", "unknown", "error", "ok", "arguments"]
    assert [m.tool_call_id for m in (wrong, unknown, broken)] == ["c0", "c1", "bad"]


@both
def test_a_tool_that_hangs_costs_the_others_nothing(go: Go, gate: threading.Event):
    @tool
    def hang(at: int) -> str:
        """Hang."""
        gate.wait(30)
        return "late"

    executor = ToolExecutor([look, hang], policies={"hang": ToolPolicy(timeout_s=0.05)})
    message = asking(("look", {"at": 1}), ("hang", {"at": 2}), ("look", {"at": 3}))
    first, second, third = go(executor, message)
    assert (first.content, third.content) == ("seen 1", "seen 3")
    assert (second.status, tool_mark(second)["outcome"]) == ("error", "timeout")


@both
def test_calls_run_at_once_in_threads_of_the_executors_own(go: Go):
    together = threading.Barrier(24)
    threads: set[str] = set()

    @tool
    def meet(at: int) -> str:
        """Meet."""
        threads.add(threading.current_thread().name)
        together.wait(30)
        return "met"

    found = go(ToolExecutor([meet]), asking(*[("meet", {"at": n}) for n in range(24)]))
    assert [message.content for message in found] == ["met"] * 24
    assert len(threads) == 24
    assert all(name.startswith("agentperf-tool") for name in threads)


@both
def test_writes_and_reads_of_one_resource_keep_their_order(go: Go):
    ran: list[int] = []

    @tool_policy(writes=["log"])
    def write(at: int) -> str:
        """Write."""
        ran.append(at)
        return "written"

    go(ToolExecutor([tool(write)]), asking(*[("write", {"at": n}) for n in range(8)]))
    assert ran == list(range(8))


class Crowd:
    """A tool that answers only once so many callers are there."""

    def __init__(self, callers: int, *, use_async: bool) -> None:
        self.callers, self.ran = callers, 0
        run = self.asearch if use_async else None
        self.tool = StructuredTool.from_function(self.search, coroutine=run)
        self.flight = WatchedFlight()

    def search(self, query: str) -> str:
        """Search."""
        self.ran += 1
        self.flight.wait_for(self.callers)
        return "found"

    async def asearch(self, query: str) -> str:
        return await asyncio.to_thread(self.search, query)


@pytest.mark.parametrize("how", ["one message", "threads", "tasks", "tasks, async tool"])
def test_a_hundred_equal_calls_run_a_read_only_tool_once(how: str):
    """Nothing is kept, and none of them waits for a place: there are fewer places than calls."""
    crowd = Crowd(100, use_async="async tool" in how)
    executor = ToolExecutor([crowd.tool], policies={"search": READS}, max_concurrency=8)
    executor._sharing._keeper.cache._flight = crowd.flight
    one = asking(("search", {"query": "x"}))

    async def tasks() -> list[Any]:
        return await asyncio.gather(*[executor.ainvoke(one) for _ in range(100)])

    if how == "one message":
        found = [executor.invoke(asking(*[("search", {"query": "x"})] * 100))]
    elif how == "threads":
        with ThreadPoolExecutor(100) as pool:
            found = list(pool.map(lambda _: executor.invoke(one), range(100)))
    else:
        found = asyncio.run(tasks())
    messages = [message for results in found for message in results]
    assert [message.text for message in messages] == ["found"] * 100
    assert crowd.ran == 1
    assert executor.executor.stats().cached == 99
    assert len(crowd.flight) == 0


@both
def test_a_cache_keeps_results_between_calls(go: Go):
    ran: list[int] = []

    @tool(response_format="content_and_artifact")
    def find(at: int) -> tuple[str, dict[str, int]]:
        """Find."""
        ran.append(at)
        return f"found {at}", {"at": at}

    policies = {"find": ToolPolicy(read_only=True, ttl_s=60)}
    executor = ToolExecutor([find], policies=policies, cache=ToolResultCache())
    for outcome in ("miss", "hit"):
        (message,) = go(executor, asking(("find", {"at": 1})))
        assert (message.content, message.artifact) == ("found 1", {"at": 1})
        assert message.response_metadata["agentperf"]["cache"]["outcome"] == outcome
    assert ran == [1]


def test_without_a_cache_nothing_is_kept_even_if_the_policy_would_allow_it():
    ran: list[int] = []

    @tool
    def find(at: int) -> str:
        """Find."""
        ran.append(at)
        return "found"

    executor = ToolExecutor([find], policies={"find": ToolPolicy(read_only=True, ttl_s=60)})
    for _ in range(2):
        (message,) = executor.invoke(asking(("find", {"at": 1})))
        assert "cache" not in message.response_metadata["agentperf"]
    assert ran == [1, 1]


def test_tenants_and_sessions_share_nothing():
    ran: list[int] = []

    @tool
    def find(at: int) -> str:
        """Find."""
        ran.append(at)
        return "found"

    user: ContextVar[str] = ContextVar("user")
    executor = ToolExecutor(
        [find],
        policies={"find": ToolPolicy(read_only=True, ttl_s=60, cache_scope="session")},
        cache=ToolResultCache(),
        tenant=user.get,
    )
    for name, thread in (("ada", "1"), ("ada", "1"), ("ada", "2"), ("bob", "1")):
        user.set(name)
        executor.invoke(asking(("find", {"at": 1})), {"configurable": {"thread_id": thread}})
    assert len(ran) == 3


@both
def test_a_run_is_one_invocation(go: Go):
    ran: list[int] = []

    @tool
    def find(at: int) -> str:
        """Find."""
        ran.append(at)
        return "found"

    policies = {"find": ToolPolicy(read_only=True, ttl_s=60, cache_scope="run")}
    executor = ToolExecutor([find], policies=policies, cache=ToolResultCache())
    for _ in range(2):
        go(executor, asking(("find", {"at": 1})))
    assert len(ran) == 2


@both
def test_an_error_that_must_end_the_run_does_once_all_calls_have_ended(go: Go):
    ran: list[int] = []

    @tool
    def stop(at: int) -> str:
        """Stop."""
        raise KeyboardError

    class KeyboardError(Exception):
        pass

    @tool
    def note(at: int) -> str:
        """Note."""
        ran.append(at)
        return "noted"

    executor = ToolExecutor([stop, note], raises=[KeyboardError])
    with pytest.raises(KeyboardError):
        go(executor, asking(("stop", {"at": 1}), ("note", {"at": 2})))
    assert ran == [2]


@both
def test_config_and_context_reach_the_tools_and_each_is_a_run_of_its_own(go: Go):
    """A run id belongs to one run: given to several tools, they would be one in the trace."""
    from uuid import uuid4

    @tool
    def who(at: int, config: RunnableConfig) -> str:
        """Who."""
        return f"{config.get('configurable', {}).get('user')} {config.get('tags')}"

    handler = LatencyCallbackHandler()
    config = {
        "configurable": {"user": "ada"},
        "tags": ["t"],
        "run_id": uuid4(),
        "run_name": "tools",
        "callbacks": [handler],
    }
    found = go(ToolExecutor([who]), asking(("who", {"at": 1}), ("who", {"at": 2})), config)
    assert [message.content for message in found] == ["ada ['t']"] * 2
    names = [trace.root.name for trace in handler.report().traces]
    assert names == ["who", "who"]


def test_it_is_a_part_of_a_chain():
    """The tools are children of the chain; the executor is no run of its own, as in LangGraph."""
    model = ScriptedChat(
        answer=lambda number, messages: asking(("alook", {"at": 1}), ("alook", {"at": 2}))
    )
    chain = model.bind_tools([alook]) | ToolExecutor([alook])
    with latency_callback() as handler:
        found = asyncio.run(chain.ainvoke("go"))
    assert [message.content for message in found] == ["seen 1", "seen 2"]
    spans = handler.report().traces[0].spans
    root, *others = spans
    tools = [span for span in others if span.kind is SpanKind.TOOL]
    assert [span.parent_id for span in tools] == [root.id, root.id]


def test_waiting_for_a_place_is_a_span_of_the_chain():
    core = CoreExecutor(max_concurrency=1)
    first: list[int] = []

    @tool
    def work(at: int) -> str:
        """Work."""
        first.append(at)
        until(lambda: len(first) > 1 or core.limits.waiting)
        return "done"

    model = ScriptedChat(
        answer=lambda number, messages: asking(("work", {"at": 1}), ("work", {"at": 2}))
    )
    with latency_callback() as handler:
        (model | ToolExecutor([work], executor=core)).invoke("go")
    spans = handler.report().traces[0].spans
    assert [span.name for span in spans if span.kind is SpanKind.WAIT] == ["work"]


def test_it_is_a_node_of_a_graph_by_itself():
    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": ToolExecutor([look]).invoke(state)}

    graph = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools").compile()
    assert graph.invoke({"messages": [MESSAGE]})["messages"][-1].content == "seen 1"


def test_functions_become_tools():
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    (message,) = ToolExecutor([add]).invoke(asking(("add", {"a": 1, "b": 2})))
    assert (message.content, message.name) == ("3", "add")


@pytest.mark.parametrize(
    ("tools", "options", "says"),
    [
        ([look, look.model_copy()], {}, "tools are called by name, got two of the name 'look'"),
        ([look], {"policies": {"lok": READS}}, r"policies must name tools, got \['lok'\]"),
        ([look], {"policies": {"look": 7}}, "policies holds ToolPolicy values, got 7 for 'look'"),
        ([look], {"executor": 7}, "executor must be a ToolExecutor, got 7"),
        ([look], {"cache": 7}, "cache must be a ToolResultCache, got 7"),
        ([look], {"max_concurrency": 0}, "max_concurrency must be > 0, got 0"),
        ([look], {"tenant": 7}, "tenant must be a name or a function, got 7"),
        ([look], {"session": 7}, "session must be a name or a function, got 7"),
    ],
)
def test_wrong_configuration_is_an_error_at_once(tools: Any, options: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        ToolExecutor(tools, **options)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ParallelToolsMiddleware(policies=[ToolPolicy()]), "policies must be a Mapping"),  # type: ignore[arg-type]
        (lambda: ParallelToolsMiddleware(raises=[3]), "raises holds classes of errors, got 3"),  # type: ignore[list-item]
        (lambda: ToolExecutor([3]), "a tool is a LangChain tool or a function, got 3"),  # type: ignore[list-item]
        (
            lambda: ToolExecutor([]).invoke([{"type": "tool_call", "name": "a", "args": {}}]),
            "lacks \\['id'\\]",
        ),
    ],
)
def test_what_is_no_policy_error_tool_or_call_is_told_of(make: Any, says: str):
    with pytest.raises(ConfigError, match=says):
        make()
