"""Prefetch: what is called on a guess, what becomes of it, and that no run ever suffers."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from prefetch_tools import LOOKS, ORDERS, Gate, Shop, until
from tool_results_tools import Text

from agentperf_core.errors import ConfigError
from agentperf_core.flow import run
from agentperf_core.toolpolicy import Substitute, ToolPolicy
from agentperf_core.tools.prefetch.budget import PrefetchBudget
from agentperf_core.tools.prefetch.prefetcher import Prefetcher

SMALL = Substitute(lambda order_id: "small", when=lambda given: given["order_id"] < 12)
both = pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])


@both
async def test_what_a_rule_foresees_is_called_once_and_found_in_the_cache(sync: bool):
    shop = Shop(sync=sync)
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    assert sorted(shop.calls[1:]) == [("get_order", number) for number in (10, 11, 12, 13)]
    result = await shop.call("get_order", order_id=11)
    assert result == Text('{"id": 11}')
    assert shop.calls.count(("get_order", 11)) == 1
    stats = shop.prefetcher.stats()
    assert (stats.offered, stats.begun, stats.used, stats.wasted) == (4, 4, 1, 0)
    assert stats.rules[ORDERS].used == 1


@both
async def test_an_agent_that_asks_meanwhile_joins_the_call_in_flight(sync: bool):
    shop = Shop(sync=sync)
    gate = shop.gates["get_order", 10] = Gate()
    await shop.call("get_user", user_id=1)
    await shop.entered(gate)
    asked = await shop.beside("get_order", order_id=10)
    shop.clock.advance(3.0)
    gate.open.set()
    assert await asked == Text('{"id": 10}')
    await shop.quiet()
    assert shop.calls.count(("get_order", 10)) == 1
    assert shop.prefetcher.stats().used == 1


@both
async def test_arguments_that_have_their_defaults_make_no_other_call(sync: bool):
    shop = Shop(sync=sync)
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    await shop.call("get_order", order_id=11, full=False)
    assert shop.prefetcher.stats().used == 1


@both
async def test_seconds_that_the_agent_did_not_wait_are_counted(sync: bool):
    shop = Shop(sync=sync, budget=PrefetchBudget(max_concurrency=1))
    shop.takes_s = 2.0
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    await shop.call("get_order", order_id=12)
    assert shop.prefetcher.stats().saved_s == 2.0


@both
@pytest.mark.parametrize(
    "policy",
    [
        None,
        ToolPolicy(),
        ToolPolicy(read_only=True, ttl_s=60.0),
        ToolPolicy(idempotent=True, ttl_s=60.0),
        ToolPolicy(writes=["orders"]),
    ],
    ids=["none", "default", "not opted in", "idempotent", "writes"],
)
async def test_no_other_tool_is_ever_called_on_a_guess(sync: bool, policy: ToolPolicy | None):
    shop = Shop(sync=sync)
    if policy is None:
        del shop.policies["get_order"]
    else:
        shop.policies["get_order"] = policy
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    assert shop.calls == [("get_user", 1)]
    assert shop.prefetcher.stats().offered == 0


@both
@pytest.mark.parametrize("raises", [True, False], ids=["raises", "says so"])
async def test_a_guess_that_fails_is_a_fault_and_the_run_calls_for_itself(sync: bool, raises: bool):
    """Nor do remembered errors (`negative_ttl_s`) or the tool's breaker tell of it."""
    policy = ToolPolicy(
        read_only=True, ttl_s=60.0, prefetch=True, negative_ttl_s=60.0, breaker=1, retries=3
    )
    shop = Shop(sync=sync, policies={"get_order": policy})

    def fail() -> str:
        if raises:
            raise OSError("no connection")
        return "no such order"

    shop.broken["get_order", 10] = fail
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    assert shop.calls.count(("get_order", 10)) == 1, "a guess is not repeated"
    assert shop.bus.faults() == {"tools.prefetch": 1}
    shop.broken.clear()
    assert await shop.call("get_order", order_id=10) == Text('{"id": 10}')
    assert shop.calls.count(("get_order", 10)) == 2
    stats = shop.prefetcher.stats()
    assert (stats.begun, stats.failed, stats.wasted, stats.used) == (4, 1, 1, 0)


@both
async def test_an_agent_that_waits_for_a_guess_that_fails_calls_for_itself(sync: bool):
    shop = Shop(sync=sync)
    gate = shop.gates["get_order", 10] = Gate()
    failures = iter([OSError("no connection")])

    def fail_once() -> str:
        error = next(failures, None)
        if error is not None:
            raise error
        return "served"

    shop.broken["get_order", 10] = fail_once
    await shop.call("get_user", user_id=1)
    await shop.entered(gate)
    asked = await shop.beside("get_order", order_id=10)
    gate.open.set()
    assert (await asked).content == "served"
    await shop.quiet()
    stats = shop.prefetcher.stats()
    assert (stats.failed, stats.used) == (1, 0)


@both
async def test_what_fails_in_the_watching_is_a_fault_and_not_the_run_s(sync: bool):
    shop = Shop(sync=sync)
    shop.policy = lambda tool: 1 / 0  # pyright: ignore[reportAttributeAccessIssue]
    assert (await shop.call("get_user", user_id=1)).status == "success"
    assert "tools.prefetch.watch" in shop.bus.faults()


@both
async def test_the_agents_own_errors_reach_it_unchanged(sync: bool):
    shop = Shop(sync=sync)

    def fail() -> str:
        raise LookupError("no such user")

    shop.broken["get_user", 1] = fail
    with pytest.raises(LookupError, match="no such user"):
        await shop.call("get_user", user_id=1)


@both
async def test_no_more_calls_on_a_guess_at_once_than_the_budget_has(sync: bool):
    shop = Shop(sync=sync, budget=PrefetchBudget(max_concurrency=2))
    gates = [shop.gates.setdefault(("get_order", number), Gate()) for number in (10, 11, 12, 13)]
    await shop.call("get_user", user_id=1)
    await shop.entered(gates[0])
    await shop.entered(gates[1])
    assert shop.prefetcher.stats().running == 2
    assert len(shop.calls) == 3
    for gate in gates:
        gate.open.set()
    await shop.quiet()
    assert len(shop.calls) == 5
    assert shop.prefetcher.stats().running == 0


@both
async def test_a_guess_waits_behind_calls_of_agents_and_does_not_hold_up_an_equal_one(sync: bool):
    """It does not lead the flight of its key while it waits: the agent would wait with it."""
    shop = Shop(sync=sync, max_concurrency=1)
    permit = await shop.drive(shop.executor.limits.enter("other"))
    await shop.call("get_user", user_id=1)
    await until(lambda: shop.executor.limits.waiting > 0)
    assert await shop.call("get_order", order_id=10) == Text('{"id": 10}')
    shop.executor.limits.leave(permit)
    await shop.quiet()
    assert sorted(shop.calls) == [
        *(("get_order", number) for number in (10, 11, 12, 13)),
        ("get_user", 1),
    ]
    assert shop.prefetcher.stats().begun == 3


@both
async def test_a_guess_that_finds_no_place_in_time_is_dropped(sync: bool):
    shop = Shop(sync=sync, max_concurrency=1, budget=PrefetchBudget(max_wait_s=1e-9))
    permit = await shop.drive(shop.executor.limits.enter("other"))
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    shop.executor.limits.leave(permit)
    stats = shop.prefetcher.stats()
    assert (stats.offered, stats.begun, stats.wasted) == (4, 0, 0)
    assert shop.bus.faults() == {}


@both
async def test_a_tool_with_a_rate_is_only_called_if_it_may_be_at_once(sync: bool):
    """A guess must not take the starts that the agent's own calls would have."""
    rated = ToolPolicy(read_only=True, ttl_s=60.0, prefetch=True, rate=1)
    shop = Shop(sync=sync, policies={"get_order": rated})
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    assert shop.prefetcher.stats().begun == 1


async def test_the_end_of_a_run_cancels_its_tasks_and_they_count_as_in_vain():
    shop = Shop(sync=False)
    gate = shop.gates["get_order", 10] = Gate()
    await shop.call("get_user", user_id=1)
    await shop.entered(gate)
    await shop.drive(shop.session.end())
    stats = shop.prefetcher.stats()
    assert stats.running == 0
    assert stats.wasted == stats.begun
    assert stats.used == 0


async def test_the_end_of_a_sync_run_drops_what_has_not_begun():
    shop = Shop(sync=True, budget=PrefetchBudget(max_concurrency=1))
    gate = shop.gates["get_order", 10] = Gate()
    await shop.call("get_user", user_id=1)
    await shop.entered(gate)
    await shop.drive(shop.session.end())
    gate.open.set()
    await shop.quiet()
    stats = shop.prefetcher.stats()
    assert (stats.begun, stats.wasted) == (1, 1)
    assert len(shop.calls) == 2


@both
async def test_a_result_that_the_next_run_of_a_conversation_asks_for_was_not_in_vain(sync: bool):
    shop = Shop(sync=sync)
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    await shop.drive(shop.session.end())
    assert shop.prefetcher.stats().wasted == 4
    await shop.call("get_order", order_id=13)
    stats = shop.prefetcher.stats()
    assert (stats.used, stats.wasted) == (1, 3)


@both
async def test_a_result_whose_time_is_over_was_in_vain(sync: bool):
    shop = Shop(sync=sync)
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    shop.clock.advance(61.0)
    await shop.call("get_user", user_id=2)
    assert shop.prefetcher.stats().wasted == 4
    await shop.call("get_order", order_id=13)
    stats = shop.prefetcher.stats()
    assert (stats.used, stats.wasted) == (0, 4)


@both
async def test_what_a_write_has_made_worthless_is_called_again(sync: bool):
    reads = ToolPolicy(read_only=True, ttl_s=60.0, prefetch=True, reads=["orders:{order_id}"])
    shop = Shop(
        [ORDERS, "after change: get_order(order_id=arguments.order_id)"],
        sync=sync,
        policies={"get_order": reads, "change": ToolPolicy(writes=["orders:{order_id}"])},
    )
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    await shop.call("change", order_id=10)
    await shop.quiet()
    assert shop.calls.count(("get_order", 10)) == 2
    assert shop.calls.count(("get_order", 11)) == 1
    await shop.call("get_order", order_id=10)
    assert shop.calls.count(("get_order", 10)) == 2
    stats = shop.prefetcher.stats()
    assert (stats.used, stats.wasted) == (1, 1)


@both
async def test_a_rule_that_reads_ahead_goes_on_as_fast_as_the_agent_does(sync: bool):
    shop = Shop([f"{ORDERS}, 1 ahead"], sync=sync)
    begun: list[int] = []
    await shop.call("get_user", user_id=1)
    for number in (10, 11):
        await shop.quiet()
        begun.append(shop.prefetcher.stats().begun)
        await shop.call("get_order", order_id=number)
    await shop.quiet()
    assert [*begun, shop.prefetcher.stats().begun] == [1, 2, 4]


@both
async def test_what_is_in_the_cache_already_is_no_guess(sync: bool):
    shop = Shop(sync=sync)
    other = shop.prefetcher.session(shop)
    mine, shop.session = shop.session, other
    await shop.call("get_order", order_id=10)
    shop.session = mine
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    assert shop.calls.count(("get_order", 10)) == 1
    stats = shop.prefetcher.stats()
    assert (stats.offered, stats.begun) == (4, 3)


@both
async def test_what_the_user_says_can_be_enough(sync: bool):
    shop = Shop([r"on message: get_user(user_id=message/#[0-9]+/)"], sync=sync)
    assert shop.session.listens
    await shop.drive(shop.session.heard("Where are the orders of #7?"))
    await shop.quiet()
    assert shop.calls == [("get_user", "#7")]


@both
async def test_a_tool_whose_substitute_answers_is_not_called(sync: bool):
    policy = ToolPolicy(read_only=True, ttl_s=60.0, prefetch=True, substitute=SMALL)
    shop = Shop(sync=sync, policies={"get_order": policy})
    await shop.call("get_user", user_id=1)
    await shop.quiet()
    assert sorted(shop.calls) == [("get_order", 12), ("get_order", 13), ("get_user", 1)]


@both
async def test_a_predictor_is_asked_for_what_no_rule_knows(sync: bool):
    for is_async in (False, True):
        told: list[Any] = []

        def guess(happened: Any, told: list[Any] = told) -> Any:
            told.append(list(happened))
            return [("get_order", {"order_id": 12}), ("drop", {})] if len(told) == 1 else []

        async def aguess(happened: Any, guess: Any = guess) -> Any:
            return guess(happened)

        shop = Shop([], sync=sync, predictor=aguess if is_async else guess)
        await shop.drive(shop.session.heard("hello"))
        await shop.call("get_user", user_id=1)
        await shop.quiet()
        assert told == [["hello", ("get_user", {"user_id": 1}, {"orders": [10, 11, 12, 13]})]]
        assert shop.calls == [("get_user", 1), ("get_order", 12)]
        await shop.call("get_order", order_id=12)
        assert shop.prefetcher.stats().rules["predictor"].used == 1
        await shop.quiet()


@both
@pytest.mark.parametrize("answer", [ZeroDivisionError(), [1], None], ids=["raises", "odd", "none"])
async def test_a_predictor_that_fails_is_a_fault(sync: bool, answer: Any):
    def guess(happened: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    shop = Shop([], sync=sync, predictor=guess)
    assert (await shop.call("get_user", user_id=1)).status == "success"
    await shop.quiet()
    assert shop.bus.faults() == {"tools.predictor": 1}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Prefetcher(["after a b"]), "a rule reads like .* got 'after a b'"),
        (lambda: Prefetcher([7]), "rules are PrefetchRule values or their text, got 7"),  # pyright: ignore[reportArgumentType]
        (lambda: Prefetcher(predictor=7), "a predictor asks a function, got 7"),  # pyright: ignore[reportArgumentType]
        (lambda: Prefetcher(budget=7), "budget must be a PrefetchBudget, got 7"),  # pyright: ignore[reportArgumentType]
        (lambda: Prefetcher(executor=7), "executor must be a ToolExecutor, got 7"),  # pyright: ignore[reportArgumentType]
        (lambda: PrefetchBudget(max_wasted=2), "max_wasted is a share, at most 1, got 2"),
        (lambda: PrefetchBudget(retry_s=0), "retry_s must be > 0, got 0"),
    ],
)
def test_what_cannot_mean_anything_is_refused(make: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_rule_for_a_tool_that_may_not_be_called_is_refused_where_tools_are_known():
    prefetcher = Prefetcher([ORDERS])
    prefetcher.check({"get_order": LOOKS})
    with pytest.raises(ConfigError, match="got prefetch=False for 'get_order'"):
        prefetcher.check({"get_order": ToolPolicy(read_only=True)})
    with pytest.raises(ConfigError, match="got no policy for 'get_order'"):
        prefetcher.check({})


def test_conversations_are_found_by_name_and_forgotten_when_nothing_is_heard_of_them():
    shop = Shop(sync=True)
    first = shop.prefetcher.session(shop, "a")
    assert shop.prefetcher.session(shop, "a") is first
    shop.clock.advance(301.0)
    shop.prefetcher.session(shop, "b")
    assert shop.prefetcher.session(shop, "a") is not first


async def test_calls_of_many_threads_in_one_conversation_add_up():
    shop = Shop(sync=True)
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait(10)
        run(shop.flow("get_user", user_id=1))
        run(shop.flow("get_order", order_id=10 + number % 4))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    await shop.quiet()
    assert sorted(set(shop.calls)) == sorted(shop.calls)
    shop.session.settle()
    stats = shop.prefetcher.stats()
    assert stats.begun == stats.used + stats.wasted
    assert stats.running == 0


def test_nothing_keeps_the_program_alive():
    """A guess that hangs in its thread is left behind when the program ends."""
    code = (
        "import threading\n"
        "from prefetch_tools import Gate, Shop\n"
        "from agentperf_core.flow import run\n"
        "shop = Shop(sync=True)\n"
        "gate = shop.gates['get_order', 10] = Gate()\n"
        "run(shop.flow('get_user', user_id=1))\n"
        "gate.entered.acquire(timeout=10)\n"
        "gate.open.wait = lambda timeout: threading.Event().wait(3600)\n"
        "print('over')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=__file__.rpartition("/")[0],
    )
    assert (done.stdout, done.returncode) == ("over\n", 0), done.stderr
