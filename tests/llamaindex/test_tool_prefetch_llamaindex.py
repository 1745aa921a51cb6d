"""`prefetch_tools()` in real agents: what is called on a guess, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from context_tools import NotedOrders
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.tools import FunctionTool, adapt_to_async_tool
from llamaindex_tools import ScriptedLLM, calls, says
from parallel_tools import agent, events_of, stock_agent, stock_workflow, workflow_of_ours
from pydantic import PrivateAttr

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS
from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from agentperf_core.tools.prefetch.prefetcher import Prefetcher
from llamaindex_agentperf import instrument, manage_tools, prefetch_tools

ORDERS = "after get_user: get_order(order_id=result.orders[])"
LOOKS = ToolPolicy(read_only=True, ttl_s=60, prefetch=True)
AGENTS = [stock_agent, stock_workflow, agent, workflow_of_ours]
each = pytest.mark.parametrize("make", AGENTS, ids=lambda make: make.__name__)
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)


class Thinking(ScriptedLLM):
    """A model that thinks as long as something is called on a guess."""

    _prefetcher: Any = PrivateAttr(default=None)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        if self._prefetcher is not None:
            await self._prefetcher.adrain()
        return await super().astream_chat(messages, **kwargs)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        if self._prefetcher is not None:
            await self._prefetcher.adrain()
        return await super().achat(messages, **kwargs)


class Shop:
    """Tools that note their calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def get_user(self, user_id: int) -> dict[str, Any]:
        """Look a user up."""
        self.calls.append(("get_user", user_id))
        return {"name": "Ann", "orders": [10, 11, 12]}

    def get_order(self, order_id: int, full: bool = False) -> str:
        """Look an order up."""
        self.calls.append(("get_order", order_id))
        return f"order {order_id}: sent"

    @property
    def tools(self) -> list[Any]:
        return [self.get_user, self.get_order]


def script(messages: Sequence[ChatMessage]) -> ChatMessage:
    """The user, then one of her orders, then what was said of it."""
    said = [str(m.content) for m in messages if m.role == MessageRole.TOOL]
    if len(said) < 2:
        return calls([("get_user", {"user_id": 1}), ("get_order", {"order_id": 11})][len(said)])
    return says(said[-1])


def llm(prefetcher: Prefetcher | None, answer: Any = script) -> Thinking:
    kind: Any = Thinking  # pydantic's signature leaves out the script
    made = kind(answer)
    made._prefetcher = prefetcher
    return made


@each
async def test_what_follows_from_a_result_is_called_while_the_model_thinks(make: Any):
    shop, prefetcher = Shop(), Prefetcher([ORDERS])
    tools = prefetch_tools(shop.tools, prefetcher, {"get_order": LOOKS})
    _, answer = await events_of(make(llm(prefetcher), tools))
    assert str(answer) == "order 11: sent"
    assert sorted(shop.calls) == [("get_order", n) for n in (10, 11, 12)] + [("get_user", 1)]
    stats = prefetcher.stats()
    assert (stats.begun, stats.used, stats.wasted) == (3, 1, 2)
    assert BUS.faults().get("llamaindex.runs", 0) == 0


async def test_tools_that_are_called_by_hand_prefetch_in_threads():
    shop, prefetcher = Shop(), Prefetcher([ORDERS])
    tools: Any = prefetch_tools(shop.tools, prefetcher, {"get_order": LOOKS})
    called: list[Any] = [adapt_to_async_tool(tool) for tool in tools]
    look_user, look_order = called

    def work() -> Any:
        look_user.call(user_id=1)
        prefetcher.drain(10)
        return look_order.call(order_id=11, full=False).content

    assert await asyncio.to_thread(work) == "order 11: sent"
    assert shop.calls.count(("get_order", 11)) == 1
    assert prefetcher.stats().used == 1


@each
async def test_what_the_user_says_is_enough(make: Any):
    shop = Shop()
    prefetcher = Prefetcher([r"on message: find(text=message/#[0-9]+/)"])

    @tool_policy(LOOKS)
    def find(text: str) -> str:
        """Find something."""
        shop.calls.append(("find", text))
        return f"found {text}"

    def answer(messages: Sequence[ChatMessage]) -> ChatMessage:
        said = [str(m.content) for m in messages if m.role == MessageRole.TOOL]
        return says(said[0]) if said else calls(("find", {"text": "#77"}))

    tools = prefetch_tools([find], prefetcher)
    _, found = await events_of(make(llm(prefetcher, answer), tools), "where is #77?")
    assert str(found) == "found #77"
    assert shop.calls == [("find", "#77")]
    assert prefetcher.stats().used == 1


@each
async def test_a_guess_that_fails_is_never_heard_of(make: Any):
    shop, prefetcher = Shop(), Prefetcher([ORDERS])
    failing = iter([True, True, True])

    def get_order(order_id: int) -> str:
        """Look an order up."""
        if next(failing, False):
            raise ConnectionError("no connection")
        return "sent"

    policy = ToolPolicy(read_only=True, ttl_s=60, prefetch=True, negative_ttl_s=60)
    tools = prefetch_tools([shop.get_user, get_order], prefetcher, {"get_order": policy})
    _, answer = await events_of(make(llm(prefetcher), tools))
    assert str(answer) == "sent"
    stats = prefetcher.stats()
    assert (stats.begun, stats.failed, stats.used) == (3, 3, 0)


@each
async def test_the_end_of_a_run_cancels_what_still_runs(make: Any):
    shop, prefetcher, gone = Shop(), Prefetcher([ORDERS]), list[int]()

    async def get_order(order_id: int) -> str:
        """Look an order up."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            gone.append(order_id)
            raise
        return "never"

    def answer(messages: Sequence[ChatMessage]) -> ChatMessage:
        asked = any(m.role == MessageRole.TOOL for m in messages)
        return says("done") if asked else calls(("get_user", {"user_id": 1}))

    tools = prefetch_tools(
        [shop.get_user, FunctionTool.from_defaults(async_fn=get_order)],
        prefetcher,
        {"get_order": LOOKS},
    )
    await events_of(make(llm(None, answer), tools))
    await prefetcher.adrain()
    assert sorted(gone) == [10, 11, 12]
    stats = prefetcher.stats()
    assert (stats.running, stats.begun, stats.wasted) == (0, 3, 3)


async def test_a_conversation_goes_on_in_its_next_run():
    shop, prefetcher = Shop(), Prefetcher([ORDERS])
    now: ContextVar[str] = ContextVar("now", default="a")
    tools = prefetch_tools(shop.tools, prefetcher, {"get_order": LOOKS}, session=now.get)

    def answer(messages: Sequence[ChatMessage]) -> ChatMessage:
        name, arguments = (
            ("get_order", {"order_id": 12})
            if "the last" in str(messages[-1].content)
            else ("get_user", {"user_id": 1})
        )
        asked = messages[-1].role == MessageRole.TOOL
        return says("done") if asked else calls((name, arguments))

    runner = stock_agent(llm(prefetcher, answer), tools)
    await events_of(runner, "hello")
    assert prefetcher.stats().wasted == 3
    await events_of(runner, "the last one")
    assert shop.calls.count(("get_order", 12)) == 1
    stats = prefetcher.stats()
    assert (stats.used, stats.wasted) == (1, 2)


async def test_a_trace_only_shows_calls_that_the_model_made():
    shop, prefetcher = Shop(), Prefetcher([ORDERS])
    tools = prefetch_tools(shop.tools, prefetcher, {"get_order": LOOKS})
    with instrument() as watched:
        await events_of(stock_agent(llm(prefetcher), tools))
    (trace,) = [t for t in watched.report().traces if len(t.spans) > 3]
    names = [span.name for span in trace.spans if span.kind in {"tool", "cache"}]
    assert names.count("get_user") == 1
    assert names.count("get_order") <= 2, "the call, and that the cache has served it"


async def test_a_tool_that_takes_the_run_s_context_is_not_called_on_a_guess():
    shop, prefetcher = Shop(), Prefetcher([ORDERS])

    policy = ToolPolicy(read_only=True, ttl_s=60, prefetch=True, cache_scope="run")
    tools = prefetch_tools(
        [shop.get_user, FunctionTool.from_defaults(async_fn=NotedOrders(shop.calls).get_order)],
        prefetcher,
        {"get_order": policy},
    )
    _, answer = await events_of(stock_agent(llm(prefetcher), tools))
    assert str(answer) == "sent"
    assert shop.calls == [("get_user", 1), ("get_order", 11)]


async def test_a_write_makes_what_was_prefetched_worthless():
    prefetcher, cancelled = Prefetcher([ORDERS]), set[int]()

    def get_order(order_id: int) -> str:
        """Look an order up."""
        return "cancelled" if order_id in cancelled else "sent"

    def cancel(order_id: int) -> str:
        """Cancel an order."""
        cancelled.add(order_id)
        return "done"

    def answer(messages: Sequence[ChatMessage]) -> ChatMessage:
        said = [str(m.content) for m in messages if m.role == MessageRole.TOOL]
        steps = [
            ("get_user", "user_id", 1),
            ("cancel", "order_id", 11),
            ("get_order", "order_id", 11),
        ]
        if len(said) == len(steps):
            return says(said[-1])
        name, argument, value = steps[len(said)]
        return calls((name, {argument: value}))

    reads = ToolPolicy(read_only=True, ttl_s=60, prefetch=True, reads=["orders:{order_id}"])
    policies = {"get_order": reads, "cancel": ToolPolicy(writes=["orders:{order_id}"])}
    tools = prefetch_tools([Shop().get_user, get_order, cancel], prefetcher, policies)
    _, found = await events_of(stock_agent(llm(prefetcher, answer), tools))
    assert str(found) == "cancelled"


async def test_managed_tools_keep_what_they_were_given_and_share_the_cache():
    shop, cache, prefetcher = Shop(), ToolResultCache(), Prefetcher([ORDERS])
    managed = manage_tools(shop.tools, {"get_order": LOOKS})
    tools = prefetch_tools(managed, prefetcher, {"get_order": LOOKS}, cache=cache)
    assert [tool.metadata.get_name() for tool in tools] == ["get_user", "get_order"]
    _, answer = await events_of(stock_agent(llm(prefetcher), tools))
    assert str(answer) == "order 11: sent"
    assert prefetcher.stats().used == 1


async def test_a_session_that_nobody_can_say_ends_no_run():
    def nobody() -> str:
        raise LookupError

    shop, prefetcher = Shop(), Prefetcher([ORDERS])
    tools = prefetch_tools(shop.tools, prefetcher, {"get_order": LOOKS}, session=nobody)
    _, answer = await events_of(stock_agent(llm(prefetcher), tools))
    assert str(answer) == "order 11: sent"


@pytest.mark.parametrize(
    ("rules", "policies", "message"),
    [
        (["after a b"], {}, "a rule reads like"),
        ([ORDERS], {}, "got no policy for 'get_order'"),
        ([ORDERS], {"get_order": ToolPolicy(read_only=True)}, "got prefetch=False"),
        (["after a: gone()"], {}, "got no policy for 'gone'"),
        ([], {"gone": LOOKS}, "policies must name tools, got \\['gone'\\]"),
    ],
)
def test_what_cannot_mean_anything_is_refused(rules: Any, policies: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        prefetch_tools(Shop().tools, rules, policies)
