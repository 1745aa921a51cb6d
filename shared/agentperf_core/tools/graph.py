"""`ToolGraph`: which call of a plan waits for which, and which can never be made."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence

from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.durations import Durations
from agentperf_core.tools.order import conflicts
from agentperf_core.tools.plan import Plan, PlannedCall, read_plan
from agentperf_core.tools.records import FailureKind, ToolFailure
from agentperf_core.tools.references import references, unresolved
from agentperf_core.types import ToolCall

__all__ = ["ToolGraph", "needed_failed", "not_made"]

_NOTHING: Mapping[str, ToolPolicy] = {}


class ToolGraph:
    """A plan as a graph of its calls.

    A call waits for those that it depends on, by `depends_on` or by a reference in its arguments,
    and, without needing their success, for those before it that touch what it writes or write what
    it touches, or are of its exclusive group. "Before" is the order of the plan, as far as the
    dependencies leave it. Where a reference hides what a call touches, it may be all of a family.

    A plan with mistakes is a graph, too: the calls that can never be made have failures, and the
    others are not touched by it.

    Args:
        plan: the calls, see `PlannedCall`.
        tools: names of the tools that there are; default all that the plan names.
        policies: what is declared, by name of the tool.

    Attributes:
        calls: the calls in the order of the plan.
        needs: for each call by its place, the places of those that must have succeeded.
        waits_for: the same, with those that must only have ended.
        failures: why calls can never be made, by place: `"unknown"` for a tool or an id that does
            not exist, or an id that several calls have; `"cycle"` for calls that wait for
            themselves; `"dependency"` for those that depend on one of these.

    Raises:
        ConfigError: if the plan is not one, see `read_plan`, or a policy names no tool.

    Example:
        >>> graph = ToolGraph([
        ...     {"id": "user", "tool": "get_user"},
        ...     {"id": "news", "tool": "get_news"},
        ...     {"id": "mail", "tool": "send", "arguments": {"to": "$user.mail"}},
        ... ])
        >>> [[call.id for call in group] for group in graph.groups()]
        [['user', 'news'], ['mail']]
    """

    def __init__(
        self,
        plan: Plan,
        *,
        tools: Collection[str] | None = None,
        policies: Mapping[str, ToolPolicy] | None = None,
    ) -> None:
        self.calls = read_plan(plan)
        self._policies = policies if policies is not None else _NOTHING
        self._places: dict[str, list[int]] = {}
        for place, call in enumerate(self.calls):
            self._places.setdefault(call.id, []).append(place)
        self.failures: dict[int, ToolFailure] = {}
        self.needs: tuple[frozenset[int], ...] = tuple(map(self._needs, range(len(self.calls))))
        if tools is not None:
            self._find_unknown_tools(tools)
        order = self._in_order()
        self.waits_for: tuple[frozenset[int], ...] = self._with_order(order)
        self._order = order

    def place_of(self, call_id: str) -> int:
        """The place of a call in the plan.

        Raises:
            KeyError: if no call has the id.
        """
        return self._places[call_id][0]

    def priority(self, place: int) -> float:
        """The declared priority of a call's tool."""
        policy = self._policies.get(self.calls[place].tool)
        return 0 if policy is None else policy.priority

    def groups(self) -> list[tuple[PlannedCall, ...]]:
        """The topological layers: what could run at once if each layer waited for the last.

        Calls that can never be made are left out.
        """
        levels: dict[int, int] = {}
        layers: dict[int, list[int]] = defaultdict(list)
        for place in self._order:
            level = 1 + max((levels[other] for other in self.waits_for[place]), default=-1)
            levels[place] = level
            layers[level].append(place)
        found = [layers[level] for level in sorted(layers)]
        return [tuple(self.calls[place] for place in sorted(layer)) for layer in found]

    def tails_s(self, durations: Durations) -> list[float]:
        """Seconds expected from the start of each call to the end of all that waits for it."""
        tails = [0.0] * len(self.calls)
        for place in reversed(self._order):
            tails[place] += durations.expected_s(self.calls[place].tool)
            for other in self.waits_for[place]:
                tails[other] = max(tails[other], tails[place])
        return tails

    def _needs(self, place: int) -> frozenset[int]:
        """The places that a call depends on; notes what is wrong with its ids."""
        call = self.calls[place]
        if len(self._places[call.id]) > 1:
            self._fail(place, "unknown", f"several calls of the plan have its id {call.id!r}")
        needed: set[int] = set()
        for one in references(call.arguments):
            if one.call in self._places:
                needed.add(self._places[one.call][0])
            else:
                why = (
                    f"its arguments refer to '${one.text}', and no call has the id {one.call!r}; "
                    f"write '$${one.text}' if it is text"
                )
                self._fail(place, "unknown", why)
        for wanted in call.depends_on:
            if wanted in self._places:
                needed.add(self._places[wanted][0])
            else:
                self._fail(place, "unknown", f"it depends on {wanted!r}, and no call has that id")
        return frozenset(needed)

    def _find_unknown_tools(self, tools: Collection[str]) -> None:
        if odd := sorted(self._policies.keys() - set(tools)):
            msg = f"policies must name tools, got {odd!r}; there are {sorted(tools)!r}"
            raise ConfigError(msg)
        for place, call in enumerate(self.calls):
            if call.tool not in tools:
                self._fail(place, "unknown", f"there is no such tool, only {sorted(tools)}")

    def _in_order(self) -> list[int]:
        """The calls that can be made, dependencies first, else in the order of the plan.

        What is left over fails: it waits for itself, or depends on what fails.
        """
        missing = [len(needed) for needed in self.needs]
        followers: dict[int, list[int]] = defaultdict(list)
        for place, needed in enumerate(self.needs):
            for other in needed:
                followers[other].append(place)
        ready = [p for p in range(len(self.calls)) if not missing[p] and p not in self.failures]
        order: list[int] = []
        while ready:
            place = heapq.heappop(ready)
            order.append(place)
            for follower in followers[place]:
                missing[follower] -= 1
                if not missing[follower] and follower not in self.failures:
                    heapq.heappush(ready, follower)
        left = sorted(set(range(len(self.calls))).difference(order, self.failures))
        for place in left:
            if cycle := self._cycle(place):
                ids = " -> ".join(self.calls[other].id for other in cycle)
                self._fail(place, "cycle", f"it waits for itself: {ids}")
        self._fail_dependants(followers, [place for place in left if place not in self.failures])
        return order

    def _cycle(self, place: int) -> list[int]:
        """The shortest way from a call to itself over what it depends on; empty without one."""
        came_from: dict[int, int] = {}
        to_see = deque([place])
        while to_see:
            at = to_see.popleft()
            for other in sorted(self.needs[at]):
                if other == place:
                    way = [place]
                    while at != place:
                        way.append(at)
                        at = came_from[at]
                    return [place, *reversed(way)]
                if other not in came_from:
                    came_from[other] = at
                    to_see.append(other)
        return []

    def _fail_dependants(self, followers: Mapping[int, Sequence[int]], left: list[int]) -> None:
        to_see = deque(sorted(self.failures))
        waiting = set(left)
        while to_see:
            failed = to_see.popleft()
            for place in followers.get(failed, ()):
                if place in waiting:
                    waiting.discard(place)
                    call, lost = self.calls[place], self.calls[failed]
                    self.failures[place] = needed_failed(call, lost, self.failures[failed].kind)
                    to_see.append(place)

    def _with_order(self, order: Sequence[int]) -> tuple[frozenset[int], ...]:
        known = [self.calls[place] for place in order]
        before = conflicts(
            [
                (
                    ToolCall(call.id, call.tool, unresolved(call.arguments)),
                    self._policies.get(call.tool),
                )
                for call in known
            ]
        )
        waits = list(self.needs)
        for place in self.failures:
            waits[place] = frozenset()
        for rank, earlier in before.items():
            waits[order[rank]] |= {order[other] for other in earlier}
        return tuple(waits)

    def _fail(self, place: int, kind: FailureKind, why: str) -> None:
        self.failures.setdefault(place, not_made(self.calls[place], kind, why))


def not_made(call: PlannedCall, kind: FailureKind, why: str) -> ToolFailure:
    """The failure of a call that was not made."""
    msg = f"call {call.id!r} of tool {call.tool!r} was not made: {why}"
    return ToolFailure(msg, tool=call.tool, kind=kind, elapsed_s=0.0)


def needed_failed(call: PlannedCall, needed: PlannedCall, outcome: str) -> ToolFailure:
    """The failure of a call that depends on one that gave no result."""
    why = f"it depends on {needed.id!r}, which gave no result ({outcome})"
    return not_made(call, "dependency", why)
