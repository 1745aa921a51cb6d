"""What has left the window, brought back when a question needs it.

It comes last in the prompt and only for this call, so that everything before it stays as it was and
the prompt cache keeps its prefix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context._pieces import pieces_of
from agentperf_core.context.lexical import LexicalIndex, terms_of
from agentperf_core.errors import ConfigError, require_callable, require_given, require_number
from agentperf_core.events import BUS, EventBus
from agentperf_core.types import Message

__all__ = ["Embed", "Recall", "Recalled"]

Embed: TypeAlias = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Vectors of some texts; any embedding model, called with a list."""

_UNDATED = "no date"
HEADING = "Earlier in this conversation:"
_WORDS_SHARE = 0.5  # of the best lexical score, beside a cosine
_EXPECTED = 4000  # characters of a message; a stem takes 20 us, once per word and process
_LEAST = 0.05  # of the best score; few worse lines held evidence (LoCoMo 26, 30, 41)


@dataclass(frozen=True, slots=True)
class Recalled:
    """Earlier messages that a question may need.

    Attributes:
        text: a heading and a line per message, oldest first, under the date of each group.
        places: the places of the messages in the conversation.
        tokens: what the text costs as a message.
    """

    text: str
    places: tuple[int, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class _Group:
    """Lines of one date in a row, which is said once: of a line of chat it would be a third."""

    date: str | None
    heading: str
    tokens: int


@dataclass(frozen=True, slots=True)
class _Line:
    place: int
    text: str
    tokens: int
    group: _Group

    @property
    def dated(self) -> str:
        """The line as it is searched."""
        return f"{self.group.heading} {self.text}".lstrip()


class Recall:
    """The memory of one conversation: what has left the window, found by what is asked.

    Words are always searched; with `embed`, meaning too. An embedding that fails is left out, and
    reported as a fault.

    Args:
        counter: counts tokens; the window's.
        embed: vectors of texts; several at once, when somebody asks and some have none yet.
        neighbours: how many messages around a found one come with it.
        bus: where faults go.

    Raises:
        ConfigError: if an argument is of another kind.

    Example:
        >>> recall = Recall(TokenCounter())
        >>> recall.add(3, Message(role="user", text="My cat is called Miso."), date="2 May")
        >>> print(recall.find("What is the name of my cat?", tokens=100).text)
        Earlier in this conversation:
        [2 May]
        user: My cat is called Miso.
    """

    def __init__(
        self,
        counter: TokenCounter,
        *,
        embed: Embed | None = None,
        neighbours: int = 1,
        bus: EventBus = BUS,
    ) -> None:
        require_given(TokenCounter, "use TokenCounter.for_model(...)", counter=counter)
        require_callable("it takes a list of texts and returns their vectors", embed=embed)
        require_number("1 suits conversations", whole=True, neighbours=neighbours)
        self._counter = counter
        self._embed = embed
        self._neighbours = neighbours
        self._bus = bus
        self._index = LexicalIndex()
        self._lines: list[_Line] = []
        self._group = _Group(None, "", 0)
        self._vectors: list[Sequence[float]] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, place: int, message: Message, *, date: str | None = None) -> None:
        """Remember a message that has left the window.

        Args:
            place: its place in the conversation.
            message: what was said; one without text is not remembered, and a long one (a tool's
                result, a document) in pieces, so that one of them may come back alone.
            date: when it was said, as the model shall read it.
        """
        for piece in pieces_of(message.text):
            self._add(place, f"{message.name or message.role}: {piece}", date)

    def expect(self, message: Message) -> None:
        """Find the stems of a message that may be added later, when many are added at once."""
        terms_of(message.text[:_EXPECTED])

    def _add(self, place: int, text: str, date: str | None) -> None:
        if date != self._group.date:
            heading = f"[{date or _UNDATED}]"
            self._group = _Group(date, heading, self._counter.count_text(heading) + 1)
        line = _Line(place, text, self._counter.count_text(text) + 1, self._group)
        self._index.add(line.dated)
        self._lines.append(line)

    def state(self) -> list[tuple[int, str, str | None]]:
        """What it remembers, as plain data for `restore`: place, text and date of each line."""
        return [(line.place, line.text, line.group.date) for line in self._lines]

    def restore(self, state: Iterable[tuple[int, str, str | None]]) -> None:
        """Remember what another one did, behind what is remembered already."""
        for place, text, date in state:
            self._add(place, text, date)

    def find(self, question: str, *, tokens: int) -> Recalled | None:
        """What the question may need, as much as there is room for; `None` if nothing fits it.

        Args:
            question: what is asked.
            tokens: what the recalled text may cost.
        """
        scores = self._scores(question)
        frame = self._counter.count_message(Message(role="user", text=HEADING)) + 1
        chosen = self._chosen(scores, tokens - frame)
        while chosen:
            lines = sorted((self._lines[at] for at in chosen), key=lambda line: line.place)
            text = _written(lines)
            cost = self._counter.count_message(Message(role="user", text=text))
            if cost <= tokens:
                return Recalled(text, tuple(dict.fromkeys(line.place for line in lines)), cost)
            # A date twice: what was shortened came here before what was said earlier.
            chosen.popitem()
        return None

    def _chosen(self, scores: Sequence[float], room: int) -> dict[int, None]:
        """The best lines with those around them, best first, until there is no room for one."""
        chosen: dict[int, None] = {}
        groups: set[int] = set()
        least = max(scores, default=0.0) * _LEAST
        for best in sorted(range(len(scores)), key=lambda at: -scores[at]):
            if scores[best] <= max(least, 0.0):
                break
            first, last = best - self._neighbours, best + self._neighbours
            around = range(max(first, 0), min(last + 1, len(self._lines)))
            for at in (best, *around):  # itself first: there may be room for no more
                if at in chosen:
                    continue
                line = self._lines[at]
                room -= line.tokens + (0 if id(line.group) in groups else line.group.tokens)
                if room < 0:
                    return chosen
                chosen[at] = None
                groups.add(id(line.group))
        return chosen

    def _scores(self, question: str) -> Sequence[float]:
        words = self._index.scores(question)
        if self._embed is None or not words:
            return words
        try:
            cosines = self._cosines(question)
        except Exception as error:
            self._bus.fault("context.recall", error)
            return words
        most = max(words)
        if most <= 0:
            return cosines
        return [
            cosine + _WORDS_SHARE * word / most for cosine, word in zip(cosines, words, strict=True)
        ]

    def _cosines(self, question: str) -> list[float]:
        new = [line.dated for line in self._lines[len(self._vectors) :]]
        if self._embed is None:
            return []
        found = [_unit(vector) for vector in self._embed([question, *new])]
        sizes = {len(vector) for vector in (*found, *self._vectors[:1])}
        if len(found) != len(new) + 1 or len(sizes) != 1:
            msg = (
                f"embed returns a vector per text, all of one size, got {len(found)} for "
                f"{len(new) + 1} texts of sizes {sorted(sizes)}; it must take a list of texts"
            )
            raise ConfigError(msg)  # nothing is kept of it: the next question asks again
        self._vectors += found[1:]
        return [sum(map(float.__mul__, found[0], vector)) for vector in self._vectors]


def _written(lines: Sequence[_Line]) -> str:
    shown = [HEADING]
    for group, of_one_date in groupby(lines, key=lambda line: line.group):
        shown += [group.heading] if group.heading else []
        shown += [line.text for line in of_one_date]
    return "\n".join(shown)


def _unit(vector: Sequence[float]) -> list[float]:
    values = [float(value) for value in vector]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values] if length else values
