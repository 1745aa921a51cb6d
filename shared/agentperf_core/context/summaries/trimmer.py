"""A window whose lost part is summarised beside the conversation, and adopted when it is cut.

A summary that is written when the window is full keeps the user waiting, and one that is adopted
when it is ready changes the prompt from its beginning once more. So it is begun ahead, on what the
next cut will drop, and takes its place at that cut.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from agentperf_core.context.records import ContextOverflow
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.summaries.base import Summarizing
from agentperf_core.context.summaries.records import Trimmed, require_message
from agentperf_core.context.summaries.settings import SummarySettings
from agentperf_core.context.telling import announce
from agentperf_core.context.turns import repaired
from agentperf_core.context.window import Window
from agentperf_core.errors import require_given, require_instance
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, arun, run
from agentperf_core.types import Message

__all__ = ["SummarizingTrimmer"]

_USUAL = 512
_SLACK = 0.2  # of the room, summarised ahead: what is added meanwhile drops more
_WORTH_IT = 0.1  # of the room: no call for every message that is added to a long turn


class SummarizingTrimmer(Summarizing):
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
        require_given(WindowSettings, "give its sizes", window=window)
        require_instance(SummarySettings, "give it a summarize=", summary=summary)
        tokens = 0
        if summary is not None:
            room = window.limit - window.reserve
            in_tokens = window.in_tokens
            tokens = summary.tokens_of(room) if in_tokens else summary.tokens or _USUAL
            window = replace(window, reserve=window.reserve + (tokens if in_tokens else 1))
        super().__init__(summary, tokens, window.counter, bus)
        self._settings = window
        self._window = Window(window, track=True)
        self._counted = (0, 0), 0
        self._unread = 0  # of what was given, left out as broken before it came to the window
        self._told = 0, 0

    @property
    def settings(self) -> WindowSettings:
        """Those of the window, with the room for a summary in its reserve."""
        return self._settings

    @property
    def added(self) -> int:
        """How many messages were added so far."""
        return self._window.added

    @property
    def repairs(self) -> int:
        """How many things were wrong in what was added so far."""
        return len(self._window.repairs)

    @property
    def summarised(self) -> bool:
        """Whether anything was summarised, or is to be."""
        return bool(self._ledger.latest or self._ledger.pending or self._work.aside.busy)

    def begins(self, messages: Sequence[Message]) -> bool:
        """Whether some messages begin with those that were added here, by what they say."""
        history = self._ledger.history
        return bool(history) and history == list(messages[: len(history)])

    def add(self, message: Message) -> None:
        """Add the next message; a summary that is ready is adopted if this cuts the window.

        Raises:
            ContextOverflow: see `Window.add`.
            ConfigError: if it is no message with a text; then nothing is added.
        """
        require_message(message)
        with self._changing():
            self._ledger.add(message)
            self._window.add(message)

    def extend(self, messages: Iterable[Message]) -> None:
        """Add several messages.

        Raises:
            ContextOverflow: if they do not fit at the end; what was too large in its time does not
                matter once it has left.
        """
        for message in messages:
            with suppress(ContextOverflow):
                self.add(message)
        self.require_fit()

    def read(self, history: Sequence[Message]) -> None:
        """Add a conversation that may be broken, put right as a whole: a late result is moved.

        Raises:
            ContextOverflow: see `extend`.
        """
        valid = repaired(history)
        given = set(map(id, history))
        # Stubs of results are left to the window: nobody has said them, so none is summarised.
        kept = [message for message in valid.messages if id(message) in given]
        try:
            self.extend(kept)
        finally:
            self._unread = len(history) - len(kept)
            self._window.repairs = [*valid.repairs]

    def require_fit(self) -> None:
        """Check that what must be shown fits.

        Raises:
            ContextOverflow: if it does not, until a later message makes enough of it leave.
        """
        cost, room = self._window.tokens, self._window.room
        if cost > room:
            msg = f"the pinned messages and the last turn cost {cost} and there is room for {room}"
            msg += "; raise the limit, pin less, or lower reserve"
            raise ContextOverflow(msg, needed=cost, limit=room)

    def reserve(self, tokens: int) -> None:
        """Leave at least so much room beside what is shown, as `Window.reserve`.

        A window that is bounded by messages takes no notice: what is beside is none.

        Raises:
            ContextOverflow: if there is no room left.
        """
        if not self._settings.in_tokens:
            return
        with self._changing():
            self._window.reserve(self._settings.reserve + tokens)

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
                left_out=self._left_out(),
                summary=ledger.summary,
                coverage=ledger.coverage(),
                failed=self._work.failed,
                cuts=tuple(self._window.cuts),
                repairs=tuple(self._window.repairs),
            )

    def looked(self) -> Flow[Trimmed]:
        """What the model is shown; without `background`, waits for the summary of what was cut."""
        yield from self._waited()
        view = self.view()
        self._announce(view)
        return view

    def look(self) -> Trimmed:
        """See `looked`."""
        return run(self.looked())

    async def alook(self) -> Trimmed:
        """See `looked`."""
        return await arun(self.looked())

    @contextmanager
    def _changing(self) -> Generator[None]:
        """What a change makes leave is noted, also where the rest does not fit."""
        with self._lock:
            try:
                yield
            finally:
                self._ledger.evicted(self._window.take_evicted())

    def _announce(self, view: Trimmed) -> None:
        """Tell the bus of what was done since the last look."""
        with self._lock:
            (cuts, repairs), self._told = self._told, (len(view.cuts), len(view.repairs))
        record = {
            "tokens": view.tokens,
            "left_out": view.left_out,
            "cuts": [cut.record() for cut in view.cuts[cuts:]],
            "repairs": [repair.kind for repair in view.repairs[repairs:]],
        }
        announce(record, bus=self._bus)

    def _left_out(self) -> int:
        """Counted again only where a cut or a repair can have changed it."""
        window = self._window
        changes = len(window.cuts), len(window.repairs)
        if self._counted[0] != changes:
            self._counted = changes, self._unread + window.added - window.shown
        return self._counted[1]

    def _ahead(self) -> Sequence[int]:
        """What the next cut will drop, if it is near and enough of that is in no summary."""
        window, summaries, settings = self._window, self._summaries, self._settings
        room = window.room
        if summaries is None or not summaries.background or window.tokens < summaries.ahead * room:
            return ()
        share = 1.0 if settings.keep_turns else 1 - settings.low + _SLACK
        places = self._ledger.unknown(window.next_out(int(room * share)))
        cost = self._ledger.cost(places) if settings.in_tokens else len(places)
        return places if cost >= _WORTH_IT * room else ()
