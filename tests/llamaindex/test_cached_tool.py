"""`CachedTool`: a tool like the one inside it, called as often as its policy says."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from context_tools import Counter, confirm
from llama_index.core import Document, SummaryIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock
from llama_index.core.tools import FunctionTool, QueryEngineTool, ToolMetadata, ToolOutput
from llama_index.core.tools.calling import acall_tool, call_tool
from llamaindex_tools import ScriptedLLM, calls, says, start
from pydantic import BaseModel, Field
from workflows.events import HumanResponseEvent, InputRequiredEvent

from agentperf_core.cache import MemoryStore
from agentperf_core.cache.codec import pack, unpack
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS, DecisionMade, Event
from agentperf_core.toolpolicy import ToolPolicy
from llamaindex_agentperf import CachedTool, cached_tools, instrument

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)

KEEPS = ToolPolicy(read_only=True, ttl_s=60)
READS = ToolPolicy(read_only=True, ttl_s=60, reads=["orders:{order_id}"])
WRITES = ToolPolicy(writes=["orders:{order_id}"])


class Orders:
    """Orders whose state changes, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.states: dict[int, str] = {}

    def get_order(self, order_id: int, unit: str = "kg") -> str:
        """State of an order."""
        self.asked += 1
        return f"order {order_id}: {self.states.get(order_id, 'new')} ({unit})"

    async def aget_order(self, order_id: int) -> str:
        """State of an order."""
        return self.get_order(order_id)

    def ship_order(self, order_id: int) -> str:
        """Ship an order."""
        self.states[order_id] = "shipped"
        return "done"


@pytest.fixture
def orders() -> Orders:
    return Orders()


@pytest.fixture
def outcomes() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, DecisionMade) and event.room == "tool_cache":
            seen.append(event.outcome)

    unsubscribe = BUS.subscribe(note)
    yield seen
    unsubscribe()


def test_it_looks_like_the_tool_inside(orders: Orders) -> None:
    inner = FunctionTool.from_defaults(orders.get_order, return_direct=True)
    tool = CachedTool(inner, policy=KEEPS)
    assert isinstance(tool, FunctionTool)
    assert tool.metadata is inner.metadata
    assert tool.metadata.return_direct
    assert tool.metadata.to_openai_tool() == inner.metadata.to_openai_tool()
    assert (tool.fn, tool.real_fn, tool.async_fn) == (inner.fn, inner.real_fn, inner.async_fn)
    assert (tool.requires_context, tool.ctx_param_name) == (False, None)
    assert tool.policy is KEEPS


@pytest.mark.parametrize("how", ["call", "__call__", "acall", "call_tool", "acall_tool"])
async def test_every_way_of_calling_shares_the_results(orders: Orders, how: str) -> None:
    tool = CachedTool(orders.get_order, policy=KEEPS)
    plain = FunctionTool.from_defaults(Orders().get_order).call(order_id=7)
    tool.call(order_id=7)
    match how:
        case "call_tool":
            output = call_tool(tool, {"order_id": 7})
        case "acall_tool":
            output = await acall_tool(tool, {"order_id": 7})
        case _:
            made = getattr(tool, how)(order_id=7)
            output = await made if inspect.isawaitable(made) else made
    assert orders.asked == 1
    for name in ("content", "tool_name", "raw_input", "raw_output", "is_error"):
        assert getattr(output, name) == getattr(plain, name)


def test_a_hit_names_the_partial_parameters_among_its_input() -> None:
    """A hit named only what the model gave; LlamaIndex's own test of partial tools told us."""
    inner = FunctionTool.from_defaults(Orders().get_order, partial_params={"unit": "lb"})
    tool = CachedTool(inner, policy=KEEPS)
    live, hit = tool.call(order_id=7), tool.call(order_id=7)
    assert hit.raw_input == live.raw_input == inner.call(order_id=7).raw_input
    assert hit.raw_input["kwargs"]["unit"] == "lb"


async def test_an_async_function_stays_async(orders: Orders) -> None:
    tool = CachedTool(FunctionTool.from_defaults(async_fn=orders.aget_order), policy=KEEPS)
    found = await asyncio.gather(*(tool.acall(order_id=7) for _ in range(20)))
    assert {output.content for output in found} == {"order 7: new (kg)"}
    assert orders.asked == 1


def test_a_call_is_the_same_by_position_by_name_and_with_its_defaults(orders: Orders) -> None:
    tool = CachedTool(orders.get_order, policy=KEEPS)
    tool.call(7)
    tool.call(order_id=7)
    tool.call(7, unit="kg")
    assert orders.asked == 1
    tool.call(7, unit="lb")
    assert orders.asked == 2


def test_partial_parameters_and_field_defaults_are_part_of_the_call(orders: Orders) -> None:
    cache = ToolResultCache()
    for unit in ("kg", "lb", "kg"):
        inner = FunctionTool.from_defaults(orders.get_order, partial_params={"unit": unit})
        assert "unit" not in inner.metadata.get_parameters_dict()["properties"]
        tool = CachedTool(inner, policy=KEEPS, cache=cache)
        assert tool(order_id=7).content == f"order 7: new ({unit})"
    assert orders.asked == 2

    def sized(size: int = Field(default=3, description="how many")) -> str:
        """Some."""
        return f"{size}"

    tool = CachedTool(sized, policy=KEEPS)
    assert [tool.call().content, tool.call(size=3).content, tool.call(size=4).content] == list(
        "334"
    )


def test_a_callback_runs_once_and_its_output_is_what_is_kept(orders: Orders) -> None:
    seen: list[Any] = []

    def shout(output: Any) -> str:
        seen.append(output)
        return str(output).upper()

    tool = CachedTool(FunctionTool.from_defaults(orders.get_order, callback=shout), policy=KEEPS)
    assert [tool.call(order_id=7).content for _ in range(2)] == ["ORDER 7: NEW (KG)"] * 2
    assert len(seen) == 1


@pytest.mark.parametrize(
    "value",
    ["text", "", 7, 2.5, None, True, [1, "a"], {"a": {"b": [1]}}],
    ids=repr,
)
def test_raw_outputs_that_are_plain_data_come_back_as_they_were(value: Any) -> None:
    count = 0

    def get() -> Any:
        """Get."""
        nonlocal count
        count += 1
        return value

    tool = CachedTool(get, policy=KEEPS)
    first, second = tool.call(), tool.call()
    assert count == 1
    assert (first.raw_output, first.content) == (second.raw_output, second.content)
    assert type(second.raw_output) is type(value)


class Song(BaseModel):
    title: str


@pytest.mark.parametrize("value", [Song(title="Blue"), (1, 2), {1: "a"}, float("nan"), object()])
def test_other_raw_outputs_are_not_kept_unless_they_may_be_left_out(value: Any) -> None:
    count = 0

    def get() -> Any:
        """Get."""
        nonlocal count
        count += 1
        return value

    tool = CachedTool(get, policy=KEEPS)
    assert all(tool.call().raw_output is value for _ in range(2))
    assert count == 2
    loose = CachedTool(get, policy=KEEPS, keep_raw=False)
    outputs = [loose.call() for _ in range(2)]
    assert count == 3
    assert outputs[1].raw_output == outputs[1].content == outputs[0].content


def test_images_and_several_texts_come_back() -> None:
    blocks = [TextBlock(text="a"), ImageBlock(image=b"pixels"), TextBlock(text="b")]

    def look() -> Any:
        """Look."""
        return blocks

    tool = CachedTool(look, policy=KEEPS, keep_raw=False)
    first, second = tool.call(), tool.call()
    assert [b.model_dump() for b in second.blocks] == [b.model_dump() for b in first.blocks]
    assert second.content == "a\nb"


def test_served_outputs_are_copies(orders: Orders) -> None:
    tool = CachedTool(orders.get_order, policy=KEEPS)
    tool.call(order_id=7).content = "changed"
    tool.call(order_id=7).content = "changed"
    assert tool.call(order_id=7).content == "order 7: new (kg)"


async def test_other_kinds_of_tools_can_be_cached() -> None:
    llm = ScriptedLLM(lambda _: says("a page about cats"))
    engine = SummaryIndex.from_documents([Document(text="cats")]).as_query_engine(llm=llm)
    inner = QueryEngineTool(engine, metadata=ToolMetadata(description="d", name="pages"))
    tool = CachedTool(inner, policy=KEEPS, keep_raw=False)
    assert tool.query_engine is engine
    outputs = [
        await tool.acall(input="cats?"),
        tool.call("cats?"),
        call_tool(tool, {"input": "cats?"}),
    ]
    assert {output.content for output in outputs} == {"a page about cats"}
    assert llm.calls_made == 1


# Errors


def test_an_error_is_raised_and_not_kept(orders: Orders) -> None:
    def fail() -> str:
        """Fail."""
        orders.asked += 1
        raise LookupError("no such order")

    tool = CachedTool(fail, policy=KEEPS)
    for _ in range(2):
        with pytest.raises(LookupError):
            tool.call()
        assert call_tool(tool, {}).is_error
    assert orders.asked == 4


def test_a_remembered_error_tells_the_model_the_same(orders: Orders) -> None:
    def fail() -> str:
        """Fail."""
        orders.asked += 1
        raise LookupError("no such order")

    policy = ToolPolicy(read_only=True, ttl_s=60, negative_ttl_s=5)
    tool = CachedTool(fail, policy=policy)
    first, second = call_tool(tool, {}), call_tool(tool, {})
    assert (first.content, first.is_error) == (second.content, second.is_error)
    assert orders.asked == 1


# Configuration


def test_what_cannot_work_is_said_when_the_tool_is_made(orders: Orders) -> None:
    with pytest.raises(ConfigError, match=r"writes=.*cache=None"):
        CachedTool(orders.ship_order, policy=WRITES)
    with pytest.raises(ConfigError, match=r"Context.*cache_scope"):
        CachedTool(confirm, policy=KEEPS)
    with pytest.raises(ConfigError, match="policy"):
        CachedTool(orders.get_order, policy={"ttl_s": 3})  # pyright: ignore[reportArgumentType] - the subject
    with pytest.raises(ConfigError, match="a tool is a LlamaIndex tool or a function, got 3"):
        CachedTool(3, policy=KEEPS)  # pyright: ignore[reportArgumentType] - same
    with pytest.raises(ConfigError, match="ToolResultCache"):
        CachedTool(orders.get_order, policy=KEEPS, cache=MemoryStore())  # pyright: ignore[reportArgumentType] - same
    with pytest.raises(ConfigError, match="tenant"):
        CachedTool(orders.get_order, policy=KEEPS, tenant=7)  # pyright: ignore[reportArgumentType] - same
    with pytest.raises(ConfigError, match=r"\['nobody'\].*\['get_order'\]"):
        cached_tools([orders.get_order], {"nobody": KEEPS})
    with pytest.raises(ConfigError, match="wraps a tool"):
        CachedTool.from_defaults(orders.get_order)


def test_tenants_and_sessions_are_asked_at_every_call(orders: Orders) -> None:
    who = iter("aabb")
    tool = CachedTool(orders.get_order, policy=KEEPS, tenant=lambda: next(who))
    for _ in range(4):
        tool.call(order_id=7)
    assert orders.asked == 2
    policy = ToolPolicy(read_only=True, ttl_s=60, cache_scope="session")
    sessions = iter(["1", "1", "2", None, None])
    tool = CachedTool(orders.get_order, policy=policy, session=lambda: next(sessions))
    for _ in range(5):
        tool.call(order_id=7)
    assert orders.asked == 6


def test_a_tenant_that_cannot_be_told_costs_only_the_cache(orders: Orders) -> None:
    def unknown() -> str:
        raise LookupError

    tool = CachedTool(orders.get_order, policy=KEEPS, tenant=unknown)
    for _ in range(2):
        assert tool.call(order_id=7).content == "order 7: new (kg)"
    assert orders.asked == 2


def test_tools_of_one_cache_are_told_apart(orders: Orders) -> None:
    def named(text: str) -> Any:
        def get() -> str:
            """Get."""
            return text

        return get

    cache = ToolResultCache()
    made = [
        CachedTool(named("a"), policy=KEEPS, cache=cache),
        CachedTool(named("b"), policy=KEEPS, cache=cache, version="2"),
        CachedTool(FunctionTool.from_defaults(named("c"), name="other"), policy=KEEPS, cache=cache),
    ]
    assert [tool.call().content for tool in made] == ["a", "b", "c"]


# In agents


def script(*asks: str) -> Any:
    """Asks for each tool in turn with order 7, then answers with what the last one said."""

    def answer(messages: Sequence[ChatMessage]) -> ChatMessage:
        done = sum(message.role == MessageRole.TOOL for message in messages)
        if done < len(asks):
            arguments = {} if asks[done] == "steps" else {"order_id": 7}
            return calls((asks[done], arguments), first_id=done)
        return says(str(messages[-1].content))

    return answer


@pytest.mark.parametrize("workflow", [False, True])
async def test_function_agents_use_it(orders: Orders, workflow: bool) -> None:
    tool = CachedTool(orders.get_order, policy=KEEPS)
    agent: Any = FunctionAgent(name="a", llm=ScriptedLLM(script("get_order")), tools=[tool])
    runner = AgentWorkflow(agents=[agent]) if workflow else agent
    for _ in range(2):
        assert "order 7: new" in str(await start(runner, "where is it?"))
    assert orders.asked == 1


def think(messages: Sequence[ChatMessage]) -> ChatMessage:
    if "Observation:" in str(messages[-1].content):
        return says(f"Thought: I can answer.\nAnswer: {str(messages[-1].content)[13:]}")
    return says('Thought: I need a tool.\nAction: get_order\nAction Input: {"order_id": 7}')


async def test_a_react_agent_uses_it(orders: Orders) -> None:
    tool = CachedTool(orders.get_order, policy=KEEPS)
    agent: Any = ReActAgent(llm=ScriptedLLM(think), tools=[tool], streaming=False)
    for _ in range(2):
        assert "order 7: new" in str(await start(agent, "where is it?"))
    assert orders.asked == 1


async def test_return_direct_ends_the_run_on_a_hit_too(orders: Orders) -> None:
    inner = FunctionTool.from_defaults(orders.get_order, return_direct=True)
    llm = ScriptedLLM(script("get_order"))
    agent: Any = FunctionAgent(llm=llm, tools=[CachedTool(inner, policy=KEEPS)])
    for _ in range(2):
        assert str(await start(agent, "where is it?")) == "order 7: new (kg)"
    assert llm.calls_made == 2
    assert orders.asked == 1


async def test_a_tool_that_takes_the_context_gets_it_and_keeps_to_its_run() -> None:
    counter = Counter()
    policy = ToolPolicy(read_only=True, ttl_s=60, stale_ttl_s=60, cache_scope="run")
    tool = CachedTool(counter.steps, policy=policy)
    assert (tool.requires_context, tool.ctx_param_name) == (True, "ctx")
    agent: Any = FunctionAgent(llm=ScriptedLLM(script("steps", "steps")), tools=[tool])
    assert [str(await start(agent, "count")) for _ in range(2)] == ["1", "2"]
    assert counter.asked == 2
    with pytest.raises(ValueError, match="Context is required"):
        await tool.acall()


async def test_a_write_of_the_agent_makes_what_it_read_forgotten(orders: Orders) -> None:
    policies = {"get_order": READS, "ship_order": WRITES}
    tools = cached_tools([orders.get_order, orders.ship_order], policies)
    asks = ("get_order", "get_order", "ship_order", "get_order")
    agent: Any = FunctionAgent(llm=ScriptedLLM(script(*asks)), tools=tools)
    assert "shipped" in str(await start(agent, "ship it"))
    assert orders.asked == 2


async def test_a_workflow_that_waits_for_a_person_is_no_error_to_remember(
    outcomes: list[str],
) -> None:
    answers = iter(["yes", "no"])
    policy = ToolPolicy(read_only=True, ttl_s=60, negative_ttl_s=60, cache_scope="run")
    tool = CachedTool(confirm, policy=policy)

    def ask(messages: Sequence[ChatMessage]) -> ChatMessage:
        if messages[-1].role == MessageRole.TOOL:
            return says(str(messages[-1].content))
        return calls(("confirm", {}))

    agent: Any = FunctionAgent(llm=ScriptedLLM(ask), tools=[tool])
    for expected in ("yes", "no"):
        handler: Any = start(agent, "go")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                reply: Any = HumanResponseEvent
                handler.ctx.send_event(reply(response=next(answers)))
        assert str(await handler) == expected
    assert outcomes == ["miss", "miss"]


async def test_the_recorder_has_one_span_per_call_and_says_which_were_served(
    orders: Orders,
) -> None:
    tool = CachedTool(orders.get_order, policy=KEEPS)
    with instrument() as seen:
        for _ in range(2):
            await tool.acall(order_id=7)
    first, second = [trace.root for trace in seen.recorder.traces()]
    assert (first.kind.value, first.name, first.cache) == ("tool", "get_order", None)
    assert (second.kind.value, second.name) == ("cache", "get_order")
    assert second.cache is not None
    assert (second.cache["of"], second.cache["outcome"]) == ("tool", "hit")
    assert [len(trace.spans) for trace in seen.recorder.traces()] == [1, 1]


async def test_a_stale_output_is_served_and_fetched_anew_outside_of_the_run(orders: Orders) -> None:
    clock = FakeClock()
    policy = ToolPolicy(read_only=True, ttl_s=60, stale_ttl_s=60)
    cache = ToolResultCache(clock=clock)
    tool = CachedTool(orders.get_order, policy=policy, cache=cache)
    tool.call(order_id=7)
    orders.states[7] = "shipped"
    clock.advance(70)
    with instrument() as seen:
        assert tool.call(order_id=7).content == "order 7: new (kg)"
        cache.drain(10)
        assert len(seen.recorder.traces()) == 2
    assert tool.call(order_id=7).content == "order 7: shipped (kg)"


def test_an_output_that_says_that_it_failed_is_not_kept(orders: Orders) -> None:
    def fail(output: Any) -> ToolOutput:
        return ToolOutput(tool_name="t", content="no", raw_input={}, raw_output=None, is_error=True)

    tool = CachedTool(FunctionTool.from_defaults(orders.get_order, callback=fail), policy=KEEPS)
    assert [tool.call(order_id=7).is_error for _ in range(2)] == [True, True]
    assert orders.asked == 2


def search_of(shop: str) -> Callable[[str], str]:
    def search(q: str) -> str:
        """Search the shop."""
        return f"{q} in {shop}"

    return search


class Shop:
    """A client of one customer's database."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find(self, q: str) -> str:
        """Find in the shop."""
        return f"{q} in {self.name}"

    def __call__(self, q: str) -> str:
        """Search the shop."""
        return self.find(q)


def look_up(shop: str, q: str) -> str:
    """Search the shop."""
    return f"{q} in {shop}"


CARRYING: tuple[tuple[str, Callable[[str], Callable[..., str]]], ...] = (
    ("a closure", search_of),
    ("a bound method", lambda name: Shop(name).find),
    ("a callable object", Shop),
    ("a partial", lambda name: partial(look_up, name)),
)


@pytest.mark.parametrize("make", [c[1] for c in CARRYING], ids=[c[0] for c in CARRYING])
def test_two_of_one_name_do_not_see_the_results_of_each_other(
    make: Callable[[str], Callable[..., str]],
) -> None:
    """Both have one name, description and schema; what they carry is in neither."""
    cache, functions = ToolResultCache(), [make(name) for name in "ab"]
    tools = [
        CachedTool(
            FunctionTool.from_defaults(function, name="search", description="Search."),
            policy=KEEPS,
            cache=cache,
        )
        for function in (*functions, functions[0])
    ]
    assert [tool.call(q="x").content for tool in tools] == ["x in a", "x in b", "x in a"]


def test_one_version_for_all_tools_does_not_say_what_each_carries() -> None:
    cache = ToolResultCache()
    found = [
        cached_tools([search_of(name)], {"search": KEEPS}, cache=cache, version="2")[0]
        for name in "ab"
    ]
    assert [call_tool(tool, {"q": "x"}).content for tool in found] == ["x in a", "x in b"]


def test_methods_of_one_object_share_until_it_is_gone(outcomes: list[str]) -> None:
    shop, cache = Shop("a"), ToolResultCache()
    for _ in range(2):
        CachedTool(shop.find, policy=KEEPS, cache=cache).call(q="x")
    assert outcomes == ["miss", "hit"]


def test_a_version_says_what_a_tool_carries(outcomes: list[str]) -> None:
    """So can another process find it; the functions here are two objects, as they are there."""
    store = MemoryStore()
    for name in "aab":
        tool = CachedTool(
            search_of(name), policy=KEEPS, cache=ToolResultCache(store), version=f"shop {name}"
        )
        assert tool.call(q="x").content == f"x in {name}"
    assert outcomes == ["miss", "hit", "miss"]


def test_functions_of_modules_are_found_by_other_processes(outcomes: list[str]) -> None:
    store = MemoryStore()
    for _ in range(2):
        CachedTool(look_up, policy=KEEPS, cache=ToolResultCache(store)).call(shop="a", q="x")
    assert outcomes == ["miss", "hit"]


def test_a_stored_block_that_names_a_file_is_not_opened(tmp_path: Path) -> None:
    """Whoever writes to a shared store must not read the files of those who are served from it."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    store = MemoryStore()
    tool = CachedTool(look_up, policy=KEEPS, cache=ToolResultCache(store))
    tool.call(shop="a", q="x")
    (key,) = store.scan()
    entry = unpack(store.get(key) or b"")
    blocks = [{"block_type": "image", "path": str(secret)}]
    result = {**entry.body["result"], "blocks": blocks}
    store.set(key, pack(entry._replace(body={**entry.body, "result": result})), None)
    assert [block.block_type for block in tool.call(shop="a", q="x").blocks] == ["text"]
