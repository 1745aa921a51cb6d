"""A sliding window that stays where it is: nothing is cut until it is full, then a good part.

A window that moves with every turn changes the prompt from its beginning, so that a provider's
prompt cache, or a local model's, finds nothing of it again. This one is cut seldom and deep, down a
ladder, and between two cuts every prompt begins with the one before it.

What is cut depends on the messages alone and not on when somebody asks, so that a window that is
built anew from the same conversation is the same window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from agentperf_core.context._kept import KeptTurn, KeptUnit, Shown, Told, next_out
from agentperf_core.context._ladder import Ladder
from agentperf_core.context.oversize import rough_tokens, shortened
from agentperf_core.context.records import ContextOverflow, Cut, CutKind, Evicted
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.turns import NO_RESULT, Repair, says_nothing
from agentperf_core.errors import require_given
from agentperf_core.types import Message

__all__ = ["Evicted", "Window"]

_BESIDE = "what stands beside (system prompt, tools, answer, recall)"
_REQUESTS = 8  # of which the largest says how much room stays free
_HUGE = 32  # characters per token of room; real text has three to five


class Window:
    """The part of one conversation that a model is shown; grows by `add`, cuts itself.

    Not safe under threads: one conversation, one writer at a time.

    Args:
        settings: sizes and what is done at each of them.
        track: whether to remember what leaves the window, for `take_evicted`.

    Attributes:
        tokens: what the window costs now, in tokens (or messages, if it is bounded by them).
        cuts: what was done to it so far, oldest first.
        repairs: what was wrong in what was added, oldest first.

    Example:
        >>> window = Window(WindowSettings(max_messages=4, low=0.5))
        >>> for number in range(4):
        ...     window.add(Message(role="user", text=str(number)))
        >>> [message.text for message in window.messages()]
        ['0', '1', '2', '3']
        >>> window.add(Message(role="user", text="4"))
        >>> [message.text for message in window.messages()]
        ['3', '4']
    """

    def __init__(self, settings: WindowSettings, *, track: bool = False) -> None:
        require_given(WindowSettings, "WindowSettings(max_tokens=...) is usual", settings=settings)
        self._settings = settings
        self._pinned: list[KeptUnit] = []
        self._turns: list[KeptTurn] = []
        self._added = 0
        self._reserve = settings.reserve
        self._asked = deque[int](maxlen=_REQUESTS)
        self._told = Told() if track else None
        self._gone: list[KeptTurn] = []  # given up bit by bit: a hundred at once take a while
        self._results = False
        self._shown = Shown()
        self.tokens = 0
        self.cuts: list[Cut] = []
        self.repairs: list[Repair] = []

    @property
    def added(self) -> int:
        """How many messages were added so far."""
        return self._added

    @property
    def shown(self) -> int:
        """How many of them are shown now, changed or not."""
        self._all()
        return self._shown.added

    @property
    def room(self) -> int:
        """What the window may cost at most, now."""
        return self._settings.limit - self._reserve

    def reserve(self, tokens: int) -> None:
        """Leave at least so much room for what stands beside the window, in this request.

        The largest of the last eight requests counts: where large ones and small ones take turns,
        the window is not cut at each of the large ones, and a single large one is forgotten.

        Raises:
            ContextOverflow: if there is no room left.
        """
        self._asked.append(tokens)
        self._reserve = max(self._settings.reserve, *self._asked)
        self._fit()

    def add(self, message: Message) -> None:
        """Add the next message of the conversation.

        Results without a call are left out, and so is a message without content that others
        follow; calls that others follow get a result that says that there is none. All of it is
        noted in `repairs`.

        Raises:
            ContextOverflow: if the message is too large and cannot be made smaller; it is in the
                window all the same, until a later one makes it leave.
        """
        place = self._added
        self._added += 1
        if self._gone:
            del self._gone[-2:]
        if message.role == "tool":
            self._add_result(place, message)
        else:
            self._settle(place)
            self._drop_empty()
            self._add_unit(place, message)
        self._fit()

    def extend(self, messages: Iterable[Message]) -> None:
        """Add several messages, see `add`."""
        for message in messages:
            self.add(message)

    def messages(self) -> list[Message]:
        """What the model is shown now; unchanged messages are the objects that were added."""
        return [*self._all()]

    def _all(self) -> list[Message]:
        return self._shown.all(self._pinned, self._turns)

    def next_out(self, amount: int) -> Sequence[int]:
        """The places of what the next cuts will drop first, to make so much room; oldest first."""
        return next_out(self._turns, amount, self._settings.keeps)

    def take_evicted(self) -> Sequence[Evicted]:
        """What has left the window, wholly or in part, since this was asked last.

        Always empty without `track`.
        """
        return self._told.take() if self._told else ()

    def _add_unit(self, place: int, message: Message) -> None:
        shown = self._not_huge(place, message)
        cost = self._settings.cost(shown)
        waiting = {call.id for call in message.tool_calls}
        unit = KeptUnit([shown], [cost], [place], [message], waiting)
        self.tokens += cost
        self._shown.append(shown, place)
        if message.role == "system" and not self._turns:
            self._pinned.append(unit)
        elif message.role == "user" or not self._turns:
            self._turns.append(KeptTurn([unit]))
        else:
            self._turns[-1].units.append(unit)

    def _add_result(self, place: int, message: Message) -> None:
        last = self._turns[-1].units[-1] if self._turns else None
        call_id = message.tool_call_id or ""
        if last is None or call_id not in last.waiting:
            self.repairs.append(Repair("orphan_result", place, call_id))
            return
        last.waiting.discard(call_id)
        self._append_result(last, message, place)

    def _settle(self, place: int) -> None:
        """Calls that something else follows will have no results any more."""
        last = self._turns[-1].units[-1] if self._turns else None
        if last is None or not last.waiting:
            return
        for call in last.messages[0].tool_calls:
            if call.id in last.waiting:
                self.repairs.append(Repair("missing_result", place, call.id))
                stub = Message(role="tool", text=NO_RESULT, tool_call_id=call.id)
                self._append_result(last, stub, -1)
        last.waiting.clear()

    def _drop_empty(self) -> None:
        """A message that says nothing may only be the last one: the model is to go on with it."""
        last = self._turns[-1].units[-1] if self._turns else None
        if last is None or last.stub or not says_nothing(last.messages[0]):
            return
        self.repairs.append(Repair("empty_message", last.places[0]))
        self.tokens -= last.cost
        self._turns[-1].units.pop()
        if not self._turns[-1].units:
            self._turns.pop()
        self._shown.forget()

    def _append_result(self, unit: KeptUnit, message: Message, place: int) -> None:
        shown = self._not_huge(place, message)
        cost = self._settings.cost(shown)
        self._results = True
        unit.messages.append(shown)
        unit.costs.append(cost)
        unit.places.append(place)
        unit.added.append(message)
        self.tokens += cost
        self._shown.append(shown, place)

    def _not_huge(self, place: int, message: Message) -> Message:
        """A message of megabytes, shortened before it is counted: counting it takes seconds."""
        settings = self._settings
        if not settings.in_tokens or settings.oversize != "cut" or settings.keeps(message):
            return message
        if len(message.text) <= _HUGE * self.room:
            return message
        found = shortened(message, int(self.room * settings.low / 2), settings.counter)
        saved = rough_tokens(message.text) - settings.cost(found)
        self._note("shortened", 1, max(saved, 0))
        if self._told:
            self._told.reduce(place, message)
        return found

    def _fit(self) -> None:
        if self.tokens <= self.room:
            return
        cuts, pinned = len(self.cuts), len(self._pinned)
        held = (self._settings, self._pinned, self._turns)
        ladder = Ladder(*held, self._note, self._told, results=self._results)
        self.tokens = ladder.fit(self.tokens, self.room)
        self._gone += ladder.gone
        if len(self._pinned) == pinned and [cut.kind for cut in self.cuts[cuts:]] == ["dropped"]:
            self._shown.drop(self._pinned, self.cuts[-1].messages)
        else:
            self._shown.forget()
        if self.tokens > self.room:
            reserve = self._reserve
            free = f", of which {reserve} are kept free for {_BESIDE}" if reserve else ""
            msg = (
                f"the pinned messages and the last turn cost {self.tokens} of "
                f"{self._settings.limit}{free}; raise the limit, pin less, or make the rest smaller"
            )
            raise ContextOverflow(msg, needed=self.tokens, limit=self.room)

    def _note(self, kind: CutKind, messages: int, saved: int) -> None:
        self.cuts.append(Cut(kind, messages, saved, self._added))
