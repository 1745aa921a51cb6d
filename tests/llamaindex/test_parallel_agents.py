"""Parallel agents: all calls of a message at once, and their results in order."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent, ToolCall, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.objects import ObjectRetriever
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Event, step
from llamaindex_tools import ScriptedLLM, calls, says, start
from parallel_tools import (
    OURS,
    STOCK_WARNINGS,
    Log,
    Turns,
    agent,
    asks,
    calls_and_results,
    events_of,
    stock_agent,
    stock_workflow,
    workflow,
)
from workflows.errors import WorkflowCancelledByUser

from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from agentperf_core.tools import ToolExecutor
from llamaindex_agentperf import (
    ManagedTool,
    ParallelAgentWorkflow,
    ParallelFunctionAgent,
    instrument,
)

pytestmark = pytest.mark.filterwarnings(*STOCK_WARNINGS)
every = pytest.mark.parametrize("make", OURS, ids=lambda made: made.__name__)


# At once


@every
@pytest.mark.parametrize("number", [8, 24])
async def test_all_sync_tools_of_a_message_run_at_once(
    make: Callable[..., Any], number: int
) -> None:
    """They can only finish if all of them run; the stock agent has four workers and few threads."""
    together = threading.Barrier(number, timeout=20)

    def meet(n: int) -> str:
        """Meet."""
        together.wait()
        return f"r{n}"

    llm = ScriptedLLM(asks(*[("meet", {"n": n}) for n in range(number)]))
    answer = str(await start(make(llm, [meet]), "go"))
    assert answer == " ".join(f"r{n}" for n in range(number))


@every
async def test_all_async_tools_of_a_message_run_at_once(make: Callable[..., Any]) -> None:
    together = asyncio.Barrier(40)

    async def meet(n: int) -> str:
        """Meet."""
        async with asyncio.timeout(20):
            await together.wait()
        return f"r{n}"

    llm = ScriptedLLM(asks(*[("meet", {"n": n}) for n in range(40)]))
    executor = ToolExecutor(max_concurrency=40)
    answer = str(await start(make(llm, [meet], executor=executor), "go"))
    assert answer == " ".join(f"r{n}" for n in range(40))


@every
async def test_the_executor_says_how_many_run_at_once(make: Callable[..., Any]) -> None:
    most = now = 0
    three = asyncio.Barrier(3)

    async def work(n: int) -> str:
        """Work."""
        nonlocal most, now
        now += 1
        most = max(most, now)
        async with asyncio.timeout(20):
            await three.wait()
        now -= 1
        return f"r{n}"

    llm = ScriptedLLM(asks(*[("work", {"n": n}) for n in range(12)]))
    await start(make(llm, [work], executor=ToolExecutor(max_concurrency=3)), "go")
    assert most == 3


@every
async def test_policies_reach_the_tools_of_an_agent(make: Callable[..., Any]) -> None:
    async def hang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return "never"

    @tool_policy(timeout_s=0.05)
    async def hang_too() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return "never"

    def ping() -> str:
        """Ping."""
        return "pong"

    llm = ScriptedLLM(asks(("hang", {}), ("ping", {}), ("hang_too", {})))
    policies = {"hang": ToolPolicy(timeout_s=0.05)}
    events, _ = await events_of(make(llm, [hang, ping, hang_too], policies=policies))
    outputs = {e.tool_name: e.tool_output for e in events if isinstance(e, ToolCallResult)}
    assert {name: output.is_error for name, output in outputs.items()} == {
        "hang": True,
        "ping": False,
        "hang_too": True,
    }


# In order


@every
@pytest.mark.parametrize("streaming", [True, False])
async def test_prompts_are_the_same_whatever_finishes_first(
    make: Callable[..., Any], streaming: bool
) -> None:
    """The bytes of the prompts: the stock agent's differ from run to run, and miss every cache."""
    prompts: set[str] = set()
    answers: set[str] = set()
    for order in permutations(range(4)):
        turns = Turns(order)
        llm = ScriptedLLM(asks(*[("step", {"n": n}) for n in range(4)]))
        runner = make(llm, [turns.step])
        for one in getattr(runner, "agents", {"": runner}).values():
            one.streaming = streaming
        answers.add(str(await start(runner, "go")))
        assert turns.finished == list(order)
        prompts.add("\n".join(m.model_dump_json() for seen in llm.seen for m in seen))
    assert answers == {"r0 r1 r2 r3"}
    assert len(prompts) == 1


@every
async def test_memory_and_the_answers_list_of_calls_are_in_order(make: Callable[..., Any]) -> None:
    turns = Turns([2, 1, 0])
    llm = ScriptedLLM(asks(*[("step", {"n": n}) for n in range(3)]))
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    run: Any = make(llm, [turns.step]).run
    answer = await run(user_msg="go", memory=memory)
    said = [m.content for m in await memory.aget() if m.role == MessageRole.TOOL]
    assert said == ["r0", "r1", "r2"]
    made = answer.tool_calls
    assert [call.tool_id for call in made] == ["id-0", "id-1", "id-2"]
    assert not any(call.keys() for call in made), "our own marks stay inside"


@every
async def test_calls_without_ids_of_their_own_are_told_apart(make: Callable[..., Any]) -> None:
    """Some models call each call by the name of its tool."""
    turns = Turns([2, 0, 1])

    def answer(messages: Sequence[ChatMessage]) -> ChatMessage:
        asked = asks(*[("step", {"n": n}) for n in range(3)])(messages)
        for block in asked.blocks:
            if block.block_type == "tool_call":
                block.tool_call_id = "step"
        return asked

    assert str(await start(make(ScriptedLLM(answer), [turns.step]), "go")) == "r0 r1 r2"


@every
async def test_of_several_tools_that_return_directly_the_first_one_counts(
    make: Callable[..., Any],
) -> None:
    turns = Turns([1, 0])
    tool = FunctionTool.from_defaults(turns.step, return_direct=True)
    llm = ScriptedLLM(asks(("step", {"n": 0}), ("step", {"n": 1})))
    assert str(await start(make(llm, [tool]), "go")) == "r0"
    assert llm.calls_made == 1


@every
async def test_calls_that_write_what_others_touch_keep_their_order(
    make: Callable[..., Any],
) -> None:
    log = Log()

    async def read(order: int, name: str) -> str:
        """Read."""
        return await log.work(name)

    async def write(order: int, name: str) -> str:
        """Write."""
        return await log.work(name)

    policies = {
        "read": ToolPolicy(read_only=True, reads=["orders:{order}"]),
        "write": ToolPolicy(writes=["orders:{order}"]),
    }
    llm = ScriptedLLM(
        asks(
            ("read", {"order": 1, "name": "a"}),
            ("write", {"order": 1, "name": "b"}),
            ("read", {"order": 1, "name": "c"}),
            ("write", {"order": 2, "name": "d"}),
            ("write", {"order": 1, "name": "e"}),
        )
    )
    runner = make(llm, [read, write], policies=policies)
    assert str(await start(runner, "go")) == "a b c d e"
    place = log.seen.index
    for earlier, later in ("ab", "bc", "ce"):
        assert place(f"{earlier} ends") < place(f"{later} begins")
    assert place("d begins") < place("a ends"), "another order waits for nobody"


@every
async def test_a_failed_call_lets_those_go_that_wait_for_it(make: Callable[..., Any]) -> None:
    def write(n: int) -> str:
        """Write."""
        if n == 0:
            raise ValueError(n)
        return f"r{n}"

    llm = ScriptedLLM(asks(*[("write", {"n": n}) for n in range(3)]))
    runner = make(llm, [write], policies={"write": ToolPolicy(exclusive="disk")})
    answer = str(await start(runner, "go"))
    assert answer.endswith("ValueError: 0 r1 r2")


@every
async def test_several_messages_with_waiting_calls_do_not_mix(make: Callable[..., Any]) -> None:
    log: list[str] = []

    def write(name: str) -> str:
        """Write."""
        log.append(name)
        return name

    def answer(messages: Sequence[ChatMessage]) -> ChatMessage:
        turn = sum(bool(m.role == MessageRole.ASSISTANT) for m in messages)
        if turn == 3:
            return says("done")
        named = [("write", {"name": f"{turn}{letter}"}) for letter in "abc"]
        return calls(*named[: 3 - turn], first_id=10 * turn)

    runner = make(ScriptedLLM(answer), [write], policies={"write": ToolPolicy(writes=["disk"])})
    for _ in range(2):
        assert str(await start(runner, "go")) == "done"
    assert log == ["0a", "0b", "0c", "1a", "1b", "2a"] * 2


# As before


SCRIPTS: dict[str, Callable[[Sequence[ChatMessage]], ChatMessage]] = {
    "no call": lambda _: says("hello there you"),
    "one call": asks(("ping", {"n": 1})),
    "several": asks(("ping", {"n": 1}), ("ping", {"n": 2}), ("ping", {"n": 3})),
    "unknown tool": asks(("pong", {"n": 1})),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize(
    ("ours", "stock"), [(agent, stock_agent), (workflow, stock_workflow)], ids=["agent", "workflow"]
)
async def test_the_stream_of_events_is_that_of_the_stock_agent(
    ours: Callable[..., Any], stock: Callable[..., Any], script: Any
) -> None:
    async def ping(n: int) -> str:
        """Ping."""
        return f"pong {n}"

    found, expected = [
        (await events_of(make(ScriptedLLM(script), [ping])))[0] for make in (ours, stock)
    ]

    def written(event: Any) -> str:
        return f"{type(event).__name__} {event.model_dump_json()}"

    # Calls that run at once may say so in any order, in the stock agent, too.
    assert Counter(map(written, found)) == Counter(map(written, expected))
    rest = [[e for e in run if e not in calls_and_results(run)] for run in (found, expected)]
    assert [written(event) for event in rest[0]] == [written(event) for event in rest[1]]
    begun = [event.tool_id for event in found if isinstance(event, ToolCall)]
    assert begun == sorted(begun)


def searcher(messages: Sequence[ChatMessage]) -> ChatMessage:
    """Searches twice, hands over, and answers as whoever it is then."""
    said = [m for m in messages if m.role == MessageRole.TOOL]
    if len(said) == 0:
        return calls(("search", {"n": 1}), ("search", {"n": 2}))
    if len(said) == 2:
        return calls(("handoff", {"to_agent": "writer", "reason": "done"}), first_id=2)
    if len(said) == 3:
        return calls(("write", {"n": 1}), ("write", {"n": 2}), first_id=3)
    return says(f"{messages[0].content} wrote {said[-2].content} {said[-1].content}")


@pytest.mark.parametrize("kind", [FunctionAgent, ParallelFunctionAgent])
async def test_one_agent_hands_over_to_another(kind: type[FunctionAgent]) -> None:
    together = threading.Barrier(2, timeout=20)

    def search(n: int) -> str:
        """Search."""
        together.wait()
        return f"s{n}"

    def write(n: int) -> str:
        """Write."""
        together.wait()
        return f"w{n}"

    def made(name: str, tool: Any) -> Any:
        return kind(
            name=name,
            description=name,
            system_prompt=name,
            llm=ScriptedLLM(searcher),
            tools=[tool],
        )

    team = [made("reader", search), made("writer", write)]
    policies = {"write": ToolPolicy(timeout_s=30)}
    runner: Any = ParallelAgentWorkflow(team, root_agent="reader", policies=policies)
    assert str(await start(runner, "go")) == "writer wrote w1 w2"
    tools: Any = await runner.get_tools("writer")
    assert [type(tool) for tool in tools] == [ManagedTool, FunctionTool]
    assert tools[0].policy.timeout_s == 30


async def test_other_kinds_of_agents_take_part_in_a_workflow() -> None:
    def think(messages: Sequence[ChatMessage]) -> ChatMessage:
        if "Observation:" in str(messages[-1].content):
            return says(f"Thought: done.\nAnswer: {str(messages[-1].content)[13:]}")
        return says('Thought: a tool.\nAction: ping\nAction Input: {"n": 7}')

    def ping(n: int) -> str:
        """Ping."""
        return f"pong {n}"

    thinker = ReActAgent(name="thinker", llm=ScriptedLLM(think), tools=[ping], streaming=False)
    assert str(await start(ParallelAgentWorkflow([thinker]), "go")) == "pong 7"


async def test_tools_of_a_retriever_are_put_under_the_executor_as_they_come() -> None:
    def ping(n: int) -> str:
        """Ping."""
        return f"pong {n}"

    class Retriever(ObjectRetriever[Any]):
        def __init__(self) -> None:
            pass

        async def aretrieve(self, str_or_query_bundle: Any) -> list[Any]:
            return [FunctionTool.from_defaults(ping)]

    executor = ToolExecutor()
    llm = ScriptedLLM(asks(("ping", {"n": 1}), ("ping", {"n": 2})))
    runner: Any = ParallelFunctionAgent(
        llm=llm,
        tool_retriever=Retriever(),
        executor=executor,
        policies={"ping": ToolPolicy(exclusive="x")},
    )
    assert str(await start(runner, "go")) == "pong 1 pong 2"
    assert executor.stats().calls == 2


@every
async def test_a_tool_is_told_nothing_of_its_call(make: Callable[..., Any]) -> None:
    """The id of the call goes to the executor, for its records, and not to the tool."""
    given: list[dict[str, Any]] = []

    def take(**arguments: Any) -> str:
        """Take."""
        given.append(arguments)
        return "done"

    with instrument() as seen:
        await start(make(ScriptedLLM(asks(("take", {"a": 1}))), [take]), "go")
    assert given == [{"a": 1}]
    assert [span.name for span in seen.report().traces[0].spans if span.kind == "tool"] == ["take"]


# Given up


@every
async def test_calls_that_can_be_cancelled_are_cancelled_with_the_run(
    make: Callable[..., Any],
) -> None:
    began, gone, gate = asyncio.Event(), 0, threading.Event()
    loop = asyncio.get_running_loop()

    async def wait(n: int) -> str:
        """Wait."""
        nonlocal gone
        try:
            await asyncio.Event().wait()
        finally:
            gone += 1
        return "never"

    def hold(n: int) -> str:
        """Hold."""
        loop.call_soon_threadsafe(began.set)
        gate.wait(20)
        return "late"

    named = [(tool, {"n": n}) for n in range(3) for tool in ("wait", "hold")]
    executor = ToolExecutor()
    policies = {"hold": ToolPolicy(max_concurrency=1)}
    runner = make(ScriptedLLM(asks(*named)), [wait, hold], executor=executor, policies=policies)
    handler: Any = start(runner, "go")
    try:
        await began.wait()
        while executor.stats().waiting < 2:  # noqa: ASYNC110 - nothing tells that a call waits
            await asyncio.sleep(0)
        await handler.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await handler
        stats = executor.stats()
        assert gone == 3
        assert (stats.running, stats.waiting, stats.orphans) == (0, 0, 1)
    finally:
        gate.set()


# What is overridden


@pytest.mark.parametrize("runner", [agent(ScriptedLLM(), []), workflow(ScriptedLLM(), [])])
def test_the_steps_are_those_of_the_stock_class_with_more_workers(runner: Any) -> None:
    stock = runner.__class__.__mro__[2]
    found = {name: step._step_config for name, step in runner._get_steps().items()}
    expected = {name: step._step_config for name, step in stock._get_steps_from_class().items()}
    assert found.keys() == expected.keys()
    for name, config in found.items():
        assert config.accepted_events == expected[name].accepted_events
        assert set(config.return_types) == set(expected[name].return_types)
    workers = {name: config.num_workers for name, config in found.items()}
    assert workers["call_tool"] >= 256
    assert runner.validate() is False  # sound, and without events for people of its own


def test_steps_that_a_user_adds_are_found() -> None:
    """We keep the names of the steps: the stock method looks through all attributes every time."""

    class Mine(ParallelFunctionAgent):
        @step
        async def extra(self, ev: Event) -> None:
            """More."""

    assert "extra" in Mine(llm=ScriptedLLM())._get_steps()
    assert "extra" not in ParallelFunctionAgent(llm=ScriptedLLM())._get_steps()
