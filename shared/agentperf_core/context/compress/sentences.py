"""A text as units that are kept or left out whole: sentences, blocks of code, tables, quotes.

Sentences end where their script ends them: `.` before a blank and a capital, `。` anywhere, `।`,
`؟`. Everything is a place in the text, so that what is kept is kept letter for letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Block", "Unit", "UnitKind", "blocks_of", "joined", "units_of_text"]

UnitKind: TypeAlias = Literal["prose", "code", "table", "quote"]


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of one kind.

    Attributes:
        kind: what they are.
        start: place of the first character.
        end: place behind the last one, line end excluded.
    """

    kind: UnitKind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Unit:
    """What is kept or left out as one.

    Attributes:
        kind: a sentence (or line) of prose, or a whole block.
        start: place of the first character.
        end: place behind the last one.
        paragraph: number of the paragraph that it is in.
    """

    kind: UnitKind
    start: int
    end: int
    paragraph: int


_FENCE = re.compile(r"\s{0,3}(```+|~~~+)")
_TABLE = re.compile(r"\s*\|.*\||[^|\n]+\|[^|\n]+\||[^\t\n]*\t[^\t\n]*\t")
_QUOTE = re.compile(r"\s{0,3}>")
_CODE_LINE = re.compile(
    r"(?:\s{4,}|\t)\S"
    r"|\s*(?:def|class|import|from\s\S+\simport|return|if\s.*:|for\s.*:|while\s.*:|else:|try:|except"
    r"|function|const|let|var|public|private|static|#include|@\w+)\b.*"
    r"|.*[{};]\s*$"
    r"|\s*[)\]}]+[,;]?\s*$"
    r"|\s*[\w.\[\]'\"]+\s*(?:=|\+=|:=)\s*\S.*"
)
_ITEM = re.compile(r"\s*(?:[-*+\u2022]|\(?\d{1,3}[.)]|#{1,6})\s")
_END = re.compile(
    r"(?<![.!?\u2026])[.!?\u2026]+[\"'\u201d\u2019\u00bb)\]]*(?=\s)"
    r"|[\u3002\uff01\uff1f\uff61]+[\u300d\u300f\u201d\uff09)]*"
    r"|[\u0964\u0965\u061f\u06d4\u104b\u17d4\u1362\u0589]+"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|cf|No|Nr|Fig|Vol|pp?|approx|Inc|Ltd|Co"
    r"|Gen|Gov|Sen|Rep|Rev|Lt|Col|Capt|Mt|bzw|z\.B|d\.h|ca|al|[A-Za-z])|\b[A-Z]\.[A-Z])\.\Z"
)
_OPENS = re.compile(r"\s*[\"'\u201c\u2018\u00ab(\[*_]*(\S)")


def blocks_of(text: str) -> list[Block]:
    r"""The blocks of a text, in order; blank lines belong to none.

    Example:
        >>> [block.kind for block in blocks_of("Run this:\n```\nls\n```\n> so be it")]
        ['prose', 'code', 'quote']
    """
    found: list[Block] = []
    fence = ""
    blank = True
    for start, end in _lines(text):
        line = text[start:end]
        mark = _FENCE.match(line)
        if fence:
            found[-1] = Block("code", found[-1].start, end)
            if mark and mark.group(1).startswith(fence) and not line.strip(" `~"):
                fence = ""
                blank = True
            continue
        if mark:
            fence = mark.group(1)
            found.append(Block("code", start, end))
            continue
        if not line.strip():
            blank = True
            continue
        kind = _kind_of(line, after_blank=blank, before=found[-1].kind if found else "prose")
        if found and found[-1].kind == kind and (not blank or kind == "code"):
            found[-1] = Block(kind, found[-1].start, end)
        else:
            found.append(Block(kind, start, end))
        blank = False
    return _merged(text, [_settled(text, block) for block in found])


def _kind_of(line: str, *, after_blank: bool, before: UnitKind) -> UnitKind:
    if _QUOTE.match(line):
        return "quote"
    if _TABLE.match(line):
        return "table"
    if _CODE_LINE.fullmatch(line) or (
        line[:1] in " \t" and _CODE_LINE.match(line) and (after_blank or before == "code")
    ):
        return "code"
    return "prose"


def _settled(text: str, block: Block) -> Block:
    """One line that looks like code or a table is prose that happens to."""
    body = text[block.start : block.end]
    if block.kind in {"code", "table"} and "\n" not in body and not _FENCE.match(body):
        return Block("prose", block.start, block.end)
    return block


def _merged(text: str, blocks: list[Block]) -> list[Block]:
    """Prose that one such line had cut in two is one block again."""
    found: list[Block] = []
    for block in blocks:
        before = found[-1] if found else None
        if (
            before is not None
            and before.kind == block.kind == "prose"
            and text[before.end : block.start].count("\n") == 1
        ):
            found[-1] = Block("prose", before.start, block.end)
        else:
            found.append(block)
    return found


def _lines(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, end
        start = end + 1


def units_of_text(text: str) -> list[Unit]:
    r"""The units of a text, in order; together they hold all of it but white space.

    Example:
        >>> text = "Dr. Li came. She left at 5 p.m. on Monday.\n\n好。很好。"
        >>> [text[unit.start : unit.end] for unit in units_of_text(text)]
        ['Dr. Li came.', 'She left at 5 p.m. on Monday.', '好。', '很好。']
    """
    found: list[Unit] = []
    paragraph, last = -1, 0
    for block in blocks_of(text):
        if paragraph < 0 or "\n" in text[last : block.start].replace("\n", "", 1):
            paragraph += 1
        last = block.end
        if block.kind != "prose":
            found.append(Unit(block.kind, block.start, block.end, paragraph))
            continue
        for start, end in _sentences(text, block.start, block.end):
            found.append(Unit("prose", start, end, paragraph))
    return found


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for first, last in _stretches(text, start, end):
        at = first
        for match in _END.finditer(text, first, last):
            if match.end() < last and not _ends(text, at, match):
                continue
            yield from _stripped(text, at, match.end())
            at = match.end()
        yield from _stripped(text, at, last)


def _stretches(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Lines of a block, joined where a sentence goes on over the line's end."""
    first = at = start
    for low, high in _lines(text[start:end]):
        line = text[start + low : start + high]
        opens = _OPENS.match(line)
        goes_on = opens is not None and opens.group(1).islower() and not _ITEM.match(line)
        if at > first and not goes_on:
            yield first, at
            first = start + low
        at = start + high
    if at > first:
        yield first, at


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    if match.group()[0] not in ".!?\u2026":
        return True
    following = _OPENS.match(text, match.end())
    if following is None:
        return True
    after = following.group(1)
    if after.islower():
        return False
    return not (
        match.group() == "."
        and _ABBREVIATION.search(text, max(start, match.end() - 12), match.end())
    )


def _stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end


def joined(text: str, units: list[Unit], *, gap: str = "") -> str:
    """What the units say, as it stands in the text; where something is left out, `gap`.

    Args:
        text: the text that they are of.
        units: some of its units, in order.
        gap: put where units are left out between two, such as `" [...]"`.
    """
    parts: list[str] = []
    last: Unit | None = None
    for unit in units:
        if last is not None:
            between = text[last.end : unit.start]
            if between.strip():  # something was left out
                lines = 2 if last.paragraph != unit.paragraph else int("\n" in between)
                dense = ord(text[last.end - 1]) >= 0x3000
                between = gap + ("\n" * lines or ("" if dense else " "))
            parts.append(between)
        parts.append(text[unit.start : unit.end])
        last = unit
    return "".join(parts)
