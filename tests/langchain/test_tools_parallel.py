"""`ParallelToolsMiddleware` on real agents: places, time-outs, order, and failures."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException, tool
from pydantic import PrivateAttr

from agentperf_core.accounting.deadline import deadline
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy, tool_policy
from agentperf_core.tools import ToolExecutor
from langchain_agentperf import ParallelToolsMiddleware
from tests.core.flight_tools import WatchedFlight
from tests.langchain.tool_agents import (
    Run,
    agent,
    ask,
    counted_work,
    each_way,
    invoke,
    look,
    results,
    tool_mark,
)

SOON = ToolPolicy(timeout_s=0.05)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opens at the end of a test, so that no thread of it stays behind."""
    event = threading.Event()
    yield event
    event.set()


def hanging(gate: threading.Event, *, use_async: bool = False) -> BaseTool:
    def hang(at: int) -> str:
        """Hang."""
        gate.wait(30)
        return "late"

    async def ahang(at: int) -> str:
        await asyncio.Event().wait()
        return "late"

    return StructuredTool.from_function(hang, coroutine=ahang if use_async else None)


@each_way
def test_results_come_in_the_order_of_the_calls_and_say_how_they_went(run: Run):
    parallel = ParallelToolsMiddleware()
    runner = agent(ask(*[("look", {"at": n}) for n in range(5)]), [look], parallel)
    found = results(run(runner))
    assert [message.content for message in found] == [f"seen {n}" for n in range(5)]
    assert [message.tool_call_id for message in found] == [f"c{n}" for n in range(5)]
    for message in found:
        mark = tool_mark(message)
        assert (mark["tool"], mark["outcome"], mark["attempts"]) == ("look", "ok", 1)
        assert mark["call_id"] == message.tool_call_id
    assert parallel.executor.stats().calls == 5


@each_way
def test_a_tool_that_raises_is_told_to_the_model_with_its_name_the_cause_and_the_time(run: Run):
    @tool
    def broken(at: int) -> str:
        """Break."""
        raise ConnectionError("no route to the shop")

    model = ask(("look", {"at": 1}), ("broken", {"at": 2}), ("look", {"at": 3}))
    first, second, third = results(run(agent(model, [look, broken], ParallelToolsMiddleware())))
    assert (first.content, third.content) == ("seen 1", "seen 3")
    assert second.status == "error"
    assert second.name == "broken"
    assert second.text.startswith("tool 'broken' gave no result after 0.")
    assert second.text.endswith("ConnectionError: no route to the shop")
    assert tool_mark(second)["outcome"] == "error"


@each_way
@pytest.mark.parametrize("use_async", [False, True], ids=["sync tool", "async tool"])
def test_a_tool_that_hangs_costs_the_others_nothing(
    run: Run, use_async: bool, gate: threading.Event
):
    model = ask(("look", {"at": 1}), ("hang", {"at": 2}), ("look", {"at": 3}))
    parallel = ParallelToolsMiddleware(policies={"hang": SOON})
    hang = hanging(gate, use_async=use_async)
    first, second, third = results(run(agent(model, [look, hang], parallel)))
    assert (first.content, third.content) == ("seen 1", "seen 3")
    assert second.status == "error"
    assert second.text.endswith("it took longer than timeout_s=0.05")
    assert tool_mark(second)["outcome"] == "timeout"
    in_thread = not use_async or run.__name__ in {"invoke", "stream"}
    assert tool_mark(second).get("orphaned", False) is in_thread


@each_way
def test_the_deadline_of_the_run_ends_tools_without_a_time_out_of_their_own(
    run: Run, gate: threading.Event
):
    runner = agent(ask(("hang", {"at": 1})), [hanging(gate)], ParallelToolsMiddleware())
    with deadline(0.3):
        (message,) = results(run(runner))
    assert tool_mark(message)["outcome"] == "deadline"


@each_way
def test_an_unknown_tool_and_wrong_arguments_are_errors_that_the_model_can_mend(run: Run):
    model = ask(("nope", {"at": 1}), ("look", {"where": 2}), ("look", {"at": 3}))
    parallel = ParallelToolsMiddleware(policies={"look": ToolPolicy(breaker=1)})
    unknown, wrong, right = results(run(agent(model, [look], parallel)))
    assert unknown.text == "Error: nope is not a valid tool, try one of [look]."
    assert tool_mark(unknown)["outcome"] == "unknown"
    assert "at: Field required" in wrong.text
    assert tool_mark(wrong)["outcome"] == "arguments"
    assert right.content == "seen 3"


@each_way
def test_an_error_that_the_tool_answers_itself_is_no_failure_of_the_call(run: Run):
    def refuse(at: int) -> str:
        """Refuse."""
        raise ToolException("closed on Mondays")

    refusing = StructuredTool.from_function(refuse, handle_tool_error=True)
    runner = agent(ask(("refuse", {"at": 1})), [refusing], ParallelToolsMiddleware())
    (message,) = results(run(runner))
    assert (message.content, message.status) == ("closed on Mondays", "error")
    assert tool_mark(message)["outcome"] == "failed"


@each_way
def test_an_error_that_must_end_the_run_does(run: Run):
    class BudgetSpentError(Exception):
        pass

    @tool
    def pay(at: int) -> str:
        """Pay."""
        raise BudgetSpentError

    with pytest.raises(BudgetSpentError):
        run(
            agent(
                ask(("pay", {"at": 1})), [pay], ParallelToolsMiddleware(raises=[BudgetSpentError])
            )
        )


@each_way
def test_a_read_that_fails_is_made_again_as_its_policy_says(run: Run):
    tries: list[int] = []

    @tool
    def flaky(at: int) -> str:
        """Try."""
        tries.append(at)
        if len(tries) < 3:
            raise ConnectionError("again")
        return "at last"

    policy = ToolPolicy(read_only=True, retries=2, retry_wait_s=0.001)
    runner = agent(
        ask(("flaky", {"at": 1})), [flaky], ParallelToolsMiddleware(policies={"flaky": policy})
    )
    (message,) = results(run(runner))
    assert message.content == "at last"
    assert tool_mark(message)["attempts"] == 3


@each_way
def test_a_broken_tool_is_turned_away_and_its_substitute_answers(run: Run):
    @tool
    def weather(city: str) -> str:
        """Weather."""
        raise ConnectionError("down")

    policy = ToolPolicy(breaker=1, substitute=lambda city: f"{city}: as usual")
    parallel = ParallelToolsMiddleware(policies={"weather": policy})
    runner = agent(ask(("weather", {"city": "Bern"})), [weather], parallel)
    first, second = (results(run(runner))[0] for _ in range(2))
    assert first.content == second.content == "Bern: as usual"
    assert tool_mark(first)["reason"] == "the tool gave no result (error)"
    assert tool_mark(second)["reason"] == "the tool gave no result (turned_away)"


# Places


@pytest.mark.parametrize("use_async", [False, True], ids=["sync tools", "async tools"])
async def test_calls_run_at_once_and_sync_tools_not_in_the_few_threads_of_the_loop(use_async: bool):
    """The loop's own threads are at most six on a machine with two processors; 24 need more."""
    together = threading.Barrier(24)
    arrived, all_there = [0], asyncio.Event()
    threads: set[str] = set()

    def meet(at: int) -> str:
        """Meet."""
        threads.add(threading.current_thread().name)
        together.wait(30)
        return "met"

    async def ameet(at: int) -> str:
        arrived[0] += 1
        if arrived[0] == 24:
            all_there.set()
        await all_there.wait()
        return "met"

    meeting = StructuredTool.from_function(meet, coroutine=ameet if use_async else None)
    runner = agent(
        ask(*[("meet", {"at": n}) for n in range(24)]), [meeting], ParallelToolsMiddleware()
    )
    found = results((await runner.ainvoke({"messages": ["go"]}))["messages"])
    assert [message.content for message in found] == ["met"] * 24
    assert all(name.startswith("agentperf-tool") for name in threads)
    assert len(threads) == (0 if use_async else 24)


class ByHand(BaseTool):
    """A tool of a class of its own, which counts its calls."""

    name: str = "by_hand"
    description: str = "Work."
    _threads: list[str] = PrivateAttr(default_factory=list)
    _calls: int = PrivateAttr(default=0)

    def _run(self, at: int, run_manager: Any = None) -> str:
        self._threads.append(threading.current_thread().name)
        self._calls += 1
        return f"done {at} {run_manager is not None}"


async def test_a_tool_of_a_class_of_its_own_is_off_loaded_too_and_stays_the_same_object():
    work = ByHand()
    runner = agent(ask(("by_hand", {"at": 1})), [work], ParallelToolsMiddleware())
    (message,) = results((await runner.ainvoke({"messages": ["go"]}))["messages"])
    assert message.content == "done 1 True"
    assert work._calls == 1
    assert work._threads[0].startswith("agentperf-tool")


async def test_a_tool_of_one_string_is_off_loaded_too():
    threads: list[str] = []

    def shout(text: str) -> str:
        threads.append(threading.current_thread().name)
        return text.upper()

    runner = agent(
        ask(("shout", {"__arg1": "hi"})),
        [Tool("shout", shout, "Shout.")],
        ParallelToolsMiddleware(),
    )
    (message,) = results((await runner.ainvoke({"messages": ["go"]}))["messages"])
    assert message.content == "HI"
    assert threads[0].startswith("agentperf-tool")


@each_way
def test_one_executor_may_serve_several_agents_and_its_limits_hold_for_all(run: Run):
    executor = ToolExecutor(max_concurrency=1)
    work, most = counted_work()
    model = ask(*[("work", {"at": n}) for n in range(6)])
    for _ in range(2):
        run(agent(model, [work], ParallelToolsMiddleware(executor=executor)))
    assert most == [1]
    assert executor.stats().calls == 12


@each_way
def test_a_tool_with_one_place_runs_one_call_at_a_time(run: Run):
    work, most = counted_work()
    parallel = ParallelToolsMiddleware(policies={"work": ToolPolicy(max_concurrency=1)})
    found = results(run(agent(ask(*[("work", {"at": n}) for n in range(12)]), [work], parallel)))
    assert len(found) == 12
    assert most == [1]


@each_way
def test_a_tool_that_runs_an_agent_with_tools_does_not_wait_for_its_own_place(run: Run):
    parallel = ParallelToolsMiddleware(max_concurrency=1)
    inner = agent(ask(("look", {"at": 1}), ("look", {"at": 2})), [look], parallel)

    @tool
    def delegate(at: int) -> str:
        """Ask another agent."""
        return " ".join(m.text for m in results(inner.invoke({"messages": ["go"]})["messages"]))

    (message,) = results(run(agent(ask(("delegate", {"at": 0})), [delegate], parallel)))
    assert message.content == "seen 1 seen 2"


# The order of calls that would disturb each other


@each_way
def test_calls_that_touch_what_another_one_writes_keep_their_order(run: Run):
    """An agent starts all calls of a message at once, in whatever order its threads come."""
    ran: list[str] = []

    @tool
    def write(order: int, text: str) -> str:
        """Write."""
        ran.append(text)
        return "written"

    @tool
    def read(order: int) -> str:
        """Read."""
        ran.append("read")
        return ran[-2]

    policies = {
        "write": ToolPolicy(writes=["orders:{order}"]),
        "read": ToolPolicy(read_only=True, reads=["orders:{order}"]),
    }
    model = ask(
        ("write", {"order": 7, "text": "a"}),
        ("read", {"order": 7}),
        ("write", {"order": 7, "text": "b"}),
        ("read", {"order": 7}),
    )
    runner = agent(model, [write, read], ParallelToolsMiddleware(policies=policies))
    for _ in range(5):
        ran.clear()
        found = results(run(runner))
        assert ran == ["a", "read", "b", "read"]
        assert [message.content for message in found] == ["written", "a", "written", "b"]


@each_way
def test_calls_of_an_exclusive_group_run_one_by_one_in_their_order(run: Run):
    ran: list[int] = []

    @tool_policy(exclusive="shell")
    def shell(step: int) -> str:
        """Run a command."""
        ran.append(step)
        return f"step {step}"

    runner = agent(
        ask(*[("shell", {"step": n}) for n in range(6)]), [tool(shell)], ParallelToolsMiddleware()
    )
    assert len(results(run(runner))) == 6
    assert ran == list(range(6))


def test_equal_calls_of_one_message_are_one_if_the_tool_may_be_called_again():
    """One runs and the other waits for it; both have a message of their own."""
    parallel = ParallelToolsMiddleware(policies={"search": ToolPolicy(read_only=True)})
    flight = parallel._managed._siblings._flight._flight = WatchedFlight()
    ran: list[int] = []

    @tool
    def search(query: str) -> str:
        """Search."""
        ran.append(1)
        flight.wait_for(2)
        return "found"

    model = ask(("search", {"query": "x"}), ("search", {"query": "x"}))
    found = results(invoke(agent(model, [search], parallel)))
    assert [(m.content, m.tool_call_id) for m in found] == [("found", "c0"), ("found", "c1")]
    assert ran == [1]
    outcomes = [m.response_metadata["agentperf"].get("cache", {}).get("outcome") for m in found]
    assert sorted(outcomes, key=str) == [None, "coalesced"]


def test_equal_calls_of_a_tool_of_which_nothing_is_known_are_two():
    ran: list[str] = []

    @tool
    def send(text: str) -> str:
        """Send."""
        ran.append(text)
        return "sent"

    model = ask(("send", {"text": "x"}), ("send", {"text": "x"}))
    assert (
        len(
            results(
                agent(model, [send], ParallelToolsMiddleware()).invoke({"messages": ["go"]})[
                    "messages"
                ]
            )
        )
        == 2
    )
    assert ran == ["x", "x"]


# What must stay as it was


user: ContextVar[str] = ContextVar("user", default="nobody")


@each_way
def test_context_variables_reach_the_tool(run: Run):
    @tool
    def who(at: int) -> str:
        """Who."""
        return user.get()

    token = user.set("ada")
    try:
        policies = {"who": ToolPolicy(timeout_s=30)}
        (message,) = results(
            run(agent(ask(("who", {"at": 1})), [who], ParallelToolsMiddleware(policies=policies)))
        )
    finally:
        user.reset(token)
    assert message.content == "ada"


@each_way
def test_config_callbacks_and_artefacts_reach_the_tool_and_come_back(run: Run):
    @tool(response_format="content_and_artifact")
    def locate(at: int, config: RunnableConfig) -> tuple[str, dict[str, Any]]:
        """Locate."""
        return config.get("configurable", {})["user"], {
            "at": at,
            "callbacks": "callbacks" in config,
        }

    runner = agent(ask(("locate", {"at": 1})), [locate], ParallelToolsMiddleware())
    (message,) = results(run(runner, config={"configurable": {"user": "ada"}}))
    assert message.content == "ada"
    assert message.artifact == {"at": 1, "callbacks": True}


@each_way
def test_a_tool_that_middleware_puts_in_is_managed_like_any_other(run: Run, gate: threading.Event):
    """It is not known when the call arrives, and has no time-out where it is called in the end."""
    hang = hanging(gate)

    class Dynamic(AgentMiddleware[Any, Any, Any]):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(tool=hang))

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            return await handler(request.override(tool=hang))

    parallel = ParallelToolsMiddleware(policies={"hang": SOON})
    (message,) = results(run(agent(ask(("hang", {"at": 1})), [look], parallel, Dynamic())))
    assert tool_mark(message)["outcome"] == "timeout"


@each_way
def test_middleware_further_in_may_call_again_and_change_the_call(run: Run):
    class Twice(AgentMiddleware[Any, Any, Any]):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            handler(request)
            other = {**request.tool_call, "args": {"at": 2}}
            return handler(request.override(tool_call=other))

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            await handler(request)
            other = {**request.tool_call, "args": {"at": 2}}
            return await handler(request.override(tool_call=other))

    (message,) = results(
        run(agent(ask(("look", {"at": 1})), [look], ParallelToolsMiddleware(), Twice()))
    )
    assert message.content == "seen 2"
    assert tool_mark(message)["attempts"] == 2


@each_way
def test_middleware_that_fails_is_an_error_of_the_call_and_not_of_the_run(run: Run):
    class Broken(AgentMiddleware[Any, Any, Any]):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            raise KeyError("settings")

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            raise KeyError("settings")

    (message,) = results(
        run(agent(ask(("look", {"at": 1})), [look], ParallelToolsMiddleware(), Broken()))
    )
    assert message.status == "error"
    assert "KeyError" in message.text


async def test_a_middleware_without_the_side_in_use_ends_the_run_as_without_us():
    """It was eight error messages, which told the model of the tools what was wrong in the code."""

    class SyncOnly(AgentMiddleware[Any, Any, Any]):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return handler(request)

    runner = agent(ask(("look", {"at": 1})), [look], ParallelToolsMiddleware(), SyncOnly())
    with pytest.raises(NotImplementedError, match="awrap_tool_call is not available"):
        await runner.ainvoke({"messages": ["go"]})


@each_way
def test_the_message_that_a_tool_makes_itself_is_marked_on_a_copy(run: Run):
    made: list[ToolMessage] = []

    @tool
    def speak(at: int) -> ToolMessage:
        """Speak."""
        made.append(ToolMessage("own", tool_call_id="c0", name="speak", additional_kwargs={"a": 1}))
        return made[-1]

    (message,) = results(run(agent(ask(("speak", {"at": 1})), [speak], ParallelToolsMiddleware())))
    assert (message.content, message.additional_kwargs) == ("own", {"a": 1})
    assert tool_mark(message)["outcome"] == "ok"
    assert made[0].response_metadata == {}


async def test_a_run_that_is_cancelled_cancels_its_tools():
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @tool
    async def hang(at: int) -> str:
        """Hang."""
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "never"

    parallel = ParallelToolsMiddleware(policies={"hang": ToolPolicy(timeout_s=30)})
    running = asyncio.create_task(
        agent(ask(("hang", {"at": 1})), [hang], parallel).ainvoke({"messages": ["go"]})
    )
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await cancelled.wait()
    assert parallel.executor.stats().running == 0


# Configuration


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_concurrency": 0}, "max_concurrency must be > 0, got 0"),
        ({"executor": 7}, "executor must be a ToolExecutor, got 7"),
        ({"policies": {"look": 3}}, "policies holds ToolPolicy values, got 3 for 'look'"),
    ],
)
def test_wrong_configuration_is_an_error_at_once(options: dict[str, Any], says: str):
    with pytest.raises(ConfigError, match=says):
        ParallelToolsMiddleware(**options)


def test_a_policy_for_a_tool_that_does_not_exist_is_reported_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
):
    parallel = ParallelToolsMiddleware(policies={"lok": ToolPolicy(timeout_s=1)})
    with caplog.at_level(logging.WARNING, logger="agentperf"):
        runner = agent(ask(("look", {"at": 1})), [look], parallel)
        for _ in range(2):
            assert results(runner.invoke({"messages": ["go"]})["messages"])[0].content == "seen 1"
    said = [record.getMessage() for record in caplog.records]
    assert said == ["policies must name tools, got ['lok']; there are ['look']"]


def test_the_policy_that_is_given_goes_before_the_decorator():
    @tool_policy(retries=1, idempotent=True)
    def work(at: int) -> str:
        """Work."""
        raise ConnectionError("no")

    given = ParallelToolsMiddleware(
        policies={"work": ToolPolicy()}, executor=ToolExecutor(clock=FakeClock())
    )
    (message,) = results(
        agent(ask(("work", {"at": 1})), [tool(work)], given).invoke({"messages": ["go"]})[
            "messages"
        ]
    )
    assert tool_mark(message)["attempts"] == 1
