"""Labelled questions to tune the semantic tier on: pairs, or a stream of requests."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from agentperf_core.errors import ConfigError

__all__ = ["Data", "Pair", "Request", "read_data", "texts_of"]

T = TypeVar("T")

_Row: TypeAlias = Mapping[str, Any]

_WAY_OUT = (
    "give JSON lines with a, b and label (or cached, query and should_hit), or a CSV file with the "
    "columns text and intent"
)
_LABELS: Mapping[str, bool] = {"1": True, "true": True, "0": False, "false": False}
_OTHERS = "oos"  # "out of scope", as public sets of intents call what belongs to none


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, and whether the answer of the first one answers the second."""

    cached: str
    query: str
    same: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A question, and what tells which answer it wants; those named `oos` each want their own."""

    text: str
    intent: str


Data: TypeAlias = list[Pair] | list[Request]


def read_data(file: Path, *, split: str | None = None) -> Data:
    """Read a file of pairs or of requests, gzipped or not; its content says which it is.

    Args:
        file: JSON lines, a JSON array, or CSV.
        split: only rows with this value in their field `split`.

    Raises:
        ConfigError: if the file cannot be read, is of neither form, or holds nothing.
    """
    text = _text(file)
    number = "entry" if text.startswith("[") else "line"
    rows = _json_rows(text, file) if text[:1] in {"[", "{"} else _csv_rows(text)
    kept = [(at, row) for at, row in rows if split is None or str(row.get("split")) == split]
    if not kept:
        wanted = "rows" if split is None else f"rows with split {split!r}"
        msg = f"data must have {wanted}, got none in {str(file)!r}; {_WAY_OUT}"
        raise ConfigError(msg)
    if "text" in kept[0][1]:
        return _each(kept, _request, f"{file}, {number}")
    return _each(kept, _pair, f"{file}, {number}")


def texts_of(data: Data) -> list[str]:
    """Every question once, in order."""
    found: dict[str, None] = {}
    for row in data:
        for text in (row.text,) if isinstance(row, Request) else (row.cached, row.query):
            found[text] = None
    return list(found)


def _text(file: Path) -> str:
    try:
        raw = file.read_bytes()
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig").strip()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        msg = f"data must be a text file, got {str(file)!r} ({reason}); {_WAY_OUT}"
        raise ConfigError(msg) from error


def _json_rows(text: str, file: Path) -> Iterator[tuple[int, _Row]]:
    lines = enumerate(text.splitlines(), start=1)
    at = 0
    try:
        if text.startswith("["):
            found = cast("list[object]", json.loads(text))
            yield from ((at, _fields(row)) for at, row in enumerate(found, start=1))
            return
        for at, line in lines:
            if line.strip():
                yield at, _fields(json.loads(line))
    except ValueError as error:
        place = f"{file}, line {at}" if at else str(file)
        msg = f"data must be JSON, got something else in {place} ({error}); {_WAY_OUT}"
        raise ConfigError(msg) from error


def _fields(row: object) -> _Row:
    # What is no object has no fields; that they are missing is said with the place.
    return cast("_Row", row) if isinstance(row, dict) else {}


def _csv_rows(text: str) -> Iterator[tuple[int, _Row]]:
    reader = csv.DictReader(io.StringIO(text))
    for row in reader:
        yield reader.line_num, row


def _each(
    rows: list[tuple[int, _Row]],
    read: Callable[[int, _Row], T],
    where: str,
) -> list[T]:
    found: list[T] = []
    for at, row in rows:
        try:
            found.append(read(at, row))
        except (KeyError, TypeError, AttributeError) as error:
            msg = f"data must have its fields in every row, got {where} {at} ({error}); {_WAY_OUT}"
            raise ConfigError(msg) from error
    return found


def _request(at: int, row: _Row) -> Request:
    intent = str(row["intent"])
    return Request(_words(row["text"]), f"{intent} {at}" if intent == _OTHERS else intent)


def _pair(at: int, row: _Row) -> Pair:  # noqa: ARG001 - called like _request
    names = ("a", "b", "label") if "a" in row else ("cached", "query", "should_hit")
    cached, query, label = (row[name] for name in names)
    return Pair(_words(cached), _words(query), _LABELS[str(label).strip().lower()])


def _words(value: object) -> str:
    if isinstance(value, str):
        return value
    msg = f"a question is a text, not a {type(value).__name__}"
    raise TypeError(msg)
