"""Threads for sync tools: as few as needed, daemons, replaced when a call hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest
from fork_tools import exit_code_of

from agentperf_core.errors import ConfigError
from agentperf_core.tools.pool import Overdue, ThreadPool


def test_a_thread_is_used_again():
    pool = ThreadPool(max_threads=4)
    names = {pool.call(lambda: threading.current_thread().name) for _ in range(20)}
    assert len(names) == 1
    assert next(iter(names)).startswith("agentperf-tool-")
    assert pool.threads == 1


def test_as_many_threads_as_calls_at_once():
    """Eight calls that wait for each other can only end if they run at once."""
    pool, meet = ThreadPool(max_threads=8), threading.Barrier(8)
    jobs = [pool.submit(meet.wait, 30) for _ in range(8)]
    assert sorted(job.future.result(30) for job in jobs) == list(range(8))
    assert pool.threads == 8


def test_more_calls_than_threads_wait():
    pool, gate = ThreadPool(max_threads=2), threading.Event()
    jobs = [pool.submit(gate.wait, 30) for _ in range(6)]
    assert pool.threads == 2
    gate.set()
    assert all(job.future.result(30) for job in jobs)


def test_a_call_runs_with_its_callers_context():
    who = ContextVar("who", default="nobody")
    who.set("ana")
    assert ThreadPool(max_threads=1).call(who.get) == "ana"


def test_a_hung_call_is_written_off_and_replaced():
    pool, gate = ThreadPool(max_threads=1), threading.Event()
    with pytest.raises(Overdue):
        pool.call(gate.wait, timeout_s=0.2)
    assert (pool.orphans, pool.threads) == (1, 0)
    assert pool.call(lambda: "still works") == "still works"
    gate.set()
    while pool.orphans:
        threading.Event().wait(0.001)
    assert pool.threads == 1


def test_calls_that_wait_behind_a_hung_one_get_its_place():
    pool, begun, gate = ThreadPool(max_threads=1), threading.Event(), threading.Event()
    hung = pool.submit(lambda: (begun.set(), gate.wait()))
    waits = pool.submit(lambda: "next")
    assert begun.wait(30)
    assert hung.abandon()
    assert waits.future.result(30) == "next"
    gate.set()


def test_a_call_that_has_not_begun_is_no_orphan():
    pool, begun, gate = ThreadPool(max_threads=1), threading.Event(), threading.Event()
    first = pool.submit(lambda: (begun.set(), gate.wait())[1])
    second = pool.submit(gate.wait)
    assert begun.wait(30)
    assert not second.abandon()
    assert pool.orphans == 0
    gate.set()
    assert first.future.result(30)


def test_errors_of_a_function_arrive():
    pool = ThreadPool(max_threads=1)
    with pytest.raises(ZeroDivisionError):
        pool.call(lambda: 1 / 0)
    with pytest.raises(SystemExit):
        pool.call(sys.exit, 3)
    # A future of asyncio refuses this one and would never be done.
    with pytest.raises(RuntimeError, match="StopIteration"):
        pool.call(lambda: next(iter(())))
    assert pool.call(lambda: 1) == 1


def test_a_functions_own_timeout_is_told_from_the_pools():
    def raises() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        ThreadPool(max_threads=1).call(raises, timeout_s=30)
    assert not isinstance(caught.value, Overdue)


def test_a_closed_pool_ends_its_threads():
    pool = ThreadPool(max_threads=1)
    pool.call(int)
    threads = [*pool._threads]
    pool.close()
    for thread in threads:
        thread.join(30)
    assert (pool.threads, [t.is_alive() for t in threads]) == (0, [False])


def test_a_bound_that_means_nothing():
    with pytest.raises(ConfigError, match="max_threads"):
        ThreadPool(max_threads=0)


HANGS = """
import threading
from agentperf_core.tools.pool import ThreadPool
pool = ThreadPool(max_threads=1)
begun = threading.Event()
def hang():
    begun.set()
    threading.Event().wait()
job = pool.submit(hang)
begun.wait()
job.abandon()
print("end")
"""


def test_a_hung_tool_does_not_keep_the_program_alive():
    """The pool of concurrent.futures would wait for it for ever."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, timeout=50, check=True
    )
    assert ended.stdout.strip() == b"end"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_starts_its_own_threads():
    pool = ThreadPool(max_threads=2)
    pool.call(int)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if pool.call(lambda: 7) == 7 else 2
        finally:
            os._exit(code)
    assert exit_code_of(child, within_s=30, otherwise="the child waited for a parent's thread") == 0
