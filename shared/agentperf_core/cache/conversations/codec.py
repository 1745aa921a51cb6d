"""The envelope of a stored message: versioned JSON, nothing that can run.

A message is four bytes, `AC1` and how the rest is written, and the rest: JSON, or JSON in zlib.
Adapters give and take plain mappings and check themselves what may be in them. The version is not
that of cached answers: a cache may forget what it cannot read, a conversation may not.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, cast

import orjson

from agentperf_core.cache.codec import inflated
from agentperf_core.cache.requests.canonical import Unkeyable, check_finite
from agentperf_core.errors import CodecError

__all__ = ["as_record", "from_record", "pack", "unpack"]

_PLAIN, _PACKED = b"AC1j", b"AC1z"
# orjson would turn these into text on its own, and the message would come back as something else.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_COMPRESS_FROM = 4096  # as for answers: see `cache.codec`
_TEXT = "json"
_MOST = 64 * 1024 * 1024  # what `inflated` gives back


def pack(record: Mapping[str, Any]) -> bytes:
    """Encode a message.

    Raises:
        CodecError: if it is not plain JSON data, or too large, so that it would not come back as
            it is.

    Example:
        >>> unpack(pack({"role": "user", "text": "hi"}))
        {'role': 'user', 'text': 'hi'}
    """
    try:
        raw = _plain(record)
    except (TypeError, Unkeyable) as error:
        msg = f"a message must be plain JSON data to be kept, got {error}; convert it first"
        raise CodecError(msg) from error
    if len(raw) > _MOST:
        msg = f"a message must be at most {_MOST} bytes to be kept, got {len(raw)}; keep a part"
        raise CodecError(msg)
    return _PLAIN + raw if len(raw) < _COMPRESS_FROM else _PACKED + zlib.compress(raw, 1)


def unpack(raw: bytes) -> dict[str, Any]:
    """Decode a message.

    Raises:
        CodecError: if the bytes are not a message of this version.
    """
    kind, rest = raw[:4], raw[4:]
    try:
        if kind in {_PLAIN, _PACKED}:
            found: object = orjson.loads(rest if kind == _PLAIN else inflated(rest))
            if isinstance(found, dict):
                return cast("dict[str, Any]", found)
    except (ValueError, zlib.error):
        pass
    # Only the kind: the rest is what somebody said.
    msg = f"a kept message must start with {_PLAIN[:3]!r} and be JSON, got {kind!r}; forget it"
    raise CodecError(msg)


def as_record(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a framework made of a message, as a record that comes back as it was.

    That is the data itself. Only what JSON lacks, or its readers change, is a text as Python writes
    it: NaN and infinity, whole numbers of more than 64 bits, halves of characters.

    Raises:
        CodecError: if it is no data of JSON's kinds.

    Example:
        >>> as_record({"n": 1}), as_record({"n": 2**80})
        ({'n': 1}, {'json': '{"n": 1208925819614629174706176}'})
        >>> from_record(as_record({"n": 2**80})) == {"n": 2**80}
        True
    """
    try:
        _plain(data)
        if set(data) != {_TEXT}:  # else it would be taken for such a text
            return data
    except (TypeError, Unkeyable):
        pass
    try:
        return {_TEXT: json.dumps(data)}
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"a message must be data of JSON's kinds to be kept, got {error}; convert it first"
        raise CodecError(msg) from error


def from_record(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `as_record` was called with.

    Raises:
        CodecError: if it is no such record.
    """
    if set(record) != {_TEXT}:
        return record
    try:
        found: object = json.loads(record[_TEXT])
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"a kept message must be JSON, got a text that is not ({type(error).__name__})"
        raise CodecError(f"{msg}; forget it") from error
    if not isinstance(found, dict):
        msg = f"a kept message must be a mapping, got a {type(found).__name__}; forget it"
        raise CodecError(msg)
    return cast("dict[str, Any]", found)


def _plain(record: Mapping[str, Any]) -> bytes:
    raw = orjson.dumps(dict(record), option=_OPTIONS)
    if b"null" in raw:
        check_finite((dict(record),))  # orjson writes NaN as null
    return raw
