"""`ToolCacheMiddleware` on real agents: what is served, to whom, for how long, and how it looks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Annotated, Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, tool
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.types import Command

from agentperf_core.cache import CachePolicy, MemoryStore, SQLiteStore, ToolResultCache
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus
from agentperf_core.telemetry import SpanKind
from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from langchain_agentperf import (
    ExactCache,
    LatencyCallbackHandler,
    ParallelToolsMiddleware,
    ResponseCacheMiddleware,
    ToolCacheMiddleware,
    latency_callback,
)
from tests.core.flight_tools import WatchedFlight
from tests.langchain.scripted_models import ScriptedChat, call, say
from tests.langchain.tool_agents import Run, agent, ask, each_way, gone_through, invoke, results

READS = ToolPolicy(read_only=True, reads=["orders:{order}"])
WRITES = ToolPolicy(writes=["orders:{order}"])


class Shop:
    """Two tools over one order, a cache on a clock of its own, and how often each tool ran."""

    def __init__(self, **policies: ToolPolicy) -> None:
        self.state, self.ran = "new", list[str]()
        self.clock, self.bus = FakeClock(), EventBus()
        self.store = MemoryStore(clock=self.clock)
        self.cache = ToolResultCache(self.store, clock=self.clock, bus=self.bus)
        self.policies = {"read": READS, "write": WRITES, **policies}
        self.tools = self._tools()

    def _tools(self) -> list[BaseTool]:
        def read(order: int, detail: str = "short") -> tuple[str, Any]:
            """Read."""
            self.ran.append("read")
            return f"order {order} is {self.state}", {"detail": detail}

        def write(order: int, state: str) -> str:
            """Write."""
            self.ran.append("write")
            self.state = state
            return "written"

        return [
            StructuredTool.from_function(read, response_format="content_and_artifact"),
            StructuredTool.from_function(write),
        ]

    def agent(self, *named: tuple[str, dict[str, Any]], **options: Any) -> Any:
        kept = ToolCacheMiddleware(cache=self.cache, policies=self.policies, **options)
        return agent(ask(*named), self.tools, kept)


def cache_mark(message: Any) -> dict[str, Any]:
    return message.response_metadata["agentperf"]["cache"]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@each_way
def test_an_equal_call_is_served_with_content_artefact_and_status_and_the_new_id(
    run: Run, shop: Shop
):
    tools = shop.tools
    found: list[ToolMessage] = []
    for call_id in ("first", "second"):
        model = ScriptedChat(
            answer=lambda _, messages, call_id=call_id: (
                say("", call("read", call_id, order=7))
                if isinstance(messages[-1], HumanMessage)
                else say("done")
            )
        )
        kept = ToolCacheMiddleware(cache=shop.cache, policies=shop.policies)
        found += results(run(agent(model, tools, kept)))
    first, second = found
    assert shop.ran == ["read"]
    assert (second.content, second.artifact) == ("order 7 is new", {"detail": "short"})
    assert (second.name, second.status) == (first.name, first.status) == ("read", "success")
    assert [message.tool_call_id for message in found] == ["first", "second"]
    assert [cache_mark(message)["outcome"] for message in found] == ["miss", "hit"]
    assert first.id != second.id


@each_way
def test_a_write_makes_what_was_read_of_the_same_forgotten(run: Run, shop: Shop):
    read, other = ("read", {"order": 7}), ("read", {"order": 8})
    for reader in (read, other):
        run(shop.agent(reader))
    run(shop.agent(("write", {"order": 7, "state": "paid"})))
    assert results(run(shop.agent(read)))[0].content == "order 7 is paid"
    assert results(run(shop.agent(other)))[0].content == "order 8 is new"
    assert shop.ran == ["read", "read", "write", "read"]


def test_a_read_only_tool_is_kept_for_five_minutes_if_nothing_is_said(shop: Shop):
    runner = shop.agent(("read", {"order": 7}))
    for seconds in (0, 299, 1):
        shop.clock.advance(seconds)
        invoke(runner)
    assert shop.ran == ["read", "read"]


@pytest.mark.parametrize(
    ("policy", "options", "runs"),
    [
        (ToolPolicy(read_only=True, ttl_s=10), {}, 2),
        (ToolPolicy(read_only=True), {"ttl_s": 10}, 2),
        (ToolPolicy(read_only=True), {"ttl_s": None}, 2),
        (ToolPolicy(read_only=True), {"ttl_s": 60}, 1),
        (ToolPolicy(idempotent=True), {}, 2),
        (ToolPolicy(), {}, 2),
    ],
    ids=["policy", "option", "never", "longer", "idempotent", "nothing declared"],
)
def test_how_long_is_said_by_the_policy_else_by_the_middleware(
    policy: ToolPolicy, options: dict[str, Any], runs: int
):
    shop = Shop(read=policy)
    runner = shop.agent(("read", {"order": 7}), **options)
    invoke(runner)
    shop.clock.advance(11)
    invoke(runner)
    assert len(shop.ran) == runs


def test_a_default_that_is_written_out_is_the_same_call(shop: Shop):
    invoke(shop.agent(("read", {"order": 7})))
    invoke(shop.agent(("read", {"order": 7, "detail": "short"})))
    invoke(shop.agent(("read", {"order": 7, "detail": "long"})))
    assert shop.ran == ["read", "read"]


@each_way
def test_errors_are_not_kept_unless_the_policy_says_for_how_long(run: Run):
    ran: list[int] = []

    @tool
    def broken(at: int) -> str:
        """Break."""
        ran.append(at)
        raise ConnectionError("down")

    for policy, runs in (
        (ToolPolicy(read_only=True, ttl_s=60), 2),
        (ToolPolicy(read_only=True, ttl_s=60, negative_ttl_s=5), 1),
    ):
        ran.clear()
        kept = ToolCacheMiddleware(policies={"broken": policy})
        runner = agent(ask(("broken", {"at": 1})), [broken], ParallelToolsMiddleware(), kept)
        for _ in range(2):
            (message,) = results(run(runner))
            assert message.status == "error"
            assert "down" in message.text
        assert len(ran) == runs


@each_way
def test_a_command_to_the_graph_is_never_kept(run: Run):
    ran: list[int] = []

    @tool
    def jump(call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Jump."""
        ran.append(1)
        return Command(update={"messages": [ToolMessage("jumped", tool_call_id=call_id)]})

    bus = EventBus()
    cache = ToolResultCache(bus=bus)
    kept = ToolCacheMiddleware(cache=cache, policies={"jump": ToolPolicy(read_only=True, ttl_s=60)})
    for _ in range(2):
        assert results(run(agent(ask(("jump", {})), [jump], kept)))[0].content == "jumped"
    assert ran == [1, 1]
    assert list(cache.store.scan()) == []


def test_an_artefact_that_is_no_plain_data_keeps_the_result_from_the_store():
    ran: list[int] = []

    @tool(response_format="content_and_artifact")
    def draw(at: int) -> tuple[str, object]:
        """Draw."""
        ran.append(at)
        return "drawn", threading.Lock()

    policies = {"draw": ToolPolicy(read_only=True, ttl_s=60)}
    runner = agent(ask(("draw", {"at": 1})), [draw], ToolCacheMiddleware(policies=policies))
    first, second = (results(invoke(runner))[0] for _ in range(2))
    assert ran == [1, 1]
    assert second.artifact is not None
    assert cache_mark(first)["reason"] == "it is not plain data"


@pytest.mark.parametrize("content", ["text", [{"type": "text", "text": "a"}], ["a", "b"], ""])
def test_contents_of_every_form_come_back_as_they_were(content: Any):
    @tool
    def say_it(at: int) -> Any:
        """Say."""
        return content

    policies = {"say_it": ToolPolicy(read_only=True, ttl_s=60)}
    runner = agent(ask(("say_it", {"at": 1})), [say_it], ToolCacheMiddleware(policies=policies))
    first, second = (results(invoke(runner))[0] for _ in range(2))
    assert first.content == second.content
    assert cache_mark(second)["outcome"] == "hit"


def test_a_poisoned_store_gives_a_wrong_text_at_worst(shop: Shop):
    """No class is looked up by what is stored, and what is not of ours is a miss."""
    runner = shop.agent(("read", {"order": 7}))
    invoke(runner)
    (key,) = shop.store.scan()
    lc = b'{"lc":1,"type":"constructor","id":["langchain_core","tools","Tool"],"kwargs":{}}'
    for raw in (
        b"",
        lc,
        b"AP2j" + lc,
        b'AP2j{"at":1.0,"body":{"failed":false,"result":{"content":[1]}}}',
    ):
        shop.store.set(key, raw, None)
        assert results(invoke(runner))[0].content == "order 7 is new"
    assert len(shop.ran) == 5


# Who shares


def users(shop: Shop, **options: Any) -> Callable[[str], str]:
    user: ContextVar[str] = ContextVar("user", default="-")

    @tool
    def mine(at: int) -> str:
        """Mine."""
        shop.ran.append("mine")
        return f"of {user.get()}"

    policies = {"mine": ToolPolicy(read_only=True, ttl_s=60)}
    kept = ToolCacheMiddleware(
        cache=shop.cache, policies=policies, tenant=lambda _: user.get(), **options
    )
    runner = agent(ask(("mine", {"at": 1})), [mine], kept)

    def by(name: str) -> str:
        token = user.set(name)
        try:
            return results(invoke(runner))[0].text
        finally:
            user.reset(token)

    return by


def test_tenants_share_nothing(shop: Shop):
    by = users(shop)
    assert [by("ada"), by("bob"), by("ada")] == ["of ada", "of bob", "of ada"]
    assert len(shop.ran) == 2


def test_a_session_is_langgraphs_thread(shop: Shop):
    shop.policies["read"] = ToolPolicy(read_only=True, ttl_s=60, cache_scope="session")
    runner = shop.agent(("read", {"order": 7}))
    for thread in ("a", "a", "b", "a"):
        invoke(runner, config={"configurable": {"thread_id": thread}})
    assert len(shop.ran) == 2
    invoke(runner)
    invoke(runner)
    assert len(shop.ran) == 4, "without a thread there is no session, and nothing is kept"


def test_a_session_may_be_said_by_a_function_of_the_request(shop: Shop):
    shop.policies["read"] = ToolPolicy(read_only=True, ttl_s=60, cache_scope="session")

    def session(request: Any) -> str:
        return request.runtime.config["metadata"]["customer"]

    runner = shop.agent(("read", {"order": 7}), session=session)
    for customer in ("a", "b", "a"):
        invoke(runner, config={"metadata": {"customer": customer}})
    assert len(shop.ran) == 2


@each_way
def test_a_run_is_one_invocation_of_the_agent(run: Run, shop: Shop):
    """The model asks for the same twice in each run, one after the other."""
    shop.policies["read"] = ToolPolicy(read_only=True, ttl_s=60, cache_scope="run")

    def answer(number: int, messages: list[Any]) -> Any:
        asked = len(results(messages))
        return say("", call("read", f"c{number}", order=7)) if asked < 2 else say("done")

    kept = ToolCacheMiddleware(cache=shop.cache, policies=shop.policies)
    runner = agent(ScriptedChat(answer=answer), shop.tools, kept)
    for _ in range(3):
        outcomes = [cache_mark(message)["outcome"] for message in results(run(runner))]
        assert outcomes == ["miss", "hit"]
    assert len(shop.ran) == 3


def test_a_run_that_the_caller_names_is_that_run(shop: Shop):
    from uuid import uuid4

    shop.policies["read"] = ToolPolicy(read_only=True, ttl_s=60, cache_scope="run")
    runner = shop.agent(("read", {"order": 7}))
    first, second = uuid4(), uuid4()
    for run_id in (first, first, second):
        invoke(runner, config={"run_id": run_id})
    assert len(shop.ran) == 2


def of_the_run() -> list[BaseTool]:
    @tool
    def with_state(at: int, messages: Annotated[list[Any], InjectedState("messages")]) -> str:
        """State."""
        return f"{len(messages)} messages"

    @tool
    def with_runtime(at: int, runtime: ToolRuntime) -> str:
        """Runtime."""
        return str(runtime.config.get("configurable", {}).get("user"))

    @tool
    def with_config(at: int, config: RunnableConfig) -> str:
        """Config."""
        return str(config.get("configurable", {}).get("user"))

    @tool
    def with_maybe_config(at: int, config: RunnableConfig | None = None) -> str:
        """Config."""
        return "?"

    return [with_state, with_runtime, with_config, with_maybe_config]


@pytest.mark.parametrize("made", of_the_run(), ids=lambda made: made.name)
def test_what_a_tool_says_of_its_run_does_not_leave_it(made: BaseTool):
    """A tool that is given the run's config may look up whose it is: the next user is another."""
    policies = {made.name: ToolPolicy(read_only=True, ttl_s=60)}
    runner = agent(ask((made.name, {"at": 1})), [made], ToolCacheMiddleware(policies=policies))
    for user in ("ada", "bob"):
        (message,) = results(invoke(runner, config={"configurable": {"user": user}}))
        assert message.text in {user, "2 messages", "?"}
        assert cache_mark(message)["outcome"] == "bypass"
        assert "say 'run' or 'session'" in cache_mark(message)["reason"]


def test_a_tool_of_the_run_is_kept_within_its_session():
    made = of_the_run()[2]
    policies = {made.name: ToolPolicy(read_only=True, ttl_s=60, cache_scope="session")}
    runner = agent(ask((made.name, {"at": 1})), [made], ToolCacheMiddleware(policies=policies))
    said = [
        results(invoke(runner, config={"configurable": {"thread_id": t, "user": t}}))[0]
        for t in ("ada", "bob", "ada")
    ]
    assert [message.text for message in said] == ["ada", "bob", "ada"]
    assert [cache_mark(message)["outcome"] for message in said] == ["miss", "miss", "hit"]


def test_two_tools_of_one_name_share_nothing(shop: Shop):
    def made(base: int) -> BaseTool:
        def add(number: int) -> str:
            """Add."""
            return str(base + number)

        return StructuredTool.from_function(add)

    kept = ToolCacheMiddleware(policies={"add": ToolPolicy(read_only=True, ttl_s=60)})
    found = [
        results(invoke(agent(ask(("add", {"number": 1})), [made(base)], kept)))[0].text
        for base in (1, 10)
    ]
    assert found == ["2", "11"]


def test_a_version_makes_other_results(shop: Shop):
    for version in ("1", "2", "1"):
        invoke(shop.agent(("read", {"order": 7}), version=version))
    assert len(shop.ran) == 2


# Stale results, and calls in flight


@each_way
def test_a_result_past_its_time_is_served_while_a_new_one_is_fetched(run: Run):
    shop = Shop(read=ToolPolicy(read_only=True, ttl_s=60, stale_ttl_s=600))
    tools = shop.tools
    kept = ToolCacheMiddleware(cache=shop.cache, policies=shop.policies)
    runner = agent(ask(("read", {"order": 7})), tools, kept)
    run(runner)
    shop.clock.advance(100)
    shop.state = "paid"
    (stale,) = results(run(runner))
    assert (stale.text, cache_mark(stale)["stale"]) == ("order 7 is new", True)
    shop.cache.drain(20)


async def test_the_next_call_has_what_was_fetched_behind_a_stale_result():
    shop = Shop(read=ToolPolicy(read_only=True, ttl_s=60, stale_ttl_s=600))
    kept = ToolCacheMiddleware(cache=shop.cache, policies=shop.policies)
    parallel = ParallelToolsMiddleware(policies=shop.policies)
    runner = agent(ask(("read", {"order": 7})), shop.tools, parallel, kept)
    handler = LatencyCallbackHandler()

    async def go() -> Any:
        state = await runner.ainvoke({"messages": ["go"]}, {"callbacks": [handler]})
        return results(state["messages"])

    await go()
    shop.clock.advance(100)
    shop.state = "paid"
    await go()
    await shop.cache.adrain()
    found = await go()
    assert found[0].text == "order 7 is paid"
    assert len(shop.ran) == 2
    # The fetching is no part of a run that may be over by then.
    assert handler.report().runs == 3
    kinds = [[s.kind for s in t.spans if s.name == "read"] for t in handler.report().traces]
    assert kinds == [[SpanKind.TOOL], [SpanKind.CACHE], [SpanKind.CACHE]]


class Crowd:
    """A tool that answers only once so many callers are there."""

    def __init__(self, callers: int) -> None:
        self.callers, self.ran = callers, 0
        self.flight = WatchedFlight()
        self.cache = ToolResultCache()
        self.cache._flight = self.flight
        self.tool = StructuredTool.from_function(self.search)

    def search(self, query: str) -> str:
        """Search."""
        self.ran += 1
        self.flight.wait_for(self.callers)
        return "found"


@pytest.mark.parametrize("use_async", [False, True], ids=["threads", "tasks"])
def test_a_hundred_agents_with_one_question_run_the_tool_once(use_async: bool):
    """Read-only, and nothing is kept: what is not asked at the same time is asked anew."""
    crowd = Crowd(100)
    policies = {"search": ToolPolicy(read_only=True)}
    kept = ToolCacheMiddleware(cache=crowd.cache, policies=policies, ttl_s=None)
    model = ask(("search", {"query": "x"}))
    runner = agent(model, [crowd.tool], ParallelToolsMiddleware(), kept)
    if use_async:

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*[runner.ainvoke({"messages": ["go"]}) for _ in range(100)])

        found = asyncio.run(all_at_once())
    else:
        with ThreadPoolExecutor(100) as pool:
            found = list(pool.map(lambda _: runner.invoke({"messages": ["go"]}), range(100)))
    assert {results(state["messages"])[0].text for state in found} == {"found"}
    assert crowd.ran == 1


# How it looks


def test_a_served_result_has_the_events_of_a_tool_that_ran(shop: Shop):
    runner = shop.agent(("read", {"order": 7}))
    told: list[list[tuple[str, Any]]] = []
    for _ in range(2):
        events = [e for e in gone_through(runner) if e["event"].startswith("on_tool")]
        told.append([(e["event"], e["data"].get("input")) for e in events])
        assert events[-1]["data"]["output"].text == "order 7 is new"
        assert events[-1]["name"] == "read"
    assert told[0] == told[1]
    assert shop.ran == ["read"]


def test_a_handler_that_raises_on_purpose_does_not_cost_the_result(shop: Shop):
    from langchain_core.callbacks import BaseCallbackHandler

    class Strict(BaseCallbackHandler):
        raise_error = True
        armed = False

        def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            if self.armed:
                raise RuntimeError("not today")

    handler = Strict()
    runner = shop.agent(("read", {"order": 7}))
    invoke(runner, config={"callbacks": [handler]})
    handler.armed = True
    (message,) = results(invoke(runner, config={"callbacks": [handler]}))
    assert message.text == "order 7 is new"


def test_the_report_shows_a_cache_span_with_what_was_saved(shop: Shop):
    runner = shop.agent(("read", {"order": 7}))
    with latency_callback() as handler:
        invoke(runner)
        invoke(runner)
    first, second = handler.report().traces
    assert [span.kind for span in first.spans if span.name == "read"] == [SpanKind.TOOL]
    (span,) = [span for span in second.spans if span.name == "read"]
    assert span.kind is SpanKind.CACHE
    assert span.cache is not None
    assert (span.cache["outcome"], span.cache["of"]) == ("hit", "tool")
    assert span.attributes["node"] == "tools"


# Answers that are built on a result


@pytest.mark.parametrize("how", ["middleware", "behind the model"])
def test_an_answer_is_worth_no_more_than_the_result_that_it_is_built_on(how: str):
    """The answer expires with the result, and a write that forgets the result forgets it too."""
    shop = Shop(read=ToolPolicy(read_only=True, ttl_s=60, reads=["orders:{order}"]))
    answers = MemoryStore(clock=shop.clock)
    shop.cache = ToolResultCache(shop.store, answers=[answers], clock=shop.clock)
    core = CoreCache(answers, policy=CachePolicy(ttl_s=3600), clock=shop.clock)
    said: list[str] = []

    def answer(number: int, messages: list[Any]) -> Any:
        if isinstance(messages[-1], HumanMessage):
            return say("", call("read", "c1", order=7))
        said.append(messages[-1].text)
        return say(f"It says: {messages[-1].text}")

    model = ScriptedChat(answer=answer)
    kept: list[Any] = [ToolCacheMiddleware(cache=shop.cache, policies=shop.policies)]
    if how == "middleware":
        kept.append(ResponseCacheMiddleware(cache=core))
    else:
        model.cache = ExactCache(store=answers, clock=shop.clock)
    runner = agent(model, shop.tools, *kept)
    for _ in range(2):
        invoke(runner)
    assert said == ["order 7 is new"]
    invoke(agent(ask(("write", {"order": 7, "state": "paid"})), shop.tools, kept[0]))
    assert invoke(runner)[-1].text == "It says: order 7 is paid"
    assert len(said) == 2
    shop.clock.advance(61)
    invoke(runner)
    assert len(said) == 3, "the result is past its time, and so is the answer"


# Configuration


def test_results_outlive_the_process_in_a_store_that_does(tmp_path: Any):
    @tool_policy(read_only=True, ttl_s=60)
    def plain(at: int) -> str:
        """Plain."""
        return f"at {at}"

    for outcome in ("miss", "hit"):
        store = SQLiteStore(tmp_path / "cache.sqlite3")
        runner = agent(ask(("plain", {"at": 1})), [tool(plain)], ToolCacheMiddleware(store=store))
        assert cache_mark(results(invoke(runner))[0])["outcome"] == outcome
        store.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cache": 7}, "cache must be a ToolResultCache, got 7; give a store as store="),
        ({"cache": ToolResultCache(), "store": MemoryStore()}, "cache= brings its own store"),
        ({"ttl_s": 0}, "ttl_s must be > 0, got 0"),
        ({"tenant": 7}, "tenant must be a name or a function of the request, got 7"),
        ({"session": 7}, "session must be a name or a function of the request, got 7"),
        ({"policies": {"read": 7}}, "policies holds ToolPolicy values, got 7 for 'read'"),
    ],
)
def test_wrong_configuration_is_an_error_at_once(options: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        ToolCacheMiddleware(**options)
