"""What tools return, as the plain JSON values that references of a plan lead into."""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["plain_value"]


def plain_value(value: Any) -> Any:
    """A value as plain JSON; a text that holds an object or a list is read.

    Dataclasses, models of pydantic, dates and ids become what they are in JSON. Other text stays
    text, also `"42"`: whoever is given it reads it as its own schema says.

    Raises:
        TypeError: if it has no JSON form.

    Example:
        >>> plain_value('{"id": 7}'), plain_value("42"), plain_value((1, 2))
        ({'id': 7}, '42', [1, 2])
    """
    if not isinstance(value, str):
        return orjson.loads(orjson.dumps(value, default=_fields, option=orjson.OPT_NON_STR_KEYS))
    if value.lstrip()[:1] in {"{", "["}:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            pass
    return value


def _fields(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if not callable(dump):
        raise TypeError(type(value).__name__)
    return dump(mode="json")
