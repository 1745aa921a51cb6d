"""Writes: what was read before one is never served after it, however they overlap."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tool_results_tools import CODEC, READS, WRITES, Broken, Desk, Shared, Text

from agentperf_core.cache import MemoryStore
from agentperf_core.cache.toolresults.cache import ToolRequest, ToolResultCache
from agentperf_core.flow import Step, arun, run
from agentperf_core.toolpolicy import ToolPolicy


def change(desk: Desk, **options: Any) -> Any:
    return desk.flow(
        ToolRequest(tool="change", policy=WRITES, arguments={"order_id": 7}), **options
    )


def shared_desks() -> tuple[Desk, Desk]:
    """Two processes with one store."""
    store = MemoryStore()
    return Desk(Shared(store)), Desk(Shared(store))


def test_a_write_makes_what_it_wrote_forgotten_and_nothing_else():
    desk = Desk()
    for order in (7, 8):
        run(desk.flow(desk.ask(arguments={"order_id": order})))
    run(change(desk))
    assert desk.calls == 3
    for order in (7, 8):
        run(desk.flow(desk.ask(arguments={"order_id": order})))
    assert desk.calls == 4


def test_a_call_that_writes_is_never_served():
    desk = Desk()
    for _ in range(2):
        run(change(desk))
    assert desk.calls == 2


def test_a_write_that_fails_half_way_counts_as_one():
    desk = Desk()
    run(desk.flow())

    def fail() -> Text:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        run(change(desk, work=fail))
    assert run(desk.flow()).content == "result 3"


@pytest.mark.parametrize("begins_inside", [False, True], ids=["read first", "write first"])
async def test_a_read_that_overlaps_with_a_write_is_not_kept(begins_inside: bool):
    desk = Desk()
    reading, written, writing = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def read() -> Text:
        reading.set()
        await (asyncio.sleep(0) if begins_inside else written.wait())
        return Text("old")

    async def write() -> Text:
        writing.set()
        await (reading.wait() if begins_inside else asyncio.sleep(0))
        return Text("done")

    def flow(request: ToolRequest, call: Any) -> asyncio.Task[Text]:
        step = Step(lambda: Text(""), call)
        return asyncio.create_task(arun(desk.cache.run(request, step, CODEC)))

    to_write = ToolRequest(tool="change", policy=WRITES, arguments={"order_id": 7})
    if begins_inside:
        writer = flow(to_write, write)
        await writing.wait()
        reader = flow(desk.ask(), read)
    else:
        reader = flow(desk.ask(), read)
        await reading.wait()
        writer = flow(to_write, write)
    await writer
    written.set()
    assert (await reader).content == "old"
    assert run(desk.flow()).content == "result 1"


async def test_who_comes_after_a_write_does_not_join_a_read_from_before():
    desk = Desk()
    go = asyncio.Event()

    async def slow() -> Text:
        await go.wait()
        return Text("old")

    old = asyncio.create_task(arun(desk.cache.run(desk.ask(), Step(lambda: Text(""), slow), CODEC)))
    await asyncio.sleep(0)
    await arun(change(desk))
    new = await arun(desk.flow())
    assert new.content == "result 2"
    go.set()
    assert (await old).content == "old"
    assert run(desk.flow()).content == "result 2"


@pytest.mark.parametrize("error", [asyncio.CancelledError, TimeoutError])
async def test_a_write_that_was_given_up_may_still_go_on(error: type[BaseException]):
    """A sync tool runs on in its thread: what is read within the next minute is not kept."""
    desk = Desk()
    await arun(desk.flow())

    async def give_up() -> Text:
        raise error

    request = ToolRequest(tool="change", policy=WRITES, arguments={"order_id": 7})
    with pytest.raises(error):
        await arun(desk.cache.run(request, Step(lambda: Text(""), give_up), CODEC))
    for _ in range(2):
        await arun(desk.flow())
    assert desk.calls == 3
    desk.clock.advance(61)
    for _ in range(2):
        await arun(desk.flow())
    assert desk.calls == 4


def test_an_invalidation_that_fails_is_remembered_here():
    desk = Desk(Broken("invalidate"))
    run(desk.flow())
    desk.clock.advance(1)
    run(change(desk))
    assert run(desk.flow()).content == "result 3"
    assert desk.faults()["tool_cache.invalidate"] > 0


def test_a_write_of_another_process_is_seen():
    one, other = shared_desks()
    run(one.flow())
    run(change(other))
    assert run(one.flow()).content == "result 2"


def test_a_read_that_overlaps_with_a_write_of_another_process_is_not_kept():
    one, other = shared_desks()
    assert run(one.flow(work=lambda: (run(change(other)), Text("old"))[1])).content == "old"
    assert run(one.flow()).content == "result 2"
    assert run(other.flow()).content == "result 2"


def test_what_is_read_while_another_process_writes_is_not_kept():
    one, other = shared_desks()
    run(change(other, work=lambda: (run(one.flow()), Text("done"))[1]))
    assert run(one.flow()).content == "result 2"


def test_a_write_reaches_what_was_built_on_the_results():
    answers = MemoryStore()
    desk = Desk(answers=[answers])
    answers.set("answer", b"order 7 is late", None, run(desk.flow()).decision.tags)
    run(change(desk))
    assert answers.get("answer") is None


def test_invalidating_by_hand_forgets_results_and_those_being_made():
    desk = Desk()

    def read() -> Text:
        run(desk.cache.invalidate("orders:7"))
        return Text("old")

    run(desk.flow(work=read))
    assert run(desk.flow()).content == "result 2"
    assert run(desk.cache.invalidate("orders:7", "other")) == 1
    assert run(desk.flow()).content == "result 3"


def test_the_memory_of_writes_is_bounded_and_forgets_on_the_safe_side(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("agentperf_core.cache.toolresults.writes._MOST_TAGS", 4)
    desk = Desk(Broken("invalidate"))
    run(desk.flow())
    desk.clock.advance(1)
    run(change(desk))
    for order in range(100, 110):
        run(desk.flow(ToolRequest(tool="c", policy=WRITES, arguments={"order_id": order})))
    calls = desk.calls
    run(desk.flow())
    assert desk.calls == calls + 1


class Shop(RuleBasedStateMachine):
    """Random reads and writes of two processes with one store, nested in each other."""

    @initialize()
    def open(self) -> None:
        store = MemoryStore()
        self.truth = dict.fromkeys(range(2), 0)
        self.caches = [ToolResultCache(Shared(store)) for _ in range(2)]
        self.wrong: list[Any] = []

    def read(self, who: int, order: int, inside: Any = None) -> None:
        before = self.truth[order]

        def call() -> Text:
            seen = self.truth[order]
            if inside is not None:
                inside()
            return Text(str(seen))

        step: Step[Text] = Step(call, _never)
        request = ToolRequest(tool="order", policy=READS, arguments={"order_id": order})
        got = int(run(self.caches[who].run(request, step, CODEC)).content)
        # A result may be as old as the moment at which the call began, and no older.
        if got < before:
            self.wrong.append((who, order, got, before))

    def write(self, who: int, order: int, inside: Any = None, *, every: bool = False) -> None:
        def call() -> Text:
            if inside is not None:
                inside()
            for one in self.truth if every else (order,):
                self.truth[one] += 1
            if inside is not None:
                inside()
            return Text("done")

        policy = ToolPolicy(writes=["orders:*"]) if every else WRITES
        request = ToolRequest(tool="change", policy=policy, arguments={"order_id": order})
        step: Step[Text] = Step(call, _never)
        run(self.caches[who].run(request, step, CODEC))

    @rule()
    def reads(self) -> None:
        for who in (0, 1):
            for order in (0, 1):
                self.read(who, order)

    @rule()
    def one_writes(self) -> None:
        self.write(0, 0)

    @rule()
    def all_are_written(self) -> None:
        self.write(1, 0, every=True)

    @rule()
    def writes_inside_a_read(self) -> None:
        self.read(0, 0, lambda: self.write(1, 0))

    @rule()
    def reads_inside_a_write(self) -> None:
        self.write(1, 1, lambda: self.read(0, 1))

    @rule()
    def write_inside_a_read_inside_a_write(self) -> None:
        self.write(0, 0, lambda: self.read(1, 0, lambda: self.write(1, 0)))

    @invariant()
    def nobody_saw_an_old_state(self) -> None:
        assert not getattr(self, "wrong", [])


async def _never() -> Text:
    raise AssertionError


TestShop = Shop.TestCase
