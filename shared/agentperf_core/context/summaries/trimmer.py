"""A window whose lost part is summarised beside the conversation, and adopted when it is cut.

A summary that is written when the window is full keeps the user waiting, and one that is adopted
when it is ready changes the prompt from its beginning once more. So it is begun ahead, on what the
next cut will drop, and takes its place at that cut.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.summaries.ledger import Ledger
from agentperf_core.context.summaries.records import Trimmed
from agentperf_core.context.summaries.settings import SummarySettings
from agentperf_core.context.summaries.work import WHERE, Work
from agentperf_core.context.window import Window
from agentperf_core.errors import require_instance
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.types import Message

__all__ = ["SummarizingTrimmer"]

_USUAL = 512


class SummarizingTrimmer:
    """What a model is shown of one conversation: a window, and a summary of what left it.

    The window is cut as `Window` says, whether there is a summary or not, so the prompt is never
    over its budget. What leaves it is kept until a summary tells of it; if a summariser fails, is
    late, or says nothing, that is a fault, and what was to be summarised is tried again when more
    has been said. Safe under threads; one conversation, one writer at a time.

    Args:
        window: sizes and rules of the window; the summary takes its room out of `max_tokens`.
        summary: who summarises, and how; `None` to drop what leaves the window.
        bus: where faults go.

    Raises:
        ConfigError: if there is no room for a summary, or an argument is of another kind.

    Example:
        >>> window = WindowSettings(max_messages=5, low=0.5)
        >>> summary = SummarySettings(
        ...     summarize=lambda messages, previous, most: f"{len(messages)} numbers were said",
        ...     background=False)
        >>> trimmer = SummarizingTrimmer(window, summary)
        >>> trimmer.extend(Message(role="user", text=str(number)) for number in range(5))
        >>> [message.text.splitlines()[-1] for message in trimmer.look().messages]
        ['3 numbers were said', '3', '4']
    """

    def __init__(
        self,
        window: WindowSettings,
        summary: SummarySettings | None = None,
        *,
        bus: EventBus = BUS,
    ) -> None:
        require_instance(WindowSettings, "give its sizes", window=window)
        require_instance(SummarySettings, "give it a summarize=", summary=summary)
        self._summaries = summary
        self._bus = bus
        self._tokens = 0
        if summary is not None:
            room = window.limit - window.reserve
            in_tokens = window.in_tokens
            self._tokens = summary.tokens_of(room) if in_tokens else summary.tokens or _USUAL
            window = replace(window, reserve=window.reserve + (self._tokens if in_tokens else 1))
        self._settings = window
        self._window = Window(window, track=True)
        self._ledger = Ledger(window)
        # Re-entrant: a fault's hook may look at the conversation.
        self._lock = threading.RLock()
        self._work = Work(
            window,
            self._window,
            self._ledger,
            summaries=summary,
            tokens=self._tokens,
            lock=self._lock,
            bus=bus,
        )

    @property
    def added(self) -> int:
        """How many messages were added so far."""
        return self._window.added

    @property
    def repairs(self) -> int:
        """How many things were wrong in what was added so far."""
        return len(self._window.repairs)

    def add(self, message: Message) -> None:
        """Add the next message; a summary that is ready is adopted if this cuts the window.

        Raises:
            ContextOverflow: see `Window.add`.
        """
        with self._lock:
            self._ledger.history.append(message)
            self._window.add(message)
            self._ledger.evicted(self._window.take_evicted())

    def extend(self, messages: Iterable[Message]) -> None:
        """Add several messages, see `add`."""
        for message in messages:
            self.add(message)

    def reserve(self, tokens: int) -> None:
        """Leave at least so much room beside what is shown, as `Window.reserve`.

        A window that is bounded by messages takes no notice: what is beside is none.

        Raises:
            ContextOverflow: if there is no room left.
        """
        if not self._settings.in_tokens:
            return
        with self._lock:
            self._window.reserve(self._settings.reserve + tokens)
            self._ledger.evicted(self._window.take_evicted())

    def view(self) -> Trimmed:
        """What the model is shown now; waits for nothing."""
        with self._lock:
            shown = self._window.messages()
            tokens, ledger = self._window.tokens, self._ledger
            if ledger.message is not None:
                head = 0
                while head < len(shown) and shown[head].role == "system":
                    head += 1
                shown.insert(head, ledger.message)
                tokens += self._settings.cost(ledger.message)
            return Trimmed(
                messages=shown,
                tokens=tokens,
                left_out=self._window.added - self._window.shown,
                summary=ledger.summary,
                coverage=ledger.coverage(),
                failed=self._work.failed,
                cuts=self._window.cuts,
                repairs=self._window.repairs,
            )

    def looked(self) -> Flow[Trimmed]:
        """What the model is shown; without `background`, waits for the summary of what was cut."""
        if self._summaries is not None and not self._summaries.background:
            span = self._work.claim()
            if span is not None and (yield from self._work.write(span)):
                with self._lock:
                    self._ledger.adopt()
        return self.view()

    def look(self) -> Trimmed:
        """See `looked`."""
        return run(self.looked())

    async def alook(self) -> Trimmed:
        """See `looked`."""
        return await arun(self.looked())

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
                self._work.failed = self._ledger.resume(state, self._tokens)
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
