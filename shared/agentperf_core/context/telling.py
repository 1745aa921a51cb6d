"""What was done to a prompt, as a decision on the bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentperf_core.events import BUS, DecisionMade, EventBus

__all__ = ["announce"]

_DONE = {
    "cleared": "old tool results cleared",
    "dropped": "messages of old turns dropped",
    "stubbed": "steps of a long turn left out",
    "shortened": "messages shortened",
}


def announce(record: Mapping[str, Any], *, bus: EventBus = BUS) -> None:
    """Emit what a prompt lost, if it lost or was spared anything since the last time.

    Args:
        record: of a `View` or a `Fitted`.
        bus: where to.

    Example:
        >>> bus = EventBus()
        >>> _ = bus.subscribe(lambda event: print(event.outcome, "-", event.reason))
        >>> cuts = [{"kind": "dropped", "messages": 6, "tokens": 400, "after": 20}]
        >>> announce({"tokens": 900, "left_out": 6, "cuts": cuts, "repairs": []}, bus=bus)
        cut - 6 messages of old turns dropped; 6 messages are left out now
    """
    parts = [f"{cut['messages']} {_DONE[cut['kind']]}" for cut in record["cuts"]]
    repairs = record["repairs"]
    if repairs:
        parts.append(f"{len(repairs)} faults of the history repaired ({', '.join(set(repairs))})")
    if not parts:
        return
    reason = f"{', '.join(parts)}; {record['left_out']} messages are left out now"
    outcome = "cut" if record["cuts"] else "repaired"
    bus.emit(DecisionMade(room="context", outcome=outcome, reason=reason, details=record))
