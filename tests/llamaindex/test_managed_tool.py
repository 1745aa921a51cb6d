"""`ManagedTool`: the tool inside it, run by an executor as its policy says."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from context_tools import Counter
from llama_index.core import Document, SummaryIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.tools import BaseTool, FunctionTool, QueryEngineTool, ToolMetadata, ToolOutput
from llama_index.core.tools.calling import acall_tool, call_tool
from llamaindex_tools import ScriptedLLM, calls, says, start
from pydantic import Field

from agentperf_core.accounting.deadline import deadline
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from agentperf_core.tools import ToolExecutor
from llamaindex_agentperf import (
    CachedTool,
    ManagedTool,
    ParallelFunctionAgent,
    instrument,
    manage_tools,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)

KEEPS = ToolPolicy(read_only=True, ttl_s=60)


def get_order(order_id: int, unit: str = "kg") -> str:
    """State of an order."""
    return f"order {order_id}: new ({unit})"


async def aget_order(order_id: int, unit: str = "kg") -> str:
    """State of an order."""
    return get_order(order_id, unit)


def where() -> str:
    """Where does this run?"""
    return threading.current_thread().name


def same(found: ToolOutput, expected: ToolOutput) -> None:
    for name in ("content", "tool_name", "raw_input", "raw_output", "is_error"):
        assert getattr(found, name) == getattr(expected, name)


# What it looks like


def test_it_looks_like_the_tool_inside() -> None:
    inner = FunctionTool.from_defaults(get_order, return_direct=True)
    tool = ManagedTool(inner, policy=KEEPS)
    assert isinstance(tool, FunctionTool)
    assert tool.metadata is inner.metadata
    assert tool.metadata.return_direct
    assert (tool.fn, tool.real_fn, tool.async_fn) == (inner.fn, inner.real_fn, inner.async_fn)
    assert (tool.requires_context, tool.ctx_param_name) == (False, None)
    assert tool.policy is KEEPS
    with pytest.raises(ConfigError, match="a ManagedTool wraps a tool"):
        ManagedTool.from_defaults(get_order)


@pytest.mark.parametrize("how", ["call", "__call__", "acall", "call_tool", "acall_tool"])
@pytest.mark.parametrize("sync", [True, False])
async def test_every_way_of_calling_gives_what_the_tool_gives(how: str, sync: bool) -> None:
    inner = FunctionTool.from_defaults(get_order) if sync else None
    inner = inner or FunctionTool.from_defaults(async_fn=aget_order)
    tool = ManagedTool(inner)
    plain = await inner.acall(order_id=7)
    match how:
        case "call_tool":
            output = call_tool(tool, {"order_id": 7})
        case "acall_tool":
            output = await acall_tool(tool, {"order_id": 7})
        case _:
            made = getattr(tool, how)(order_id=7)
            output = await made if inspect.isawaitable(made) else made
    same(output, plain)
    assert tool.executor.stats().calls == 1


async def test_callbacks_partial_parameters_and_field_defaults_stay_in_force() -> None:
    def sized(unit: str, size: int = Field(default=3, description="how many")) -> str:
        """Some."""
        return f"{size} {unit}"

    async def shout(output: Any) -> str:
        return str(output).upper()

    def quiet(output: Any) -> ToolOutput:
        return ToolOutput(tool_name="t", content="quiet", raw_input={}, raw_output=output)

    given: list[dict[str, Any]] = [{"async_callback": shout}, {"callback": quiet}]
    for callback in given:
        inner: Any = FunctionTool.from_defaults(sized, partial_params={"unit": "kg"}, **callback)
        tool = ManagedTool(inner)
        same(await tool.acall(), await inner.acall())
        same(await tool.acall(size=4), await inner.acall(size=4))
        same(tool.call(), inner.call())


async def test_a_callback_of_an_async_tool_runs_on_its_loop() -> None:
    """LlamaIndex gives an async callback the loop of the run: it may use clients of that loop."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def note(output: Any) -> None:
        loops.append(asyncio.get_running_loop())

    tool = ManagedTool(FunctionTool.from_defaults(get_order, async_callback=note))
    await tool.acall(order_id=7)
    assert loops == [asyncio.get_running_loop()]


async def test_other_kinds_of_tools_can_be_managed() -> None:
    llm = ScriptedLLM(lambda _: says("a page about cats"))
    engine = SummaryIndex.from_documents([Document(text="cats")]).as_query_engine(llm=llm)
    inner = QueryEngineTool(engine, metadata=ToolMetadata(description="d", name="pages"))
    tool = ManagedTool(inner, policy=ToolPolicy(timeout_s=5))
    assert tool.query_engine is engine
    outputs = [await tool.acall(input="cats?"), tool.call("cats?"), call_tool(tool, {"input": "?"})]
    assert {output.content for output in outputs} == {"a page about cats"}


class OldTool(BaseTool):
    """A tool from before there were async ones."""

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata(description="d", name="old")

    def __call__(self, input: Any) -> ToolOutput:  # noqa: A002 - the framework's name
        return ToolOutput(tool_name="old", content=where(), raw_input={}, raw_output=input)


class Loud(FunctionTool):
    """A user's own class of tools, which keeps a count of its sync calls."""

    asked = 0

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        self.asked += 1
        return super().call(*args, **kwargs)


# Where it runs


@pytest.mark.parametrize("policy", [ToolPolicy(), ToolPolicy(timeout_s=20)], ids=["", "timeout"])
async def test_sync_functions_run_in_the_executors_own_threads(policy: ToolPolicy) -> None:
    metadata = ToolMetadata(description="d", name="where")
    tools: list[BaseTool] = [FunctionTool.from_defaults(where), OldTool(), Loud(where, metadata)]
    for inner in tools:
        output = await ManagedTool(inner, policy=policy).acall(
            **{"input": 1} if inner is tools[1] else {}
        )
        assert output.content.startswith("agentperf-tool-")


def test_a_users_own_class_of_tools_stays_in_force() -> None:
    inner = Loud(where, ToolMetadata(description="d", name="where"))
    tool = ManagedTool(inner)
    tool.call()
    assert inner.asked == tool.asked == 1


async def test_a_sync_callback_does_not_block_the_loop_either() -> None:
    tool = ManagedTool(FunctionTool.from_defaults(where, callback=lambda _: where()))
    assert (await tool.acall()).content.startswith("agentperf-tool-")


def test_without_a_timeout_a_sync_call_runs_in_the_callers_thread() -> None:
    assert ManagedTool(where).call().content == threading.current_thread().name


async def test_context_variables_reach_the_function() -> None:
    who: ContextVar[str] = ContextVar("who")

    def ask() -> str:
        """Ask."""
        return who.get()

    who.set("ann")
    for policy in (ToolPolicy(), ToolPolicy(timeout_s=20)):
        assert (await ManagedTool(ask, policy=policy).acall()).content == "ann"


async def test_a_tool_may_have_arguments_of_any_name() -> None:
    """`offload(function, **arguments)` would have taken this one for its own."""

    def run(function: str, args: str, kwargs: str) -> str:
        """Run."""
        return function + args + kwargs

    output = await ManagedTool(run).acall(function="f", args="a", kwargs="k")
    assert output.content == "fak"


async def test_more_calls_than_the_limit_wait_and_all_are_made() -> None:
    most = now = 0

    async def work(n: int) -> int:
        """Work."""
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return n

    tool = ManagedTool(work, policy=ToolPolicy(max_concurrency=3))
    outputs = await asyncio.gather(*(tool.acall(n=n) for n in range(20)))
    assert [output.raw_output for output in outputs] == list(range(20))
    assert most == 3


# Which policy, executor and cache


@tool_policy(timeout_s=7)
def declares() -> str:
    """Declare."""
    return "done"


def test_policies_come_from_the_argument_the_decorator_or_the_mapping() -> None:
    assert ManagedTool(declares).policy.timeout_s == 7
    assert ManagedTool(FunctionTool.from_defaults(declares)).policy.timeout_s == 7
    assert ManagedTool(declares, policy=ToolPolicy(timeout_s=3)).policy.timeout_s == 3
    by_name: list[Any] = [*manage_tools([declares, where], {"where": ToolPolicy(timeout_s=2)})]
    assert [tool.policy.timeout_s for tool in by_name] == [7, 2]
    over: Any = manage_tools([declares], {"declares": ToolPolicy(timeout_s=1)})[0]
    assert over.policy.timeout_s == 1
    assert ManagedTool(where).policy == ToolPolicy()


def test_what_cannot_work_is_said_when_the_tool_is_made() -> None:
    with pytest.raises(ConfigError, match="policy must be a ToolPolicy"):
        ManagedTool(where, policy={"ttl_s": 3})  # pyright: ignore[reportArgumentType] - the subject
    with pytest.raises(ConfigError, match="executor must be a ToolExecutor"):
        ManagedTool(where, executor=8)  # pyright: ignore[reportArgumentType] - same
    with pytest.raises(ConfigError, match="cache must be a ToolResultCache"):
        ManagedTool(where, cache={})  # pyright: ignore[reportArgumentType] - same
    with pytest.raises(ConfigError, match=r"\['nobody'\].*\['where'\]"):
        manage_tools([where], {"nobody": KEEPS})
    with pytest.raises(ConfigError, match="policies"):
        manage_tools([where], [KEEPS])  # pyright: ignore[reportArgumentType] - same
    with pytest.raises(ConfigError, match="ToolPolicy"):
        manage_tools([where], {"where": {"ttl_s": 3}})  # pyright: ignore[reportArgumentType] - same
    with pytest.raises(ConfigError, match=r"\['nobody'\].*\['where'\]"):
        ParallelFunctionAgent(tools=[where], llm=ScriptedLLM(), policies={"nobody": KEEPS})


def test_tools_managed_together_share_one_executor_and_one_cache() -> None:
    tools: list[Any] = [*manage_tools([where, get_order], {"where": KEEPS, "get_order": KEEPS})]
    assert tools[0].executor is tools[1].executor
    assert tools[0].cache is tools[1].cache is not None
    executor, cache = ToolExecutor(), ToolResultCache()
    given: Any = manage_tools([where], {"where": KEEPS}, executor=executor, cache=cache)[0]
    assert (given.executor, given.cache) == (executor, cache)
    assert manage_tools([given]) == [given]


def test_a_wrapper_of_ours_is_not_wrapped_twice() -> None:
    cached = CachedTool(get_order, policy=KEEPS)
    tool = ManagedTool(cached)
    assert (tool.policy, tool.cache) == (KEEPS, cached.cache)
    cached.call(order_id=7)
    tool.call(order_id=7)
    assert tool.executor.stats().cached == 1
    stricter = ManagedTool(tool, policy=ToolPolicy(timeout_s=3))
    assert stricter.executor is tool.executor
    assert stricter.cache is tool.cache
    stricter.call(order_id=8)
    assert tool.executor.stats().calls == 2


# In agents


def script(*asks: str) -> Any:
    """Asks for each tool in turn, then answers with what the last one said."""

    def answer(messages: Sequence[ChatMessage]) -> ChatMessage:
        done = sum(message.role == MessageRole.TOOL for message in messages)
        if done < len(asks):
            arguments = {"order_id": 7} if asks[done] == "get_order" else {}
            return calls((asks[done], arguments), first_id=done)
        return says(str(messages[-1].content))

    return answer


@pytest.mark.parametrize("workflow", [False, True])
async def test_stock_function_agents_use_it(workflow: bool) -> None:
    tool = ManagedTool(get_order)
    agent: Any = FunctionAgent(name="a", llm=ScriptedLLM(script("get_order")), tools=[tool])
    runner = AgentWorkflow(agents=[agent]) if workflow else agent
    assert "order 7: new" in str(await start(runner, "where is it?"))
    assert tool.executor.stats().outcomes == {"ok": 1}


async def test_a_react_agent_uses_it() -> None:
    def think(messages: Sequence[ChatMessage]) -> ChatMessage:
        if "Observation:" in str(messages[-1].content):
            return says(f"Thought: done.\nAnswer: {str(messages[-1].content)[13:]}")
        return says('Thought: a tool.\nAction: get_order\nAction Input: {"order_id": 7}')

    tool = ManagedTool(get_order)
    agent: Any = ReActAgent(llm=ScriptedLLM(think), tools=[tool], streaming=False)
    assert "order 7: new" in str(await start(agent, "where is it?"))
    assert tool.executor.stats().calls == 1


async def test_return_direct_ends_the_run() -> None:
    inner = FunctionTool.from_defaults(get_order, return_direct=True)
    llm = ScriptedLLM(script("get_order"))
    agent: Any = FunctionAgent(llm=llm, tools=[ManagedTool(inner)])
    assert str(await start(agent, "where is it?")) == "order 7: new (kg)"
    assert llm.calls_made == 1


async def test_a_tool_that_takes_the_context_gets_it() -> None:
    tool = ManagedTool(Counter().steps, policy=ToolPolicy(timeout_s=20))
    assert (tool.requires_context, tool.ctx_param_name) == (True, "ctx")
    agent: Any = FunctionAgent(llm=ScriptedLLM(script("steps", "steps")), tools=[tool])
    assert str(await start(agent, "count")) == "2"
    output = await tool.acall()
    assert output.is_error
    assert "Context is required" in output.content


# In the trace


async def test_the_recorder_has_one_span_per_call() -> None:
    tools = [ManagedTool(get_order), ManagedTool(FunctionTool.from_defaults(async_fn=aget_order))]
    with instrument() as seen:
        for tool in tools:
            await tool.acall(order_id=7)
            tool.call(order_id=7)
            tool(order_id=7)
        assert seen.open_spans() == 0
    traces = seen.recorder.traces()
    assert [len(trace.spans) for trace in traces] == [1] * 6
    assert {trace.root.kind.value for trace in traces} == {"tool"}
    assert "queue_s" not in traces[0].root.attributes


async def test_the_trace_says_how_long_a_call_waited_for_its_place() -> None:
    clock, running, gate = FakeClock(), asyncio.Event(), asyncio.Event()

    async def work() -> str:
        """Work."""
        running.set()
        await gate.wait()
        return "done"

    executor = ToolExecutor(clock=clock)
    tool = ManagedTool(work, policy=ToolPolicy(max_concurrency=1), executor=executor)
    with instrument() as seen:
        both = [asyncio.create_task(tool.acall()) for _ in range(2)]
        await running.wait()
        clock.advance(3)
        gate.set()
        await asyncio.gather(*both)
        assert seen.open_spans() == 0
    first, second = seen.recorder.traces()
    assert [span.kind.value for span in first.spans] == ["tool"]
    assert [span.kind.value for span in second.spans] == ["tool", "wait"]
    assert "queue_s" not in first.root.attributes
    said = second.root.attributes
    assert (said["queue_s"], said["attempts"], said["outcome"]) == (3, 1, "ok")


async def test_a_call_that_gives_up_waiting_waits_no_more_in_the_trace() -> None:
    running = asyncio.Event()

    async def work() -> str:
        """Work."""
        running.set()
        await asyncio.Event().wait()
        return "never"

    tool = ManagedTool(work, policy=ToolPolicy(max_concurrency=1))
    with instrument() as seen:
        holder = asyncio.create_task(tool.acall())
        await running.wait()
        with deadline(0.05):
            output = await tool.acall()
        waiter = asyncio.create_task(tool.acall())
        await asyncio.sleep(0)
        for task in (waiter, holder):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert seen.open_spans() == 0
    assert "it waited for a place" in output.content
    kinds = [[span.kind.value for span in trace.spans] for trace in seen.recorder.traces()]
    assert kinds == [["tool", "wait"], ["tool", "wait"], ["tool"]]
    assert "unfinished" not in {s.status for t in seen.recorder.traces() for s in t.spans}


async def test_a_served_call_is_a_cache_span_however_it_is_called() -> None:
    """`tool(...)` was recorded as a tool that ran: the hit was told to the span inside."""
    tool = ManagedTool(get_order, policy=KEEPS)
    with instrument() as seen:
        await tool.acall(order_id=7)
        await tool.acall(order_id=7)
        tool(order_id=7)
    kinds = [trace.root.kind.value for trace in seen.recorder.traces()]
    assert kinds == ["tool", "cache", "cache"]
