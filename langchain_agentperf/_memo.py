"""Results kept per object, for objects without a hash (LangChain's tools are pydantic models)."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["ObjectMemo"]


class _Known(NamedTuple):
    ref: weakref.ref[Any]
    made_from: object
    result: bytes


class ObjectMemo:
    """Remembers one result per living object, as long as what it was made from stays equal.

    Example:
        >>> class Tool:
        ...     description = "Adds numbers."
        >>> memo, tool = ObjectMemo(), Tool()
        >>> memo.get(tool, tool.description, lambda: b"made")
        b'made'
        >>> memo.get(tool, tool.description, lambda: b"not made again")
        b'made'
    """

    def __init__(self) -> None:
        # By id: the weak reference tells whether the id still means the same object.
        self._known: dict[int, _Known] = {}

    def get(self, thing: object, made_from: object, make: Callable[[], bytes]) -> bytes:
        """The remembered result, or the one that `make` gives now."""
        key = id(thing)
        known = self._known.get(key)
        if known is not None and known.ref() is thing and known.made_from == made_from:
            return known.result
        result = make()
        self._known[key] = _Known(weakref.ref(thing, self._forget(key)), made_from, result)
        return result

    def __len__(self) -> int:
        return len(self._known)

    def _forget(self, key: int) -> Callable[[weakref.ref[Any]], None]:
        def forget(ref: weakref.ref[Any]) -> None:
            known = self._known.get(key)
            if known is not None and known.ref is ref:  # else the id belongs to a new object
                del self._known[key]

        return forget
