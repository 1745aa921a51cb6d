"""One call, from asking to having: substitute, cache, breaker, place, time-out, repetition.

Written once as a flow. A failure becomes a result; what steers the run, and a cancellation, pass
through untouched.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Generic, TypeVar

from agentperf_core.accounting.deadline import clamped
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.toolpolicy import Substitute, ToolPolicy
from agentperf_core.tools.inside import begin, depth, end
from agentperf_core.tools.jobs import Done, ToolJob
from agentperf_core.tools.parts import Parts
from agentperf_core.tools.permits import Permit
from agentperf_core.tools.pool import Overdue
from agentperf_core.tools.records import FailureKind, ToolFailure, ToolRun
from agentperf_core.tools.substitutes import substituted

__all__ = ["Calling"]

T = TypeVar("T")

_NOTHING = ToolPolicy()
# What a model asks for wrongly says nothing of the tool.
_OF_THE_CALLER = frozenset({"arguments", "unknown"})
_GRACE_S = 0.01  # what a call that was cancelled gets to clean up before it counts as an orphan


class Calling(Generic[T]):
    """One call under way.

    Args:
        job: the call.
        parts: what it shares with others.
    """

    def __init__(self, job: ToolJob[T], parts: Parts) -> None:
        self._job = job
        self._parts = parts
        self._policy = job.policy if job.policy is not None else _NOTHING
        self._breaker = parts.breaker(job.call.name, self._policy)
        self._now = parts.clock.monotonic
        self._asked = self._now()
        self._pause_s = 0.0
        self._run = ToolRun(tool=job.call.name, call_id=job.call.id)

    def flow(self) -> Flow[Done[T]]:
        """Make the call.

        Raises:
            BaseException: what steers the run, see `ToolResults.passes`; a cancellation.
        """
        job, ran = self._job, self._run
        result = self._substituted("its condition holds")
        if result is None:
            try:
                result = yield from self._way()
                if job.results.failed(result):
                    ran.outcome, ran.reason = "failed", "the tool answered with an error"
                elif ran.attempts == 0:
                    ran.reason = "served without running the tool"
            except Exception as error:
                if job.results.passes(error):
                    raise
                result = self._after(error)
        ran.total_s = self._now() - self._asked
        return Done(job.results.mark(result, ran), ran)

    def _way(self) -> Flow[T]:
        """The way to the tool. No flow around a flow: a message may ask for many calls at once."""
        job = self._job
        if job.through is None:
            return self._attempts()
        return job.through(Step(lambda: run(self._attempts()), lambda: arun(self._attempts())))

    def _attempts(self) -> Flow[T]:
        """Run the tool, again if it may be, each time in a place of its own."""
        # Here and not before the cache: what it keeps is as good as ever while the tool is down.
        if self._breaker is not None and not self._breaker.lets_through():
            raise self._failure("turned_away", f"its last {self._policy.breaker} calls failed")
        while True:
            try:
                result = yield from self._attempt()
            except Exception as error:
                if self._job.results.passes(error):
                    raise
                if self._breaker is not None and _kind(error) not in _OF_THE_CALLER:
                    self._breaker.failed()
                if not self._may_repeat(error):
                    raise
                yield from Step(time.sleep, asyncio.sleep, self._pause_s)
            else:
                if self._breaker is not None:
                    self._breaker.succeeded()
                return result

    def _attempt(self) -> Flow[T]:
        limits, ran = self._parts.limits, self._run
        queued = self._now()
        try:
            permit = yield from limits.enter(
                ran.tool,
                self._policy,
                priority=self._job.priority,
                asked_at=self._job.asked_at,
                wait_s=clamped(None),
                queued=self._job.queued,
            )
        except TimeoutError as error:
            ran.queue_s += self._now() - queued
            raise self._failure("deadline", "it waited for a place") from error
        started = self._now()
        ran.queue_s += started - queued
        ran.attempts += 1
        try:
            if self._job.begun is not None:
                self._job.begun(ran.attempts)
            return (yield self._running(permit))
        finally:
            ran.run_s = self._now() - started
            limits.leave(permit)

    def _running(self, permit: Permit) -> Step[T]:
        limit_s = clamped(self._policy.timeout_s)
        if limit_s is not None and limit_s <= 0:
            raise self._failure("deadline", "there was no time left")
        if limit_s is None:
            return Step(self._run_sync, self._run_async, permit.names)
        return Step(self._in_time, self._ain_time, permit.names, limit_s)

    def _run_sync(self, names: frozenset[str]) -> T:
        token = begin(names, self._run)
        try:
            return self._job.step.sync(*self._job.step.args)
        finally:
            end(token)

    async def _run_async(self, names: frozenset[str]) -> T:
        token = begin(names, self._run)
        try:
            return await self._job.step.async_(*self._job.step.args)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            raise self._failure("error", "it was cancelled from within") from error
        finally:
            end(token)

    def _in_time(self, names: frozenset[str], limit_s: float) -> T:
        try:
            return self._parts.pool(depth()).call(self._run_sync, names, timeout_s=limit_s)
        except Overdue as error:
            self._run.orphaned = True
            raise self._late(limit_s) from error

    async def _ain_time(self, names: frozenset[str], limit_s: float) -> T:
        # A task of its own, which is left behind: one that swallows its cancellation must not hold
        # up the run, as it would inside `asyncio.timeout`.
        task: asyncio.Task[T] = asyncio.get_running_loop().create_task(self._run_async(names))
        try:
            await asyncio.wait((task,), timeout=limit_s)
        except asyncio.CancelledError:
            self._parts.leave_behind(task)
            raise
        if not task.done():
            self._parts.leave_behind(task)
            await asyncio.wait((task,), timeout=_GRACE_S)
            self._run.orphaned |= not task.done()
            raise self._late(limit_s)
        if task.cancelled():
            raise self._failure("error", "it was cancelled from within")
        return task.result()

    def _late(self, limit_s: float) -> ToolFailure:
        policy_s = self._policy.timeout_s
        if policy_s is None or limit_s < policy_s:
            return self._failure("deadline", f"the run's deadline left it {limit_s:.3g} s")
        return self._failure("timeout", f"it took longer than timeout_s={policy_s:g}")

    def _may_repeat(self, error: Exception) -> bool:
        ran = self._run.attempts
        if ran > self._policy.retries or _kind(error) not in {"error", "timeout"}:
            return False
        left_s = clamped(None)
        self._pause_s = self._policy.retry_wait_s * 2 ** (ran - 1) * random.uniform(0.5, 1)  # noqa: S311 - spreads repetitions, guards no secret
        return left_s is None or self._pause_s < left_s

    def _after(self, error: Exception) -> T:
        """The result in place of one, after a failure for good."""
        ran, call = self._run, self._job.call
        failure = error if isinstance(error, ToolFailure) else self._raised(error)
        result = self._substituted(f"the tool gave no result ({failure.kind})", failed=True)
        if result is None:
            ran.outcome = failure.kind
            why = failure.kind if failure is error else type(error).__name__
            ran.reason = f"the tool gave no result ({why})"
            result = self._job.results.of_failure(call, failure)
        return result

    def _substituted(self, reason: str, *, failed: bool = False) -> T | None:
        """What the substitute says, if it shall answer and can."""
        substitute, call = self._policy.substitute, self._job.call
        if not isinstance(substitute, Substitute):
            return None
        result = substituted(substitute, call, self._job.results, self._parts.bus, failed=failed)
        if result is None:
            return None
        self._run.outcome, self._run.reason = "substituted", reason
        self._run.substitute = reason
        return result

    def _raised(self, error: Exception) -> ToolFailure:
        return self._failure("error", f"{type(error).__name__}: {error}", cause=error)

    def _failure(
        self, kind: FailureKind, why: str, *, cause: Exception | None = None
    ) -> ToolFailure:
        elapsed_s = self._now() - self._asked
        name = self._run.tool
        failure = ToolFailure(
            f"tool {name!r} gave no result after {elapsed_s:.2f} s: {why}",
            tool=name,
            kind=kind,
            elapsed_s=elapsed_s,
        )
        failure.__cause__ = cause
        return failure


def _is_cancelled() -> bool:
    """Whether somebody cancels the task that asks; what awaits a cancelled future is not."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _kind(error: Exception) -> FailureKind:
    return error.kind if isinstance(error, ToolFailure) else "error"
