"""`cached_tool`: tools behind the cache in code that has no agent."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Annotated, Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool, Tool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from pydantic import PrivateAttr

from agentperf_core.cache import ToolResultCache
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.telemetry import SpanKind
from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from agentperf_core.tools import ToolExecutor
from langchain_agentperf import ToolExecutor as RunnableExecutor
from langchain_agentperf import cached_tool, latency_callback
from tests.langchain.scripted_models import call, say

KEEPS = ToolPolicy(read_only=True, ttl_s=60)


class Rates:
    def __init__(self) -> None:
        self.ran: list[str] = []

        @tool(response_format="content_and_artifact")
        def rate(currency: str, day: str = "today") -> tuple[Any, dict[str, str]]:
            """Rate of a currency."""
            self.ran.append(currency)
            return {"rate": len(self.ran)}, {"day": day}

        self.tool = rate


@pytest.fixture
def rates() -> Rates:
    return Rates()


def asked(currency: str = "EUR", call_id: str = "1") -> Any:
    return {"name": "rate", "args": {"currency": currency}, "id": call_id, "type": "tool_call"}


def test_a_plain_call_gives_what_the_tool_returned_and_once(rates: Rates):
    cached = cached_tool(rates.tool, policy=KEEPS)
    for given in ({"currency": "EUR"}, {"currency": "EUR", "day": "today"}):
        assert cached.invoke(given) == {"rate": 1}
    assert cached.invoke({"currency": "USD"}) == {"rate": 2}
    assert asyncio.run(cached.ainvoke({"currency": "EUR"})) == {"rate": 1}
    assert rates.ran == ["EUR", "USD"]


def test_a_call_with_an_id_gives_a_message_with_content_artefact_and_the_new_id(rates: Rates):
    cached = cached_tool(rates.tool, policy=KEEPS)
    first: ToolMessage = cached.invoke(asked(call_id="1"))
    second: ToolMessage = asyncio.run(cached.ainvoke(asked(call_id="2")))
    assert rates.ran == ["EUR"]
    assert first.content == second.content == '{"rate": 1}'
    assert first.artifact == second.artifact == {"day": "today"}
    assert (first.tool_call_id, second.tool_call_id) == ("1", "2")
    outcomes = [m.response_metadata["agentperf"]["cache"]["outcome"] for m in (first, second)]
    assert outcomes == ["miss", "hit"]


def test_plain_calls_and_calls_with_an_id_are_kept_apart(rates: Rates):
    """The one has the value as it is, the other a text and an artefact."""
    cached = cached_tool(rates.tool, policy=KEEPS)
    assert cached.invoke({"currency": "EUR"}) == {"rate": 1}
    assert cached.invoke(asked()).content == '{"rate": 2}'


def test_it_is_the_tool_but_for_the_calls(rates: Rates):
    cached = cached_tool(rates.tool, policy=KEEPS)
    assert type(cached) is StructuredTool
    assert (cached.name, cached.description) == ("rate", "Rate of a currency.")
    assert cached.args == rates.tool.args
    assert cached == rates.tool
    assert cached.model_dump() == rates.tool.model_dump()
    assert repr(cached) == repr(rates.tool)
    assert cached.tool_call_schema is rates.tool.tool_call_schema
    renamed = cached.model_copy(update={"name": "other"})
    assert renamed.name == "other"
    assert cached.name == "rate"


class Counter(BaseTool):
    name: str = "counter"
    description: str = "Count."
    _count: int = PrivateAttr(default=0)

    def _run(self, step: int) -> int:
        self._count += step
        return self._count


def test_a_tool_of_a_class_of_its_own_shares_its_state():
    counter = Counter()
    cached = cached_tool(counter, policy=KEEPS)
    assert [cached.invoke({"step": 2}) for _ in range(2)] == [2, 2]
    assert (counter._count, cached._count) == (2, 2)
    cached._count = 5
    assert counter.invoke({"step": 1}) == 6


def test_a_tool_of_one_string_is_kept_by_its_string():
    ran: list[str] = []

    def shout(text: str) -> str:
        ran.append(text)
        return text.upper()

    cached = cached_tool(Tool("shout", shout, "Shout."), policy=KEEPS)
    assert [cached.invoke("hi"), cached.invoke("hi"), cached.invoke("ho")] == ["HI", "HI", "HO"]
    assert ran == ["hi", "ho"]


def test_chains_batches_and_maps_use_it(rates: Rates):
    cached = cached_tool(rates.tool, policy=KEEPS)
    assert cached.batch([{"currency": "EUR"}] * 3, {"max_concurrency": 1}) == [{"rate": 1}] * 3
    chain = RunnableLambda(lambda text: {"currency": text}) | cached
    assert chain.invoke("EUR") == {"rate": 1}
    assert rates.ran == ["EUR"]


async def test_a_sync_tool_that_is_awaited_may_have_threads_of_an_executors_own():
    threads: list[str] = []

    @tool
    def where(at: int) -> str:
        """Where."""
        threads.append(threading.current_thread().name)
        return "here"

    await cached_tool(where, policy=KEEPS, executor=ToolExecutor()).ainvoke({"at": 1})
    await cached_tool(where, policy=KEEPS).ainvoke({"at": 1})
    assert [name.startswith("agentperf-tool") for name in threads] == [True, False]


def test_writes_forget_what_was_read():
    state = ["new"]

    @tool
    def read(order: int) -> str:
        """Read."""
        return state[0]

    @tool
    def write(order: int) -> str:
        """Write."""
        state[0] = "paid"
        return "written"

    cache = ToolResultCache()
    reader = cached_tool(
        read, policy=ToolPolicy(read_only=True, ttl_s=60, reads=["o:{order}"]), cache=cache
    )
    writer = cached_tool(write, policy=ToolPolicy(writes=["o:{order}"]), cache=cache)
    assert reader.invoke({"order": 7}) == "new"
    assert writer.invoke({"order": 7}) == "written"
    assert reader.invoke({"order": 7}) == "paid"


def test_errors_pass_and_are_not_kept():
    ran: list[int] = []

    @tool
    def broken(at: int) -> str:
        """Break."""
        ran.append(at)
        raise ConnectionError("down")

    cached = cached_tool(broken, policy=KEEPS)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            cached.invoke({"at": 1})
    assert ran == [1, 1]


def test_a_value_that_is_no_plain_data_comes_through_and_is_not_kept():
    @tool
    def make(at: int) -> Any:
        """Make."""
        return {1: object()}

    cached = cached_tool(make, policy=KEEPS)
    first, second = cached.invoke({"at": 1}), cached.invoke({"at": 1})
    assert first[1] is not second[1]


def test_the_decorators_policy_is_taken():
    ran: list[int] = []

    @tool_policy(read_only=True, ttl_s=60)
    def plain(at: int) -> str:
        """Plain."""
        ran.append(at)
        return "done"

    cached = cached_tool(tool(plain))
    assert [cached.invoke({"at": 1}) for _ in range(2)] == ["done", "done"]
    assert ran == [1]


def test_tenants_sessions_and_time_tell_calls_apart(rates: Rates):
    clock = FakeClock()
    user: ContextVar[str] = ContextVar("user", default="ada")
    policy = ToolPolicy(read_only=True, ttl_s=60, cache_scope="session")
    cache = ToolResultCache(clock=clock)
    cached = cached_tool(rates.tool, policy=policy, cache=cache, tenant=user.get)

    def go(thread: str) -> int:
        config: Any = {"configurable": {"thread_id": thread}}
        return cached.invoke({"currency": "EUR"}, config)["rate"]

    assert [go("1"), go("2"), go("1")] == [1, 2, 1]
    user.set("bob")
    assert go("1") == 3
    user.set("ada")
    clock.advance(61)
    assert go("1") == 4


def test_a_served_call_is_a_cache_span_and_a_live_one_a_tools(rates: Rates):
    cached = cached_tool(rates.tool, policy=KEEPS)
    with latency_callback() as handler:
        for given in (asked(), asked(), {"currency": "X"}, {"currency": "X"}):
            cached.invoke(given)
    kinds = [trace.root.kind for trace in handler.report().traces]
    assert kinds == [SpanKind.TOOL, SpanKind.CACHE] * 2


def test_in_a_graph_it_is_a_tool_like_any_other_and_a_run_is_one_invocation():
    ran: list[int] = []

    @tool
    def length(at: int, messages: Annotated[list[Any], InjectedState("messages")]) -> str:
        """Length."""
        ran.append(at)
        return f"{len(messages)} messages"

    policy = ToolPolicy(read_only=True, ttl_s=60, cache_scope="run")
    node = ToolNode([cached_tool(length, policy=policy)])
    graph = StateGraph(MessagesState).add_node("tools", node)
    graph = graph.add_edge(START, "tools").compile()
    given: Any = {"messages": [say("", call("length", "a", at=1))]}
    for run in (1, 2):
        messages = graph.invoke(given)["messages"]
        assert messages[-1].content == "1 messages"
        assert len(ran) == run


async def test_the_executor_runs_it_in_its_own_way():
    """What keeps is awaited as it is; the tool behind it has the threads that it was given."""
    ran: list[str] = []

    @tool
    def work(at: int) -> str:
        """Work."""
        ran.append(threading.current_thread().name)
        return "done"

    core = ToolExecutor()
    cached = cached_tool(work, policy=KEEPS, executor=core)
    executor = RunnableExecutor([cached], executor=core)
    message = say("", call("work", "a", at=1), call("work", "b", at=1))
    found = await executor.ainvoke(message)
    assert [m.content for m in found] == ["done", "done"]
    assert len(ran) == 1
    assert ran[0].startswith("agentperf-tool")


@tool
def with_config(at: int, config: RunnableConfig) -> str:
    """Config."""
    return ""


@pytest.mark.parametrize(
    ("made", "options", "says"),
    [
        (7, {"policy": KEEPS}, "tool must be a BaseTool, got 7"),
        (with_config, {"policy": KEEPS}, "'with_config' is given the run's state or config"),
        (Counter(), {}, "needs a policy, got none for 'counter'"),
        (Counter(), {"policy": 7}, "policy must be a ToolPolicy, got 7"),
        (Counter(), {"policy": ToolPolicy(writes=["a"])}, "needs the cache of the tools that read"),
        (Counter(), {"policy": KEEPS, "cache": 7}, "cache must be a ToolResultCache, got 7"),
        (Counter(), {"policy": KEEPS, "tenant": 7}, "tenant must be a name or a function, got 7"),
        (Counter(), {"policy": KEEPS, "session": 7}, "session must be a name or a function, got 7"),
        (Counter(), {"policy": KEEPS, "executor": 7}, "executor must be a ToolExecutor, got 7"),
    ],
)
def test_wrong_configuration_is_an_error_at_once(made: Any, options: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        cached_tool(made, **options)
