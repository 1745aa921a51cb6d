"""What becomes of calls that fail, hang, or are given up, and what a cache and a substitute add."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from context_tools import confirm
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.tools import FunctionTool, ToolOutput
from llamaindex_tools import ScriptedLLM, calls, says, start
from workflows.events import HumanResponseEvent, InputRequiredEvent

from agentperf_core.accounting.deadline import deadline
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS, DecisionMade, Event
from agentperf_core.toolpolicy import Substitute, ToolPolicy
from agentperf_core.tools import ToolExecutor, ToolFailure
from llamaindex_agentperf import ManagedTool, SubstituteTool, instrument, manage_tools

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
)


class Shop:
    """Orders that may be out of reach, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.failures = 0
        self.state = "new"

    def get_order(self, order_id: int) -> str:
        """State of an order."""
        self.asked += 1
        if self.failures:
            self.failures -= 1
            msg = "the shop is closed"
            raise ConnectionError(msg)
        return f"order {order_id}: {self.state}"

    def ship_order(self, order_id: int) -> str:
        """Ship an order."""
        self.state = "shipped"
        return "done"


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets the hanging threads of a test go at its end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def decisions() -> Iterator[list[tuple[str, str]]]:
    seen: list[tuple[str, str]] = []

    def note(event: Event) -> None:
        if isinstance(event, DecisionMade):
            seen.append((event.room, event.outcome))

    unsubscribe = BUS.subscribe(note)
    yield seen
    unsubscribe()


async def ways(tool: ManagedTool, **arguments: Any) -> list[ToolOutput]:
    return [tool.call(**arguments), await tool.acall(**arguments)]


# Errors


async def test_an_exception_becomes_an_output_that_says_what_happened(shop: Shop) -> None:
    shop.failures = 2
    clock = FakeClock()
    tool = ManagedTool(shop.get_order, executor=ToolExecutor(clock=clock))
    for output in await ways(tool, order_id=7):
        assert output.is_error
        assert output.tool_name == "get_order"
        assert output.content == (
            "tool 'get_order' gave no result after 0.00 s: ConnectionError: the shop is closed"
        )
        assert output.raw_output == output.content
        assert output.raw_input == {"order_id": 7}
        assert isinstance(output.exception, ConnectionError)
    assert tool.executor.stats().outcomes == {"error": 2}


async def test_the_output_of_a_failure_says_how_the_call_went(shop: Shop) -> None:
    shop.failures = 1
    output: Any = await ManagedTool(shop.get_order).acall(order_id=7)
    assert (output.agentperf["outcome"], output.agentperf["attempts"]) == ("error", 1)
    assert ToolOutput.model_validate_json(output.model_dump_json()).is_error


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "missing a required argument: 'order_id'"),
    ({"id": 7}, "got ['id']"),
    ({"order_id": 7, "unit": "kg"}, "unexpected keyword argument 'unit'"),
)


@pytest.mark.parametrize(("arguments", "says_so"), WRONG, ids=[case[1] for case in WRONG])
async def test_wrong_arguments_are_no_fault_of_the_tool(
    shop: Shop, arguments: dict[str, Any], says_so: str
) -> None:
    """They are told to the model at once, are not tried again, and do not open the breaker."""
    policy = ToolPolicy(read_only=True, retries=3, breaker=1)
    tool = ManagedTool(shop.get_order, policy=policy)
    for output in await ways(tool, **arguments):
        assert output.is_error
        assert output.content.startswith("tool 'get_order' takes ['order_id'], got ")
        assert says_so in output.content
        assert isinstance(output.exception, TypeError)
    assert tool.executor.stats().outcomes == {"arguments": 2}
    assert (await tool.acall(order_id=7)).content == "order 7: new"


async def test_a_type_error_inside_the_tool_is_the_tools() -> None:
    def add(a: int) -> int:
        """Add."""
        return a + "1"  # pyright: ignore[reportOperatorIssue] - the subject

    for output in await ways(ManagedTool(add), a=1):
        assert "unsupported operand" in output.content


async def test_a_tool_that_says_itself_that_it_failed_is_left_as_it_is() -> None:
    said = ToolOutput(tool_name="t", content="no", raw_input={}, raw_output=None, is_error=True)
    inner = FunctionTool.from_defaults(lambda: None, name="t", callback=lambda _: said)
    tool = ManagedTool(inner)
    for output in await ways(tool):
        assert output is said
    assert tool.executor.stats().outcomes == {"failed": 2}


async def test_the_span_of_a_failed_call_says_why(shop: Shop) -> None:
    shop.failures = 3
    policy = ToolPolicy(read_only=True, retries=1, retry_wait_s=0.001)
    with instrument() as seen:
        await ManagedTool(shop.get_order, policy=policy).acall(order_id=7)
    span = seen.recorder.traces()[0].root
    assert (span.status, span.error) == ("error", "ConnectionError: the shop is closed")
    assert (span.attributes["outcome"], span.attributes["attempts"]) == ("error", 2)


async def test_a_call_is_repeated_as_often_as_its_policy_says(shop: Shop) -> None:
    shop.failures = 2
    policy = ToolPolicy(read_only=True, retries=2, retry_wait_s=0.001)
    tool = ManagedTool(shop.get_order, policy=policy)
    assert (await tool.acall(order_id=7)).content == "order 7: new"
    assert (shop.asked, tool.executor.stats().repeated) == (3, 2)


async def test_a_breaker_turns_calls_away(shop: Shop) -> None:
    shop.failures = 9
    tool = ManagedTool(shop.get_order, policy=ToolPolicy(breaker=2))
    outputs = [await tool.acall(order_id=7) for _ in range(4)]
    assert shop.asked == 2
    assert "its last 2 calls failed" in outputs[3].content
    assert isinstance(outputs[3].exception, ToolFailure)


# Time


async def test_a_tool_that_hangs_is_reported_and_not_waited_for(
    shop: Shop, release: threading.Event
) -> None:
    def hang() -> str:
        """Hang."""
        release.wait(20)
        return "late"

    async def ahang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return "never"

    policies = {name: ToolPolicy(timeout_s=0.05) for name in ("hang", "ahang")}
    executor = ToolExecutor()
    tools: list[Any] = [*manage_tools([hang, shop.get_order, ahang], policies, executor=executor)]
    found = await asyncio.gather(tools[0].acall(), tools[1].acall(order_id=7), tools[2].acall())
    assert [output.is_error for output in found] == [True, False, True]
    assert found[0].content.endswith("it took longer than timeout_s=0.05")
    assert executor.stats().orphans == 1
    assert "timeout_s=0.05" in tools[0].call().content


async def test_the_deadline_of_the_run_holds_for_its_tools() -> None:
    async def ahang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return "never"

    llm = ScriptedLLM(lambda seen: calls(("ahang", {})) if len(seen) == 1 else says("done"))
    tool = ManagedTool(ahang)
    agent: Any = FunctionAgent(llm=llm, tools=[tool])
    with deadline(0.2):
        assert str(await start(agent, "go")) == "done"
    assert tool.executor.stats().outcomes == {"deadline": 1}


async def test_a_call_that_is_cancelled_is_given_up(release: threading.Event) -> None:
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang() -> str:
        """Hang."""
        loop.call_soon_threadsafe(started.set)
        release.wait(20)
        return "late"

    tool = ManagedTool(hang)
    call = asyncio.create_task(tool.acall())
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    stats = tool.executor.stats()
    assert (stats.running, stats.orphans) == (0, 1)


# People


@pytest.mark.parametrize("workflow", [False, True])
@pytest.mark.parametrize("timeout_s", [None, 20])
async def test_a_tool_may_ask_a_person(workflow: bool, timeout_s: float | None) -> None:
    """What makes the workflow wait is no failure: it is not repeated, counted or substituted."""
    policy = ToolPolicy(
        idempotent=True, timeout_s=timeout_s, retries=2, breaker=1, substitute=lambda: "nobody"
    )
    tool = ManagedTool(confirm, policy=policy)
    llm = ScriptedLLM(
        lambda seen: calls(("confirm", {})) if len(seen) == 1 else says(str(seen[-1].content))
    )
    agent: Any = FunctionAgent(name="a", llm=llm, tools=[tool])
    handler: Any = start(AgentWorkflow(agents=[agent]) if workflow else agent, "go")
    asked = 0
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            asked += 1
            reply: Any = HumanResponseEvent
            handler.ctx.send_event(reply(response="yes"))
    assert str(await handler) == "yes"
    assert asked == 1
    assert tool.executor.stats().outcomes == {"ok": 1}


# Cache


READS = ToolPolicy(read_only=True, ttl_s=60, reads=["orders:{order_id}"])
WRITES = ToolPolicy(writes=["orders:{order_id}"])


async def test_equal_calls_share_their_results(
    shop: Shop, decisions: list[tuple[str, str]]
) -> None:
    tool = ManagedTool(shop.get_order, policy=READS)
    first, *others = [await tool.acall(order_id=7), *await ways(tool, order_id=7)]
    assert shop.asked == 1
    for output in others:
        assert (output.content, output.raw_input) == (first.content, first.raw_input)
    assert tool.executor.stats().cached == 2
    hit = [("tool_cache", "hit"), ("tools", "ok")]
    assert decisions == [("tool_cache", "miss"), ("tools", "ok"), *hit, *hit]


@pytest.mark.parametrize("ttl_s", [60, None])
async def test_a_hundred_equal_calls_at_once_are_one(ttl_s: float | None) -> None:
    asked = 0
    gate = asyncio.Event()

    async def get() -> str:
        """Get."""
        nonlocal asked
        asked += 1
        await gate.wait()
        return "found"

    tool = ManagedTool(get, policy=ToolPolicy(read_only=True, ttl_s=ttl_s))
    both = asyncio.gather(*(tool.acall() for _ in range(100)))
    asyncio.get_running_loop().call_soon(gate.set)
    assert {output.content for output in await both} == {"found"}
    assert asked == 1
    await tool.acall()
    assert asked == (1 if ttl_s else 2)


async def test_calls_that_may_not_be_shared_are_all_made(shop: Shop) -> None:
    tool = ManagedTool(shop.get_order)
    await asyncio.gather(*(tool.acall(order_id=7) for _ in range(5)))
    assert shop.asked == 5


async def test_a_write_makes_what_was_read_forgotten(shop: Shop) -> None:
    policies = {"get_order": READS, "ship_order": WRITES}
    get, ship = manage_tools([shop.get_order, shop.ship_order], policies)
    for tool in (get, get, ship, get):
        last = tool(order_id=7)  # pyright: ignore[reportCallIssue] - tools take what their schema says
    assert last.content == "order 7: shipped"  # pyright: ignore[reportPossiblyUnboundVariable] - same
    assert shop.asked == 2


async def test_a_failure_is_not_kept_unless_the_policy_says_so(shop: Shop) -> None:
    shop.failures = 2
    tool = ManagedTool(shop.get_order, policy=READS)
    assert [(await tool.acall(order_id=7)).is_error for _ in range(3)] == [True, True, False]
    shop.failures = 1
    shop.asked = 0
    policy = ToolPolicy(read_only=True, ttl_s=60, negative_ttl_s=60)
    tool = ManagedTool(shop.get_order, policy=policy)
    outputs = [await tool.acall(order_id=8) for _ in range(2)]
    assert all("the shop is closed" in output.content for output in outputs)
    assert shop.asked == 1


async def test_a_stale_result_is_fetched_anew_by_the_executor(shop: Shop) -> None:
    """What a substitute says meanwhile is not kept as if the tool had said it."""
    clock = FakeClock()
    policy = ToolPolicy(
        read_only=True, ttl_s=60, stale_ttl_s=600, substitute=lambda order_id: "no idea"
    )
    cache, executor = ToolResultCache(clock=clock), ToolExecutor()
    tool = ManagedTool(shop.get_order, policy=policy, cache=cache, executor=executor)
    tool.call(order_id=7)
    shop.state, shop.failures = "shipped", 1
    clock.advance(70)
    assert tool.call(order_id=7).content == "order 7: new"
    cache.drain(10)
    assert executor.stats().outcomes == {"ok": 2, "error": 1}
    assert (await tool.acall(order_id=7)).content == "order 7: new"
    await cache.adrain()
    assert tool.call(order_id=7).content == "order 7: shipped"


# Substitutes


async def test_a_substitute_answers_when_its_condition_holds(shop: Shop) -> None:
    tool = SubstituteTool(
        shop.get_order, lambda order_id: f"order {order_id}: old", when=lambda a: a["order_id"] < 3
    )
    for output in await ways(tool, order_id=1):
        assert (output.content, output.is_error) == ("order 1: old", False)
        assert output.agentperf["substitute"] == "its condition holds"  # pyright: ignore[reportAttributeAccessIssue] - a `MadeOutput`
    assert shop.asked == 0
    assert (await tool.acall(order_id=7)).content == "order 7: new"


async def test_a_substitute_answers_in_an_emergency(shop: Shop) -> None:
    shop.failures = 9
    tool = SubstituteTool(shop.get_order, lambda order_id: "unknown", policy=ToolPolicy(breaker=1))
    found = [await tool.acall(order_id=7) for _ in range(3)]
    assert [output.content for output in found] == ["unknown"] * 3
    assert shop.asked == 1
    reasons = [output.agentperf["substitute"] for output in found]  # pyright: ignore[reportAttributeAccessIssue] - same
    assert reasons[0] == "the tool gave no result (error)"
    assert reasons[1] == "the tool gave no result (turned_away)"


async def test_a_substitute_that_raises_leaves_it_to_the_tool(shop: Shop) -> None:
    tool = SubstituteTool(shop.get_order, lambda: "wrong arguments", when=lambda _: True)
    faults = BUS.faults().get("tools.substitute", 0)
    assert (await tool.acall(order_id=7)).content == "order 7: new"
    assert BUS.faults()["tools.substitute"] == faults + 1


def test_a_substitute_is_declared_once(shop: Shop) -> None:
    small = Substitute(lambda order_id: "small", when=lambda _: True)
    assert SubstituteTool(shop.get_order, small).call(order_id=1).content == "small"
    with pytest.raises(ConfigError, match="one substitute"):
        SubstituteTool(shop.get_order, small, policy=ToolPolicy(substitute=small))
    with pytest.raises(ConfigError, match="a Substitute says itself"):
        SubstituteTool(shop.get_order, small, when=lambda _: False)
    with pytest.raises(ConfigError, match="without use"):
        SubstituteTool(shop.get_order, lambda order_id: "x", on_failure=False)
