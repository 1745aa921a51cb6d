"""The work behind a summary: when it is due, of what, and what happens if it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.summaries.aside import Aside
from agentperf_core.context.summaries.ledger import Ledger
from agentperf_core.context.summaries.records import Summary
from agentperf_core.context.summaries.settings import SummarySettings
from agentperf_core.context.summaries.writing import Bill, Writer
from agentperf_core.events import DecisionMade, EventBus
from agentperf_core.flow import Flow

__all__ = ["WHERE", "Span", "Work"]

WHERE = "context.summary"

_MOST_DOUBLINGS = 6


@dataclass(frozen=True, slots=True)
class Span:
    """What a summary is to be written of.

    Attributes:
        base: the summary that it extends.
        places: the messages, besides.
        turn: of `Work.aside`.
    """

    base: Summary | None
    places: Sequence[int]
    turn: int


class Work:
    """Writes the summaries of one conversation, one at a time. Safe under threads.

    Args:
        ledger: what was said, and what of it is in a summary.
        ahead: places that a summary should tell of before they are evicted.
        counter: counts tokens.
        summaries: who writes; `None` for nobody.
        tokens: what a summary may cost.
        lock: held whenever the ledger is changed.
        bus: where faults go.

    Attributes:
        aside: what runs.
        failed: why the last attempt gave no summary, as the name of an error.
    """

    def __init__(
        self,
        ledger: Ledger,
        ahead: Callable[[], Sequence[int]],
        *,
        counter: TokenCounter,
        summaries: SummarySettings | None,
        tokens: int,
        lock: threading.RLock,
        bus: EventBus,
    ) -> None:
        self._ledger = ledger
        self._ahead = ahead
        self._counter = counter
        self._summaries = summaries
        self._tokens = tokens
        self._lock = lock
        self._bus = bus
        self._unbilled = Bill()
        self._failures = 0
        self._retry_at = 0
        self.aside = Aside()
        self.failed: str | None = None

    def claim(self) -> Span | None:
        """What is to be summarised now, if anything; the caller then writes it."""
        with self._lock:
            turn = self.aside.take() if len(self._ledger.history) >= self._retry_at else None
            if turn is None:
                return None
            places = {*self._ledger.pending, *self._ahead()}
            if not places:
                self.aside.free(turn)
                return None
            return Span(self._ledger.latest, sorted(places), turn)

    def write(self, span: Span) -> Flow[bool]:
        """Write the summary of a span and have it ready; whether there is one."""
        settings, base, ledger = self._summaries, span.base, self._ledger
        if settings is None:
            return False
        bill, self._unbilled = self._unbilled, Bill()
        writer = Writer(settings, self._counter, self._tokens, bill)
        try:
            messages = [ledger.history[place] for place in span.places]
            text = yield from writer.write(messages, None if base is None else base.text)
            summary = ledger.summary_of(span.places, base, text, writer)
        except Exception as error:
            self._unbilled = bill
            self.gave_up(error, span)
            return False
        except BaseException:  # given up with its loop, or by whoever waited for it
            self.aside.free(span.turn)
            raise
        with self._lock:
            if not self.aside.free(span.turn):
                return False
            self._failures, self._retry_at, self.failed = 0, 0, None
            ledger.has(summary)
        self._tell(summary)
        return True

    def gave_up(self, error: Exception, span: Span) -> None:
        """Note that a span has no summary; when more is said, and each time more, it gets one."""
        with self._lock:
            if self.aside.free(span.turn):
                self._failures += 1
                self._retry_at = len(self._ledger.history) + 2 ** min(
                    self._failures, _MOST_DOUBLINGS
                )
                self.failed = type(error).__name__
        self._bus.fault(WHERE, error)

    def _tell(self, summary: Summary) -> None:
        if self._bus.listening:
            details = summary.record()
            del details["text"], details["digest"]
            count = sum(end - first for first, end in summary.covers)
            reason = f"{count} messages are told of in {summary.tokens} tokens"
            self._bus.emit(
                DecisionMade(room="context", outcome="summarised", reason=reason, details=details)
            )
