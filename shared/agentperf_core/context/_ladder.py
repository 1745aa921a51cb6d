"""The steps by which a full window is made smaller, the cheapest for the answer first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agentperf_core.context._kept import KeptTurn, KeptUnit, Told
from agentperf_core.context.oversize import shortened
from agentperf_core.context.records import CutKind
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.turns import with_text
from agentperf_core.types import Message

__all__ = ["Ladder"]

CLEARED = "[tool result cleared to fit the context]"
STUB = "[{count} earlier messages of this task were left out to fit the context]"
BEFORE = "[earlier messages were left out to fit the context]"
_OWN_WORDS = 0.5  # how dear a message of the user counts when one of several must be shortened


class Ladder:
    """Makes a window smaller, and tells of each step.

    Args:
        settings: the rules.
        pinned: units that stay.
        turns: the others; changed in place.
        note: told of each step that did something: what, how many messages, how much.
        told: told of what leaves and of what is made smaller, if somebody wants to know.
        results: whether there may be tool results among the turns.

    Attributes:
        gone: the turns that were dropped.
    """

    def __init__(
        self,
        settings: WindowSettings,
        pinned: list[KeptUnit],
        turns: list[KeptTurn],
        note: Callable[[CutKind, int, int], None],
        told: Told | None = None,
        *,
        results: bool = True,
    ) -> None:
        self._settings = settings
        self._pinned = pinned
        self._turns = turns
        self._note = note
        self._listener = told
        self._results = results
        self.gone: list[KeptTurn] = []

    def fit(self, total: int, room: int) -> int:
        """Bring `total` down to what `low` says, or at least to `room`; the new total.

        It is above `room` if what must stay is larger.
        """
        goal = int(room * self._settings.low)
        if self._settings.keep_turns is not None:
            total -= self._drop_turns(total, self._settings.keep_turns)
            if total <= room:
                return total
        for step in (self._clear_results, self._drop_turns):
            total -= step(total - goal)
            if total <= goal:
                return total
        # One turn is left, and the pinned: they are cut only as far as they must be.
        if total > room:
            total -= self._stub_middle(total - goal)
        if total > room:
            total -= self._shorten(total, room, goal)
        return total

    def _clear_results(self, excess: int) -> int:
        """Old tool results, oldest first: the model has used them already."""
        if not (self._results and self._settings.in_tokens):
            return 0  # to look for them costs half of a cut
        holders = [unit for turn in self._turns for unit in turn.units if len(unit.messages) > 1]
        keep = self._settings.keep_results
        saved = count = 0
        for unit in holders[: len(holders) - keep] if keep else holders:
            if saved >= excess:
                break
            if not unit.cleared and not unit.waiting:
                less, cleared = self._clear(unit)
                saved += less
                count += cleared
        return self._told("cleared", count, saved)

    def _clear(self, unit: KeptUnit) -> tuple[int, int]:
        unit.cleared = True
        saved = count = 0
        for at in range(1, len(unit.messages)):
            if self._settings.keeps(unit.added[at]):
                continue
            short = with_text(unit.messages[at], CLEARED)
            cost = self._settings.cost(short)
            if cost < unit.costs[at]:
                saved += unit.costs[at] - cost
                count += 1
                self._replace(unit, at, short, cost)
        return saved, count

    def _drop_turns(self, excess: int, keep: int = 1) -> int:
        """Oldest turns, whole; the last ones stay."""
        saved = count = turns = 0
        most = len(self._turns) - keep
        while turns < most and saved < excess:
            for unit in self._turns[turns].units:
                saved += self._leave(unit)
                count += len(unit.messages)
            turns += 1
        self.gone += self._turns[:turns]
        del self._turns[:turns]
        return self._told("dropped", count, saved)

    def _stub_middle(self, excess: int) -> int:
        """The middle of a turn that is too long: the question and the latest steps stay."""
        units = self._turns[-1].units if self._turns else []
        first = 1 if units and units[0].messages[0].role == "user" else 0
        middle = [unit for unit in units[first:-1] if not unit.waiting and not self._stays(unit)]
        if all(unit.stub for unit in middle):
            return 0  # a stub in place of a stub saves nothing
        saved = count = cost = 0
        stub = Message(role="user")
        gone: list[KeptUnit] = []
        for unit in middle:
            if saved - cost >= excess:
                break
            gone.append(unit)
            saved += self._leave(unit)
            count += _counted(unit)
            stub = Message(role="user", text=STUB.format(count=count))
            cost = self._settings.cost(stub)
        if not gone:
            return 0
        kept = [unit for unit in units if not any(unit is one for one in gone)]
        kept.insert(first, KeptUnit([stub], [cost], [-count], [stub], stub=True))
        self._turns[-1].units = kept
        return self._told("stubbed", count, saved - cost)

    def _shorten(self, total: int, room: int, goal: int) -> int:
        """Single messages that are too large, the largest first, down to what is left for them."""
        settings = self._settings
        if settings.oversize == "error" or not settings.in_tokens:
            return 0
        saved = count = 0
        for unit, at in self._largest_first():
            if total - saved <= room:
                break
            message, cost = unit.messages[at], unit.costs[at]
            aim = max(cost - (total - saved - goal), 0)
            if callable(settings.oversize):
                found = settings.oversize(message, aim)
            else:
                found = shortened(message, aim, settings.counter)
            new = settings.cost(found)
            if new < cost:
                self._replace(unit, at, found, new)
                saved += cost - new
                count += 1
        return self._told("shortened", count, saved)

    def _largest_first(self) -> Sequence[tuple[KeptUnit, int]]:
        units = [unit for turn in self._turns for unit in turn.units if not unit.stub]
        places = [
            (unit, at)
            for unit in units
            for at in range(len(unit.messages))
            if not self._settings.keeps(unit.added[at])
        ]
        return sorted(places, key=_weight, reverse=True)

    def _leave(self, unit: KeptUnit) -> int:
        """Take a unit out; one that is pinned moves to the front and costs what it did."""
        if self._stays(unit):
            first = all(one.messages[0].role == "system" for one in self._pinned)
            begun = self._begun() if first and unit.messages[0].role == "assistant" else 0
            self._pinned.append(unit)
            return -begun
        if self._listener is not None:
            self._listener.leave(unit)
        return unit.cost

    def _begun(self) -> int:
        """Providers want a user to speak first, before an assistant's words that are pinned."""
        stub = Message(role="user", text=BEFORE)
        cost = self._settings.cost(stub)
        self._pinned.append(KeptUnit([stub], [cost], [-1], [stub], stub=True))
        return cost

    def _replace(self, unit: KeptUnit, at: int, smaller: Message, cost: int) -> None:
        whole = unit.messages[at] is unit.added[at]
        if whole and self._listener is not None:
            self._listener.reduce(unit.places[at], unit.added[at])
        unit.messages[at], unit.costs[at] = smaller, cost

    def _stays(self, unit: KeptUnit) -> bool:
        if self._settings.pin is None:  # a cut asks of a hundred units, and most are plain
            return unit.messages[0].role == "system"
        return any(map(self._settings.keeps, unit.added))

    def _told(self, kind: CutKind, messages: int, saved: int) -> int:
        if messages:
            self._note(kind, messages, saved)
        return saved


def _weight(place: tuple[KeptUnit, int]) -> float:
    """What a message costs; the user's own words go after what is half as large."""
    unit, at = place
    return unit.costs[at] * (_OWN_WORDS if unit.messages[at].role == "user" else 1.0)


def _counted(unit: KeptUnit) -> int:
    """How many messages a unit is or stands for."""
    return -unit.places[0] if unit.stub else len(unit.messages)
