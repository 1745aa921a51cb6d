"""Which calls of one message must keep their order.

Those that touch what another one writes, and those of one exclusive group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.types import ToolCall

__all__ = ["conflicts", "earlier"]


def conflicts(
    calls: Sequence[tuple[ToolCall, ToolPolicy | None]],
) -> dict[int, tuple[int, ...]]:
    """For each call by its place, the earlier ones that it must wait for; none for most.

    Args:
        calls: calls in the order in which the model asked for them, with what is declared of each.

    Example:
        >>> write = ToolPolicy(writes=["orders:{id}"])
        >>> a, b, c = (ToolCall(n, "update", {"id": i}) for n, i in [("a", 1), ("b", 2), ("c", 1)])
        >>> conflicts([(a, write), (b, write), (c, write)])
        {2: (0,)}
    """
    if not any(policy and (policy.writes or policy.exclusive) for _, policy in calls):
        return {}
    touched = [_tags(policy.tags_touched, call) if policy else _NONE for call, policy in calls]
    written = [_tags(policy.tags_written, call) if policy else _NONE for call, policy in calls]
    for place, (_, policy) in enumerate(calls):
        if policy is not None and policy.exclusive is not None:
            # Each call of a group disturbs the others; no tag of a resource looks like this one.
            group = {f"{{{policy.exclusive}}}"}
            touched[place] |= group
            written[place] |= group
    found: dict[int, tuple[int, ...]] = {}
    for place in range(len(calls)):
        before = tuple(
            other
            for other in range(place)
            if written[place] & touched[other] or written[other] & touched[place]
        )
        if before:
            found[place] = before
    return found


def earlier(calls: Sequence[tuple[ToolCall, ToolPolicy | None]], place: int) -> tuple[int, ...]:
    """The same for one call.

    Example:
        >>> shell = ToolPolicy(exclusive="shell")
        >>> calls = [(ToolCall(n, "shell", {}), shell) for n in "abc"]
        >>> earlier(calls, 2)
        (0, 1)
    """
    return conflicts(calls[: place + 1]).get(place, ())


_NONE: frozenset[str] = frozenset()


def _tags(of: Callable[[Mapping[str, Any]], Iterable[str]], call: ToolCall) -> frozenset[str]:
    return frozenset(of(call.arguments))
