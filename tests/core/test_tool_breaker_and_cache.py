"""What a call meets on its way to the tool: the cache, then the breaker, then a place."""

from __future__ import annotations

from typing import Any

import pytest
from plain_results import Said, job, step

from agentperf_core.clock import FakeClock
from agentperf_core.flow import Flow, Step, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolExecutor, ToolFailure

BROKEN = ToolPolicy(breaker=2)


def fails() -> str:
    raise ConnectionError("down")


def kept(_: Step[Said]) -> Flow[Said]:
    yield from step(lambda: None)
    return Said("kept")


def test_a_kept_result_is_served_while_the_tool_is_down():
    """The breaker stood before the cache: a tool that was down took its kept results with it."""
    executor = ToolExecutor(clock=FakeClock())
    for _ in range(2):
        run(executor.call(job(fails, BROKEN)))
    assert run(executor.call(job(fails, BROKEN))).run.outcome == "turned_away"
    done = run(executor.call(job(fails, BROKEN, through=kept)))
    assert (done.result.text, done.run.cached) == ("kept", True)


def test_a_kept_result_does_not_use_up_the_trial_of_an_open_breaker():
    clock = FakeClock()
    executor = ToolExecutor(clock=clock)
    for _ in range(2):
        run(executor.call(job(fails, BROKEN)))
    clock.advance(30.0)
    run(executor.call(job(fails, BROKEN, through=kept)))
    assert run(executor.call(job(policy=BROKEN))).run.outcome == "ok"


@pytest.mark.parametrize("kind", ["arguments", "unknown"])
def test_what_the_model_got_wrong_does_not_open_the_breaker(kind: Any):
    executor = ToolExecutor(clock=FakeClock())

    def refuse() -> str:
        raise ToolFailure("no such order", tool="tool", kind=kind, elapsed_s=0.0)

    for _ in range(5):
        assert run(executor.call(job(refuse, BROKEN))).run.outcome == kind
    assert run(executor.call(job(policy=BROKEN))).run.outcome == "ok"


def test_a_call_says_that_it_waits_only_if_it_does():
    executor, said = ToolExecutor(max_concurrency=1), []

    def begun(attempt: int) -> None:
        said.append(f"begun {attempt}")

    free = job(queued=lambda: said.append("queued"), begun=begun)
    run(executor.call(free))
    assert said == ["begun 1"]
    permit = run(executor.limits.enter("other"))

    def queued() -> None:
        said.append("queued")
        executor.limits.leave(permit)

    run(executor.call(job(queued=queued, begun=begun)))
    assert said == ["begun 1", "queued", "begun 1"]
