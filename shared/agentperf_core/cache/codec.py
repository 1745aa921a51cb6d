"""The envelope of a stored answer: versioned JSON, nothing that can run.

Adapters give and take a plain JSON body with fields that they whitelist; no class name from a store
is ever looked up, so a poisoned store can at worst return a wrong text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from agentperf_core.errors import CodecError
from agentperf_core.types import Usage

__all__ = ["Entry", "pack", "unpack"]

_VERSION = 1
# orjson would turn these into text on its own, and the answer would come back as something else.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A stored answer.

    Attributes:
        body: the adapter's own JSON form of the answer; fresh objects at every `unpack`.
        made_at: when the model answered, seconds since the Unix epoch.
        took_s: how long the model took, in seconds; `None` if nobody timed it.
        usage: what it cost, `None` if unknown.
    """

    body: Mapping[str, Any]
    made_at: float
    took_s: float | None
    usage: Usage | None = None


def pack(entry: Entry) -> bytes:
    """Encode an entry.

    Raises:
        CodecError: if the body holds something that is not plain JSON data.
    """
    record = {
        "v": _VERSION,
        "at": entry.made_at,
        "took": entry.took_s,
        "usage": entry.usage.as_dict() if entry.usage is not None else None,
        "body": entry.body,
    }
    try:
        return orjson.dumps(record, option=_OPTIONS)
    except TypeError as error:
        msg = f"an answer must be plain JSON data to be stored, got {error}; it is not cached"
        raise CodecError(msg) from error


def unpack(raw: bytes) -> Entry:
    """Decode an entry.

    Raises:
        CodecError: if the bytes are not an entry of this version.
    """
    try:
        record = cast("dict[str, Any]", orjson.loads(raw))
        if record["v"] == _VERSION:
            return _entry(record)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"a stored answer must be an entry of this pack, got {raw[:20]!r}; clear the cache"
        raise CodecError(msg) from error
    msg = f"stored answers have version {_VERSION}, got {record['v']!r}; clear the cache"
    raise CodecError(msg)


def _entry(record: Mapping[str, Any]) -> Entry:
    usage, body, took = record["usage"], record["body"], record["took"]
    if not isinstance(body, dict):
        msg = f"a body is a mapping, got {type(body).__name__}"
        raise TypeError(msg)
    return Entry(
        body=cast("dict[str, Any]", body),
        made_at=float(record["at"]),
        took_s=float(took) if took is not None else None,
        usage=Usage(**usage) if usage is not None else None,
    )
