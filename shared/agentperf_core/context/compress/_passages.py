"""The units of several texts in one row, and texts of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.compress._long import Look
from agentperf_core.context.compress.records import Reduced, Removed, Task
from agentperf_core.context.compress.sentences import Unit, joined, units_of_text

__all__ = ["Passages", "cut_short", "only_part", "passages_of", "removed_of", "texts_of"]


@dataclass(slots=True)
class Passages:
    """The units of several texts in one row.

    Attributes:
        texts: the texts.
        units: their units, in order.
        owners: the text that each unit is of.
        says: what each unit says.
        paragraphs: the paragraph that each unit is in, counted over all texts.
        costs: tokens of each unit.
    """

    texts: list[str]
    units: list[Unit]
    owners: list[int]
    says: list[str]
    paragraphs: list[int]
    costs: list[int]


def passages_of(tasks: Sequence[Task], look: Look) -> Passages:
    """The units of the texts, as far as they are looked at, with what each costs."""
    found = Passages([task.text for task in tasks], [], [], [], [], [])
    paragraph = 0
    spans = look.spans(len(tasks))
    for owner, task in enumerate(tasks):
        for start, end in spans[owner]:
            units = units_of_text(task.text[start:end])
            for unit in units:
                number = paragraph + unit.paragraph
                found.units.append(Unit(unit.kind, start + unit.start, start + unit.end, number))
                found.owners.append(owner)
                found.says.append(task.text[start + unit.start : start + unit.end])
                found.paragraphs.append(number)
                # With the blank before it, which is part of its first token.
                found.costs.append(task.counter.count_text(" " + found.says[-1]))
            paragraph += units[-1].paragraph + 1 if units else 0
    return found


def removed_of(passages: Passages, order: Sequence[int], owner: int) -> tuple[Removed, ...]:
    """What was left out of one of the texts."""
    kept = set(order)
    pieces: dict[str, list[str]] = {}
    for at, unit in enumerate(passages.units):
        if passages.owners[at] == owner and at not in kept:
            kind = "sentence" if unit.kind == "prose" else unit.kind
            pieces.setdefault(kind, []).append(passages.says[at])
    return tuple(Removed(kind, tuple(some)) for kind, some in pieces.items())


def only_part(
    passages: Passages, worth: Sequence[float], tokens: int, counter: TokenCounter
) -> list[Reduced]:
    """Where not even one unit fits: the beginning of the best."""
    best = max(range(len(worth)), key=worth.__getitem__, default=None)
    found: list[Reduced] = []
    for owner in range(len(passages.texts)):
        mine = best is not None and passages.owners[best] == owner
        text = cut_short(passages.says[best], tokens, counter) if mine and best is not None else ""
        found.append(Reduced(text, removed_of(passages, [], owner)))
    return found


def cut_short(text: str, tokens: int, counter: TokenCounter, *, marker: str = " [...]") -> str:
    """The beginning of a text with a marker behind it, cut at a blank where there is one.

    Example:
        >>> words = TokenCounter(lambda text: len(text.split()))
        >>> cut_short("one two three four", 3, words)
        'one two [...]'
    """
    if counter.count_text(text) <= tokens:
        return text
    low, high = 0, min(len(text), max(tokens, 0) * 16)
    while low < high:
        middle = (low + high + 1) // 2
        if counter.count_text(text[:middle] + marker) <= tokens:
            low = middle
        else:
            high = middle - 1
    head = text[:low]
    blank = head.rfind(" ")
    if low < len(text) and not text[low].isspace() and blank > low // 2:
        head = head[:blank]
    found = head.rstrip() + marker if head.strip() else ""
    return found if counter.count_text(found) <= tokens else ""


def texts_of(passages: Passages, order: Sequence[int], *, gap: str = "") -> list[str]:
    """What each text is, of the units at some places."""
    kept: list[list[Unit]] = [[] for _ in passages.texts]
    for at in sorted(order):
        kept[passages.owners[at]].append(passages.units[at])
    return [joined(text, units, gap=gap) for text, units in zip(passages.texts, kept, strict=True)]
