"""Results kept per object, for objects without a hash (LangChain's tools are pydantic models)."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["ObjectMemo"]


T = TypeVar("T")


class _Known(NamedTuple, Generic[T]):
    ref: weakref.ref[Any]
    made_from: object
    result: T


class ObjectMemo(Generic[T]):
    """Remembers one result per living object, as long as what it was made from stays equal.

    Example:
        >>> class Tool:
        ...     description = "Adds numbers."
        >>> memo, tool = ObjectMemo[bytes](), Tool()
        >>> memo.get(tool, tool.description, lambda: b"made")
        b'made'
        >>> memo.get(tool, tool.description, lambda: b"not made again")
        b'made'
    """

    def __init__(self) -> None:
        # By id: the weak reference tells whether the id still means the same object.
        self._known: dict[int, _Known[T]] = {}

    def get(self, thing: object, made_from: object, make: Callable[[], T]) -> T:
        """The remembered result, or the one that `make` gives now."""
        known = self.known(thing, made_from)
        if known is not None:
            return known
        result = make()
        self.keep(thing, made_from, result)
        return result

    def known(self, thing: object, made_from: object) -> T | None:
        """The remembered result, `None` if there is none."""
        known = self._known.get(id(thing))
        if known is not None and known[0]() is thing and known[1] == made_from:
            return known[2]
        return None

    def keep(self, thing: object, made_from: object, result: T) -> None:
        """Remember a result; `made_from` must not change any more."""
        key = id(thing)
        self._known[key] = _Known(weakref.ref(thing, self._forget(key)), made_from, result)

    def __len__(self) -> int:
        return len(self._known)

    def _forget(self, key: int) -> Callable[[weakref.ref[Any]], None]:
        def forget(ref: weakref.ref[Any]) -> None:
            known = self._known.get(key)
            if known is not None and known.ref is ref:  # else the id belongs to a new object
                del self._known[key]

        return forget
