"""Calls made on a guess: where each of them stands, and whether it was worth it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agentperf_core.clock import Clock
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools.prefetch.budget import Governor
from agentperf_core.tools.prefetch.foresight import Offer
from agentperf_core.tools.prefetch.stats import PrefetchTally

__all__ = ["Attempt", "Attempts"]

State: TypeAlias = Literal["waiting", "stopped", "running", "kept", "failed", "dropped"]
_BEGUN = ("running", "kept", "failed")


@dataclass(slots=True, eq=False)
class Attempt:
    """A call that was foreseen.

    Attributes:
        offer: the call.
        policy: what is declared of its tool.
        tags: what it reads.
        state: it waits for its turn; its rule is stopped, so that it is only watched; it runs; its
            result is in the cache; it gave none; or it was dropped before it ran.
        begun_at: when it began to run.
        took_s: how long it ran.
        used: whether an agent has asked for it; `None` as long as nobody knows.
        taken: whether somebody is about to call the tool.
        claimed: whether an agent asked for it before it began.
    """

    offer: Offer
    policy: ToolPolicy
    tags: frozenset[str]
    state: State = "waiting"
    begun_at: float = 0.0
    took_s: float | None = None
    used: bool | None = None
    taken: bool = False
    claimed: bool = False

    @property
    def begun(self) -> bool:
        """Whether the tool was called for it."""
        return self.state in _BEGUN


class Attempts:
    """The calls foreseen in one conversation, and what became of them.

    Not safe under threads by itself: its session has the lock.

    Args:
        governor: learns what was in vain.
        tally: counts.
        clock: where the time comes from.
        bus: receives a `DecisionMade` of the room `"prefetch"` when a call has turned out.
    """

    def __init__(
        self, governor: Governor, tally: PrefetchTally, *, clock: Clock, bus: EventBus
    ) -> None:
        self._governor = governor
        self._tally = tally
        self._clock = clock
        self._bus = bus
        self._known: dict[bytes, Attempt] = {}

    def waiting(self) -> list[Attempt]:
        """Those that nobody has begun yet, the likeliest first."""
        found = [one for one in self._known.values() if one.state == "waiting" and not one.taken]
        return sorted(found, key=lambda one: -one.offer.trust)

    def add(self, offer: Offer, policy: ToolPolicy) -> Attempt:
        """A call was foreseen."""
        one = Attempt(offer, policy, frozenset(policy.tags_read(offer.arguments)))
        self._known[offer.key] = one
        self._tally.add(offer.source, offered=1)
        return one

    def begin(self, one: Attempt) -> None:
        """Its tool is being called."""
        one.state, one.begun_at = "running", self._clock.monotonic()
        self._tally.add(one.offer.source, begun=1)

    def end(self, one: Attempt, *, kept: bool) -> None:
        """Its tool has answered, or failed."""
        one.took_s = self._clock.monotonic() - one.begun_at
        one.state = "kept" if kept else "failed"
        if not kept:
            self._tally.add(one.offer.source, failed=1)
        if not kept or one.claimed:
            self._settle(one, used=kept)

    def give_up(self, one: Attempt) -> None:
        """It was cancelled, there was no place for it, or its result was there already."""
        one.state = "failed" if one.begun else "dropped"
        self._settle(one, used=False)

    def claim(self, key: bytes) -> Attempt | None:
        """An agent asks for this call; what has not begun need not begin any more."""
        one = self._known.get(key)
        if one is None:
            return None
        if one.state == "waiting":
            one.state, one.claimed = "dropped", True
        elif one.state == "stopped":
            self._settle(one, used=True)
        elif one.state == "kept" and self._expired(one):
            self._settle(one, used=False)
        elif one.begun and one.state != "failed" and one.used is not True:
            return one
        self._known.pop(key, None)
        return None

    def turned_out(self, one: Attempt, *, served: bool, waited_s: float) -> None:
        """The agent that asked for it has got a result, from the cache if it was served."""
        self._known.pop(one.offer.key, None)
        if not served:
            self._settle(one, used=False)
            return
        took_s = one.took_s if one.took_s is not None else self._clock.monotonic() - one.begun_at
        if one.used is False:
            self._governor.reclaim(one.offer.source)
            self._tally.add(one.offer.source, wasted=-1)
            one.used = None
        self._settle(one, used=True, saved_s=max(took_s - waited_s, 0.0))

    def written(self, tags: frozenset[str]) -> list[bytes]:
        """Results of some tags are forgotten: which calls that concerns."""
        gone = [key for key, one in self._known.items() if one.tags & tags]
        for key in gone:
            one = self._known.pop(key)
            if one.state == "waiting":
                one.state = "dropped"
            self._settle(one, used=False)
        return gone

    def sweep(self) -> None:
        """Results whose time is over were in vain."""
        for key, one in list(self._known.items()):
            if one.state == "kept" and self._expired(one):
                del self._known[key]
                self._settle(one, used=False)

    def close(self) -> None:
        """The run is over: what nobody has asked for was in vain, unless somebody still does."""
        for key, one in list(self._known.items()):
            if one.state == "waiting":
                one.state = "dropped"
            self._settle(one, used=False)
            if not one.begun or self._expired(one):
                del self._known[key]

    def _expired(self, one: Attempt) -> bool:
        since_s = self._clock.monotonic() - one.begun_at
        return one.policy.ttl_s is None or since_s - (one.took_s or 0.0) >= one.policy.ttl_s

    def _settle(self, one: Attempt, *, used: bool, saved_s: float = 0.0) -> None:
        if one.used is not None or one.state in {"waiting", "dropped"}:
            return
        one.used = used
        source, begun = one.offer.source, one.begun
        self._governor.note(source, used=used, begun=begun)
        if begun:
            self._tally.add(source, used=int(used), wasted=int(not used), saved_s=saved_s)
            if self._bus.listening:
                self._bus.emit(_decision(one, used=used, saved_s=saved_s))


def _decision(one: Attempt, *, used: bool, saved_s: float) -> DecisionMade:
    outcome = "used" if used else "failed" if one.state == "failed" else "wasted"
    details: Mapping[str, Any] = {
        "tool": one.offer.tool,
        "source": one.offer.source,
        "took_s": one.took_s,
        "saved_s": saved_s,
    }
    reasons = {"used": "an agent asked for it", "failed": "it gave no result"}
    reason = reasons.get(outcome, "nobody asked for it")
    return DecisionMade(room="prefetch", outcome=outcome, reason=reason, details=details)
