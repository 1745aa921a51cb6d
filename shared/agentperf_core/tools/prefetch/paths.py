"""Paths into plain JSON: `reservations[]`, `flights[].date`, `prices.economy`, `["odd key"][0]`.

`[]` means each element of a list, or each value of an object whose keys are data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import orjson

from agentperf_core.errors import ConfigError

__all__ = ["Part", "Path", "Place", "canonical", "plain"]

EACH = None
Part: TypeAlias = str | int | None
"""A key, an index, or `EACH`."""
Place: TypeAlias = Mapping[tuple[Part, ...], int | str]
"""Which element each `[]` of a path stood for, by the path up to there."""

_NOWHERE: Place = {}
_PART = re.compile(r'\.?([^\W\d][\w-]*)|\[\]|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]')
_WORD = re.compile(r"[^\W\d][\w-]*")


@dataclass(frozen=True, slots=True)
class Path:
    """Where in a value something is.

    Example:
        >>> path = Path.parse("flights[].date")
        >>> [found for _, found in path.find({"flights": [{"date": "May 1"}, {"date": "May 2"}]})]
        ['May 1', 'May 2']
        >>> str(path)
        'flights[].date'
    """

    parts: tuple[Part, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read a path; the empty text is the whole value.

        Raises:
            ConfigError: if it is none.
        """
        parts: list[Part] = []
        at = 0
        while at < len(text):
            match = _PART.match(text, at)
            if match is None or (match[0].startswith(".") and not parts):
                msg = f"a path looks like 'a.b[].c', got {text!r}; see {text[at:]!r} in it"
                raise ConfigError(msg)
            parts.append(_part(match))
            at = match.end()
        return cls(tuple(parts))

    def __str__(self) -> str:
        return "".join(_text(part) for part in self.parts).removeprefix(".")

    @property
    def several(self) -> bool:
        """Whether it may lead to more than one place."""
        return EACH in self.parts

    def find(self, value: object) -> Iterator[tuple[Place, Any]]:
        """What it leads to, and to which elements; nothing where the value has another shape."""
        yield from _find(value, self.parts, 0, _NOWHERE)


def _find(
    value: object, parts: tuple[Part, ...], at: int, place: Place
) -> Iterator[tuple[Place, Any]]:
    if at == len(parts):
        yield place, value
        return
    part = parts[at]
    if part is EACH:
        for index, found in _elements(value):
            inside = {**place, parts[: at + 1]: index}
            yield from _find(found, parts, at + 1, inside)
    elif isinstance(part, int):
        found = cast("list[object]", value) if isinstance(value, list) else []
        if part < len(found):
            yield from _find(found[part], parts, at + 1, place)
    elif isinstance(value, Mapping) and part in value:
        yield from _find(cast("Mapping[Part, object]", value)[part], parts, at + 1, place)


def _elements(value: object) -> Iterator[tuple[int | str, object]]:
    if isinstance(value, list):
        yield from enumerate(cast("list[object]", value))
    elif isinstance(value, Mapping):
        yield from cast("Mapping[str, object]", value).items()


def _part(match: re.Match[str]) -> Part:
    if match[1] is not None:
        return match[1]
    if match[2] is not None:
        return int(match[2])
    return str(orjson.loads(match[3])) if match[3] is not None else EACH


def _text(part: Part) -> str:
    if part is None:
        return "[]"
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _WORD.fullmatch(part) else f"[{orjson.dumps(part).decode()}]"


def canonical(value: object) -> bytes:
    """One byte string per JSON value, whatever the order of its keys.

    Raises:
        TypeError: if the value is not plain JSON data.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def plain(text: object) -> Any:
    """What a tool said, as plain data: JSON text as its value, another text as it is.

    Example:
        >>> plain('{"id": 7}'), plain("not found")
        ({'id': 7}, 'not found')
    """
    if isinstance(text, str):
        text = str(text)  # frameworks have classes of texts, which the parser refuses
    if not isinstance(text, str | bytes) or text[:1] not in ("{", "[", b"{", b"["):
        return text
    try:
        return orjson.loads(text)
    except ValueError:
        return text
