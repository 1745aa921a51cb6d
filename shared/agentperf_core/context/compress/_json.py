"""JSON read and written with its numbers letter for letter."""

from __future__ import annotations

import json
from typing import Any, cast

__all__ = ["Number", "dumps", "parsed"]


class Number(str):
    """A number as it was written: 1.10 stays 1.10, and an id of thirty digits keeps them all."""

    __slots__ = ()


_DECODER = json.JSONDecoder(
    parse_float=Number,
    parse_int=Number,
    parse_constant=Number,
)


def parsed(text: str) -> dict[str, Any] | list[Any] | None:
    r"""The object or list that a text is, or those of its lines; `None` if it is neither.

    Example:
        >>> parsed('{"price": 1.10}'), parsed("[1] is a footnote")
        ({'price': '1.10'}, None)
        >>> parsed('{"a": 1}\n{"a": 2}')
        [{'a': '1'}, {'a': '2'}]
    """
    stripped = text.strip()
    if stripped[:1] not in {"{", "["} or stripped[-1:] not in {"}", "]"}:
        return None
    try:
        return _DECODER.decode(stripped)
    except (ValueError, RecursionError):
        pass
    lines = [line for line in stripped.split("\n") if line.strip()]
    if len(lines) < 2:
        return None
    try:
        found = [_DECODER.decode(line.strip()) for line in lines]
    except (ValueError, RecursionError):
        return None
    return found if all(isinstance(one, dict) for one in found) else None


def dumps(value: object) -> str:
    """Compact JSON.

    Example:
        >>> dumps({"price": Number("1.10"), "name": "Miso", "to": None})
        '{"price":1.10,"name":"Miso","to":null}'
    """
    if isinstance(value, Number):
        return value
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return "{" + ",".join(f"{_quoted(key)}:{dumps(one)}" for key, one in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, cast("list[object]", value))) + "]"
    return _quoted(value)


_ESCAPED = json.JSONEncoder(ensure_ascii=True).encode
_PLAIN = json.JSONEncoder(ensure_ascii=False).encode


def _quoted(value: object) -> str:
    found = _PLAIN(value)
    if not found.isascii():
        try:
            found.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which nobody could send
            return _ESCAPED(value)
    return found
