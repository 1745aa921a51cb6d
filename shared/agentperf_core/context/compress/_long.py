"""Texts that are too long to be read closely: a quick look finds the passages that are.

Reading a text closely (units, stems, likeness) costs 4 us of CPU per character, in scripts without
blanks 8, so that ten megabytes took 50 s. No question needs that: passages are ranked by how often
the words of the question stand in them, which costs 0.01 us, and only the best are read closely.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agentperf_core.context.compress.records import Reduced, Removed, Task
from agentperf_core.context.compress.sentences import Unit, joined
from agentperf_core.context.lexical import terms_of

__all__ = ["LONGEST", "Look", "asked", "glanced", "looked_at", "taken_whole", "unread"]

LONGEST = 250_000
"""Characters that are read closely at once: 1 s of CPU, 2 s in scripts without blanks. Pages, files
and search results of agents are smaller, so that nothing changes for them."""

_PASSAGE = 2_000  # characters, some twenty lines: small enough that most of one is to the point
_QUERY = 10_000  # characters of a question; what is longer is a document with one at an end of it
_TERMS = 32  # of a question, that a quick look counts
_SAMPLES = 32  # passages that tell how many tokens a character has


@dataclass(frozen=True, slots=True)
class Look:
    """What a quick look at several texts chose.

    Attributes:
        places: the passages to read, each as its text's number, start and end; the best first.
        degraded: what was done without, as one sentence; empty if everything is read closely.
        whole: whether the passages are taken as they are, as there is room for more of them than
            can be read closely.
    """

    places: list[tuple[int, int, int]]
    degraded: str = ""
    whole: bool = False

    def spans(self, count: int) -> list[list[tuple[int, int]]]:
        """Start and end of the passages of each of so many texts, in its order."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        for owner, start, end in sorted(self.places):
            found[owner].append((start, end))
        return found


def unread(spans: Sequence[tuple[int, int]], length: int) -> tuple[Removed, ...]:
    """Which stretches of a text no passage holds: places, for the words may be megabytes.

    Example:
        >>> unread([(0, 10), (30, 60)], 60)[0].pieces
        ('characters 10 to 30',)
    """
    found: list[str] = []
    last = 0
    for start, end in [*spans, (length, length)]:
        if start > last:
            found.append(f"characters {last:,} to {start:,}")
        last = end
    return (Removed("passage", tuple(found)),) if found else ()


def asked(query: str) -> str:
    """The question, or the two ends of one that is a document."""
    if len(query) <= _QUERY:
        return query
    half = _QUERY // 2
    return f"{query[:half]}\n{query[-half:]}"


def glanced(texts: Iterable[str], query: str) -> list[float]:
    """How much of the question stands in each text, rare words more; 0 for none of it.

    Example:
        >>> glanced(["We sell shoes.", "Returns take 30 days.", "Snow fell."], "Any return?")[0]
        0.0
    """
    lowered = [text.lower() for text in texts]
    scores = [0.0] * len(lowered)
    for term in list(dict.fromkeys(terms_of(asked(query))))[:_TERMS]:
        # The stem of "happy" is "happi", which does not stand in it.
        stem = term[:-1] if term.endswith("i") and len(term) > 3 else term
        times = [text.count(stem) for text in lowered]
        holding = len(times) - times.count(0)
        rare = math.log(1 + (len(times) - holding + 0.5) / (holding + 0.5))
        for at, count in enumerate(times):
            if count:
                scores[at] += rare * count / (count + 1)
    return scores


def looked_at(tasks: Sequence[Task], tokens: int) -> Look:
    """The passages of the texts that are worth reading closely, all of them where they are few."""
    size = sum(len(task.text) for task in tasks)
    if size <= LONGEST:
        return Look([(owner, 0, len(task.text)) for owner, task in enumerate(tasks)])
    places = [(owner, *span) for owner, task in enumerate(tasks) for span in _cut(task.text)]
    texts = [tasks[owner].text[start:end] for owner, start, end in places]
    # In proportion: a tokenizer takes seconds for all of it.
    samples = texts[:: max(len(texts) // _SAMPLES, 1)]
    cost = sum(map(tasks[0].counter.count_text, samples))
    room = tokens * sum(map(len, samples)) / max(cost, 1)
    whole = room > LONGEST
    room = room if whole else LONGEST
    chosen: list[tuple[int, int, int]] = []
    for at in _ranked(glanced(texts, tasks[0].query)):
        room -= len(texts[at])
        if room < 0:
            break
        chosen.append(places[at])
    how = "whole passages were kept" if whole else f"only {LONGEST:,} of them were read closely"
    reason = f"{size:,} characters are too many to read closely, so that {how}, the best by a count"
    return Look(chosen, f"{reason} of the words of the question", whole)


def taken_whole(tasks: Sequence[Task], look: Look, tokens: int, *, gap: str) -> list[Reduced]:
    """The texts that a look's passages are, without the last ones where they are still too many."""
    count = tasks[0].counter.count_text
    while True:
        spans = look.spans(len(tasks))
        texts = [_of(task.text, some, gap) for task, some in zip(tasks, spans, strict=True)]
        cost = sum(count(text) for text in texts if text)
        if cost <= tokens:
            break
        # In proportion, and a little less, so that few rounds are needed.
        fewer = look.places[: int(len(look.places) * tokens / cost * 0.99)]
        look = replace(look, places=fewer)
    return [
        Reduced(text, unread(some, len(task.text)), degraded=look.degraded)
        for task, text, some in zip(tasks, texts, spans, strict=True)
    ]


def _of(text: str, spans: Sequence[tuple[int, int]], gap: str) -> str:
    units = [Unit("prose", start, end, at) for at, (start, end) in enumerate(spans)]
    return joined(text, units, gap=gap)


def _cut(text: str) -> list[tuple[int, int]]:
    """Passages of a text: cut at a line's end, else at a blank, else anywhere."""
    found: list[tuple[int, int]] = []
    start = 0
    while len(text) - start > _PASSAGE:
        least, most = start + _PASSAGE // 2, start + _PASSAGE
        end = text.rfind("\n", least, most) + 1 or text.rfind(" ", least, most) + 1 or most
        found.append((start, end))
        start = end
    return [*found, (start, len(text))]


def _ranked(scores: Sequence[float]) -> list[int]:
    """The places with a score, the best first, then the others: both ends, then evenly between."""
    hits = [at for at, score in enumerate(scores) if score > 0]
    hits.sort(key=lambda at: -scores[at])
    others = [at for at, score in enumerate(scores) if score <= 0]
    bits = max(len(others) - 1, 1).bit_length()

    def spread(at: int) -> tuple[bool, int]:
        # Counting with the bits turned round halves the widest gap again and again.
        return at not in {0, len(others) - 1}, int(f"{at:0{bits}b}"[::-1], 2)

    return hits + [others[at] for at in sorted(range(len(others)), key=spread)]
