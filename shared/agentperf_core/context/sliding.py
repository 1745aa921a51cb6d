"""One window per conversation, for callers that show the whole history at every call."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from agentperf_core.context.records import Cut
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.turns import Repair, repaired
from agentperf_core.context.window import Window
from agentperf_core.errors import require_positive
from agentperf_core.types import Message

__all__ = ["SlidingWindow", "View"]


@dataclass(frozen=True, slots=True)
class View:
    """What a model is shown of a conversation.

    Attributes:
        messages: in order; unchanged ones are the objects that were given.
        tokens: what they cost, in the window's measure.
        left_out: how many of the given messages are not among them.
        cuts: what was done since the conversation was looked at last.
        repairs: what was wrong in what was given since then.
    """

    messages: tuple[Message, ...]
    tokens: int
    left_out: int
    cuts: tuple[Cut, ...] = ()
    repairs: tuple[Repair, ...] = ()


@dataclass(slots=True)
class _Followed:
    window: Window
    marks: list[Hashable]
    cuts: int = 0
    repairs: int = 0


class SlidingWindow:
    """Windows of many conversations; each look costs the new messages only.

    A conversation is known by its first message, and followed as long as what is given begins with
    what was given before; if it does not (an edit, a branch), its window is built anew, with the
    same cuts as if it had always been so. Safe under threads.

    Args:
        settings: sizes and rules of every window.
        conversations: how many are remembered; the one looked at longest ago is forgotten first.

    Raises:
        ConfigError: if `conversations` is not above zero.

    Example:
        >>> sliding = SlidingWindow(WindowSettings(max_messages=2))
        >>> history = [Message(role="user", text=str(number)) for number in range(5)]
        >>> [message.text for message in sliding.view(history).messages]
        ['4']
    """

    def __init__(self, settings: WindowSettings, *, conversations: int = 256) -> None:
        require_positive(conversations=conversations)
        self.settings = settings
        self._most = conversations
        self._followed: OrderedDict[Hashable, _Followed] = OrderedDict()
        self._lock = threading.Lock()

    def view(self, history: Sequence[Message], *, beside: int = 0) -> View:
        """What to show of a conversation that is given whole; see `follow`."""
        return self.follow([_mark(one) for one in history], history.__getitem__, beside=beside)

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
        with self._lock:
            found = self._known(marks)
            window, known = found.window, len(found.marks)
            if beside > 0:
                window.reserve(self.settings.reserve + beside)
            try:
                for place in range(known, len(marks)):
                    window.add(message_at(place))
                if len(window.repairs) > found.repairs:
                    found = self._anew([message_at(at) for at in range(len(marks))], marks, beside)
                    window, known = found.window, 0
            except BaseException:
                self._followed.pop(marks[0] if marks else None, None)  # half of it was read
                raise
            found.marks.extend(marks[known:])
            view = View(
                tuple(window.messages()),
                window.tokens,
                len(marks) - window.shown,
                tuple(window.cuts[found.cuts :]),
                tuple(window.repairs[found.repairs :]),
            )
            found.cuts, found.repairs = len(window.cuts), len(window.repairs)
            return view

    def _known(self, marks: Sequence[Hashable]) -> _Followed:
        key = marks[0] if marks else None
        found = self._followed.get(key)
        if found is None or found.marks != marks[: len(found.marks)]:
            found = self._followed[key] = _Followed(Window(self.settings), [])
        self._followed.move_to_end(key)
        while len(self._followed) > self._most:
            self._followed.popitem(last=False)
        return found

    def _anew(
        self, history: Sequence[Message], marks: Sequence[Hashable], beside: int
    ) -> _Followed:
        """The window of a conversation that came in broken, out of the whole of it repaired."""
        valid = repaired(history)
        window = Window(self.settings)
        window.reserve(self.settings.reserve + max(beside, 0))
        window.extend(valid.messages)
        window.repairs = [*valid.repairs]
        found = self._followed[marks[0]] = _Followed(window, [])
        return found


def _mark(message: Message) -> Hashable:
    calls = tuple((call.id, call.name, repr(call.arguments)) for call in message.tool_calls)
    blocks = repr(message.blocks) if message.blocks else ""
    return message.role, message.text, message.name, calls, message.tool_call_id, blocks
