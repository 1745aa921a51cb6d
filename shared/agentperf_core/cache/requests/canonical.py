"""One byte string per meaning, for everything that goes into a key."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, cast

import orjson

__all__ = ["Fixed", "Unkeyable", "canonical", "check_finite"]

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


class Fixed(dict[str, Any]):
    """Plain data that nobody changes any more, so that its canonical form is made once.

    For the identities of models, which are the same from call to call.

    Args:
        values: the data.

    Example:
        >>> Fixed({"model": "m"}).form
        b'{"model":"m"}'
    """

    __slots__ = ("_form",)

    @property
    def form(self) -> bytes:
        """Its canonical form; `Unkeyable` if it has none."""
        try:
            return self._form
        except AttributeError:
            self._form = canonical(self)
            return self._form


class Unkeyable(Exception):  # noqa: N818 - no error: the request just bypasses the cache
    """A part of the request has no canonical form, so the request must not be cached."""


def canonical(value: object) -> bytes:
    """One byte string per meaning: sorted keys, schemas instead of class names, no addresses.

    Pydantic classes become their JSON schema (two classes of one name stay apart), pydantic values
    their fields, sets sorted lists.

    Raises:
        Unkeyable: for what has no canonical form, such as functions, open connections, NaN and
            infinity.

    Example:
        >>> canonical({"b": 1, "a": [True, None]})
        b'{"a":[true,null],"b":1}'
    """
    try:
        found = orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError as error:  # orjson.JSONEncodeError is a TypeError
        cause = error.__cause__
        raise Unkeyable(str(cause if isinstance(cause, Unkeyable) else error)) from error
    # orjson writes NaN as null: a temperature of NaN would share the key of no temperature.
    if b"null" in found:
        check_finite((value,))
    return found


_SIMPLE = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str})


def check_finite(values: Iterable[object]) -> None:
    """Look for numbers that JSON cannot say, at any depth.

    Raises:
        Unkeyable: for NaN and infinity.
    """
    for value in values:
        kind = type(value)
        if kind in _SIMPLE:
            continue
        if isinstance(value, float):
            if not math.isfinite(value):
                msg = f"the number {value!r} has no canonical form"
                raise Unkeyable(msg)
        elif isinstance(value, dict):
            mapping = cast("dict[object, object]", value)
            check_finite(mapping.values())
            if not _TEXT.issuperset(map(type, mapping)):
                check_finite(mapping)
        elif isinstance(value, list | tuple):
            check_finite(cast("Iterable[object]", value))
        else:
            check_finite(_inside(value))


def _inside(value: object) -> Iterable[object]:
    """What orjson or `_plain` makes of a value that is not of JSON's own types."""
    if isinstance(value, Enum):
        return (value.value,)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, part.name) for part in fields(value)]
    try:
        return (_plain(value),)
    except TypeError:  # a date, a UUID, a class of strings: orjson knows it
        return ()


def _plain(value: object) -> object:
    schema: Callable[[], object] | None = getattr(value, "model_json_schema", None)
    if isinstance(value, type):
        if schema is None:
            msg = f"class {value.__qualname__} has no JSON schema"
            raise TypeError(msg)
        return {"schema": schema()}
    dump: Callable[..., Any] | None = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, (set, frozenset)):
        members = cast("Iterable[object]", value)
        return sorted(canonical(member).decode() for member in members)
    if isinstance(value, (bytes, bytearray)):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    msg = f"a value of type {type(value).__qualname__} has no canonical form"
    raise TypeError(msg)
