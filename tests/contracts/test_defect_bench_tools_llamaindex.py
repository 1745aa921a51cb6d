"""How LlamaIndex's agents run tools: each trap shown, and then shown to be absent in ours.

A test that pins an upstream defect fails when upstream repairs it: then the note in our code goes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from workflows.errors import WorkflowCancelledByUser, WorkflowTimeoutError

from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor
from llamaindex_agentperf import ParallelAgentWorkflow, ParallelFunctionAgent

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)


def asks(*named: tuple[str, dict[str, Any]]) -> Any:
    """A model that asks for all of these in one message, then answers with what they said."""

    def answer(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        said = [str(m.content) for m in messages if m.role == MessageRole.TOOL]
        if said:
            return ChatMessage(role=MessageRole.ASSISTANT, content=" ".join(said))
        blocks = [
            ToolCallBlock(tool_call_id=f"c{n}", tool_name=name, tool_kwargs=arguments)
            for n, (name, arguments) in enumerate(named)
        ]
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)

    return MockFunctionCallingLLM(response_generator=answer)


def stock_agent(llm: Any, tools: Sequence[Any], **options: Any) -> Any:
    return FunctionAgent(name="desk", llm=llm, tools=[*tools], **options)


def stock_workflow(llm: Any, tools: Sequence[Any], **options: Any) -> Any:
    return AgentWorkflow([stock_agent(llm, tools)], **options)


def our_agent(llm: Any, tools: Sequence[Any], **options: Any) -> Any:
    return ParallelFunctionAgent(name="desk", llm=llm, tools=[*tools], **options)


def our_workflow(llm: Any, tools: Sequence[Any], **options: Any) -> Any:
    return ParallelAgentWorkflow([stock_agent(llm, tools)], **options)


STOCK = [stock_agent, stock_workflow]
OURS = [our_agent, our_workflow]
Make = Callable[..., Any]
every = pytest.mark.parametrize("make", [*STOCK, *OURS], ids=lambda made: made.__name__)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opens at the end of a test, so that no thread of it stays behind."""
    event = threading.Event()
    yield event
    event.set()


async def idle() -> None:
    """Let everything run that can run."""
    for _ in range(500):
        await asyncio.sleep(0)


@every
async def test_four_calls_at_once_and_no_more(make: Make) -> None:
    """`@step` has four workers unless told otherwise, and nothing on the agent says so."""
    running, enough, gate = 0, asyncio.Event(), asyncio.Event()

    async def work(n: int) -> str:
        """Work."""
        nonlocal running
        running += 1
        if running == (4 if make in STOCK else 9):
            enough.set()
        await gate.wait()
        return f"r{n}"

    run = make(asks(*[("work", {"n": n}) for n in range(9)]), [work]).run(user_msg="go")
    await enough.wait()
    await idle()
    assert running == (4 if make in STOCK else 9)
    gate.set()
    await run


@every
async def test_results_go_into_the_prompt_as_they_come(make: Make) -> None:
    """So equal runs have prompts of other bytes, and miss every cache of prompts."""
    second = asyncio.Event()

    async def first_call() -> str:
        """First."""
        await second.wait()
        await idle()
        return "first"

    async def second_call() -> str:
        """Second."""
        second.set()
        return "second"

    runner = make(asks(("first_call", {}), ("second_call", {})), [first_call, second_call])
    answer = str(await runner.run(user_msg="go"))
    assert answer == ("second first" if make in STOCK else "first second")


@every
async def test_sync_tools_share_the_few_threads_of_the_event_loop(make: Make) -> None:
    """All libraries of a process share them: file access, name look-ups, other tools."""

    def where() -> str:
        """Where."""
        return threading.current_thread().name

    answer = str(await make(asks(("where", {})), [where]).run(user_msg="go"))
    assert answer.startswith("asyncio_" if make in STOCK else "agentperf-tool-")


@every
async def test_one_tool_that_hangs_costs_the_results_of_all(make: Make) -> None:
    """There is a time-out of the whole run only."""

    async def hang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return "never"

    def ping(n: int) -> str:
        """Ping."""
        return f"pong {n}"

    llm = asks(("ping", {"n": 1}), ("hang", {}), ("ping", {"n": 2}))
    if make in STOCK:
        with pytest.raises(WorkflowTimeoutError):
            await make(llm, [hang, ping], timeout=0.2).run(user_msg="go")
        return
    runner = make(llm, [hang, ping], policies={"hang": ToolPolicy(timeout_s=0.05)})
    answer = str(await runner.run(user_msg="go"))
    assert answer.startswith("pong 1 tool 'hang' gave no result after ")
    assert answer.endswith("pong 2")


@every
async def test_tools_go_on_after_their_run_was_cancelled(make: Make, gate: threading.Event) -> None:
    """A thread cannot be stopped; but one that goes on is known, and no further call begins."""
    loop, began, ended = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    started: list[int] = []

    def write(n: int) -> str:
        """Write."""
        started.append(n)
        loop.call_soon_threadsafe(began.set)
        gate.wait(20)
        loop.call_soon_threadsafe(ended.set)
        return f"r{n}"

    executor = ToolExecutor(max_concurrency=1)
    options = {} if make in STOCK else {"executor": executor}
    handler = make(asks(*[("write", {"n": n}) for n in range(3)]), [write], **options).run(
        user_msg="go"
    )
    await began.wait()
    await idle()
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    known = executor.stats().orphans
    gate.set()
    await ended.wait()
    if make in STOCK:
        assert known == 0
    else:
        assert (known, started) == (1, [0])


@pytest.mark.parametrize("make", [stock_agent, our_agent], ids=lambda made: made.__name__)
async def test_without_parallel_calls_they_run_in_parallel_all_the_same(make: Make) -> None:
    """The field says that the agent will call tools sequentially; only the model is told."""
    now, most = 0, 0

    async def work(n: int) -> str:
        """Work."""
        nonlocal now, most
        now += 1
        most = max(most, now)
        await idle()
        now -= 1
        return f"r{n}"

    llm = asks(*[("work", {"n": n}) for n in range(4)])
    runner = make(llm, [work], allow_parallel_tool_calls=False)
    assert sorted(str(await runner.run(user_msg="go")).split()) == ["r0", "r1", "r2", "r3"]
    assert most == 4 if make is stock_agent else most == 1


@every
async def test_an_exception_of_a_tool_is_told_without_its_kind(make: Make) -> None:
    """`KeyError("x")` is told to the model as `'x'`."""

    def look() -> str:
        """Look."""
        raise KeyError("x")

    handler = make(asks(("look", {})), [look]).run(user_msg="go")
    said = [e.tool_output async for e in handler.stream_events() if isinstance(e, ToolCallResult)]
    await handler
    assert said[0].is_error
    assert ("KeyError" in said[0].content) is (make in OURS)
