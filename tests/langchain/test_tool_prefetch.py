"""`ToolPrefetchMiddleware` in real agents: what is called on a guess, and what is not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from scripted_models import ScriptedChat, call, say

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from agentperf_core.tools import ToolExecutor
from agentperf_core.tools.prefetch.prefetcher import Prefetcher
from langchain_agentperf import (
    ParallelToolsMiddleware,
    ToolCacheMiddleware,
    ToolPrefetchMiddleware,
)

ORDERS = "after get_user: get_order(order_id=result.orders[])"
LOOKS = ToolPolicy(read_only=True, ttl_s=60, prefetch=True)
both = pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])


class Thinking(ScriptedChat):
    """A model that thinks as long as something is called on a guess."""

    prefetcher: Any = None

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        self.prefetcher.drain(10)
        return super()._generate(*args, **kwargs)

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        await self.prefetcher.adrain()
        return ScriptedChat._generate(self, messages, **kwargs)


class Desk:
    """An agent with tools of a shop, and a middleware under test."""

    def __init__(self, rules: list[str] | None = None, **options: Any) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.lock = threading.Lock()
        policies = options.pop("policies", {"get_order": LOOKS})
        self.prefetch = ToolPrefetchMiddleware(
            [ORDERS] if rules is None else rules, policies=policies, **options
        )
        self.prefetcher = self.prefetch.prefetcher

    def note(self, name: str, value: Any) -> None:
        with self.lock:
            self.calls.append((name, value))

    def tools(self) -> list[BaseTool]:
        @tool
        def get_user(user_id: int) -> dict[str, Any]:
            """Look a user up."""
            self.note("get_user", user_id)
            return {"name": "Ann", "orders": [10, 11, 12]}

        @tool
        def get_order(order_id: int, full: bool = False) -> str:
            """Look an order up."""
            self.note("get_order", order_id)
            return f"order {order_id}: sent"

        return [get_user, get_order]

    async def ask(
        self,
        sync: bool,
        answer: Callable[[int, list[Any]], AIMessage] | None = None,
        middleware: list[Any] | None = None,
        tools: list[Any] | None = None,
        **config: Any,
    ) -> list[AnyMessage]:
        model = Thinking(answer=answer or script)
        model.prefetcher = self.prefetcher
        agent: Any = create_agent(
            model,
            tools if tools is not None else self.tools(),
            middleware=[self.prefetch] if middleware is None else middleware,
        )
        asked = {"messages": [("user", "Where is my order #77?")]}
        found = (
            await asyncio.to_thread(agent.invoke, asked, config)
            if sync
            else await agent.ainvoke(asked, config)
        )
        return found["messages"]


def script(number: int, messages: list[Any]) -> AIMessage:
    """The user, then one of her orders, then an answer."""
    calls = {1: [call("get_user", "a", user_id=1)], 2: [call("get_order", "b", order_id=11)]}
    return say("done" if number > 2 else "", *calls.get(number, []))


@both
async def test_what_follows_from_a_result_is_called_while_the_model_thinks(sync: bool):
    desk = Desk()
    messages = await desk.ask(sync)
    assert sorted(desk.calls) == [("get_order", n) for n in (10, 11, 12)] + [("get_user", 1)]
    found = messages[-2]
    assert isinstance(found, ToolMessage)
    assert (found.content, found.tool_call_id) == ("order 11: sent", "b")
    assert found.response_metadata["agentperf"]["cache"]["outcome"] == "hit"
    stats = desk.prefetcher.stats()
    assert (stats.begun, stats.used, stats.wasted) == (3, 1, 2)


@both
async def test_the_messages_are_those_of_an_agent_without_it(sync: bool):
    desk, stock = Desk(), Desk()
    with_it = await desk.ask(sync)
    without = await stock.ask(sync, middleware=[])
    assert [(m.type, m.content, getattr(m, "tool_call_id", None)) for m in with_it] == [
        (m.type, m.content, getattr(m, "tool_call_id", None)) for m in without
    ]


@both
async def test_what_the_user_says_is_enough(sync: bool):
    rule = r"on message: get_order(order_id=message/#[0-9]+/)"

    def answer(number: int, messages: list[Any]) -> AIMessage:
        return say("", call("get_order", order_id="#77")) if number == 1 else say("done")

    desk = Desk([rule], policies=None)

    @tool
    @tool_policy(read_only=True, ttl_s=60, prefetch=True)
    def get_order(order_id: str) -> str:
        """Look an order up."""
        desk.note("get_order", order_id)
        return "sent"

    messages = await desk.ask(sync, answer, tools=[get_order])
    assert messages[-2].content == "sent"
    assert desk.calls == [("get_order", "#77")]
    assert desk.prefetcher.stats().used == 1


@both
async def test_an_argument_that_has_its_default_makes_no_other_call(sync: bool):
    def answer(number: int, messages: list[Any]) -> AIMessage:
        if number == 2:
            return say("", call("get_order", order_id=11, full=False))
        return script(number, messages)

    desk = Desk()
    await desk.ask(sync, answer)
    assert desk.calls.count(("get_order", 11)) == 1
    assert desk.prefetcher.stats().used == 1


@both
async def test_it_works_with_the_executor_and_the_cache_in_one_agent(sync: bool):
    cache, executor = ToolResultCache(), ToolExecutor()
    prefetcher = Prefetcher([ORDERS], executor=executor)
    policies = {"get_order": LOOKS, "get_user": ToolPolicy(read_only=True, ttl_s=60)}
    desk = Desk()
    tools = desk.tools()
    desk.prefetcher = prefetcher
    prefetch = ToolPrefetchMiddleware(prefetcher, cache=cache, policies=policies)
    middleware = [
        ParallelToolsMiddleware(executor=executor, policies=policies),
        prefetch,
        ToolCacheMiddleware(cache=cache, policies=policies),
    ]
    messages = await desk.ask(sync, middleware=middleware, tools=tools)
    assert messages[-2].content == "order 11: sent"
    assert desk.calls.count(("get_order", 11)) == 1
    assert executor.stats().outcomes["ok"] == 5
    await desk.ask(sync, middleware=middleware, tools=tools)
    assert len(desk.calls) == 4, "all of it is in the cache now"


@both
async def test_callbacks_only_hear_of_calls_that_the_model_made(sync: bool):
    class Heard(BaseCallbackHandler):
        run_inline = True

        def __init__(self) -> None:
            self.started: list[Any] = []

        def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
            self.started.append(kwargs["inputs"])

    heard = Heard()
    await Desk().ask(sync, callbacks=[heard])
    assert heard.started == [{"user_id": 1}, {"order_id": 11}]


@both
async def test_a_guess_that_fails_is_never_heard_of(sync: bool):
    desk = Desk()
    failing = iter([True, True, True])

    @tool
    def get_order(order_id: int) -> str:
        """Look an order up."""
        desk.note("get_order", order_id)
        if next(failing, False):
            raise ConnectionError("no connection")
        return "sent"

    messages = await desk.ask(sync, tools=[desk.tools()[0], get_order])
    assert messages[-2].content == "sent"
    stats = desk.prefetcher.stats()
    assert (stats.begun, stats.failed, stats.used) == (3, 3, 0)


@both
async def test_a_tool_that_wants_the_run_is_not_called_on_a_guess(sync: bool):
    desk = Desk(policies={"get_order": ToolPolicy(
        read_only=True, ttl_s=60, prefetch=True, cache_scope="run")})  # fmt: skip

    @tool
    def get_order(order_id: int, runtime: ToolRuntime[Any, Any]) -> str:
        """Look an order up."""
        desk.note("get_order", order_id)
        return str(len(runtime.state["messages"]))

    messages = await desk.ask(sync, tools=[desk.tools()[0], get_order])
    assert messages[-2].content == "4"
    assert desk.calls == [("get_user", 1), ("get_order", 11)]


@both
async def test_a_write_makes_what_was_prefetched_worthless(sync: bool):
    reads = ToolPolicy(read_only=True, ttl_s=60, prefetch=True, reads=["orders:{order_id}"])
    desk = Desk(policies={"get_order": reads, "cancel": ToolPolicy(writes=["orders:{order_id}"])})
    cancelled: set[int] = set()

    @tool
    def get_order(order_id: int) -> str:
        """Look an order up."""
        return "cancelled" if order_id in cancelled else "sent"

    @tool
    def cancel(order_id: int) -> str:
        """Cancel an order."""
        cancelled.add(order_id)
        return "done"

    def answer(number: int, messages: list[Any]) -> AIMessage:
        asked = {
            1: call("get_user", user_id=1),
            2: call("cancel", order_id=11),
            3: call("get_order", order_id=11),
        }
        return say("", asked[number]) if number in asked else say("done")

    messages = await desk.ask(sync, answer, tools=[desk.tools()[0], get_order, cancel])
    assert messages[-2].content == "cancelled"


@both
async def test_a_conversation_goes_on_in_the_next_run_of_its_thread(sync: bool):
    """The user says which order she means in the next message: it was called in the last run."""

    def answer(number: int, messages: list[Any]) -> AIMessage:
        asked = {1: call("get_user", user_id=1), 3: call("get_order", order_id=12)}
        return say("", asked[number]) if number in asked else say("done")

    desk = Desk()
    model = Thinking(answer=answer)
    model.prefetcher = desk.prefetcher
    agent: Any = create_agent(
        model, desk.tools(), middleware=[desk.prefetch], checkpointer=InMemorySaver()
    )
    config = {"configurable": {"thread_id": "t"}}
    for text in ("hello", "the last one"):
        asked = {"messages": [("user", text)]}
        if sync:
            await asyncio.to_thread(agent.invoke, asked, config)
        else:
            await agent.ainvoke(asked, config)
    assert desk.calls.count(("get_order", 12)) == 1
    stats = desk.prefetcher.stats()
    assert (stats.used, stats.wasted) == (1, 2)


async def test_the_end_of_a_run_cancels_what_still_runs():
    desk = Desk(policies=None)
    gone: list[int] = []

    @tool
    @tool_policy(LOOKS)
    async def get_order(order_id: int) -> str:
        """Look an order up."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            gone.append(order_id)
            raise
        return "never"

    class Quick(Thinking):
        async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return ScriptedChat._generate(self, messages, **kwargs)

    def answer(number: int, messages: list[Any]) -> AIMessage:
        return say("", call("get_user", user_id=1)) if number == 1 else say("done")

    agent: Any = create_agent(
        Quick(answer=answer), [desk.tools()[0], get_order], middleware=[desk.prefetch]
    )
    await agent.ainvoke({"messages": [("user", "hi")]})
    assert sorted(gone) == [10, 11, 12]
    assert desk.prefetcher.stats().running == 0


@both
async def test_two_agents_and_two_users_do_not_share_what_they_may_not(sync: bool):
    users: Iterator[str] = iter(["ann", "bob"])
    tenants: dict[str, str] = {}

    def tenant(request: Any) -> str:
        return tenants["now"]

    desk = Desk(tenant=tenant)
    for user in users:
        tenants["now"] = user
        await desk.ask(sync)
    assert desk.calls.count(("get_order", 11)) == 2


@both
async def test_a_tenant_that_nobody_can_say_ends_no_run(sync: bool):
    desk = Desk(tenant=lambda request: 1 / 0)
    messages = await desk.ask(sync)
    assert messages[-2].content == "order 11: sent"
    assert desk.prefetcher.stats().begun == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefetcher": ["after a b"]}, "a rule reads like"),
        (
            {"prefetcher": [ORDERS], "policies": {"get_order": ToolPolicy(read_only=True)}},
            "a rule may only call tools with prefetch=True, got prefetch=False for 'get_order'",
        ),
        ({"prefetcher": [], "cache": 7}, "cache must be a ToolResultCache, got 7"),
        ({"prefetcher": [], "policies": {"a": 7}}, "policies holds ToolPolicy values, got 7"),
        ({"prefetcher": [], "tenant": 7}, "tenant"),
    ],
)
def test_what_cannot_mean_anything_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        ToolPrefetchMiddleware(**options)
