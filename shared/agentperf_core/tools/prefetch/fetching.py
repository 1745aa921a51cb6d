"""One call on a guess: behind all calls of agents, into the cache, and never heard of."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from agentperf_core.accounting.deadline import clamped
from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.executor import ToolExecutor
from agentperf_core.tools.inside import begin, end
from agentperf_core.tools.jobs import ToolJob
from agentperf_core.tools.records import ToolFailure, ToolRun
from agentperf_core.types import ToolCall

__all__ = ["PrefetchTools", "fetch"]

T = TypeVar("T")


class PrefetchTools(Protocol[T]):
    """How an adapter calls the tools of a run."""

    def policy(self, tool: str) -> ToolPolicy | None:
        """What is declared of a tool; `None` for nothing, or if there is no such tool."""
        ...

    def arguments(self, tool: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Arguments in the form in which equal calls are equal: with the plain defaults, say."""
        ...

    def job(self, call: ToolCall) -> ToolJob[T] | None:
        """The call as the agent would make it, through the cache; `None` if there is no way."""
        ...


def fetch(
    job: ToolJob[T],
    policy: ToolPolicy,
    executor: ToolExecutor,
    *,
    wait_s: float,
    wanted: Callable[[], bool],
    begun: Callable[[], None],
) -> Flow[bool]:
    """Make a call on a guess; whether the tool was called and has answered.

    It waits for its place before it takes the lead of equal calls: an agent that asks for the same
    meanwhile must not wait behind others with it. A tool with a `rate` is only called if it may be
    called at once.

    Args:
        job: the call.
        policy: what is declared of the tool.
        executor: who makes it.
        wait_s: seconds to wait for a place.
        wanted: asked when there is a place: whether the call is still to be made.
        begun: called just before the tool runs, which it does not if its result is there already.

    Raises:
        TimeoutError: if there was no place in time.
        Exception: what the tool raised.
    """
    limits, tool = executor.limits, job.call.name
    limit_s = clamped(0.0 if policy.rate is not None else wait_s)
    permit = yield from limits.enter(tool, policy, priority=-math.inf, wait_s=limit_s)
    token = begin(permit.names, ToolRun(tool=tool, call_id=job.call.id))
    try:
        if not wanted():
            return False
        done = yield from executor.call(_quiet(job, policy, begun))
        return done.run.outcome == "ok" and done.run.attempts > 0
    except _Unkept as stopped:
        raise stopped.error from None
    finally:
        with suppress(ValueError):  # a flow that is given up is closed in a foreign context
            end(token)
        limits.leave(permit)


class _Unkept(BaseException):
    """Passes the cache without a trace: it takes an `Exception` for an answer, to be kept."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _quiet(job: ToolJob[T], policy: ToolPolicy, begun: Callable[[], None]) -> ToolJob[T]:
    """The same call without repetition, breaker and substitute, and with no failure kept."""
    bare = replace(policy, retries=0, breaker=None, substitute=None, rate=None)
    through, told = job.through, job.begun

    def begins(attempt: int) -> None:
        begun()
        if told is not None:
            told(attempt)

    if through is None:
        return replace(job, policy=bare, begun=begins)

    def quietly(step: Step[T]) -> Flow[T]:
        return (yield from through(_unkept(step, job)))

    return replace(job, policy=bare, through=quietly, begun=begins)


def _unkept(step: Step[T], job: ToolJob[T]) -> Step[T]:
    tool = job.call.name

    def checked(result: T) -> T:
        if job.results.failed(result):
            msg = f"tool {tool!r}, called on a guess, answered with an error"
            raise ToolFailure(msg, tool=tool, kind="error", elapsed_s=0.0)
        return result

    def sync(*args: Any) -> T:
        try:
            return checked(step.sync(*args))
        except Exception as error:
            raise _Unkept(error) from error

    async def async_(*args: Any) -> T:
        given: Awaitable[T] = step.async_(*args)
        try:
            return checked(await given)
        except Exception as error:
            raise _Unkept(error) from error

    return Step(sync, async_, *step.args)
