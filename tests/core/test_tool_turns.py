"""Turns: calls that come one by one keep the order of their message where it matters."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from plain_results import Pause, step

from agentperf_core.errors import ConfigError
from agentperf_core.flow import Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import Turns
from agentperf_core.tools.order import conflicts, earlier
from agentperf_core.types import ToolCall

MESSAGE = "message"
SHELL = ToolPolicy(exclusive="shell")


def test_who_must_wait_for_whom():
    """The same written resource, or one exclusive group; never a call without a policy."""
    write, read = ToolPolicy(writes=["orders:{id}"]), ToolPolicy(reads=["orders:{id}"])
    calls = [
        (ToolCall("a", "read", {"id": 1}), read),
        (ToolCall("b", "write", {"id": 1}), write),
        (ToolCall("c", "read", {"id": 1}), read),
        (ToolCall("d", "write", {"id": 2}), write),
        (ToolCall("e", "other", {}), None),
        (ToolCall("f", "shell", {}), SHELL),
        (ToolCall("g", "shell", {}), SHELL),
    ]
    assert [earlier(calls, place) for place in range(7)] == [(), (0,), (1,), (), (), (), (5,)]
    assert conflicts(calls) == {1: (0,), 2: (1,), 6: (5,)}


def test_threads_that_arrive_in_the_wrong_order_run_in_the_right_one():
    turns, ran = Turns(), []

    def note(name: str) -> None:
        ran.append(name)

    with ThreadPoolExecutor(3) as pool:
        last = pool.submit(
            run, turns.after(MESSAGE, "run", "c", ["a", "b"], step(lambda: note("c")))
        )
        middle = pool.submit(run, turns.after(MESSAGE, "run", "b", ["a"], step(lambda: note("b"))))
        run(turns.after(MESSAGE, "run", "a", [], step(lambda: note("a"))))
        middle.result(20)
        last.result(20)
    assert ran == ["a", "b", "c"]


async def test_tasks_wait_for_a_call_that_takes_longer_than_they_wait_for_late_ones():
    turns, ran = Turns(late_s=0.001), []
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await go.wait()
        ran.append("a")

    first = asyncio.create_task(
        arun(turns.after(MESSAGE, "run", "a", [], Step(lambda: None, slow)))
    )
    await begun.wait()
    second = asyncio.create_task(
        arun(turns.after(MESSAGE, "run", "b", ["a"], step(lambda: ran.append("b"))))
    )
    await asyncio.wait([second], timeout=0.01)
    go.set()
    await asyncio.gather(first, second)
    assert ran == ["a", "b"]


def test_a_call_that_never_comes_is_not_waited_for_for_long():
    """It was answered before the run was resumed, or a person has refused it."""
    said = run(Turns(late_s=0.001).after(MESSAGE, "run", "b", ["a"], step(lambda: "b")))
    assert said.text == "b"


def test_a_failed_call_holds_up_nobody():
    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        run(turns.after(MESSAGE, "run", "a", [], step(lambda: 1 / 0)))
    assert run(turns.after(MESSAGE, "run", "b", ["a"], step(lambda: "b"))).text == "b"


def pause() -> None:
    raise Pause


def test_what_follows_a_call_that_asks_a_person_waits_for_the_answer_too():
    """It has not been made: what is done after it would be done before it."""
    turns, ran = Turns(pause=Pause), []
    with pytest.raises(Pause):
        run(turns.after(MESSAGE, "run", "a", [], step(pause)))
    with pytest.raises(Pause):
        run(turns.after(MESSAGE, "run", "b", ["a"], step(lambda: ran.append("b"))))
    assert ran == []


def test_when_the_run_is_resumed_both_are_made_whichever_comes_first():
    for first in "ab":
        turns, ran = Turns(pause=Pause), list[str]()
        with pytest.raises(Pause):
            run(turns.after(MESSAGE, "run", "a", [], step(pause)))

        def after(name: str, turns: Turns = turns, ran: list[str] = ran) -> Any:
            before = ["a"] if name == "b" else []
            return turns.after(MESSAGE, "resumed", name, before, step(lambda: ran.append(name)))

        with ThreadPoolExecutor(2) as pool:
            calls = [
                pool.submit(run, after(name)) for name in (first, "b" if first == "a" else "a")
            ]
            for call in calls:
                call.result(20)
        assert ran == ["a", "b"]


def test_a_call_that_was_made_before_the_pause_holds_up_nobody_after_it():
    turns = Turns(pause=Pause, late_s=30)
    run(turns.after(MESSAGE, "run", "a", [], step(lambda: "a")))
    assert run(turns.after(MESSAGE, "resumed", "b", ["a"], step(lambda: "b"))).text == "b"


def test_calls_of_another_message_are_other_calls():
    turns = Turns()
    run(turns.after(MESSAGE, "run", "a", [], step(lambda: "a")))
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert go.wait(20)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run, turns.after("next", "run", "a", [], step(hold)))
        assert held.wait(20)
        assert run(turns.after(MESSAGE, "run", "b", ["a"], step(lambda: "b"))).text == "b"
        go.set()
        other.result(20)


def test_old_messages_are_forgotten():
    turns = Turns()
    for number in range(2000):
        run(turns.after(number, "run", "a", [], step(lambda: "a")))
    assert len(turns._messages) == 1024


def test_the_patience_must_be_positive():
    with pytest.raises(ConfigError, match="late_s must be > 0"):
        Turns(late_s=0)
