"""JSON made shorter as JSON: column form, the rows and strings that matter, and marks for the rest.

Tool results are mostly lists of objects that repeat their keys, and search results with long texts
in them. What comes out is valid JSON again, down to the last digit of a number; what is left out
says so in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeAlias, cast

from agentperf_core.context.compress._json import Number, dumps, parsed
from agentperf_core.context.compress._long import LONGEST
from agentperf_core.context.compress._passages import cut_short
from agentperf_core.context.compress._rows import Limits, Rows, limited
from agentperf_core.context.compress.extract import Extractive
from agentperf_core.context.compress.records import Reduced, Removed, Task
from agentperf_core.context.compress.strategy import computed
from agentperf_core.errors import require_instance
from agentperf_core.flow import Flow

__all__ = ["Structured"]

Json: TypeAlias = dict[str, Any] | list[Any]

_PROSE = 160  # characters of a string that may be sentences
_WORTH_READING = 0.25  # of the target, that long strings must have room for
_NEARLY = 0.95  # of the room for rows; more of it takes longer to find than it is worth
# How long strings may be while rows are left out; then shorter ones, then shallower values.
_SIZES = ((400, 12, 2), (120, 12, 2), (60, 6, 1), (60, 3, 1), (30, 2, 0), (30, 1, 0))
_STEPS = tuple(Limits(string, 1.0, depth, fewest) for string, depth, fewest in _SIZES)


class Structured:
    """Makes a JSON text shorter, in steps, until it fits; other texts come back as they are.

    First without loss: no blanks, no escapes, and lists of objects with the same keys in column
    form, `{"columns": [...], "rows": [[...], ...]}`. Then sentences are chosen inside of long
    strings, for the query, if they are where the tokens are. Then rows are left out: those that
    share no word with the query first, then the last ones; `"left_out"` says how many. At the end
    strings are cut, and deep values become `"{12 keys}"`.

    Args:
        prose: chooses sentences in long strings, default by words alone; `None` cuts their ends.

    Raises:
        ConfigError: if `prose` is something else.

    Example:
        >>> from agentperf_core.accounting.tokens import TokenCounter
        >>> from agentperf_core.flow import run
        >>> text = '[{"id": 1, "town": "Oslo"}, {"id": 2, "town": "Rome"}]'
        >>> run(Structured().compress(Task(text=text, tokens=24, counter=TokenCounter()))).text
        '{"columns":["id","town"],"rows":[[1,"Oslo"],[2,"Rome"]]}'
    """

    name = "structured"

    def __init__(self, *, prose: Extractive | None = Extractive()) -> None:  # noqa: B008 - has no state
        require_instance(Extractive, "write for instance Extractive(embed=...)", prose=prose)
        self._prose = prose

    def compress(self, task: Task) -> Flow[Reduced]:
        """The JSON in as many steps as it takes."""
        size = len(task.text)
        columns: Json | None = yield from computed(_read, size, task)
        if columns is None:
            return Reduced(task.text)
        text = yield from computed(_if_fitting, size, columns, task)
        if text:
            return Reduced(text, (Removed("repeated keys", ()),))
        shorter, removed, degraded = yield from self._sentences(columns, task)
        text = yield from computed(_if_fitting, size, shorter, task)
        if not text:
            text, more = yield from computed(_fitted, size, shorter, task)
            removed += more
            if size > LONGEST and task.query:
                reason = (
                    f"{size:,} characters are too many to read closely, so that rows were chosen"
                )
                reason = f"{reason} by a count of the words of the question"
                degraded = f"{degraded}; {reason}" if degraded else reason
        return Reduced(text, tuple(removed), degraded=degraded)

    def _sentences(self, value: Json, task: Task) -> Flow[tuple[Json, list[Removed], str]]:
        """The value with the best sentences of its long strings, where there is room for them."""
        long = yield from computed(_long_strings, len(task.text), value)
        if self._prose is None or not long:
            return value, [], ""
        room = yield from computed(_room, len(task.text), value, long, task)
        if room < task.tokens * _WORTH_READING:
            return value, [], ""
        texts = list(dict.fromkeys(long))
        tasks = [
            Task(text=text, tokens=room, query=task.query, counter=task.counter) for text in texts
        ]
        found = yield from self._prose.compress_all(tasks, room)
        kept = {text: reduced.text for text, reduced in zip(texts, found, strict=True)}
        pieces = [piece for one in found for some in one.removed for piece in some.pieces]
        shorter = yield from computed(_replaced, len(task.text), value, kept)
        return shorter, [Removed("sentence", tuple(pieces))], found[0].degraded


def _read(task: Task) -> Json | None:
    """The value in column form; `None` where there is nothing to do."""
    value = parsed(task.text)
    return None if value is None or not task.over else _in_columns(value)


def _if_fitting(value: Json, task: Task) -> str:
    text = dumps(value)
    return text if task.fits(text) else ""


def _room(value: Json, long: list[str], task: Task) -> int:
    """Tokens that there are for long strings."""
    beside = dumps(_replaced(value, dict.fromkeys(long, "")))
    if not task.fits(beside):
        return 0
    # Quotes and escapes cost a little more.
    return int((task.tokens - task.counter.count_text(beside)) * 0.95)


def _long_strings(value: Json) -> list[str]:
    return [one for one in _strings(value) if len(one) >= _PROSE]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in cast("dict[str, Any]", value).values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _strings(one)
    elif isinstance(value, str) and not isinstance(value, Number):
        yield value


def _replaced(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: _replaced(one, texts) for key, one in items}
    if isinstance(value, list):
        return [_replaced(one, texts) for one in cast("list[Any]", value)]
    return texts.get(value, value) if isinstance(value, str) else value


def _in_columns(value: Any) -> Any:
    """The same with lists of objects in column form; nothing is lost but the order of keys."""
    if isinstance(value, dict):
        return {key: _in_columns(one) for key, one in cast("dict[str, Any]", value).items()}
    if not isinstance(value, list):
        return value
    rows = [_in_columns(one) for one in cast("list[Any]", value)]
    given = cast("list[Any]", value)
    if len(rows) < 2 or not all(isinstance(one, dict) for one in given) or not given[0]:
        return rows
    columns = list(cast("dict[str, Any]", rows[0]))
    if any(set(cast("dict[str, Any]", row)) != set(columns) for row in rows):
        return rows
    return {"columns": columns, "rows": [[row[key] for key in columns] for row in rows]}


def _fitted(value: Json, task: Task) -> tuple[str, list[Removed]]:
    """As many rows as there is room for, under the mildest limits that leave room for any."""
    rows = Rows(task.query, long=len(task.text) > LONGEST)
    for limits in _STEPS:
        if not task.fits(_written(value, limits, 0.0, rows)):
            continue
        share = _share(value, limits, rows, task)
        best = limited(value, replace(limits, rows=share), rows)
        return dumps(best.value), best.removed
    # Not even its outline fits. Such a piece is no JSON any more, and its mark says so.
    fewest = limited(value, replace(_STEPS[-1], rows=0.0), rows)
    return cut_short(dumps(fewest.value), task.tokens, task.counter), fewest.removed


def _share(value: Json, limits: Limits, rows: Rows, task: Task) -> float:
    """The largest share of the rows that there is room for, to a part in 256.

    Each try writes all the rows that it keeps. Of a long text, the first is a small part of them,
    and the next are in proportion, until the room is nearly full.
    """
    count = task.counter.count_text
    long = len(task.text) > LONGEST
    base = count(_written(value, limits, 0.0, rows)) if long else 0
    low, high = 0.0, 1.0
    middle = 1 / 32 if long else 1 / 2
    for _ in range(16 if long else 8):
        cost = count(_written(value, limits, middle, rows))
        low, high = (middle, high) if cost <= task.tokens else (low, middle)
        guess = 0.0
        if long:
            if _NEARLY * task.tokens <= cost <= task.tokens:
                break
            guess = middle * 0.99 * (task.tokens - base) / max(cost - base, 1)
        middle = guess if low < guess < high else (low + high) / 2
    return low


def _written(value: Json, limits: Limits, share: float, rows: Rows) -> str:
    return dumps(limited(value, replace(limits, rows=share), rows, noting=False).value)
