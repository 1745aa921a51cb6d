"""One summarising trimmer per conversation, for callers that show the whole history every time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from agentperf_core.context.records import ContextOverflow
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.summaries.records import Trimmed
from agentperf_core.context.summaries.settings import SummarySettings
from agentperf_core.context.summaries.trimmer import SummarizingTrimmer
from agentperf_core.errors import require_number
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow
from agentperf_core.types import Message

__all__ = ["TrimmerPool"]

_QUESTION = Message(role="user", text="?")


@dataclass(slots=True)
class _Followed:
    trimmer: SummarizingTrimmer
    marks: list[Hashable]
    repairs: int = 0


class TrimmerPool:
    """Trimmers of many conversations; each look costs the new messages only. Safe under threads.

    Args:
        window: sizes and rules of every window.
        summary: who summarises; `None` to drop what leaves the windows.
        conversations: how many are remembered; the one looked at longest ago is forgotten first.
        bus: where faults go.

    Raises:
        ConfigError: see `SummarizingTrimmer`.

    Example:
        >>> pool = TrimmerPool(WindowSettings(max_messages=3, keep_turns=1))
        >>> said = [Message(role="user", text=str(number)) for number in range(4)]
        >>> trimmer = pool.follow(range(4), said.__getitem__)
        >>> [message.text for message in trimmer.view().messages]
        ['3']
    """

    def __init__(
        self,
        window: WindowSettings,
        summary: SummarySettings | None = None,
        *,
        conversations: int = 256,
        bus: EventBus = BUS,
    ) -> None:
        require_number("leave it out for 256", whole=True, least=1, conversations=conversations)
        self._made = lambda: SummarizingTrimmer(window, summary, bus=bus)
        # Made now: a mistake shall not wait for the first conversation.
        self._settings = self._made().settings
        self._most = conversations
        self._followed: OrderedDict[Hashable, _Followed] = OrderedDict()
        self._lock = threading.Lock()

    def possible(self, beside: int) -> int:
        """As much of what a request costs besides as may be, see `WindowSettings.granted`."""
        return self._settings.granted(beside)

    def follow(
        self,
        marks: Sequence[Hashable],
        message_at: Callable[[int], Message],
        *,
        key: Hashable = None,
        beside: int = 0,
        state: Mapping[str, Any] | None = None,
        must_fit: bool = True,
    ) -> SummarizingTrimmer:
        """The trimmer of a conversation, with all of its messages.

        Args:
            marks: something per message that is equal if and only if the message is the same.
            message_at: the message at a place; asked for the new ones.
            key: what tells the conversation from others; default its first mark, or else what is
                said in it.
            beside: what the request costs besides, at least (tool schemas, a system prompt).
            state: its summaries as they were saved; used where the conversation is not known yet,
                or goes on otherwise than it did here.
            must_fit: whether it is to be shown now; without it, one that does not fit is kept up
                with, and says so when it is shown.

        Raises:
            ContextOverflow: if what must be shown does not fit; a later message may make it leave.
        """
        named, key = key is not None, marks[0] if key is None and marks else key
        with self._lock:
            found = before = self._followed.pop(key, None)
            if found is None and not named:
                found = before = self._alike(marks, message_at)
            if found is None or found.marks != list(marks[: len(found.marks)]):
                found = _Followed(self._made(), [])
            self._catch_up(found, marks, message_at, beside)
            if found.trimmer.repairs > found.repairs:
                found = self._anew(marks, message_at, beside)
            if not found.marks:
                state = state or (before and before.trimmer.state())
            if state and (not found.marks or found.trimmer.behind(state)):
                found.trimmer.resume(state)
            found.marks, found.repairs = list(marks), found.trimmer.repairs
            self._followed[key] = found  # only now: of one that a message broke, half was read
            while len(self._followed) > self._most:
                self._followed.popitem(last=False)
            if must_fit:
                found.trimmer.require_fit()
            return found.trimmer

    def before_question(
        self,
        marks: Sequence[Hashable],
        message_at: Callable[[int], Message],
        *,
        key: Hashable = None,
    ) -> Flow[Trimmed]:
        """What to show of a conversation whose next question is still to come; see `follow`.

        A last turn that does not fit is not shown then, as it would not be with the question: who
        is refused the conversation can never ask it.

        Raises:
            ContextOverflow: if what is pinned does not fit.
        """
        asked = [*marks, _QUESTION]
        fits = not self._goes_on_with(asked, key)
        try:
            trimmer = self.follow(marks if fits else asked, _before(message_at, asked), key=key)
        except ContextOverflow:
            fits = False
            trimmer = self.follow(asked, _before(message_at, asked), key=key)
        view = yield from trimmer.looked()
        yield from trimmer.work()
        if fits:
            return view
        cost = self._settings.cost(_QUESTION)
        return replace(view, messages=view.messages[:-1], tokens=view.tokens - cost)

    def _goes_on_with(self, asked: list[Hashable], key: Hashable) -> bool:
        """Whether a conversation that did not fit is looked at again; it is not read again then."""
        with self._lock:
            found = self._followed.get(asked[0] if key is None else key)
            return found is not None and found.marks == asked

    def _alike(
        self, marks: Sequence[Hashable], message_at: Callable[[int], Message]
    ) -> _Followed | None:
        """A conversation that says the same under other marks, if a summary would be lost with it.

        Where nobody saves a conversation, its messages get new ids at every call.
        """
        kept = [(key, one) for key, one in self._followed.items() if one.trimmer.summarised]
        if not kept or not marks:
            return None
        messages = [message_at(place) for place in range(len(marks))]
        alike = [(key, one) for key, one in kept if one.trimmer.begins(messages)]
        if not alike:
            return None
        key, found = max(alike, key=lambda pair: pair[1].trimmer.added)
        del self._followed[key]
        found.marks = list(marks[: found.trimmer.added])
        return found

    def _catch_up(
        self,
        found: _Followed,
        marks: Sequence[Hashable],
        message_at: Callable[[int], Message],
        beside: int,
    ) -> None:
        self._reserve(found, beside)
        with suppress(ContextOverflow):
            found.trimmer.extend(map(message_at, range(len(found.marks), len(marks))))

    def _reserve(self, found: _Followed, beside: int) -> None:
        if beside > 0:
            with suppress(ContextOverflow):  # may fit when all is read; see `follow`
                found.trimmer.reserve(beside)

    def _anew(
        self, marks: Sequence[Hashable], message_at: Callable[[int], Message], beside: int
    ) -> _Followed:
        """The trimmer of a conversation that came in broken, out of the whole of it repaired."""
        found = _Followed(self._made(), [])
        self._reserve(found, beside)
        with suppress(ContextOverflow):
            found.trimmer.read([message_at(at) for at in range(len(marks))])
        return found


def _before(
    message_at: Callable[[int], Message], asked: Sequence[Hashable]
) -> Callable[[int], Message]:
    """The messages of a conversation with one more behind them."""
    return lambda place: message_at(place) if place < len(asked) - 1 else _QUESTION
