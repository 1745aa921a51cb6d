"""Recorded runs of agents, replayed under the real prefetcher and the cache of tool results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentperf_core.cache import ToolResultCache
from agentperf_core.cache.toolresults.cache import ToolDecision, ToolRequest
from agentperf_core.clock import FakeClock
from agentperf_core.flow import Flow, Step, run
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import ToolFailure, ToolJob, ToolRun
from agentperf_core.tools.prefetch.learning.runs import Called, Run, run_of_messages
from agentperf_core.tools.prefetch.paths import canonical
from agentperf_core.tools.prefetch.prefetcher import Prefetcher
from agentperf_core.types import ToolCall

LOOKUPS = (
    "get", "list", "search", "find", "fetch", "read", "lookup", "look", "query", "retrieve", "show",
    "view", "describe", "check", "count",
)  # fmt: skip
THINKS_S = 3.0  # only what the budget has stopped is tried again by the clock
PURE = ("think", "calculate", "calculator")
# Whatever is not known to read may write everything: what was read before is forgotten.
READS = ToolPolicy(read_only=True, ttl_s=3600, prefetch=True, reads=["all"])
WRITES = ToolPolicy(writes=["all"])


@dataclass(frozen=True)
class Recorded:
    """One run of a task."""

    task: str
    events: Run


@dataclass
class Score:
    """What prefetch brought in some runs."""

    lookups: int = 0
    served: int = 0
    prefetches: int = 0
    used: int = 0
    by_tool: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def add(self, other: Score) -> None:
        for name in ("lookups", "served", "prefetches", "used"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for tool, (served, lookups) in other.by_tool.items():
            mine = self.by_tool.setdefault(tool, [0, 0])
            mine[0] += served
            mine[1] += lookups

    def shares(self) -> dict[str, Any]:
        return {
            "served": self.served / self.lookups if self.lookups else 0.0,
            "used": self.used / self.prefetches if self.prefetches else 0.0,
            "prefetches": self.prefetches,
            "lookups": self.lookups,
        }


def read_data(path: Path) -> list[Recorded]:
    """The runs of a file: a list of `{task_id, traj: [OpenAI messages]}`."""
    data: object = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, list) or not all(
        isinstance(one, dict) and "task_id" in one and isinstance(one.get("traj"), list)
        for one in data
    ):
        msg = f"{path} must hold a list of {{task_id, traj: [messages]}}; got something else"
        raise SystemExit(msg)
    return [Recorded(json.dumps(one["task_id"]), run_of_messages(one["traj"])) for one in data]


def tasks_of(runs: Sequence[Recorded]) -> list[str]:
    """The tasks in order of their ids: numbers by size, others by text."""
    found: list[Any] = [json.loads(task) for task in {run.task for run in runs}]
    found.sort(key=lambda task: (0, task, "") if isinstance(task, int) else (1, 0, str(task)))
    return [json.dumps(task) for task in found]


def calls_of(events: Run) -> list[Called]:
    return [event for event in events if not isinstance(event, str)]


def looks_read_only(tool: str) -> bool:
    """Whether the first word of a name says that it looks something up."""
    words = re.findall(r"[A-Z]?[a-z]+", re.split(r"[.:/]|__", tool)[-1])
    return bool(words) and words[0].lower() in LOOKUPS


class Replay:
    """One recorded run, made again: the recorded calls, with their results, at once.

    Args:
        events: what was recorded.
        prefetcher: that of all runs.
        clock: its clock; a model thinks `THINKS_S` before each event.
        read_only: tools that look something up.
        pure: tools that neither read nor write; all others may write everything.
        messages: whether the prefetcher hears what the user says.
    """

    def __init__(
        self,
        events: Run,
        prefetcher: Prefetcher,
        clock: FakeClock,
        read_only: Collection[str],
        pure: Collection[str],
        *,
        messages: bool,
    ) -> None:
        self._events = events
        self._prefetcher = prefetcher
        self._clock = clock
        self._messages = messages
        self._policies = {
            tool: WRITES for tool, _, _ in calls_of(events) if tool not in pure
        } | dict.fromkeys(read_only, READS)
        # A result is what was said when it was asked for, the first time that is still to come.
        self._results: dict[bytes, list[Any]] = {}
        for tool, arguments, result in calls_of(events):
            self._results.setdefault(canonical([tool, arguments]), []).append(result)
        self._cache = ToolResultCache(clock=clock)
        self._session = prefetcher.session(self)

    def score(self) -> Score:
        """Make the calls, and count what was there before it was asked for."""
        before, score = self._prefetcher.stats(), Score()
        for event in self._events:
            self._clock.advance(THINKS_S)
            if isinstance(event, str):
                if self._messages:
                    run(self._session.heard(event))
            else:
                self._call(event, score)
            self._prefetcher.drain()
        run(self._session.end())
        after = self._prefetcher.stats()
        score.prefetches, score.used = after.begun - before.begun, after.used - before.used
        return score

    def _call(self, event: Called, score: Score) -> None:
        tool, arguments, result = event
        call = ToolCall("1", tool, arguments)
        before = self._prefetcher.stats().used
        step = Step(lambda: result, _never)
        run(self._session.around(call, step, through=self._through(call), read=_same))
        self._results[canonical([tool, arguments])].pop(0)
        if self._policies.get(tool) is READS:
            served = self._prefetcher.stats().used - before
            score.lookups += 1
            score.served += served
            row = score.by_tool.setdefault(tool, [0, 0])
            row[0] += served
            row[1] += 1

    # How the prefetcher calls the tools.

    def policy(self, tool: str) -> ToolPolicy | None:
        return self._policies.get(tool)

    def arguments(self, tool: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return given

    def job(self, call: ToolCall) -> ToolJob[Any]:
        return ToolJob(
            call=call,
            step=Step(lambda: self._result(call), _never),
            results=Results(),
            policy=self.policy(call.name),
            through=self._through(call),
        )

    def _result(self, call: ToolCall) -> Any:
        """What the tool said when it was asked, or that nobody knows."""
        found = self._results.get(canonical([call.name, call.arguments]))
        return found[0] if found else "not recorded"

    def _through(self, call: ToolCall) -> Callable[[Step[Any]], Flow[Any]]:
        request = ToolRequest(
            tool=call.name, arguments=call.arguments, policy=self.policy(call.name)
        )
        return lambda step: self._cache.run(request, step, Codec())


class Plain:
    """Results are plain data already, and none is an error."""

    def failed(self, result: Any) -> bool:
        return False


class Results(Plain):
    """How the executor reads and makes them."""

    def passes(self, error: BaseException) -> bool:
        return False

    def of_failure(self, call: ToolCall, failure: ToolFailure) -> Any:
        return str(failure)

    def of_value(self, call: ToolCall, value: Any) -> Any:
        return value

    def mark(self, result: Any, run: ToolRun) -> Any:
        return result


class Codec(Plain):
    """How the cache does."""

    def error(self, error: Exception) -> str:
        return str(error)

    def encode(self, result: Any) -> Mapping[str, Any]:
        return {"result": result}

    def decode(self, body: Mapping[str, Any], decision: ToolDecision) -> Any:
        return body["result"]

    def mark(self, result: Any, decision: ToolDecision) -> Any:
        return result


def _same(result: Any) -> Any:
    return result


async def _never() -> Any:
    raise NotImplementedError
