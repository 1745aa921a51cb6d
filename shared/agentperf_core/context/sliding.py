"""One window per conversation, for callers that show the whole history at every call."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentperf_core.context.conversation import Conversation, with_recalled
from agentperf_core.context.marks import mark_of
from agentperf_core.context.recall import Recalled
from agentperf_core.context.recalling import RecallSettings
from agentperf_core.context.records import Cut
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.turns import Repair, repaired
from agentperf_core.errors import require_instance, require_positive
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, run
from agentperf_core.types import Message

__all__ = ["SlidingWindow", "View"]

_BEGINNING = 4  # messages: a system prompt and "hello" are the same in many conversations
_ALIKE = 8  # conversations with one beginning; they are told apart by what follows


@dataclass(frozen=True, slots=True)
class View:
    """What a model is shown of a conversation.

    Attributes:
        messages: in order; unchanged ones are the objects that were given.
        tokens: what they cost, in the window's measure.
        left_out: how many of the given messages are not among them.
        cuts: what was done since the conversation was looked at last.
        repairs: what was wrong in what was given since then.
        recalled: what was brought back; it stands among the messages.
    """

    messages: tuple[Message, ...]
    tokens: int
    left_out: int
    cuts: tuple[Cut, ...] = ()
    repairs: tuple[Repair, ...] = ()
    recalled: Recalled | None = None

    def record(self) -> dict[str, Any]:
        """Plain JSON data for messages, spans and reports; nothing of what was said is in it."""
        found: dict[str, Any] = {
            "tokens": self.tokens,
            "left_out": self.left_out,
            "cuts": [cut.record() for cut in self.cuts],
            "repairs": [repair.kind for repair in self.repairs],
        }
        if self.recalled is not None:
            found["recalled"] = {
                "messages": len(self.recalled.places),
                "tokens": self.recalled.tokens,
            }
        return found


@dataclass(slots=True)
class _Followed:
    talk: Conversation
    marks: list[Hashable]
    cuts: int = 0  # how many of each have been told
    repairs: int = 0
    put_right: int = 0  # how many repairs were seen; others mean that something new is broken
    put_in: Sequence[Message] = ()  # by the repairs, and by nobody said


class SlidingWindow:
    """Windows of many conversations; each look costs the new messages only.

    A conversation is known by its first messages, and followed as long as what is given begins with
    what was given before; if it does not (an edit, a branch), its window is built anew, with the
    same cuts as if it had always been so. Safe under threads.

    Args:
        settings: sizes and rules of every window.
        conversations: how many are remembered; the one looked at longest ago is forgotten first.
        recall: what of a conversation is brought back when; default nothing.
        bus: where a failing embedding is reported.

    Raises:
        ConfigError: if `conversations` is not above zero, or recall leaves no room.

    Example:
        >>> sliding = SlidingWindow(WindowSettings(max_messages=2))
        >>> history = [Message(role="user", text=str(number)) for number in range(5)]
        >>> [message.text for message in sliding.view(history).messages]
        ['4']
    """

    def __init__(
        self,
        settings: WindowSettings,
        *,
        conversations: int = 256,
        recall: RecallSettings | None = None,
        bus: EventBus = BUS,
    ) -> None:
        require_positive(conversations=conversations)
        require_instance(RecallSettings, "RecallSettings() is usual", recall=recall)
        self.settings = settings
        self.recall = recall
        self._bus = bus
        self._most = conversations
        # Conversations by their beginning, those looked at last at the end.
        self._followed: OrderedDict[Hashable, list[_Followed]] = OrderedDict()
        self._lock = threading.Lock()
        self._new()  # settings that leave no room shall not wait for the first call

    def view(self, history: Sequence[Message], *, beside: int = 0) -> View:
        """What to show of a conversation that is given whole; see `follow`."""
        return self.follow([mark_of(one) for one in history], history.__getitem__, beside=beside)

    def follow(
        self, marks: Sequence[Hashable], message_at: Callable[[int], Message], *, beside: int = 0
    ) -> View:
        """What to show of a conversation whose messages are read only where they are new.

        Args:
            marks: something per message that is equal if and only if the message is the same.
            message_at: the message at a place.
            beside: what the request costs besides, at least (tool schemas, a system prompt).

        Raises:
            ContextOverflow: if what must be shown does not fit.
        """
        return run(self.show(marks, message_at, beside=beside))

    def show(
        self,
        marks: Sequence[Hashable],
        message_at: Callable[[int], Message],
        *,
        beside: int = 0,
        question: str | None = None,
    ) -> Flow[View]:
        """Like `follow`, as a flow, because a model may be asked what to bring back.

        Args:
            marks: as there.
            message_at: as there.
            beside: as there.
            question: what is asked; default what the user said last.
        """
        talk, view = self._looked(marks, message_at, beside)
        if self.recall is None:
            return view
        recalled = yield from talk.recalled(question)
        if recalled is None:
            return view
        cost = recalled.tokens if self.settings.in_tokens else 1
        return replace(
            view,
            messages=with_recalled(view.messages, recalled, last=talk.is_new(question)),
            tokens=view.tokens + cost,
            recalled=recalled,
        )

    def find(
        self,
        marks: Sequence[Hashable],
        message_at: Callable[[int], Message],
        question: str,
        *,
        tokens: int,
    ) -> Flow[Recalled | None]:
        """Search what has left the window of a conversation, for a model that asks for it."""
        talk, _ = self._looked(marks, message_at, None, told=False)
        return (yield from talk.find(question, tokens=tokens))

    def _looked(
        self,
        marks: Sequence[Hashable],
        message_at: Callable[[int], Message],
        beside: int | None,
        *,
        told: bool = True,
    ) -> tuple[Conversation, View]:
        marks = marks if isinstance(marks, list) else [*marks]
        with self._lock:
            found = self._known(marks)
            known = len(found.marks)
            try:
                found.talk.extend(map(message_at, range(known, len(marks))), beside=beside)
                if len(found.talk.window.repairs) > found.put_right:
                    known = 0
                    self._read_anew(found, [message_at(at) for at in range(len(marks))], beside)
            except BaseException:
                self._followed.pop(tuple(marks[:_BEGINNING]), None)  # half of it was read
                raise
            found.marks.extend(marks[known:])
            window = found.talk.window
            view = View(
                tuple(window.messages()),
                window.tokens,
                len(marks) - window.shown + _among(found.put_in, window.messages()),
                tuple(window.cuts[found.cuts :]),
                tuple(window.repairs[found.repairs :]),
            )
            if told:
                found.cuts, found.repairs = len(window.cuts), len(window.repairs)
            return found.talk, view

    def _known(self, marks: list[Hashable]) -> _Followed:
        """The conversation that goes on so; of several, the one that was read furthest."""
        found = None
        for length in range(min(_BEGINNING, len(marks)), 0, -1):
            alike = self._followed.get(tuple(marks[:length]), [])
            going_on = [one for one in alike if one.marks == marks[: len(one.marks)]]
            if going_on:
                found = max(going_on, key=lambda one: len(one.marks))
                alike[:] = [one for one in alike if one is not found]
                if not alike:
                    del self._followed[tuple(marks[:length])]
                break
        beginning = tuple(marks[:_BEGINNING])
        alike = self._followed.setdefault(beginning, [])
        self._followed.move_to_end(beginning)
        found = found or _Followed(self._new(), [])
        alike.append(found)
        del alike[:-_ALIKE]
        while len(self._followed) > self._most:
            self._followed.popitem(last=False)
        return found

    def _new(self) -> Conversation:
        return Conversation(self.settings, self.recall, bus=self._bus)

    def _read_anew(self, found: _Followed, history: Sequence[Message], beside: int | None) -> None:
        """Replace the window of a conversation that came in broken: it is repaired as a whole."""
        valid = repaired(history)
        found.talk, found.marks, found.cuts, found.repairs = self._new(), [], 0, 0
        found.put_right = len(valid.repairs)
        said = {id(message) for message in history}
        found.put_in = [one for one in valid.messages if id(one) not in said]
        found.talk.extend(valid.messages, beside=beside)
        found.talk.window.repairs = [*valid.repairs]


def _among(put_in: Sequence[Message], shown: Sequence[Message]) -> int:
    ids = {id(message) for message in put_in}
    return sum(id(message) in ids for message in shown) if ids else 0
