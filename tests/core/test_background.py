"""Work behind the calls: in order, bounded, never in anybody's way."""

from __future__ import annotations

import gc
import threading

from agentperf_core.cache.background import Background
from agentperf_core.cache.worker import Worker
from agentperf_core.events import Event, EventBus, Fault


def test_jobs_run_in_the_order_of_their_submission():
    done: list[int] = []
    background = Background("test", where="test")
    for number in range(100):
        background.submit(lambda number=number: done.append(number))
    background.drain()
    assert done == list(range(100))


def test_a_job_that_raises_is_a_fault_and_the_next_one_runs():
    seen: list[Event] = []
    bus = EventBus()
    bus.subscribe(seen.append)
    background = Background("test", where="here", bus=bus)
    done: list[int] = []
    background.submit(lambda: 1 / 0)
    background.submit(lambda: done.append(1))
    background.drain()
    assert done == [1]
    assert [fault.where for fault in seen if isinstance(fault, Fault)] == ["here"]


def test_more_jobs_than_may_wait_are_dropped_and_counted():
    gate, begun = threading.Event(), threading.Event()
    bus = EventBus()
    background = Background("test", where="here", limit=2, bus=bus)
    background.submit(lambda: (begun.set(), gate.wait(30)))
    begun.wait(30)
    for _ in range(5):
        background.submit(lambda: None)
    assert bus.faults() == {"here": 3}
    gate.set()
    background.drain()


def test_a_job_may_submit_another():
    done: list[int] = []
    background = Background("test", where="test")
    background.submit(lambda: background.submit(lambda: done.append(1)))
    background.drain()
    background.drain()
    assert done == [1]


def test_waiting_has_an_end():
    gate = threading.Event()
    background = Background("test", where="test")
    background.submit(lambda: gate.wait(30))
    background.drain(0.001)
    gate.set()
    background.drain()


def test_a_worker_that_pauses_between_two_pieces_ends_at_once():
    """A program must not wait at its end for a pause to be over."""

    class Owner:
        def __init__(self) -> None:
            self.at_work = threading.Event()
            self.worker = Worker("test", self.step, where="test", pause_s=10_000.0)

        def step(self) -> bool:
            self.at_work.set()
            return True

    owner = Owner()
    owner.worker.wake()
    assert owner.at_work.wait(30)
    owner.worker.stop()
    assert not owner.worker.running


def test_the_thread_waits_for_the_next_job():
    """Starting one for each job took the call that submits it longer than all the rest."""
    threads: list[int] = []
    background = Background("test", where="test")
    for _ in range(3):
        background.submit(lambda: threads.append(threading.get_ident()))
        background.drain()
    assert len(set(threads)) == 1


def test_a_waiting_thread_ends_with_its_owner():
    threads: list[threading.Thread] = []
    background = Background("test", where="test")
    background.submit(lambda: threads.append(threading.current_thread()))
    background.drain()
    del background
    gc.collect()
    threads[0].join(30)
    assert not threads[0].is_alive()


class Owner:
    """Owns a worker, and says which threads worked for it."""

    def __init__(self, keep_s: float) -> None:
        self.threads: list[threading.Thread] = []
        self.worked = threading.Event()
        self.worker = Worker("test", self.step, where="test", keep_s=keep_s)

    def step(self) -> bool:
        self.threads.append(threading.current_thread())
        self.worked.set()
        return False

    def work(self) -> threading.Thread:
        self.worked.clear()
        self.worker.wake()
        assert self.worked.wait(30)
        return self.threads[-1]


def test_a_thread_that_has_waited_long_enough_ends_and_another_one_follows():
    owner = Owner(keep_s=0.001)
    first = owner.work()
    first.join(30)
    assert not owner.worker.running
    assert owner.work() is not first
    owner.worker.stop(30)
    assert len(owner.threads) == 2
