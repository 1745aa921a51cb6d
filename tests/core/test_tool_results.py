"""The tool-result cache: what is kept, for whom, how long, and what is never kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_results_tools import CODEC, READS, Broken, Desk, Pause, Text

from agentperf_core.cache import MemoryStore
from agentperf_core.cache.toolresults.cache import RememberedToolError, ToolRequest, inherited
from agentperf_core.cache.toolresults.types import tool_key
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy

KEEPS = ToolPolicy(read_only=True, ttl_s=60.0)


def test_an_equal_call_is_served_with_content_artefact_and_status():
    desk = Desk()
    first, second = run(desk.flow()), run(desk.flow())
    assert first == second == Text("result 1", {"n": 1})
    assert desk.calls == 1
    assert desk.outcomes == ["miss", "hit"]


async def test_sync_and_async_callers_share_results():
    desk = Desk()
    assert await arun(desk.flow()) == run(desk.flow())
    assert desk.calls == 1


@pytest.mark.parametrize(
    "policy",
    [None, ToolPolicy(), ToolPolicy(read_only=True), ToolPolicy(idempotent=True, reads=["a"])],
    ids=["none", "default", "read only", "reads"],
)
def test_what_does_not_ask_to_be_kept_is_called_every_time(policy: ToolPolicy | None):
    desk = Desk()
    for _ in range(2):
        run(desk.flow(desk.ask(policy)))
    assert desk.calls == 2
    assert desk.outcomes == ["bypass"] * 2
    assert list(desk.store.scan()) == []


def test_a_result_is_served_for_its_time_and_no_longer():
    desk = Desk()
    run(desk.flow())
    desk.clock.advance(59.0)
    run(desk.flow())
    assert desk.calls == 1
    desk.clock.advance(1.0)
    run(desk.flow())
    assert desk.calls == 2


def test_a_policy_with_a_shorter_time_holds_for_what_was_kept_before():
    desk = Desk()
    run(desk.flow(desk.ask(KEEPS)))
    desk.clock.advance(10.0)
    run(desk.flow(desk.ask(ToolPolicy(read_only=True, ttl_s=5.0))))
    assert desk.calls == 2


def differs(**options: Any) -> bool:
    """Whether a call with these options has a key of its own."""
    base: dict[str, Any] = {"tool": "order", "policy": READS, "tenant": "a"}
    base["arguments"] = {"order_id": 7}
    one, other = ToolRequest(**base), ToolRequest(**{**base, **options})
    assert one.policy is not None
    assert other.policy is not None
    return tool_key(one, one.policy) != tool_key(other, other.policy)


@pytest.mark.parametrize(
    "options",
    [
        {"tool": "weight"},
        {"tenant": "b"},
        {"tenant": None},
        {"arguments": {"order_id": 8}},
        {"arguments": {"order_id": "7"}},
        {"arguments": {"order_id": 7, "unit": "kg"}},
        {"schema": b"{}"},
        {"version": "2"},
        {"policy": KEEPS},
    ],
    ids=str,
)
def test_what_may_change_the_result_changes_the_key(options: Mapping[str, Any]):
    assert differs(**options)


def test_what_cannot_change_the_result_does_not_change_the_key():
    assert not differs(run="1", session="2")
    assert not differs(policy=ToolPolicy(read_only=True, ttl_s=5, reads=["orders:{order_id}"]))


def test_the_order_of_the_arguments_says_nothing():
    desk = Desk()
    run(desk.flow(desk.ask(KEEPS, arguments={"a": {"x": 1, "y": 2}, "b": 2})))
    run(desk.flow(desk.ask(KEEPS, arguments={"b": 2, "a": {"y": 2, "x": 1}})))
    assert desk.calls == 1


def test_ignored_arguments_do_not_count():
    desk = Desk()
    policy = ToolPolicy(read_only=True, ttl_s=60, ignore_args=["request_id"])
    for number in range(3):
        run(desk.flow(desk.ask(policy, arguments={"order_id": 7, "request_id": number})))
    assert desk.calls == 1


def test_only_key_arguments_count_if_they_are_named():
    desk = Desk()
    policy = ToolPolicy(read_only=True, ttl_s=60, key_args=["order_id"])
    for number in (1, 2):
        run(desk.flow(desk.ask(policy, arguments={"order_id": 7, "note": number})))
    assert desk.calls == 1


def test_a_volatile_argument_asks_for_a_fresh_result_only_when_it_is_true():
    desk = Desk()
    policy = ToolPolicy(read_only=True, ttl_s=60, volatile_args=["refresh"])
    for arguments in ({"order_id": 7}, {"order_id": 7, "refresh": False}):
        run(desk.flow(desk.ask(policy, arguments=arguments)))
    assert desk.calls == 1
    fresh = run(desk.flow(desk.ask(policy, arguments={"order_id": 7, "refresh": True})))
    assert fresh.content == "result 2"
    assert desk.outcomes[-1] == "bypass"


@pytest.mark.parametrize("scope", ["run", "session"])
def test_a_narrow_scope_shares_inside_of_it_and_keeps_nothing_where_it_is_not_known(scope: Any):
    desk = Desk()
    policy = ToolPolicy(read_only=True, ttl_s=60, cache_scope=scope)
    for one in ("1", "1", "2"):
        run(desk.flow(desk.ask(policy, **{scope: one})))
    assert desk.calls == 2
    reasons = [run(desk.flow(desk.ask(policy))).decision.reason for _ in range(2)]
    assert desk.calls == 4
    assert all(scope in reason for reason in reasons)


def test_a_cache_that_requires_a_tenant_keeps_nothing_without_one():
    desk = Desk(require_tenant=True)
    for tenant in (None, None, "a", "a"):
        run(desk.flow(desk.ask(tenant=tenant)))
    assert desk.calls == 3


@pytest.mark.parametrize(
    "value", [object(), float("nan"), {"deep": [float("inf")]}, lambda: 1], ids=str
)
def test_arguments_without_a_canonical_form_go_past_the_cache(value: Any):
    desk = Desk()
    for _ in range(2):
        run(desk.flow(desk.ask(KEEPS, arguments={"x": value})))
    assert desk.outcomes == ["bypass"] * 2
    assert desk.calls == 2


def test_a_result_that_is_not_plain_data_is_given_and_not_kept():
    desk = Desk()
    thing = object()
    for _ in range(2):
        result = run(desk.flow(work=lambda: Text("x", thing)))
        assert result.artifact is thing
    assert desk.calls == 2
    assert desk.outcomes == ["bypass"] * 2


def test_a_result_above_the_limit_is_not_kept():
    desk = Desk()
    policy = ToolPolicy(read_only=True, ttl_s=60, max_bytes=500)
    long = "".join(chr(33 + n % 90) + str(n * n) for n in range(2000))
    results = [run(desk.flow(desk.ask(policy), work=lambda: Text(long))) for _ in range(2)]
    assert desk.calls == 2
    assert all("max_bytes=500" in result.decision.reason for result in results)


# Errors


def fail() -> Text:
    msg = "the service is down"
    raise ConnectionError(msg)


def test_an_error_is_not_kept():
    desk = Desk()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            run(desk.flow(work=fail))
    assert desk.calls == 2
    assert run(desk.flow()).content == "result 3"


def test_a_result_that_says_that_it_failed_is_not_kept():
    desk = Desk()
    for _ in range(2):
        assert run(desk.flow(work=lambda: Text("no", status="error"))).status == "error"
    assert desk.calls == 2


NEGATIVE = ToolPolicy(read_only=True, ttl_s=60, negative_ttl_s=5)


def test_a_broken_tool_is_left_in_peace_for_a_short_time_if_the_policy_says_so():
    desk = Desk()
    with pytest.raises(ConnectionError):
        run(desk.flow(desk.ask(NEGATIVE), work=fail))
    with pytest.raises(RememberedToolError, match="the service is down") as raised:
        run(desk.flow(desk.ask(NEGATIVE), work=fail))
    assert raised.value.kind == "ConnectionError"
    assert desk.calls == 1
    desk.clock.advance(5)
    assert run(desk.flow(desk.ask(NEGATIVE))).content == "result 2"


def test_a_failed_result_is_served_for_a_short_time_if_the_policy_says_so():
    desk = Desk()
    for _ in range(2):
        result = run(desk.flow(desk.ask(NEGATIVE), work=lambda: Text("no", status="error")))
        assert result.status == "error"
    assert desk.calls == 1
    desk.clock.advance(5)
    run(desk.flow(desk.ask(NEGATIVE)))
    assert desk.calls == 2


def test_a_question_to_a_person_is_no_error_and_is_never_remembered():
    desk = Desk()

    def ask() -> Text:
        raise Pause

    for _ in range(2):
        with pytest.raises(Pause):
            run(desk.flow(desk.ask(NEGATIVE), work=ask))
    assert desk.calls == 2


# Stale while revalidate

STALE = ToolPolicy(read_only=True, ttl_s=60, stale_ttl_s=30)


def test_a_stale_result_is_served_at_once_and_fetched_anew_behind_it():
    desk = Desk()
    run(desk.flow(desk.ask(STALE)))
    desk.clock.advance(70)
    stale = run(desk.flow(desk.ask(STALE), refresh=True))
    desk.cache.drain(10)
    assert (stale.content, stale.decision.stale) == ("result 1", True)
    assert stale.decision.expires_at < desk.clock.time()
    assert run(desk.flow(desk.ask(STALE), refresh=True)).content == "result 2"
    assert desk.calls == 2


async def test_an_async_refresh_runs_on_the_callers_loop():
    desk = Desk()
    await arun(desk.flow(desk.ask(STALE)))
    desk.clock.advance(70)
    for _ in range(3):
        assert (await arun(desk.flow(desk.ask(STALE), refresh=True))).content == "result 1"
    await desk.cache.adrain()
    assert (await arun(desk.flow(desk.ask(STALE), refresh=True))).content == "result 2"
    assert desk.calls == 2


WHO: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_refresh_sees_the_callers_context(mode: str):
    """Else a tool that reads from it whose data it fetches would fetch somebody else's."""
    desk = Desk()

    def flow() -> Any:
        return desk.flow(desk.ask(STALE), work=lambda: Text(WHO.get()), refresh=True)

    WHO.set("me")
    run(flow())
    desk.clock.advance(70)
    await (arun(flow()) if mode == "async" else asyncio.to_thread(run, flow()))
    await desk.cache.adrain()
    await asyncio.to_thread(desk.cache.drain, 10)
    assert desk.calls == 2
    assert run(flow()).content == "me"


@pytest.mark.parametrize(("later", "refresh"), [(70, False), (90, True)])
def test_a_stale_result_is_a_miss_without_a_way_to_refresh_it_or_too_late(
    later: float, refresh: bool
):
    desk = Desk()
    run(desk.flow(desk.ask(STALE)))
    desk.clock.advance(later)
    assert run(desk.flow(desk.ask(STALE), refresh=refresh)).content == "result 2"


def test_a_refresh_that_fails_leaves_the_stale_result_in_place():
    desk = Desk()
    run(desk.flow(desk.ask(STALE)))
    desk.clock.advance(70)
    for _ in range(2):
        assert run(desk.flow(desk.ask(STALE), work=fail, refresh=True)).content == "result 1"
        desk.cache.drain(10)
    assert desk.faults()["tool_cache.refresh"] == 2


# Single flight


def test_100_equal_calls_from_threads_run_the_tool_once():
    desk = Desk()
    gate = threading.Event()

    def slow() -> Text:
        gate.wait(20)
        return Text("one")

    with ThreadPoolExecutor(100) as pool:
        found = [pool.submit(run, desk.flow(work=slow)) for _ in range(100)]
        gate.set()
        assert {result.result(20).content for result in found} == {"one"}
    assert desk.calls == 1


async def test_100_equal_calls_from_tasks_run_the_tool_once_and_share_its_failed_result():
    desk = Desk()

    async def slow() -> Text:
        for _ in range(20):
            await asyncio.sleep(0)
        desk.calls += 1
        return Text("no", status="error")

    step = Step(lambda: Text(""), slow)
    flows = [arun(desk.cache.run(desk.ask(), step, CODEC)) for _ in range(100)]
    assert {result.content for result in await asyncio.gather(*flows)} == {"no"}
    assert desk.calls == 1
    assert list(desk.store.scan()) == []


async def test_who_waited_for_a_cancelled_call_makes_it():
    desk = Desk()
    never = asyncio.Event()

    async def hang() -> Text:
        await never.wait()
        return Text("never")

    first = asyncio.create_task(
        arun(desk.cache.run(desk.ask(), Step(lambda: Text(""), hang), CODEC))
    )
    await asyncio.sleep(0)
    second = asyncio.create_task(arun(desk.flow()))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).content == "result 1"


def test_a_tool_that_calls_itself_with_equal_arguments_does_not_wait_for_itself():
    desk = Desk()
    result = run(desk.flow(work=lambda: Text("outer " + run(desk.flow()).content)))
    assert result.content == "outer result 2"


# Faults


@pytest.mark.parametrize("broken", ["get", "set", "invalidate", "aget", "aset", "ainvalidate"])
async def test_a_store_that_fails_is_a_miss(broken: str):
    desk = Desk(Broken(broken))
    for _ in range(2):
        assert (await arun(desk.flow())).content
        assert run(desk.flow()).content


def test_foreign_bytes_are_a_miss_and_a_fault():
    desk = Desk()
    run(desk.flow())
    (key,) = desk.store.scan()
    for raw in (b"", b"\xff", b'{"v":1}', b"[]"):
        desk.store.set(key, raw, None)
        assert run(desk.flow()).content.startswith("result")
    assert desk.faults()["tool_cache.decode"] == 4
    assert desk.calls == 5


def test_a_codec_that_fails_costs_only_the_cache():
    desk = Desk()

    class Bad:
        def __getattr__(self, name: str) -> Any:
            msg = f"no {name}"
            raise RuntimeError(msg)

    bad: Any = Bad()
    for _ in range(2):
        assert run(desk.cache.run(desk.ask(), desk.step(), bad)).content.startswith("result")
    with pytest.raises(ConnectionError):
        run(desk.cache.run(desk.ask(NEGATIVE), desk.step(fail), bad))


def test_a_store_without_its_methods_is_refused():
    with pytest.raises(ConfigError, match="methods of Store"):
        Desk({})


# Marks


def test_a_result_says_until_when_it_is_good_and_what_makes_it_worthless():
    desk = Desk()
    made = desk.clock.time()
    first = run(desk.flow())
    desk.clock.advance(10)
    second = run(desk.flow())
    expected = {"expires_at": made + 60, "tags": ["orders:7", "orders:*"]}
    assert first.decision.mark == second.decision.mark == expected
    assert second.decision.record()["age_s"] == 10


def test_a_result_that_is_never_kept_still_says_what_it_read():
    desk = Desk()
    result = run(desk.flow(desk.ask(ToolPolicy(read_only=True, reads=["orders:*"]))))
    assert result.decision.mark == {"expires_at": None, "tags": ["orders:", "orders:*"]}
    assert run(desk.flow(desk.ask(None))).decision.mark is None


MARKS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "expires_at": st.none() | st.floats(0, 1e9),
                "tags": st.lists(st.text(max_size=3), max_size=3),
            }
        ),
        st.none(),
        st.text(),
        st.dictionaries(st.text(), st.integers()),
    )
)


@given(MARKS)
def test_what_is_built_on_results_expires_with_the_first_and_has_all_their_tags(marks: list[Any]):
    until, tags = inherited(marks)
    real = [m for m in marks if isinstance(m, dict) and "tags" in m and "expires_at" in m]
    times = [m["expires_at"] for m in real if m["expires_at"] is not None]
    assert until == min(times, default=None)
    assert set(tags) >= {tag for m in real if isinstance(m["tags"], list) for tag in m["tags"]}
    assert inherited([{"expires_at": until, "tags": tags}, *marks]) == (until, tags)


def test_clear_forgets_all_results():
    desk = Desk(MemoryStore())
    run(desk.flow())
    assert run(desk.cache.clear()) == 1
    run(desk.flow())
    assert desk.calls == 2
