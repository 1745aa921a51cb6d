"""Calls out of a stream, made before the agent asks for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_jobs import async_job, sync_job, thread_name, until

from agentperf_core.events import EventBus
from agentperf_core.flow import arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import CallAssembler, EarlyCalls, ToolExecutor, ToolJob
from agentperf_core.types import ToolCall

READ = ToolPolicy(read_only=True, reads=["orders:{id}"])
POLICIES = {
    "get": READ,
    "put": ToolPolicy(writes=["orders:{id}"]),
    "set": ToolPolicy(idempotent=True, writes=["orders:{id}"]),
    "unsafe": ToolPolicy(timeout_s=5),
}

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), plain, max_size=4), st.data())
def test_a_call_is_told_with_the_piece_that_closes_it(given_: dict[str, Any], data: st.DataObject):
    text = json.dumps(given_, ensure_ascii=data.draw(st.booleans()))
    calls, told = CallAssembler(), list[ToolCall]()
    at = 0
    while at < len(text):
        size = data.draw(st.integers(1, len(text)))
        first = {"id": "c", "name": "t"} if at == 0 else {}
        found = calls.feed(0, arguments=text[at : at + size], **first)
        at += size
        if found is not None:
            told.append(found)
            assert at >= len(text), "told before its arguments had closed"
    assert told == [ToolCall("c", "t", given_)]


def test_calls_that_come_interleaved_are_kept_apart():
    calls = CallAssembler()
    assert calls.feed(0, id="a", name="get", arguments='{"id":') is None
    assert calls.feed(1, id="b", name="get", arguments='{"id":') is None
    assert calls.feed(0, arguments=" 1}") == ToolCall("a", "get", {"id": 1})
    assert calls.feed(1, arguments=" 2}") == ToolCall("b", "get", {"id": 2})


def test_a_call_is_told_once_and_only_if_it_is_one():
    calls = CallAssembler()
    assert calls.feed(0, id="a", name="get", arguments="{}") is not None
    assert calls.feed(0, arguments='{"id": 7}') is None
    assert calls.feed(1, id="b", name="get", arguments="[1]") is None
    assert calls.feed(2, name="get", arguments="{}") is None  # no id yet
    assert calls.feed(2, id="c") == ToolCall("c", "get", {})
    assert calls.feed(3, id="d", name="get", arguments="{broken}") is None
    assert calls.feed("x", id="e", name="get", arguments="  ") is None


def early(executor: ToolExecutor, ran: list[str], **fields: Any) -> EarlyCalls[str]:
    def job_of(call: ToolCall) -> ToolJob[str] | None:
        async def work() -> str:
            ran.append(call.id)
            return f"order {call.arguments.get('id')}"

        return async_job(work, POLICIES[call.name], tool=call.name, arguments=call.arguments)

    return EarlyCalls(executor, job_of, POLICIES.get, **fields)


def call(call_id: str, name: str, **arguments: Any) -> ToolCall:
    return ToolCall(call_id, name, arguments)


async def test_an_early_call_is_handed_over_to_who_asks_for_it():
    ran: list[str] = []
    calls = early(ToolExecutor(), ran)
    assert calls.offer(call("a", "get", id=1))
    await until(lambda: ran)
    flow = calls.claim(call("a", "get", id=1))
    assert flow is not None
    assert (await arun(flow)).result == "order 1"
    assert calls.claim(call("a", "get", id=1)) is None
    assert ran == ["a"]
    assert calls.stats().claimed == 1


async def test_other_arguments_in_the_end_are_another_call():
    """Some providers first send an empty object."""
    ran: list[str] = []
    calls = early(ToolExecutor(), ran)
    assert calls.offer(call("a", "get"))
    assert calls.claim(call("a", "get", id=1)) is None
    assert calls.stats().dropped == 1


@pytest.mark.parametrize(
    ("answer", "started"),
    [
        ([call("a", "get", id=1), call("b", "get", id=2)], ["a", "b"]),
        ([call("a", "unsafe"), call("b", "get", id=2)], []),  # nobody knows what it changes
        ([call("a", "unknown"), call("b", "get", id=2)], []),
        ([call("a", "put", id=1), call("b", "get", id=2)], ["b"]),
        ([call("a", "put", id=1), call("b", "get", id=1)], []),  # it would read the old state
        ([call("a", "set", id=1), call("b", "get", id=1)], ["a"]),
        ([call("a", "get", id=1), call("b", "put", id=1)], ["a"]),
    ],
    ids=lambda value: "+".join(v if isinstance(v, str) else v.name for v in value),
)
async def test_what_may_be_made_early(answer: list[ToolCall], started: list[str]):
    calls = early(ToolExecutor(), [])
    assert [one.id for one in answer if calls.offer(one)] == started
    calls.drop()


async def test_what_nobody_asks_for_is_cancelled():
    executor, begun, ended = ToolExecutor(), asyncio.Event(), list[str]()

    async def hang() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "never"

    calls = EarlyCalls(executor, lambda c: async_job(hang, READ), POLICIES.get)
    assert calls.offer(call("a", "get", id=1))
    await begun.wait()
    calls.new_answer()
    await until(lambda: ended)
    assert executor.limits.running == 0
    assert (calls.stats().started, calls.stats().dropped) == (1, 1)


def test_early_calls_of_sync_code_run_in_threads():
    executor = ToolExecutor()
    calls = EarlyCalls(executor, lambda c: sync_job(executor, thread_name, READ), POLICIES.get)
    assert calls.offer(call("a", "get", id=1))
    flow = calls.claim(call("a", "get", id=1))
    assert flow is not None
    assert run(flow).result.startswith("agentperf-tool-")


async def test_a_job_that_cannot_be_made_is_no_harm():
    bus = EventBus()

    def broken(_: ToolCall) -> ToolJob[str]:
        raise ValueError("no state yet")

    calls = EarlyCalls(ToolExecutor(), broken, POLICIES.get, bus=bus)
    assert not calls.offer(call("a", "get", id=1))
    assert bus.faults() == {"tools.early": 1}
    none = EarlyCalls[str](ToolExecutor(), lambda _: None, POLICIES.get)
    assert not none.offer(call("a", "get", id=1))


def test_arguments_are_compared_as_mappings():
    class Frozen(Mapping[str, Any]):
        def __init__(self, **items: Any) -> None:
            self.items_ = items

        def __getitem__(self, key: str) -> Any:
            return self.items_[key]

        def __iter__(self):
            return iter(self.items_)

        def __len__(self) -> int:
            return len(self.items_)

    executor = ToolExecutor()
    calls = EarlyCalls(executor, lambda c: sync_job(executor, str, READ), POLICIES.get)
    assert calls.offer(ToolCall("a", "get", Frozen(id=1)))
    assert calls.claim(call("a", "get", id=1)) is not None
