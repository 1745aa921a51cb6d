"""References in the arguments of a plan: `"$id.path"` stands for what another call gives.

- A string that is one reference stands for the value itself, of whatever type: `"$user"`,
  `"$user.city"`, `"$orders.items[0].id"`, `"$orders.items[-1]"`, `'$user["first name"]'`, with
  braces if you like: `"${user.city}"`.
- Inside a longer string only the form with braces is a reference, and its value is put in as text,
  as JSON if it is none: `"weather in ${user.city} tomorrow"`.
- `$$` before one is a dollar sign: `"$$user"` is the text `$user`, `"$$${item.price}"` is the price
  after a dollar sign. Any other dollar sign is itself: `"US$ 5"`, `"$5,000"`.

Names of calls and fields are letters, digits, `_` and `-`; other fields stand in brackets. Keys of
dictionaries are never references.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, TypeAlias, cast

import orjson

__all__ = ["MissingPathError", "Reference", "literal", "references", "resolved", "unresolved"]

_STEP = r"""\.[\w-]+|\[-?\d+\]|\["[^"]*"\]"""
_BODY = rf"[\w-]+(?:{_STEP})*"
_BARE = re.compile(rf"(\$+)({_BODY})")
_BRACED = re.compile(rf"(\$+)\{{({_BODY})\}}")
_STEPS = re.compile(_STEP)
_SHOWN = 20  # keys that a message lists

Path: TypeAlias = tuple[str | int, ...]


class MissingPathError(LookupError):
    """A reference leads to nothing."""


class Reference(NamedTuple):
    """A place in the result of a call.

    Attributes:
        call: id of the call.
        path: keys and indices, from the outside.
        text: how it was written, without the dollar sign.
    """

    call: str
    path: Path
    text: str


def references(arguments: object) -> Iterator[Reference]:
    """All references in arguments, at any depth.

    Example:
        >>> [found.call for found in references({"to": "$user.mail", "text": ["${a}, ${b[0]}"]})]
        ['user', 'a', 'b']
    """
    found: list[Reference] = []

    def collect(text: str) -> None:
        found.extend(part for part in _parts(text) if isinstance(part, Reference))

    _walk(arguments, collect)
    return iter(found)


def resolved(arguments: Mapping[str, Any], value_of: Callable[[str], Any]) -> dict[str, Any]:
    """The arguments with values in place of references.

    Args:
        arguments: as they stand in the plan.
        value_of: the plain JSON value of a call's result, by its id.

    Raises:
        MissingPathError: if a value has no such part.

    Example:
        >>> user = {"name": "Ada", "orders": [7, 9]}
        >>> resolved({"order": "$u.orders[-1]", "text": "for ${u.name}"}, lambda _: user)
        {'order': 9, 'text': 'for Ada'}
    """
    return _walk(arguments, lambda text: _filled(text, value_of))


def unresolved(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of arguments before any call is made: `None` in place of references."""

    def known(text: str) -> str | None:
        parts = _parts(text)
        return None if len(parts) > 1 else cast("str", parts[0])

    return _walk(arguments, known)


def literal(value: Any) -> Any:
    """A value as it has to stand in a plan, so that no text in it is a reference.

    Example:
        >>> literal({"text": "pay $5 to $user", "to": ["$user"]})
        {'text': 'pay $5 to $user', 'to': ['$$user']}
    """
    return _walk(value, _literal)


def _literal(text: str) -> str:
    if _BARE.fullmatch(text):
        return _doubled(text)
    return _BRACED.sub(lambda found: _doubled(found.group()), text)


def _doubled(text: str) -> str:
    return "$" * (len(text) - len(text.lstrip("$"))) + text


def _walk(value: Any, of_text: Callable[[str], Any]) -> Any:
    if isinstance(value, str):
        return of_text(value)
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        return {key: _walk(fields[key], of_text) for key in fields}
    if isinstance(value, (list, tuple)):
        return [_walk(item, of_text) for item in cast("Sequence[Any]", value)]
    return value


def _parts(text: str) -> list[str | Reference]:
    """Text and references in turn; one part for a text without references."""
    if "$" not in text:
        return [text]
    parts: list[str | Reference] = []
    whole = _BARE.fullmatch(text)
    before, at = "", 0
    for found in (whole,) if whole else _BRACED.finditer(text):
        dollars, body = found.groups()
        before += text[at : found.start()] + "$" * (len(dollars) // 2)
        at = found.end()
        if len(dollars) % 2:
            parts += (before, _reference(body))
            before = ""
        else:
            before += text[found.end(1) : at]
    return [*parts, before + text[at:]]


def _reference(body: str) -> Reference:
    steps = list(_STEPS.finditer(body))
    call = body[: steps[0].start()] if steps else body
    return Reference(call, tuple(_step(step.group()) for step in steps), body)


def _step(text: str) -> str | int:
    if text.startswith("."):
        return text[1:]
    inner = text[1:-1]
    return inner[1:-1] if inner.startswith('"') else int(inner)


def _filled(text: str, value_of: Callable[[str], Any]) -> Any:
    parts = _parts(text)
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 3 and isinstance(parts[1], Reference) and not parts[0] and not parts[2]:
        # A copy: a tool that changes its arguments must not change what another call is given.
        return deepcopy(_at(parts[1], value_of))
    return "".join(
        _text(_at(part, value_of)) if isinstance(part, Reference) else part for part in parts
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _at(reference: Reference, value_of: Callable[[str], Any]) -> Any:
    value = value_of(reference.call)
    for depth, step in enumerate(reference.path):
        try:
            value = _part(value, step)
        except LookupError as error:
            at = "".join(f"[{key!r}]" for key in reference.path[:depth])
            where = f"{at} in the result of {reference.call!r}" if at else "the result"
            msg = f"'${reference.text}' leads to nothing: {where} {error.args[0]}"
            raise MissingPathError(msg) from error
    return value


def _part(value: Any, step: str | int) -> Any:
    """What is there at one step.

    Raises:
        LookupError: says what there is instead.
    """
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        key = str(step)
        if key in fields:
            return fields[key]
        keys = [str(name) for name in fields]
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        raise LookupError(f"has the keys {keys[:_SHOWN]}{more}, not {key!r}")
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        index = int(step) if isinstance(step, int) or step.isdecimal() else None
        if index is not None and -len(items) <= index < len(items):
            return items[index]
        raise LookupError(f"is a list of {len(items)}, which has no {step!r}")
    kind = "null" if value is None else type(value).__name__
    raise LookupError(f"is a {kind}, which has no parts, not {step!r} either")
