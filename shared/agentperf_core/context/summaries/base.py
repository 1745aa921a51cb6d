"""What has summaries written: when they are begun, waited for, saved and taken up."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.summaries.ledger import Ledger
from agentperf_core.context.summaries.settings import SummarySettings
from agentperf_core.context.summaries.work import WHERE, Work
from agentperf_core.events import EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["Summarizing"]


class Summarizing:
    """The summaries of one conversation. Safe under threads.

    Args:
        summaries: who writes; `None` for nobody.
        tokens: what a summary may cost.
        counter: counts tokens.
        bus: where faults go.
    """

    _verified = True  # whether a saved summary must be of the very messages that are here

    def __init__(
        self,
        summaries: SummarySettings | None,
        tokens: int,
        counter: TokenCounter,
        bus: EventBus,
    ) -> None:
        self._summaries = summaries
        self._tokens = tokens
        self._bus = bus
        self._ledger = Ledger(counter)
        # Re-entrant: a fault's hook may look at the conversation.
        self._lock = threading.RLock()
        self._work = Work(
            self._ledger,
            self._ahead,
            counter=counter,
            summaries=summaries,
            tokens=tokens,
            lock=self._lock,
            bus=bus,
        )

    def work(self) -> Step[bool]:
        """After a turn: begin the summary that is due; see `begin`."""
        return Step(self.begin, self.abegin)

    def begin(self) -> bool:
        """Begin the summary that is due, if one is, in a thread; whether it was begun."""
        span = self._work.claim() if self._in_background else None
        if span is None:
            return False
        try:
            self._work.aside.begin(self._work.write(span))
        except RuntimeError as error:  # the interpreter is going down
            self._work.gave_up(error, span)
            return False
        return True

    async def abegin(self) -> bool:
        """Like `begin`, in a task.

        In a thread, if an event loop ended before its summary was there: programs that run a loop
        per turn (`asyncio.run`) would never get one.
        """
        if self._work.aside.loop_ended:
            return self.begin()
        span = self._work.claim() if self._in_background else None
        if span is None:
            return False
        self._work.aside.begin_task(self._work.write(span), span.turn)
        return True

    def settle(self, timeout_s: float | None = None) -> bool:
        """Wait for the summary that a thread writes; whether none is being written now."""
        return self._work.aside.settle(timeout_s)

    async def asettle(self, timeout_s: float | None = None) -> bool:
        """Wait for the summary that is being written; whether none is now."""
        return await self._work.aside.asettle(timeout_s)

    def state(self) -> dict[str, Any]:
        """The summaries as plain JSON data, for `resume`; the messages are the caller's to keep."""
        with self._lock:
            return self._ledger.state()

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take up the summaries of a `state()`, after the messages of then were added.

        A summary whose messages say something else by now is not taken, and neither is a state that
        cannot be read; what they covered will be summarised again.
        """
        with self._lock:
            self._work.aside.abandon()  # what is being written extends something else
            try:
                self._work.failed = self._ledger.resume(
                    state, self._tokens, verified=self._verified
                )
            except Exception as error:
                self._work.failed = type(error).__name__
                self._bus.fault(WHERE, error)

    def behind(self, state: Mapping[str, Any]) -> bool:
        """Whether a `state()` tells of more messages than the summaries here."""
        try:
            return self._ledger.behind(state)
        except Exception as error:
            self._bus.fault(WHERE, error)
            return False

    @property
    def _in_background(self) -> bool:
        return self._summaries is not None and self._summaries.background

    def _ahead(self) -> Sequence[int]:
        """Places that a summary should tell of before they are evicted."""
        return ()

    def _waited(self) -> Flow[None]:
        """Without `background`: write what is due, now, and adopt it."""
        if self._summaries is None or self._summaries.background:
            return
        span = self._work.claim()
        if span is not None and (yield from self._work.write(span)):
            with self._lock:
                self._ledger.adopt()
