"""The envelope of a stored answer: versioned JSON, nothing that can run.

Adapters give and take a plain JSON body with fields that they whitelist; no class name from a store
is ever looked up, so a poisoned store can at worst return a wrong text.

An entry is four bytes, `AP2` and how the rest is written, and the rest: JSON, or JSON in zlib.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson

from agentperf_core.cache.answers import Question
from agentperf_core.cache.requests.canonical import Unkeyable, check_finite
from agentperf_core.errors import CodecError
from agentperf_core.types import Usage

__all__ = ["Entry", "OldVersion", "comes_back", "inflated", "pack", "unpack"]

_PLAIN = b"AP2j"
_PACKED = b"AP2z"
# orjson would turn these into text on its own, and the answer would come back as something else.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

# From here on an answer is less than half its size, for 14 us at every hit; at 1 KB it is 7 us for
# 55 % (zlib of Python 3.11, this project's texts). Level 1: level 6 saves 3 % for twice the time.
_COMPRESS_FROM = 4096
# A few bytes of a poisoned store must not become gigabytes.
_MOST_UNPACKED = 64 * 1024 * 1024


class OldVersion(CodecError):  # noqa: N818 - no failure: a newer version has come
    """The value is an entry of another version of this pack."""


class Entry(NamedTuple):
    """A stored answer; a plain tuple, because every hit builds one.

    Attributes:
        body: the adapter's own JSON form of the answer; fresh objects at every `unpack`.
        made_at: when the model answered, seconds since the Unix epoch.
        took_s: how long the model took, in seconds; `None` if nobody timed it.
        usage: what it cost, `None` if unknown.
        model: who made it, `None` if unknown.
        fresh_until: when its time is over, seconds since the Unix epoch; `None` for never.
        until: when it must not be given any more, even stale; `None` for never.
        wording: the `CacheRequest.wording` that it answered, `None` without one.
        question: what it answered, kept for the semantic tier only.
        tags: names by which it can be forgotten.
    """

    body: Mapping[str, Any]
    made_at: float
    took_s: float | None
    usage: Usage | None = None
    model: str | None = None
    fresh_until: float | None = None
    until: float | None = None
    wording: str | None = None
    question: Question | None = None
    tags: tuple[str, ...] = ()


def pack(entry: Entry) -> bytes:
    """Encode an entry.

    Raises:
        CodecError: if the body holds something that is not plain JSON data.
    """
    record = {
        "at": entry.made_at,
        "took": entry.took_s,
        "usage": entry.usage.as_dict() if entry.usage is not None else None,
        "model": entry.model,
        "fresh": entry.fresh_until,
        "until": entry.until,
        "wording": entry.wording,
        "question": _asked(entry.question),
        "tags": entry.tags,
        "body": entry.body,
    }
    kept = {name: value for name, value in record.items() if value not in (None, ())}
    try:
        raw = orjson.dumps(kept, option=_OPTIONS)
        if b"null" in raw:
            # orjson writes NaN as null: a probability of -inf would come back as none at all.
            check_finite((entry.body, entry.made_at, entry.took_s))
    except (TypeError, Unkeyable) as error:
        msg = f"an answer must be plain JSON data to be stored, got {error}; it is not cached"
        raise CodecError(msg) from error
    if len(raw) < _COMPRESS_FROM:
        return _PLAIN + raw
    return _PACKED + zlib.compress(raw, 1)


def comes_back(value: object) -> bool:
    """Whether a value is plain data that comes back from JSON as what it was.

    Example:
        >>> comes_back({"found": [1, 2]}), comes_back({1: "one"}), comes_back((1, 2))
        (True, False, False)
    """
    try:
        back: object = orjson.loads(orjson.dumps(value))
    except (TypeError, ValueError):
        return False
    return type(back) is type(value) and back == value


def unpack(raw: bytes) -> Entry:
    """Decode an entry.

    Raises:
        OldVersion: if another version of this pack wrote it.
        CodecError: if the bytes are not an entry at all.
    """
    kind, rest = raw[:4], raw[4:]
    try:
        if kind == _PLAIN:
            return _entry(orjson.loads(rest))
        if kind == _PACKED:
            return _entry(orjson.loads(inflated(rest)))
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        # Only the first bytes: the rest is somebody's answer.
        msg = f"a stored answer must be an entry of this pack, got {raw[:20]!r}; clear the cache"
        raise CodecError(msg) from error
    if _is_old(kind, raw):
        msg = f"stored answers start with {_PLAIN[:3]!r}, got {kind!r} of another version; clear it"
        raise OldVersion(msg)
    msg = f"a stored answer must be an entry of this pack, got {raw[:20]!r}; clear the cache"
    raise CodecError(msg)


def _is_old(kind: bytes, raw: bytes) -> bool:
    ours = kind.startswith(b"AP") and len(kind) == len(_PLAIN)
    return (ours and not kind.startswith(_PLAIN[:3])) or raw.startswith(b'{"v":')


def inflated(packed: bytes) -> bytes:
    """What zlib packed, if that is not a bomb.

    Raises:
        ValueError: if it is cut off or too large.
        zlib.error: if it is damaged.
    """
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(packed, _MOST_UNPACKED)
    if not unpacking.eof:
        msg = f"{len(packed)} bytes are cut off, or hold more than {_MOST_UNPACKED} bytes"
        raise ValueError(msg)
    return found


def _entry(found: object) -> Entry:
    record = cast("dict[str, Any]", found)
    body, usage, get = record["body"], record.get("usage"), record.get
    if not isinstance(body, dict):
        msg = f"a body is a mapping, got {type(body).__name__}"
        raise TypeError(msg)
    took, fresh, until, tags = get("took"), get("fresh"), get("until"), get("tags")
    return Entry(
        cast("dict[str, Any]", body),
        float(record["at"]),
        None if took is None else float(took),
        None if usage is None else _usage(**usage),
        _text(get("model")),
        None if fresh is None else float(fresh),
        None if until is None else float(until),
        _text(get("wording")),
        _question(get("question")),
        () if tags is None else tuple(map(str, tags)),
    )


# Usages are checked when they are made, for 2 us; an equal one is the same one.
_usage = lru_cache(maxsize=1024)(Usage)


def _asked(question: Question | None) -> list[str | None] | None:
    return None if question is None else [question.scope, question.text, question.parent]


def _question(stored: object) -> Question | None:
    if stored is None:
        return None
    scope, text, parent = cast("list[Any]", stored)
    if not (isinstance(scope, str) and isinstance(text, str) and isinstance(parent, str | None)):
        msg = "a question is two or three texts"
        raise TypeError(msg)
    return Question(scope, text, parent)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    msg = f"a name is a text, got {type(value).__name__}"
    raise TypeError(msg)
