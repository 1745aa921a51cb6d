"""A summary that grows with what it is given; for memories that have a window of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.oversize import shortened
from agentperf_core.context.records import Evicted
from agentperf_core.context.summaries.base import Summarizing
from agentperf_core.context.summaries.records import (
    Coverage,
    Summary,
    each_place,
    require_message,
)
from agentperf_core.context.summaries.settings import SummarySettings
from agentperf_core.context.summaries.work import WHERE
from agentperf_core.errors import require_given, require_instance
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow
from agentperf_core.types import Message

__all__ = ["RollingSummary", "shorter"]

_ROOM = 4096  # of a memory that nobody said the size of
_GONE = Message(role="user")
_LEAST = 32  # tokens, as of every summary; below that, the mark for what is left out is most of it


def shorter(text: str, tokens: int, counter: TokenCounter) -> str | None:
    """A summary without its middle, for a prompt that is over its limit.

    Args:
        text: the summary.
        tokens: how many fewer it is to have.
        counter: counts them.

    Returns:
        The text as it is if nothing is to be left out, and `None` if hardly anything would be left.

    Example:
        >>> words = TokenCounter(lambda text: len(text.split()))
        >>> found = shorter(" ".join(map(str, range(100))), 40, words)
        >>> found.split()[0], found.split()[-1], len(found.split()) <= 60
        ('0', '99', True)
        >>> shorter("The cat is called Miso.", 3, words) is None
        True
    """
    if tokens <= 0 or not text:
        return text or None
    room = counter.count_text(text) - tokens
    if room < _LEAST:
        return None
    found = shortened(Message(role="user", text=text), room, counter).text
    return found if counter.count_text(found) <= room else None


class RollingSummary(Summarizing):
    """A summary of all messages that were put in, written beside the conversation.

    Messages are kept until a summary tells of them. One that was written is shown from the next
    look on: who has another window over it does not say when that is cut. Safe under threads.

    Args:
        summary: who summarises, and how.
        counter: counts tokens; default the estimate.
        bus: where faults go.

    Raises:
        ConfigError: if an argument is of another kind.

    Example:
        >>> from agentperf_core.flow import run
        >>> rolling = RollingSummary(SummarySettings(
        ...     summarize=lambda messages, previous, most: f"{len(messages)} said",
        ...     background=False))
        >>> rolling.put([Message(role="user", text="hi"), Message(role="user", text="ho")])
        >>> run(rolling.looked()).text
        '2 said'
    """

    _verified = False  # the messages that are summarised are not kept

    def __init__(
        self,
        summary: SummarySettings,
        *,
        counter: TokenCounter | None = None,
        bus: EventBus = BUS,
    ) -> None:
        require_given(SummarySettings, "give it a summarize=", summary=summary)
        require_instance(TokenCounter, "use TokenCounter.for_model(...)", counter=counter)
        tokens = summary.tokens or summary.tokens_of(_ROOM)
        super().__init__(summary, tokens, counter or TokenCounter(), bus)

    @property
    def failed(self) -> str | None:
        """Why the last attempt gave no summary, as the name of an error."""
        return self._work.failed

    def put(self, messages: Iterable[Message]) -> None:
        """Add messages that left another window.

        Raises:
            ConfigError: if one of them is no message with a text; then none is added.
        """
        messages = list(messages)
        for message in messages:
            require_message(message)
        with self._lock:
            history = self._ledger.history
            for message in messages:
                self._ledger.add(message)
                self._ledger.evicted([Evicted(len(history) - 1, message)])

    def looked(self) -> Flow[Summary | None]:
        """The summary of now; without `background`, of all that was put in."""
        yield from self._waited()
        with self._lock:
            if self._ledger.ready is not None:
                for place in each_place(self._ledger.ready.covers):
                    self._ledger.history[place] = _GONE
                self._ledger.adopt()
            return self._ledger.summary

    def coverage(self) -> Coverage:
        """How much of what was put in is in a summary."""
        with self._lock:
            return self._ledger.coverage()

    def pending(self) -> Sequence[Message]:
        """The messages that are in no summary yet, oldest first; saved beside `state()`."""
        with self._lock:
            return [self._ledger.history[place] for place in sorted(self._ledger.pending)]

    def restore(self, state: Mapping[str, Any], pending: Iterable[Message]) -> None:
        """Take up a `state()` and the `pending()` of then, in one that nothing was put into."""
        try:
            covered = self._ledger.told_of(state)
        except Exception as error:
            covered = 0
            self._bus.fault(WHERE, error)
        with self._lock:
            for _ in range(covered):
                self._ledger.add(_GONE)
            if covered:
                self.resume(state)
        self.put(pending)
