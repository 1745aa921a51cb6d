"""Single flight across processes: one of them calls, the others find its answer in the store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from exact_tools import REQUEST, Answer, BoomError, Codec, Model, World, drive_async, drive_sync

from agentperf_core.accounting.deadline import deadline
from agentperf_core.cache import CachePolicy, ExactCache, Hit, Lease, MemoryStore
from agentperf_core.cache.flight.renewals import Renewals
from agentperf_core.cache.stores.guarded import GuardedStore
from agentperf_core.cache.stores.opening import close_store, open_store
from agentperf_core.clock import FakeClock
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow, Step, arun, run

ACROSS = CachePolicy(across_processes=True)
KEY = "k" * 64


class SharedStore(MemoryStore):
    """Stands for a server: writes down what it is asked."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=world.clock)
        self.asked: list[str] = []
        self.before: dict[str, Callable[[], None]] = {}

    def get(self, key: str) -> bytes | None:
        found = super().get(key)
        self._note("get")
        return found

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        self._note("set")
        super().set(key, value, ttl_s, tags)

    def try_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        self._note("try_lead")
        return super().try_lead(key, holder, ttl_s)

    def keep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        self._note("keep_leading")
        return super().keep_leading(key, holder, ttl_s)

    def stop_leading(self, key: str, holder: str) -> None:
        self._note("stop_leading")
        super().stop_leading(key, holder)

    async def aget(self, key: str) -> bytes | None:
        return self.get(key)

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        self.set(key, value, ttl_s, tags)

    async def atry_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        return self.try_lead(key, holder, ttl_s)

    async def astop_leading(self, key: str, holder: str) -> None:
        self.stop_leading(key, holder)

    def _note(self, what: str) -> None:
        self.asked.append(what)
        hook = self.before.pop(what, None)
        if hook is not None:
            hook()


@dataclass
class Processes(World):
    """Two caches on one store are two processes; a pause moves the clock and the other process."""

    pauses: list[float] = field(default_factory=list[float])
    meanwhile: dict[int, Callable[[], object]] = field(
        default_factory=dict[int, Callable[[], object]]
    )
    alive: list[ExactCache] = field(default_factory=list[ExactCache])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.store = SharedStore(self)
        self.model = Model(self.clock)

    def process(self, **options: Any) -> ExactCache:
        defaults: dict[str, Any] = {"policy": ACROSS, "pause": self.pause}
        process = self.cache(self.store, **{**defaults, **options})
        if process._across is not None:
            # Its thread goes by the machine's clock: a pause does what it would do.
            renewals_of(process)._worker.stop()
            self.alive.append(process)
        return process

    def kill(self, process: ExactCache) -> None:
        renewals_of(process).stop()
        self.alive.remove(process)

    def pause(self, seconds: float) -> Step[None]:
        async def later() -> None:
            sleep()
            await asyncio.sleep(0)

        def sleep() -> None:
            self.clock.advance(seconds)
            for process in self.alive:
                renewals_of(process)._step()
            self.pauses.append(seconds)
            self.meanwhile.pop(len(self.pauses), lambda: None)()

        return Step(sleep, later)

    def lead(self, process: ExactCache) -> Lease[Answer]:
        lease = run(process.acquire(REQUEST, self.codec))
        assert isinstance(lease, Lease)
        return lease

    def ask(self, process: ExactCache) -> Flow[Answer]:
        return process.answer(REQUEST, self.model.step, self.codec)


def renewals_of(process: ExactCache) -> Renewals:
    assert process._across is not None
    return process._across.renewals


@pytest.fixture
def world() -> Processes:
    return Processes()


@pytest.fixture(params=[drive_sync, drive_async], ids=["run", "arun"])
def drive(request: pytest.FixtureRequest) -> Callable[[Flow[Any]], Any]:
    return request.param


def test_a_follower_in_another_process_finds_the_leader_s_answer(world: Processes, drive):
    lease = world.lead(world.process())
    world.meanwhile[3] = lambda: run(lease.finish(Answer("from the other process")))
    answer = drive(world.ask(world.process()))
    assert (answer.text, answer.decision.outcome) == ("from the other process", "coalesced")
    assert world.model.calls == 0
    assert len(world.pauses) == 3
    assert world.pauses == sorted(world.pauses), "pauses grow"


def test_a_hit_costs_one_look_and_a_miss_a_lease_and_a_second_look(world: Processes, drive):
    """Without the second look, who finishes between our look and our lease is called again."""
    process = world.process()
    drive(world.ask(process))
    assert world.store.asked == ["get", "try_lead", "get", "set", "stop_leading"]
    world.store.asked.clear()
    drive(world.ask(process))
    assert world.store.asked == ["get"]


def test_an_answer_stored_between_the_look_and_the_lease_is_found(world: Processes, drive):
    other, hook = world.process(), world.store.before
    hook["get"] = lambda: run(world.ask(other)) and None
    answer = drive(world.ask(world.process()))
    assert (answer.text, answer.decision.outcome, world.model.calls) == ("answer 1", "coalesced", 1)
    assert run(world.ask(other)).text == "answer 1"
    assert len(world.store._leases) == 0


def test_after_a_leader_failed_one_other_calls(world: Processes, drive):
    lease = world.lead(world.process())
    world.meanwhile[2] = lambda: lease.fail(BoomError())
    answer = drive(world.ask(world.process()))
    assert (answer.text, answer.decision.outcome, len(world.pauses)) == ("answer 1", "miss", 2)
    assert len(world.store._leases) == 0


def test_a_process_that_was_killed_is_waited_for_a_few_seconds_only(world: Processes, drive):
    """Its lease lasted as long as anybody would wait for it: a minute, by default."""
    dead = world.process()
    kept = world.lead(dead)
    world.meanwhile[100] = lambda: world.kill(dead)
    answer = drive(world.ask(world.process()))
    assert (answer.text, world.model.calls) == ("answer 1", 1)
    waited_s = sum(world.pauses)
    alone_s = sum(world.pauses[100:])
    assert waited_s > 10.0, "it was renewed while it lived"
    assert 0.0 < alone_s < 5.2
    kept.fail(BoomError())
    assert run(world.ask(dead)).text == "answer 1"


def test_nobody_leads_for_longer_than_max_wait_s(world: Processes, drive):
    """A call that hangs is renewed by a process that is alive: it must not be waited for again."""
    kept = world.lead(world.process(max_wait_s=12.0))
    answer = drive(world.ask(world.process(max_wait_s=60.0)))
    assert (answer.text, world.model.calls) == ("answer 1", 1)
    assert 12.0 <= sum(world.pauses) < 12.2
    run(kept.finish(Answer("late")))


def test_nobody_leads_or_waits_beyond_the_deadline_of_its_run(world: Processes, drive):
    """Whose run is over by then makes no answer that others could wait for."""
    with deadline(8.0, clock=world.clock):
        kept = world.lead(world.process())
    answer = drive(world.ask(world.process()))
    assert answer.text == "answer 1"
    assert 8.0 <= sum(world.pauses) < 8.2
    world.pauses.clear()
    run(kept.finish(Answer("late")))
    run(world.alive[0].clear())
    lease = world.lead(world.process())
    with deadline(3.0, clock=world.clock):
        assert drive(world.ask(world.process())).text == "answer 2"
    assert 3.0 <= sum(world.pauses) < 3.2
    lease.fail(BoomError())


def test_a_call_that_ends_soon_is_never_renewed(world: Processes, drive):
    """Nothing is asked of the store, and what was noted for later is forgotten."""
    process = world.process()
    for _ in range(3):
        drive(world.ask(process))
        run(process.clear())
    world.clock.advance(5.0)
    renewals_of(process)._step()
    assert len(renewals_of(process)) == 0
    assert "keep_leading" not in world.store.asked


async def test_an_async_leader_renews_by_a_timer_of_its_loop(world: Processes):
    """A client for async code alone could not be used from a thread."""
    process = world.process(max_wait_s=0.03)
    lease = await arun(process.acquire(REQUEST, world.codec))
    assert isinstance(lease, Lease)
    for _ in range(2):
        renewed = asyncio.Event()
        world.store.before["keep_leading"] = renewed.set
        world.clock.advance(0.011)
        await renewed.wait()
    assert not renewals_of(process)._worker.running
    await arun(lease.finish(Answer("answer")))
    assert len(renewals_of(process)) == 0


def test_a_store_that_fails_to_renew_is_asked_again(world: Processes):
    lease = world.lead(world.process())

    def fail() -> None:
        raise ConnectionError("server down")

    world.store.before["keep_leading"] = fail
    for _ in range(2):
        world.clock.advance(2.0)
        renewals_of(world.alive[0])._step()
    assert world.faults() == ["cache.store"]
    assert world.store.asked.count("keep_leading") == 2
    world.clock.advance(4.0)
    assert not world.store.try_lead(KEY, "somebody else", 60.0)
    lease.fail(BoomError())


def test_a_forked_child_renews_nothing_of_its_parent(world: Processes):
    """Else a lease would outlive the process that was killed, by its child."""
    lease = world.lead(world.process())
    renewals = renewals_of(world.alive[0])
    renewals._worker.after_fork()
    world.clock.advance(2.0)
    renewals._step()
    assert "keep_leading" not in world.store.asked
    lease.fail(BoomError())


def test_one_thread_renews_for_all_sync_callers(world: Processes):
    process = world.cache(world.store, policy=ACROSS)
    before = threading.active_count()
    for _ in range(5):
        run(world.ask(process))
        run(process.clear())
    assert threading.active_count() <= before + 1


def test_nobody_waits_longer_than_max_wait_s(world: Processes, drive):
    kept = world.lead(world.process(max_wait_s=60.0))
    answer = drive(world.ask(world.process(max_wait_s=5.0)))
    assert (answer.text, world.model.calls) == ("answer 1", 1)
    assert 5.0 <= sum(world.pauses) < 5.2
    assert max(world.pauses) <= 0.1
    run(kept.finish(Answer("late")))


def test_an_answer_that_may_not_be_shared_lets_all_others_call_at_once(world: Processes):
    """Else ten processes with answers of ten seconds would wait in a row, for nothing."""
    lease = world.lead(world.process())
    cut_off = Model(world.clock, finish_reason="length").call()
    world.meanwhile[1] = lambda: run(lease.finish(cut_off))
    second, third = world.process(), world.process()
    one = run(second.acquire(REQUEST, world.codec))
    world.pauses.clear()
    two = run(third.acquire(REQUEST, world.codec))
    assert isinstance(one, Lease)
    assert isinstance(two, Lease)
    assert one._held is None, "it calls by itself, so that nobody waits for it"
    run(one.finish(Answer("second")))
    run(two.finish(Answer("third")))
    assert len(world.store._leases) == 0


def test_an_old_answer_in_the_store_is_not_waited_for(world: Processes, drive):
    process = world.process(policy=CachePolicy(across_processes=True, ttl_s=5, stale_if_error_s=99))
    drive(world.ask(process))
    world.clock.advance(50)
    lease = world.lead(world.process(policy=process.policy))
    world.meanwhile[2] = lambda: run(lease.finish(Answer("new")))
    assert drive(world.ask(process)).text == "new"


def test_a_stale_answer_is_renewed_by_one_process(world: Processes):
    policy = CachePolicy(across_processes=True, ttl_s=5, stale_ttl_s=99)
    one, two = world.process(policy=policy), world.process(policy=policy)
    run(world.ask(one))
    world.clock.advance(50)
    assert world.store.try_lead(KEY, "somebody else", 60.0)
    stale = run(one.answer(REQUEST, world.model.step, world.codec, refresh=world.model.step))
    one.drain()
    assert (stale.text, world.model.calls) == ("answer 1", 1)
    world.store.stop_leading(KEY, "somebody else")
    run(two.answer(REQUEST, world.model.step, world.codec, refresh=world.model.step))
    two.drain()
    assert world.model.calls == 2
    assert len(world.store._leases) == 0


async def test_a_leader_that_is_cancelled_gives_its_lease_back(world: Processes):
    process = world.process()
    started = asyncio.Event()

    async def for_ever() -> Answer:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    call = Step(world.model.call, for_ever)
    task = asyncio.create_task(arun(process.answer(REQUEST, call, world.codec)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process._across is not None
    await asyncio.gather(*process._across._tasks)
    assert (await arun(world.ask(world.process()))).text == "answer 1"
    assert world.pauses == []


async def test_a_follower_that_is_cancelled_leaves_nothing(world: Processes):
    lease = world.lead(world.process())
    process = world.process()
    waiting = asyncio.Event()
    world.meanwhile[1] = waiting.set
    task = asyncio.create_task(arun(world.ask(process)))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(process._flight) == 0
    run(lease.finish(Answer("answer")))
    await asyncio.sleep(0)
    assert len(world.store._leases) == 0
    assert (await arun(world.ask(process))).text == "answer"


@pytest.mark.parametrize("broken", ["try_lead", "stop_leading"])
def test_a_store_that_loses_its_leases_breaks_no_call(
    world: Processes, drive, monkeypatch: pytest.MonkeyPatch, broken: str
):
    def fail(*_: object) -> bool:
        raise ConnectionError("server down")

    monkeypatch.setattr(world.store, broken, fail)
    assert drive(world.ask(world.process())).text == "answer 1"
    assert set(world.faults()) == {"cache.store"}


def test_a_failed_call_drops_the_lease_even_if_the_store_is_down(world: Processes):
    lease = world.lead(world.process())

    def fail() -> None:
        raise ConnectionError("server down")

    world.store.before["stop_leading"] = fail
    lease.fail(BoomError())
    assert world.faults() == ["cache.store"]


def test_an_answer_found_elsewhere_frees_the_others(world: Processes):
    lease = world.lead(world.process())
    lease.pass_on(None)
    assert isinstance(run(world.process().acquire(REQUEST, world.codec)), Lease)
    assert world.pauses == []


class NoLeases(MemoryStore):
    has_leases = False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"store": NoLeases()}, ("across_processes=True", "store=", "NoLeases")),
        ({"max_wait_s": None}, ("across_processes=True", "max_wait_s=None")),
    ],
)
@pytest.mark.parametrize(
    "policy",
    [ACROSS, CachePolicy(route=lambda view: "a", routes={"a": ACROSS, "b": None})],
    ids=["policy", "route"],
)
def test_what_leases_need_is_checked_at_once(policy, options: dict[str, Any], words):
    with pytest.raises(ConfigError) as caught:
        ExactCache(**options, policy=policy)
    for word in words:
        assert word in str(caught.value)


def test_without_the_policy_no_lease_is_asked_for(world: Processes, drive):
    process = world.process(policy=CachePolicy())
    drive(world.ask(process))
    assert world.store.asked == ["get", "set"]


# Real processes on a real file

SCRIPT = """
import os, sys, threading
from agentperf_core.cache import AnswerFacts, CachePolicy, CacheRequest, ExactCache
from agentperf_core.cache.stores.guarded import GuardedStore
from agentperf_core.cache.stores.sqlite import SQLiteStore
from agentperf_core.flow import Step, run

folder, threads = sys.argv[1], int(sys.argv[2])
log = os.open(folder + "/calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

class Codec:
    def facts(self, answer): return AnswerFacts(finish_reason="stop")
    def encode(self, answer): return {"text": answer}
    def decode(self, body, decision): return body["text"]
    def mark(self, answer, decision): return answer

def call():
    os.write(log, b"%d\\n" % os.getpid())
    return "answer of %d" % os.getpid()

# A budget for a machine that also runs everything else.
store = GuardedStore(SQLiteStore(folder + "/cache.db", timeout_s=30), budget_s=30)
cache = ExactCache(store, policy=CachePolicy(across_processes=True))
found = []

def ask(request):
    gate.wait()
    found.append(run(cache.answer(request, Step(call, None), Codec())))

for key in sys.stdin:
    gate = threading.Barrier(threads)
    workers = [
        threading.Thread(target=ask, args=(CacheRequest(key.strip()),)) for _ in range(threads)
    ]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    print(*found, sep=",", flush=True)
    found.clear()
"""


def test_identical_calls_of_several_processes_become_one(tmp_path: Path):
    """The call takes no time at all, so that leaders come and go while others are looking."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), "5"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    rounds = 8
    try:
        for n in range(rounds):
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(f"key {n}\n")
                process.stdin.flush()
            answers: Counter[str] = Counter()
            for process in processes:
                assert process.stdout is not None
                answers.update(process.stdout.readline().strip().split(","))
            assert len(answers) == 1
            assert answers.total() == 15
    finally:
        for process in processes:
            process.communicate()
    assert len((tmp_path / "calls").read_text().splitlines()) == rounds


LEADER = """
import asyncio, sys, threading
from agentperf_core.cache import AnswerFacts, CachePolicy, CacheRequest, ExactCache
from agentperf_core.cache.flight import across
from agentperf_core.cache.stores.guarded import GuardedStore
from agentperf_core.cache.stores.opening import open_store
from agentperf_core.flow import Step, arun, run

url, namespace, half = sys.argv[1:]
across._LEASE_S = 1.5  # a test does not want to wait for long
store = open_store(url, namespace=namespace, timeout_s=30)

def keep(key, holder, ttl_s, keep=store.keep_leading):
    kept = keep(key, holder, ttl_s)
    print("renewed", kept, flush=True)
    return kept

async def akeep(key, holder, ttl_s, keep=store.akeep_leading):
    kept = await keep(key, holder, ttl_s)
    print("renewed", kept, flush=True)
    return kept

store.keep_leading, store.akeep_leading = keep, akeep

def call():
    print("calling", flush=True)
    threading.Event().wait()

async def acall():
    print("calling", flush=True)
    await asyncio.Event().wait()

policy = CachePolicy(across_processes=True)
cache = ExactCache(GuardedStore(store, budget_s=30), policy=policy, max_wait_s=600)
flow = cache.answer(CacheRequest("k" * 64), Step(call, acall), None)
run(flow) if half == "run" else asyncio.run(arun(flow))
"""


@pytest.mark.parametrize("half", ["run", "arun"])
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_leader_that_is_killed_in_the_middle_holds_up_nobody(
    kind: str, half: str, tmp_path: Path, request: pytest.FixtureRequest, namespace: str
):
    """It is waited for while it lives, and not for the ten minutes that it might have taken."""
    url = f"sqlite:{tmp_path}/cache.db"
    if kind == "redis":
        url = request.getfixturevalue("plain_server").url
    store = open_store(url, namespace=namespace, timeout_s=30)
    follower = ExactCache(GuardedStore(store, budget_s=30), policy=ACROSS, max_wait_s=600)
    model = Model(FakeClock())
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER, url, namespace, half], stdout=subprocess.PIPE, text=True
    )
    with leader:
        assert leader.stdout is not None
        told = [leader.stdout.readline().strip() for _ in range(4)]
        leader.kill()
    assert told == ["calling", *["renewed True"] * 3]
    answer = run(follower.answer(REQUEST, model.step, Codec()))
    assert (answer.text, model.calls) == ("answer 1", 1)
    follower._ledger.write()  # not at the end of all tests, when the server is gone
    close_store(store)


def test_a_hit_in_another_process_needs_no_lease(world: Processes):
    run(world.ask(world.process()))
    world.store.asked.clear()
    got = run(world.process().acquire(REQUEST, world.codec))
    assert isinstance(got, Hit)
    assert world.store.asked == ["get"]
