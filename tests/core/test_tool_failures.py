"""What is done about a tool that fails: again, turned away, or answered by something lighter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tool_jobs import Pause, job, sync_job

from agentperf_core.accounting.deadline import deadline
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus, Fault
from agentperf_core.flow import Step, arun, run
from agentperf_core.toolpolicy import Substitute, ToolPolicy, declared, policies_for, tool_policy
from agentperf_core.tools import ToolExecutor

AGAIN = ToolPolicy(idempotent=True, retries=2, retry_wait_s=1e-6)


class Failing:
    """Raises as often as it is told to, then answers."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left = times
        self.calls = 0
        self.error = error or ValueError("broken")

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "fine"


def made(executor: ToolExecutor, function: Callable[[], str], policy: ToolPolicy, **f: Any) -> str:
    return run(executor.call(sync_job(executor, function, policy, **f))).result


@pytest.mark.parametrize("use_async", [False, True])
def test_what_may_be_made_again_is(use_async: bool):
    executor, tool = ToolExecutor(), Failing(2)
    flow = executor.call(sync_job(executor, tool, AGAIN))
    done = asyncio.run(arun(flow)) if use_async else run(flow)
    assert (done.result, done.run.attempts, tool.calls) == ("fine", 3, 3)
    assert executor.stats().repeated == 2


def test_after_the_last_repetition_the_error_counts():
    executor, tool = ToolExecutor(), Failing(9)
    assert "ValueError: broken" in made(executor, tool, AGAIN)
    assert tool.calls == 3


def test_what_steers_the_run_is_not_repeated():
    executor, tool = ToolExecutor(), Failing(9, Pause())
    with pytest.raises(Pause):
        made(executor, tool, AGAIN)
    assert tool.calls == 1


def test_nothing_is_repeated_that_the_deadline_leaves_no_time_for():
    executor, tool = ToolExecutor(), Failing(9)
    slow = ToolPolicy(idempotent=True, retries=5, retry_wait_s=600)
    with deadline(5):
        assert "broken" in made(executor, tool, slow)
    assert tool.calls == 1


def test_a_breaker_turns_calls_away_and_lets_one_try_later():
    clock = FakeClock()
    executor, tool = ToolExecutor(clock=clock), Failing(2)
    policy = ToolPolicy(breaker=2, breaker_s=10)
    for _ in range(2):
        assert "broken" in made(executor, tool, policy, tool="search")
    assert "its last 2 calls failed" in made(executor, tool, policy, tool="search")
    assert made(executor, Failing(0), policy, tool="other") == "fine"
    assert tool.calls == 2
    clock.advance(11)
    assert made(executor, tool, policy, tool="search") == "fine"
    assert made(executor, tool, policy, tool="search") == "fine"


def test_a_substitute_answers_where_its_condition_holds():
    executor, tool = ToolExecutor(), Failing(0)
    light = Substitute(lambda a, b: a + b, when=lambda arguments: arguments["a"] < 10)
    policy = ToolPolicy(substitute=light)
    done = run(executor.call(sync_job(executor, tool, policy, arguments={"a": 1, "b": 2})))
    assert (done.result, done.run.outcome, tool.calls) == ("3", "substituted", 0)
    assert done.run.substitute == "its condition holds"
    assert made(executor, tool, policy, arguments={"a": 99, "b": 2}) == "fine"
    # A condition that raises does not hold.
    assert made(executor, tool, policy, arguments={"b": 2}) == "fine"


def test_a_substitute_answers_when_the_tool_cannot():
    executor = ToolExecutor()
    policy = ToolPolicy(breaker=1, substitute=lambda: "about five")
    results = [made(executor, Failing(9), policy) for _ in range(2)]
    assert results == ["about five", "about five"]
    assert executor.stats().outcomes == {"substituted": 2}


def test_a_substitute_for_its_condition_only_does_not_hide_failures():
    executor = ToolExecutor()
    light = Substitute(lambda: "light", when=lambda _: False, on_failure=False)
    assert "broken" in made(executor, Failing(9), ToolPolicy(substitute=light))


def test_a_substitute_that_raises_leaves_the_call_to_the_tool():
    bus, faults = EventBus(), list[Fault]()
    bus.subscribe(lambda event: faults.append(event) if isinstance(event, Fault) else None)
    executor = ToolExecutor(bus=bus)
    broken = Substitute(lambda: 1 / 0, when=lambda _: True)
    assert made(executor, Failing(0), ToolPolicy(substitute=broken)) == "fine"
    assert [(fault.where, type(fault.error)) for fault in faults] == [
        ("tools.substitute", ZeroDivisionError)
    ]
    # And if the tool fails as well, the tool's own error is told.
    assert "broken" in made(executor, Failing(9), ToolPolicy(substitute=broken))


async def test_a_tool_that_is_cancelled_from_within_is_a_failure():
    async def cancels_itself() -> str:
        raise asyncio.CancelledError

    executor = ToolExecutor()
    call = job(Step(lambda: "x", cancels_itself), policy=ToolPolicy(timeout_s=30))
    assert "cancelled from within" in (await arun(executor.call(call))).result


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"timeout_s": 0}, "timeout_s must be > 0, got 0"),
        ({"timeout_s": float("inf")}, "timeout_s must be a number of seconds"),
        ({"max_concurrency": 0}, "max_concurrency must be > 0"),
        ({"rate": -1}, "rate must be > 0"),
        ({"breaker": 0}, "breaker must be > 0"),
        ({"retries": -1}, "retries must be a whole number"),
        ({"retries": 1.5, "idempotent": True}, "retries must be a whole number"),
        ({"retries": 1}, "retries=1 needs read_only=True or idempotent=True"),
        ({"prefetch": True}, "prefetch=True needs read_only=True and ttl_s"),
        ({"prefetch": True, "idempotent": True, "ttl_s": 5}, "prefetch=True needs read_only"),
        ({"exclusive": ""}, "exclusive names a group"),
        ({"substitute": 7}, "a substitute's function must be callable"),
    ],
)
def test_a_policy_that_means_nothing(fields: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as caught:
        ToolPolicy(**fields)
    assert said in str(caught.value)


def test_a_substitute_without_use():
    with pytest.raises(ConfigError, match="without use"):
        Substitute(print, on_failure=False)
    with pytest.raises(ConfigError, match="when must be callable"):
        Substitute(print, when=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Shop:
    @tool_policy(read_only=True)
    def order(self) -> str:
        return "order"


def test_a_decorated_function_carries_its_policy_wherever_it_goes():
    class Tool:
        """Stands for a framework's tool."""

        __slots__ = ("func",)

        def __init__(self, func: Callable[..., str]) -> None:
            self.func = func

    policy = declared(Shop.order)
    assert policy is not None
    assert policy.read_only
    assert declared(Shop().order) is policy
    assert declared(Tool(Shop().order)) is policy
    assert declared(print) is None
    late = Tool(lambda: "x")
    assert tool_policy(policy)(late) is late
    assert declared(late.func) is policy


def test_what_is_given_by_name_goes_before_what_is_declared():
    given = ToolPolicy(timeout_s=3)
    assert policies_for({"order": Shop.order, "ping": print}) == {"order": declared(Shop.order)}
    assert policies_for({"order": Shop.order}, {"order": given}) == {"order": given}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: policies_for({"a": print}, {"b": ToolPolicy()}), "got ['b']; there are ['a']"),
        (lambda: policies_for({"a": print}, {"a": 7}), "got 7 for 'a'"),  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
        (lambda: tool_policy(ToolPolicy(), timeout_s=3), "drop one"),
        (lambda: tool_policy(time_out=3), "takes the fields of a ToolPolicy"),
        (lambda: tool_policy(timeout_s=3)(7), "a policy needs a function to stay on, got 7"),
    ],
)
def test_wrong_declarations(wrong: Callable[[], object], said: str):
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert said in str(caught.value)
