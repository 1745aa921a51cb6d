"""Messages that belong together: a call and its results, and all that follows a user's words.

Providers refuse a prompt in which a tool call lacks its results or a result its call (HTTP 400), so
nothing is cut inside a `Unit`, and a conversation that comes in broken is repaired first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from agentperf_core.types import Message

__all__ = [
    "NO_RESULT",
    "Changed",
    "Repair",
    "RepairKind",
    "Repaired",
    "Turn",
    "Unit",
    "repaired",
    "says_nothing",
    "turns_of",
    "units_of",
    "with_text",
]

RepairKind: TypeAlias = Literal[
    "orphan_result", "duplicate_result", "missing_result", "moved_result", "empty_message"
]

NO_RESULT = "[no result: the call was interrupted]"


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that was put right.

    Attributes:
        kind: what was wrong: a result without its call, a second result of one call, a call
            without a result, a result that did not follow its call, a message that says nothing.
        place: index of the message in what was given.
        call_id: the call that it is about; `None` for an empty message.
    """

    kind: RepairKind
    place: int
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Repaired:
    """A valid sequence and what was done to make it one; unchanged messages are the same objects.

    Attributes:
        messages: in the order that providers want.
        repairs: none, if nothing was wrong.
    """

    messages: tuple[Message, ...]
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """Messages that are kept or dropped together: one, or a message that calls and its results.

    Attributes:
        messages: in order.
        pending: whether a result is still to come, so that it must stay at the end.
    """

    messages: tuple[Message, ...]
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user says and what is done about it; the first may begin without a user."""

    units: tuple[Unit, ...]

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages of the turn."""
        return tuple(message for unit in self.units for message in unit.messages)


def repaired(messages: Sequence[Message]) -> Repaired:
    """Make a sequence valid that may be broken; what is valid comes back as it is.

    Results move behind their call, those without a call are left out, a call that others follow
    gets a result that says that there is none, and messages without content are left out, but for
    the last one. Calls at the end may wait for their results. Ids that are used again belong to the
    latest call before the result.

    Example:
        >>> answer = Message(role="tool", text="sunny", tool_call_id="c1")
        >>> repaired([Message(role="user", text="hi"), answer]).repairs
        (Repair(kind='orphan_result', place=1, call_id='c1'),)
    """
    work = _Repairing(messages)
    return Repaired(work.messages(), tuple(sorted(work.repairs, key=lambda one: one.place)))


class _Repairing:
    def __init__(self, messages: Sequence[Message]) -> None:
        self.repairs: list[Repair] = []
        self._given = messages
        # The places of the results of each calling message, by its place and the call's id.
        self._results: dict[tuple[int, str], int] = {}
        spoken = (place for place, message in enumerate(messages) if message.role != "tool")
        self._last_spoken = max(spoken, default=-1)
        self._match()

    def messages(self) -> tuple[Message, ...]:
        """The valid sequence."""
        found: list[Message] = []
        last = len(self._given) - 1
        for place, message in enumerate(self._given):
            if message.role == "tool":
                continue  # comes with its call
            if says_nothing(message) and place != last:
                self.repairs.append(Repair("empty_message", place))
                continue
            found.append(message)
            if message.tool_calls:
                found += self._answers(place, message)
        return tuple(found)

    def _answers(self, place: int, message: Message) -> Iterable[Message]:
        waits = place == self._last_spoken  # nothing but results follows
        expected = place
        for call_id in dict.fromkeys(call.id for call in message.tool_calls):
            at = self._results.get((place, call_id))
            if at is not None:
                if any(self._given[i].role != "tool" for i in range(expected + 1, at)):
                    self.repairs.append(Repair("moved_result", at, call_id))
                expected = max(expected, at)
                yield self._given[at]
            elif not waits:
                self.repairs.append(Repair("missing_result", place, call_id))
                yield Message(role="tool", text=NO_RESULT, tool_call_id=call_id)

    def _match(self) -> None:
        callers: dict[str, int] = {}
        for place, message in enumerate(self._given):
            for call in message.tool_calls:
                callers[call.id] = place
            if message.role != "tool":
                continue
            call_id = message.tool_call_id or ""
            caller = callers.get(call_id)
            if caller is None:
                self.repairs.append(Repair("orphan_result", place, call_id))
            elif (caller, call_id) in self._results:
                self.repairs.append(Repair("duplicate_result", place, call_id))
            else:
                self._results[caller, call_id] = place


def units_of(messages: Sequence[Message]) -> list[Unit]:
    """The units of a valid sequence, in order.

    Example:
        >>> [len(unit.messages) for unit in units_of([Message(role="user", text="hi")])]
        [1]
    """
    found: list[Unit] = []
    group: list[Message] = []
    waiting: set[str] = set()
    for message in messages:
        if message.role == "tool" and group:
            group.append(message)
            waiting.discard(message.tool_call_id or "")
            continue
        if group:
            found.append(Unit(tuple(group), bool(waiting)))
        group, waiting = [message], {call.id for call in message.tool_calls}
    if group:
        found.append(Unit(tuple(group), bool(waiting)))
    return found


def turns_of(units: Iterable[Unit]) -> list[Turn]:
    """The turns that units make up; a new one begins with each user message."""
    found: list[list[Unit]] = []
    for unit in units:
        if unit.messages[0].role == "user" or not found:
            found.append([])
        found[-1].append(unit)
    return [Turn(tuple(group)) for group in found]


@dataclass(frozen=True, slots=True)
class Changed:
    """In place of a message's `origin`: what it was before its content was changed here.

    Attributes:
        origin: the framework's own object, whose other fields still hold.
    """

    origin: object


def with_text(message: Message, text: str) -> Message:
    """The message with another text in place of all of its content but its tool calls."""
    origin = message.origin
    if origin is not None and not isinstance(origin, Changed):
        origin = Changed(origin)
    return replace(message, text=text, blocks=(), origin=origin)


def says_nothing(message: Message) -> bool:
    """Whether a message has no text, no other content and no calls; some providers refuse it."""
    return not (message.text.strip() or message.blocks or message.tool_calls)
