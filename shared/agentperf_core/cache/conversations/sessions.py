"""Conversations by session and tenant, over any store, whole also while the store is down.

What a store that is down means:

- what is said is kept in hand, in order, and stored with the next step that finds the store again;
  if the first try was stored after all, it is not stored twice;
- a conversation that was read here before is read from hand;
- one that was not raises `ConversationUnavailable`: an agent that takes a lost history for an empty
  one does harm that nobody sees. `when_down="go_on"` reads what is in hand instead;
- nothing is archived, and who forgets or replaces something is told by the same error.

Each outage is told once, as a fault of `cache.conversations`, and its end as a decision.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Self, TypeVar

from agentperf_core.breaker import Breaker
from agentperf_core.cache.closing import Closing
from agentperf_core.cache.conversations.base import (
    Batch,
    ConversationStore,
    ConversationUnavailable,
)
from agentperf_core.cache.conversations.hand import Hand
from agentperf_core.cache.conversations.home import WhenDown
from agentperf_core.cache.conversations.memory import MemoryConversations
from agentperf_core.cache.conversations.session import Conversation, Said, prefix_of
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.events import BUS, DecisionMade, EventBus
from agentperf_core.flow import Flow, arun, run

__all__ = ["Conversation", "Conversations", "Said", "WhenDown"]

T = TypeVar("T")

WHERE = "cache.conversations"


class Conversations(Closing):
    """All conversations of a store; make one and share it. Safe under threads and event loops.

    Args:
        store: where they are kept; default in this process.
        when_down: what reading does when the store is down and nothing was read here before.
        in_hand: of how many conversations the last reading is remembered, for such times; those
            with messages that wait to be stored are remembered in any case.
        failures: how many failures in a row stop us from asking the store.
        open_s: seconds until it is asked again.
        clock: where the time comes from.
        bus: receives the faults, and decisions of the room `cache.conversations`.

    Raises:
        ConfigError: if an argument cannot mean anything.

    Example:
        >>> conversations = Conversations()
        >>> talk = conversations.of("session-7", tenant="acme")
        >>> talk.append([{"role": "user", "text": "My cat is called Miso."}])
        True
        >>> [said.record["text"] for said in talk.read()]
        ['My cat is called Miso.']
        >>> conversations.of("session-7", tenant="other").read()
        []
    """

    def __init__(
        self,
        store: ConversationStore | None = None,
        *,
        when_down: WhenDown = "raise",
        in_hand: int = 64,
        failures: int = 3,
        open_s: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
        bus: EventBus = BUS,
    ) -> None:
        require_positive(in_hand=in_hand)
        if when_down not in {"raise", "go_on"}:
            msg = f"when_down must be 'raise' or 'go_on', got {when_down!r}; 'raise' loses nothing"
            raise ConfigError(msg)
        self.store: ConversationStore = store if store is not None else MemoryConversations()
        self.when_down: WhenDown = when_down
        self.bus = bus
        self._most = in_hand
        self._breaker = Breaker(failures=failures, open_s=open_s, clock=clock)
        self._is_down = False
        self._hands: OrderedDict[str, Hand] = OrderedDict()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"Conversations({self.store!r})"

    def __deepcopy__(self, memo: object) -> Self:
        return self  # frameworks copy what holds it; a copy would be the same store

    @property
    def is_down(self) -> bool:
        """Whether the store did not answer when it was asked last."""
        return self._is_down

    @property
    def waiting(self) -> int:
        """How many messages are in hand alone, because the store did not take them yet."""
        with self._lock:
            hands = list(self._hands.values())
        return sum(len(batch.values) for hand in hands for batch in hand.waiting)

    def of(self, session: str, *, tenant: str = "") -> Conversation:
        """The conversation of a session; the same session of another tenant is another one.

        Raises:
            ConfigError: if a name is not text, or the session has none.
        """
        if not _is_text(session) or not session or not _is_text(tenant):
            msg = (
                f"a conversation has a session and a tenant, both text, got {session!r} and "
                f"{tenant!r}; name the session as your program does"
            )
            raise ConfigError(msg)
        return Conversation(self, session, tenant)

    def sessions(self, *, tenant: str = "") -> list[str]:
        """The sessions of a tenant that have messages, sorted; asks the store as it is."""
        return run(self._sessions(tenant))

    async def asessions(self, *, tenant: str = "") -> list[str]:
        """Like `sessions`."""
        return await arun(self._sessions(tenant))

    def close(self) -> None:
        """Store what waits, if that is possible now, and close the store."""
        run(self._settle())
        self.store.close()

    async def aclose(self) -> None:
        """Like `close`."""
        await arun(self._settle())
        await self.store.aclose()

    # For conversations ----------------------------------------------------------------------------

    def hand(self, name: str) -> Hand:
        """What is in hand of a conversation."""
        with self._lock:
            hand = self._hands.get(name)
            if hand is None:
                hand = self._hands[name] = Hand()
            self._hands.move_to_end(name)
            if len(self._hands) > self._most:
                spare = (key for key, one in self._hands.items() if not one.waiting and key != name)
                oldest = next(spare, None)
                if oldest is not None:
                    del self._hands[oldest]
            return hand

    def asked(self, flow: Flow[T]) -> Flow[tuple[T] | None]:
        """What the store answers, in a tuple; `None` if it does not."""
        if not self._breaker.lets_through():
            flow.close()
            return None
        try:
            answer = yield from flow
        except ConfigError:
            raise
        except Exception as error:
            self._breaker.failed()
            if not self._is_down:
                self._is_down = True
                self.bus.fault(WHERE, error)
            return None
        self._breaker.succeeded()
        if self._is_down:
            self._is_down = False
            reason = "the store of conversations answers again; what waited is stored now"
            self.bus.emit(DecisionMade(room=WHERE, outcome="restored", reason=reason))
        return (answer,)

    def catch_up(self, name: str, hand: Hand) -> Flow[bool]:
        """Store what waits, unless somebody is at it; whether the store is there, if known."""
        with self._lock:
            if not hand.waiting or hand.busy:
                return True
            hand.busy = True
        while (batch := self._next(hand)) is not None:
            done = None
            try:
                done = yield from self.asked(self.store.append(name, batch, again=True))
            finally:
                with self._lock:
                    if done is None:
                        hand.busy = False
                    else:
                        hand.waiting.popleft()
                        hand.stored(done[0], batch)
            if done is None:
                return False
        return True

    def queued(self, hand: Hand, batch: Batch) -> bool:
        """Put a batch behind those that somebody is storing now, if so: it must not overtake."""
        with self._lock:
            if hand.busy:
                hand.waiting.append(batch)
            return hand.busy

    def _next(self, hand: Hand) -> Batch | None:
        with self._lock:
            if hand.waiting:
                return hand.waiting[0]
            hand.busy = False
            return None

    def _settle(self) -> Flow[None]:
        with self._lock:
            hands = list(self._hands.items())
        for name, hand in hands:
            if not (yield from self.catch_up(name, hand)):
                return

    def _sessions(self, tenant: str) -> Flow[list[str]]:
        prefix = prefix_of(tenant)
        found = yield from self.asked(self.store.names(prefix))
        if found is None:
            msg = "sessions cannot be listed while their store does not answer; try again later"
            raise ConversationUnavailable(msg)
        return sorted(name.removeprefix(prefix) for name in found[0])


def _is_text(value: object) -> bool:
    return isinstance(value, str)
