"""How conversations ask a store that may be down, and what they have in hand until it is back."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Final, TypeVar

from agentperf_core.breaker import Breaker
from agentperf_core.cache.closing import Closing
from agentperf_core.cache.conversations.base import (
    Batch,
    ConversationStore,
    ConversationUnavailable,
)
from agentperf_core.cache.conversations.hand import Hand
from agentperf_core.errors import CodecError, ConfigError
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.flow import Flow, arun, run

__all__ = ["Keeping"]

T = TypeVar("T")

logger = logging.getLogger("agentperf")

WHERE = "cache.conversations"

# What a store says of the batch that it was given, and not of itself: other batches may be fine.
_REFUSALS: Final = (TypeError, ValueError, LookupError, ArithmeticError)


class Keeping(Closing):
    """A store, and what is in hand beside it.

    Args:
        store: where conversations live.
        breaker: keeps us from asking one that is down.
        bus: receives faults and decisions.
        most: how many conversations may be in hand that need not be.
    """

    def __init__(
        self, store: ConversationStore, *, breaker: Breaker, bus: EventBus, most: int
    ) -> None:
        self.store = store
        self.bus = bus
        self._breaker = breaker
        self._most = most
        self._is_down = False
        self._hands: OrderedDict[str, Hand] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def is_down(self) -> bool:
        """Whether the store did not answer when it was asked last."""
        return self._is_down

    @property
    def waiting(self) -> int:
        """How many messages are in hand alone, because the store did not take them yet."""
        with self._lock:
            hands = list(self._hands.values())
        return sum(len(hand.unstored(None)) for hand in hands)

    def close(self) -> None:
        """Store what waits, if that is possible now, and close the store.

        What still waits then is told of, with its number: as a fault of
        `cache.conversations.close`, and in the log. It stays in hand, for another `close`.
        """
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
                spare = (key for key, one in self._hands.items() if not one.owes and key != name)
                oldest = next(spare, None)
                if oldest is not None:
                    del self._hands[oldest]
            return hand

    def asked(
        self,
        flow: Flow[T],
        *,
        passing: tuple[type[Exception], ...] = (),
        at_once: bool = False,
    ) -> Flow[tuple[T] | None]:
        """What the store answers, in a tuple; `None` if it does not.

        Args:
            flow: of the store.
            passing: errors that are no outage, and are raised.
            at_once: whether to ask even if it was down a moment ago.
        """
        if not (at_once or self._breaker.lets_through()):
            flow.close()
            return None
        try:
            answer = yield from flow
        except (ConfigError, CodecError, *passing):
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

    def stored(
        self, name: str, hand: Hand, batch: Batch, *, again: bool = False, at_once: bool = False
    ) -> Flow[bool | None]:
        """Have a batch stored: whether the store took it, `None` if it does not answer.

        One that it refuses is laid aside, so that it holds up nobody, and is told of.
        """
        first = None
        try:
            appending = self.store.append(name, batch, again=again)
            done = yield from self.asked(appending, passing=_REFUSALS, at_once=at_once)
            if done is None:
                return None
            first = done[0]
        except ConfigError:
            raise
        except _REFUSALS as error:
            self.bus.fault(f"{WHERE}.refused", error)
        with self._lock:
            if hand.waiting and hand.waiting[0] is batch:
                hand.waiting.popleft()
            if first is None:
                hand.refused.append(batch)
            else:
                hand.took(first, batch)
        return first is not None

    def catch_up(self, name: str, hand: Hand, *, at_once: bool = False) -> Flow[bool]:
        """Store what waits, unless somebody is at it; whether the store is there, if known."""
        with self._lock:
            if not hand.waiting or hand.busy:
                return True
            hand.busy = True
        while (batch := self._next(hand)) is not None:
            done = None
            try:
                done = yield from self.stored(name, hand, batch, again=True, at_once=at_once)
            finally:
                if done is None:
                    with self._lock:
                        hand.busy = False
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
            with self._lock:
                if not hand.busy:
                    hand.waiting.extendleft(reversed(hand.refused))
                    hand.refused.clear()
            # At once: the store may be back already, and there is no later time to find out.
            if not (yield from self.catch_up(name, hand, at_once=True)):
                break
        left = self.waiting
        if left:
            msg = (
                f"all messages should be stored when conversations are closed, got {left} that "
                "wait for their store and end with this process; close again when it answers"
            )
            logger.warning("%s", msg)
            self.bus.fault(f"{WHERE}.close", ConversationUnavailable(msg))
