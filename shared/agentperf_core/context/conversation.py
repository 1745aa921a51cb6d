"""One conversation as a model is shown it: a window, and what it needs of what has left it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from agentperf_core.context.recall import Recall, Recalled
from agentperf_core.context.recalling import RecallSettings
from agentperf_core.context.records import ContextOverflow
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.turns import units_of
from agentperf_core.context.window import Evicted, Window
from agentperf_core.errors import require_given, require_instance
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, Step
from agentperf_core.types import Message

__all__ = ["Conversation", "with_recalled"]

_AT_ONCE = 8  # evicted messages that are indexed with each new one: a cut evicts a hundred


class Conversation:
    """A window that remembers what has left it; grows by `add`.

    Not safe under threads, but for `recalled`: one conversation, one writer at a time.

    Args:
        settings: sizes and rules of the window; room for what comes back is taken out of it.
        recall: when and how much comes back; default nothing.
        bus: where a failing embedding is reported.

    Attributes:
        window: the window itself.

    Example:
        >>> from agentperf_core.flow import run
        >>> talk = Conversation(WindowSettings(max_messages=3), RecallSettings())
        >>> for text in ("My cat is Miso.", "It rains.", "I cook.", "Name of my cat?"):
        ...     talk.add(Message(role="user", text=text))
        >>> [message.text for message in talk.window.messages()]
        ['I cook.', 'Name of my cat?']
        >>> run(talk.recalled()).text.splitlines()[1]
        'user: My cat is Miso.'
    """

    def __init__(
        self,
        settings: WindowSettings,
        recall: RecallSettings | None = None,
        *,
        bus: EventBus = BUS,
    ) -> None:
        require_given(WindowSettings, "WindowSettings(max_tokens=...) is usual", settings=settings)
        require_instance(RecallSettings, "RecallSettings() is usual", recall=recall)
        self._recalling = recall
        self._settings = settings
        if recall is not None:
            settings = replace(settings, reserve=settings.reserve + recall.reserved(settings))
        self._reserve = settings.reserve
        self.window = Window(settings, track=recall is not None)
        self._question = ""
        self._known: tuple[str, Recalled | None] | None = None
        self._waiting: deque[Evicted] = deque()
        self._in_part: set[int] = set()  # places of what is shown in part, and known to recall
        self._lock = threading.Lock()
        self._memory = recall and Recall(
            settings.counter, embed=recall.embed, neighbours=recall.neighbours, bus=bus
        )

    def add(self, message: Message) -> None:
        """Add the next message, see `Window.add`."""
        if message.role == "user":
            self._question, self._known = message.text, None
        try:
            self.window.add(message)
        finally:
            self._take()
            if self._memory is not None:
                self._memory.expect(message)
            # Never waits: whoever searches may be waiting for an embedding.
            if self._waiting and self._lock.acquire(blocking=False):
                try:
                    self._index(_AT_ONCE)
                finally:
                    self._lock.release()

    def _take(self) -> None:
        """What is not shown any more, or in part only; each message once."""
        for one in self.window.take_evicted():
            if one.place in self._in_part:
                self._in_part.discard(one.place)
                continue
            self._waiting.append(one)
            if one.shown:
                self._in_part.add(one.place)

    def extend(self, messages: Iterable[Message], *, beside: int | None = None) -> None:
        """Add several messages.

        Args:
            messages: in order.
            beside: what the rest of the request takes, see `Window.reserve`; default that they
                come without one.

        Raises:
            ContextOverflow: if it does not fit at the end; what was too large in its time does not
                matter once it has left.
        """
        overflow = None
        try:
            if beside is not None:
                self.window.reserve(self._reserve + beside)
        except ContextOverflow as error:
            overflow = error
        for message in messages:
            try:
                self.add(message)
            except ContextOverflow as error:
                overflow = error
            else:
                overflow = None
        if overflow is not None:
            raise overflow

    def recalled(self, question: str | None = None) -> Flow[Recalled | None]:
        """What the question needs of what has left the window; `None` if it needs nothing.

        The answer stays the same until the user says something else: while an agent works on one
        question, its prompts begin with each other.

        Args:
            question: what is asked; default what the user said last.
        """
        asked = self._question if question is None else question
        recalling = self._recalling
        if recalling is None or self._known_for(asked):
            return self._known[1] if self._known else None
        found = None
        if asked.strip() and recalling.wanted(asked):
            found = yield from self.find(asked, tokens=recalling.room(self._settings))
        self._known = (asked, found)
        return found

    def is_new(self, question: str | None) -> bool:
        """Whether a question is another one than what the user said last."""
        return question is not None and question != self._question

    def find(self, question: str, *, tokens: int) -> Flow[Recalled | None]:
        """Search what has left the window, whatever the settings say of when."""
        return (yield from Step(self._find, self._afind, question, tokens))

    def _known_for(self, question: str) -> bool:
        return self._known is not None and self._known[0] == question

    def _find(self, question: str, tokens: int) -> Recalled | None:
        with self._lock:
            self._index(len(self._waiting))
            return self._memory.find(question, tokens=tokens) if self._memory else None

    async def _afind(self, question: str, tokens: int) -> Recalled | None:
        # Words take a millisecond or two; a model would hold up everybody on the event loop.
        if self._recalling is None or self._recalling.embed is None:
            return self._find(question, tokens)
        return await asyncio.to_thread(self._find, question, tokens)

    def _index(self, most: int) -> None:
        date = self._recalling.date if self._recalling else None
        for _ in range(min(most, len(self._waiting))):
            one = self._waiting.popleft()
            if self._memory is not None and one.message.role != "system":
                said = date(one.message) if date else None
                self._memory.add(one.place, one.message, date=said)


def with_recalled(
    messages: Sequence[Message], recalled: Recalled, *, last: bool = False
) -> tuple[Message, ...]:
    """The messages with what was recalled behind the last words of the user.

    Behind them and not at the very end, so that it stays where it is while an agent works on the
    question; and not before them, so that the prompts of the next turn share the question, too.

    Args:
        messages: what the window shows.
        recalled: what to show besides.
        last: whether it is for a question that is still to be asked, and so stands at the end.

    Example:
        >>> asked = Message(role="user", text="Which?")
        >>> found = with_recalled([asked], Recalled("Earlier: that one.", (0,), 5))
        >>> [message.text for message in found]
        ['Which?', 'Earlier: that one.']
    """
    users = [place for place, one in enumerate(messages) if one.role == "user"]
    at = users[-1] + 1 if users and not last else _end(messages)
    note = Message(role="user", text=recalled.text)
    return (*messages[:at], note, *messages[at:])


def _end(messages: Sequence[Message]) -> int:
    """The last place where something may stand: not between a call and the results to come."""
    units = units_of(messages)
    pending = len(units[-1].messages) if units and units[-1].pending else 0
    return len(messages) - pending
