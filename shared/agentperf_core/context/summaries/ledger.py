"""What left a window, and which of it is in a summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.records import Evicted
from agentperf_core.context.summaries.records import (
    Coverage,
    Summary,
    digest_of,
    each_place,
    places_of,
)
from agentperf_core.context.summaries.writing import Writer
from agentperf_core.types import Message

__all__ = ["Ledger"]

_HUGE = 100_000  # characters; counting more takes its time, and a report may round
_EDITED = "HistoryEdited"


class Ledger:
    """Keeps books of one conversation; not safe under threads.

    Args:
        counter: counts tokens.

    Attributes:
        history: all messages, by place.
        pending: places that left the window and are in no summary yet.
        summary: the one that is shown.
        message: the same as a message, the same object until the next one is adopted.
        ready: the one that waits for the next cut.
    """

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self.history: list[Message] = []
        self.pending: set[int] = set()
        self.summary: Summary | None = None
        self.message: Message | None = None
        self.ready: Summary | None = None
        self._costs: list[int] = []  # of all messages; worked out when one comes, not at a cut
        self._evicted: set[int] = set()
        self._known: set[int] = set()
        self._coverage: Coverage | None = Coverage()

    @property
    def latest(self) -> Summary | None:
        """What the next summary extends."""
        return self.ready or self.summary

    def unknown(self, places: Iterable[int]) -> list[int]:
        """Those of some places that are in no summary."""
        return [place for place in places if place not in self._known]

    def add(self, message: Message) -> None:
        """Note the next message."""
        self.history.append(message)
        text = message.text
        cost = len(text) // 4 if len(text) > _HUGE else self._counter.count_message(message)
        self._costs.append(cost)

    def evicted(self, gone: Sequence[Evicted]) -> None:
        """Note what left the window; what is ready is adopted, as the prompt changes anyway."""
        places = {one.place for one in gone if not one.shown}
        if not places:
            return
        self._evicted |= places
        self.pending |= places - self._known
        self._coverage = None
        self.adopt()

    def cost(self, places: Iterable[int]) -> int:
        """What the messages at some places cost, in tokens."""
        return sum(self._costs[place] for place in places)

    def has(self, summary: Summary) -> None:
        """Take a summary that was written, to be adopted later."""
        self.ready = summary
        self._known.update(each_place(summary.covers))
        self.pending -= self._known
        self._coverage = None

    def adopt(self) -> None:
        """Show the summary that is ready, if one is."""
        if self.ready is None:
            return
        self.summary, self.ready = self.ready, None
        self.message = self.summary.message()
        self._coverage = None

    def summary_of(
        self, places: Sequence[int], base: Summary | None, text: str, writer: Writer
    ) -> Summary:
        """A text and what it is a summary of, as a summary."""
        bill = writer.bill
        source = self.cost(places)
        covers = places_of((*each_place(base.covers if base else ()), *places))
        if base is not None:
            bill.extend(base.calls, base.usage, base.cost_usd, base.model)
            source += base.source_tokens
        return Summary(
            text=text,
            covers=covers,
            tokens=writer.cost(text),
            source_tokens=source,
            digest=digest_of(self.history[place] for place in each_place(covers)),
            calls=bill.calls,
            usage=bill.usage,
            cost_usd=bill.cost_usd,
            model=bill.model,
            clipped=writer.clipped,
        )

    def coverage(self) -> Coverage:
        """How much of what left the window is in a summary."""
        if self._coverage is None:
            evicted, pending = self._evicted, len(self.pending)
            shown = evicted.intersection(each_place(self.summary.covers if self.summary else ()))
            self._coverage = Coverage(
                evicted=len(evicted),
                covered=len(shown),
                ready=len(evicted) - len(shown) - pending,
                pending=pending,
                tokens=self.cost(evicted),
                covered_tokens=self.cost(shown),
            )
        return self._coverage

    def state(self) -> dict[str, Any]:
        """The summaries as plain JSON data."""
        saved = {"summary": self.summary, "ready": self.ready}
        return {name: one.record() if one is not None else None for name, one in saved.items()}

    def behind(self, state: Mapping[str, Any]) -> bool:
        """Whether a `state()` tells of more messages than the summaries here.

        Raises:
            Exception: if it cannot be read.
        """
        return self.told_of(state) > len(self._known)

    def told_of(self, state: Mapping[str, Any]) -> int:
        """How many messages the summaries of a `state()` tell of.

        Raises:
            Exception: if it cannot be read.
        """
        record = state.get("ready") or state.get("summary")
        return sum(end - first for first, end in record["covers"]) if record else 0

    def resume(self, state: Mapping[str, Any], most: int, *, verified: bool = True) -> str | None:
        """Take up the summaries of a `state()`; why one of them was not, if so.

        Args:
            state: the state.
            most: tokens that a summary may take.
            verified: whether the messages must be those that a summary was made of.

        Raises:
            CodecError: if they cannot be read.
        """
        saved = [state.get(name) for name in ("summary", "ready")]
        found = [None if record is None else Summary.of(record) for record in saved]
        valid = [
            one
            if one is None or ((not verified or self._holds(one)) and self._fits(one, most))
            else None
            for one in found
        ]
        self.summary, self.ready = valid
        self.message = None if self.summary is None else self.summary.message()
        latest = self.latest
        self._known = set(each_place(latest.covers if latest else ()))
        self.pending = self._evicted - self._known
        self._coverage = None
        return None if valid == found else _EDITED

    def _holds(self, summary: Summary) -> bool:
        """Whether the messages that a summary covers are those of this conversation."""
        if summary.covers and summary.covers[-1][1] > len(self.history):
            return False
        covered = (self.history[place] for place in each_place(summary.covers))
        return summary.digest == digest_of(covered)

    def _fits(self, summary: Summary, most: int) -> bool:
        return self._counter.count_message(summary.message()) <= most
