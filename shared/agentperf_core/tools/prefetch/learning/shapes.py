"""What values of one argument look like: `[a-z]+_[a-z]+_[0-9]{4}` for ids such as `mia_li_3668`.

A rule needs it to find such a value in a text, where no path leads to it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import groupby

__all__ = ["shape_of"]

_FEWEST = 3  # different values: fewer say nothing of the next one
_SHARE = 0.9  # of the values that must have the shape: models invent some
_LONGEST = 80
_ANY = r"[\w.-]"
# Kinds of characters that are told apart, from fine to coarse. Others stand for themselves.
_KINDS = (
    ("[0-9]", "[a-z]", "[A-Z]"),
    ("[a-z]", "[A-Z0-9]"),
    ("[a-z0-9]", "[A-Z]"),
    ("[A-Za-z0-9]",),
    (_ANY,),
)


def shape_of(values: Iterable[object]) -> str | None:
    r"""A pattern for texts like these; `None` if they have little in common.

    Example:
        >>> shape_of(["mia_li_3668", "omar_davis_3817", "raj_brown_5782"])
        '(?<!\\w)[a-z]+_[a-z]+_[0-9]{4}(?!\\w)'
    """
    texts = {value for value in values if isinstance(value, str) and 0 < len(value) <= _LONGEST}
    if len(texts) < _FEWEST:
        return None
    for kinds in _KINDS:
        found = {text: _parts(text, kinds) for text in texts}
        shapes = Counter(_names(parts) for parts in found.values())
        shape, count = shapes.most_common(1)[0]
        if count >= _SHARE * len(texts) and (kinds != (_ANY,) or set(shape) - {_ANY}):
            alike = [text for text in texts if _names(found[text]) == shape]
            # Without this, a pattern of ids in capitals finds every word in capitals.
            mixed = kinds not in {_KINDS[0], (_ANY,)}
            digit = mixed and all(re.search("[0-9]", text) for text in alike)
            return _pattern([found[text] for text in alike], digit=digit)
    return None


def _parts(text: str, kinds: tuple[str, ...]) -> list[tuple[str, int]]:
    """Kinds of characters, one after the other, each with how many there are."""
    found = (next((k for k in kinds if re.match(k, c)), re.escape(c)) for c in text)
    return [(kind, len(list(group))) for kind, group in groupby(found)]


def _names(parts: list[tuple[str, int]]) -> tuple[str, ...]:
    return tuple(kind for kind, _ in parts)


def _pattern(alike: list[list[tuple[str, int]]], *, digit: bool) -> str:
    written = [r"(?=\S*[0-9])"] if digit else []
    for column in zip(*alike, strict=True):
        if column[0][0] == _ANY:
            written.append(rf"{_ANY}*\w")  # a dot at its end is that of a sentence
            continue
        lengths = {length for _, length in column}
        often = f"{{{lengths.pop()}}}" if len(lengths) == 1 else "+"
        written.append(column[0][0] + ("" if often == "{1}" else often))
    return f"(?<!\\w){''.join(written)}(?!\\w)"
