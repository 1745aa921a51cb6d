"""A JSON value within limits: fewer rows, shorter strings, shallower values, each with its mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from agentperf_core.context.compress._json import Number, dumps
from agentperf_core.context.compress._long import asked, glanced
from agentperf_core.context.compress.records import Removed
from agentperf_core.context.lexical import LexicalIndex

__all__ = ["Limited", "Limits", "Rows", "limited"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a value is kept.

    Attributes:
        string: characters of a string.
        rows: share of the rows of a list, between 0 and 1.
        depth: how deep values may be nested.
        fewest: rows of a list that stay in any case.
    """

    string: int
    rows: float
    depth: int
    fewest: int = 2


@dataclass(slots=True)
class Limited:
    """A value within limits and what was left out of it.

    Attributes:
        value: valid JSON data.
        rows: the rows that were left out.
        strings: the ends of strings.
        values: what deep values looked like.
    """

    value: Any = None
    rows: list[str] = field(default_factory=list[str])
    strings: list[str] = field(default_factory=list[str])
    values: list[str] = field(default_factory=list[str])

    @property
    def removed(self) -> list[Removed]:
        """The same as records."""
        kinds = (("row", self.rows), ("string end", self.strings), ("value", self.values))
        return [Removed(kind, tuple(some)) for kind, some in kinds if some]


class Rows:
    """Which rows of which list come first for a query; worked out once per list.

    Args:
        query: what is asked; without it, the first ones do.
        long: whether there are too many for more than a quick look.

    Example:
        >>> limited([1, 2, 3, 4], Limits(10, 0.5, 3), Rows("")).value
        [1, 2, '[2 of 4 rows left out]']
    """

    def __init__(self, query: str, *, long: bool = False) -> None:
        self._query = asked(query)
        self._long = long
        self._orders: dict[int, list[int]] = {}

    def order(self, rows: list[Any]) -> Sequence[int]:
        """The places of the rows, those that answer the query first, then the first ones."""
        if not self._query:
            return range(len(rows))
        found = self._orders.get(id(rows))
        if found is None:
            scores = self._scores([_words(row) for row in rows])
            found = sorted(range(len(rows)), key=lambda at: -scores[at])
            self._orders[id(rows)] = found
        return found

    def _scores(self, texts: list[str]) -> list[float]:
        if self._long:
            return glanced(texts, self._query)
        index = LexicalIndex(neighbours=0.0)
        for text in texts:
            index.add(text)
        return index.scores(self._query)


def limited(value: Any, limits: Limits, rows: Rows, *, noting: bool = True) -> Limited:
    """The value within limits.

    Args:
        value: valid JSON data.
        limits: how much of it is kept.
        rows: which rows come first.
        noting: whether what is left out is written down, which takes as long as writing all of it.
    """
    found = Limited()
    found.value = _Limiting(limits, rows, found, noting=noting).of(value, limits.depth)
    return found


class _Limiting:
    def __init__(self, limits: Limits, rows: Rows, found: Limited, *, noting: bool) -> None:
        self._noting = noting
        self._limits = limits
        self._rows = rows
        self._found = found

    def of(self, value: Any, depth: int) -> Any:
        if isinstance(value, Number):
            return value
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, dict):
            return self._object(cast("dict[str, Any]", value), depth)
        if isinstance(value, list):
            rows = cast("list[Any]", value)
            if depth <= 0 and rows:
                return self._outline(f"[{len(rows)} items]", rows)
            kept = self._kept(rows)
            found = [self.of(rows[at], depth - 1) for at in kept]
            if len(kept) < len(rows):
                found.append(f"[{len(rows) - len(kept)} of {len(rows)} rows left out]")
            return found
        return value

    def _object(self, value: dict[str, Any], depth: int) -> Any:
        if depth <= 0 and value:
            return self._outline(f"{{{len(value)} keys}}", value)
        if list(value) != ["columns", "rows"] or not isinstance(value["rows"], list):
            return {key: self.of(one, depth - 1) for key, one in value.items()}
        rows = cast("list[Any]", value["rows"])
        kept = self._kept(rows)
        # A row of a column form is as deep as the object that it was.
        found = {"columns": value["columns"], "rows": [self._row(rows[at], depth) for at in kept]}
        if len(kept) < len(rows):
            found["left_out"] = f"{len(rows) - len(kept)} of {len(rows)} rows"
        return found

    def _row(self, row: Any, depth: int) -> Any:
        if not isinstance(row, list):
            return self.of(row, depth - 1)
        return [self.of(one, depth - 2) for one in cast("list[Any]", row)]

    def _outline(self, mark: str, value: Any) -> str:
        if self._noting:
            self._found.values.append(dumps(value))
        return mark

    def _string(self, text: str) -> str:
        most = self._limits.string
        if len(text) <= most + 40:  # the mark is that long itself
            return text
        self._found.strings.append(text[most:])
        return f"{text[:most]}[... {len(text) - most:,} characters left out]"

    def _kept(self, rows: list[Any]) -> list[int]:
        """Places of the rows to keep."""
        count = max(int(len(rows) * self._limits.rows), min(self._limits.fewest, len(rows)))
        if count >= len(rows):
            return list(range(len(rows)))
        order = self._rows.order(rows)
        kept = sorted(order[:count])
        if not self._noting:
            return kept
        chosen = set(kept)
        self._found.rows += [dumps(row) for at, row in enumerate(rows) if at not in chosen]
        return kept


def _words(row: Any) -> str:
    return dumps(row).replace("_", " ")
