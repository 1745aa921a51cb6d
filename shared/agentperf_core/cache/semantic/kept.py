"""A question as it is kept in a store: plain JSON, its vectors in float16."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson

from agentperf_core.cache.semantic.memory import Asked, Remembered
from agentperf_core.cache.vectors.codec import decode_vector, encode_vector
from agentperf_core.errors import CodecError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KeptQuestion", "pack_question", "unpack_question"]

_VERSION = 1


class KeptQuestion(NamedTuple):
    """What was kept.

    Attributes:
        scope: of the question; `None` where it stands in the key alone.
        remembered: the question and where its answer is.
        asked: its vectors; `None` if they were not asked for.
    """

    scope: str | None
    remembered: Remembered
    asked: Asked | None


def pack_question(scope: str, remembered: Remembered, asked: Asked) -> bytes:
    """The bytes of a question."""
    return orjson.dumps(
        {
            "v": _VERSION,
            "scope": scope,
            "key": remembered.key,
            "answer": remembered.answer,
            "text": remembered.text,
            "parent": remembered.parent,
            "said": remembered.said,
            "question": _text(asked.question),
            "before": None if asked.parent is None else _text(asked.parent),
        }
    )


def unpack_question(raw: bytes, *, vectors: bool = True) -> KeptQuestion:
    """The question of `pack_question`'s bytes.

    Raises:
        CodecError: if they are of something else, or of another version.
    """
    try:
        record = cast("dict[str, Any]", orjson.loads(raw))
        if record["v"] == _VERSION:
            _check(record)
            remembered = Remembered(
                key=record["key"],
                answer=record["answer"],
                text=record["text"],
                parent=record["parent"],
                said=record["said"],
            )
            return KeptQuestion(
                record.get("scope"), remembered, _asked(record) if vectors else None
            )
    except (KeyError, TypeError, ValueError) as error:
        msg = f"a stored question must be one of this pack, got {raw[:20]!r}; clear the cache"
        raise CodecError(msg) from error
    msg = f"stored questions have version {_VERSION}, got {record['v']!r}; clear the cache"
    raise CodecError(msg)


def _check(record: dict[str, Any]) -> None:
    """A store may be shared with others, and what they write must not stop anybody."""
    for name in ("key", "answer", "text", "said"):
        if not isinstance(record[name], str):
            msg = f"{name} is a text"
            raise TypeError(msg)
    for name in ("parent", "scope"):
        if not isinstance(record.get(name), str | None):
            msg = f"{name} is a text or nothing"
            raise TypeError(msg)


def _asked(record: dict[str, Any]) -> Asked:
    before = record["before"]
    return Asked(_vector(record["question"]), None if before is None else _vector(before))


def _text(vector: NDArray[np.float32]) -> str:
    return b64encode(encode_vector(vector)).decode()


def _vector(text: str) -> NDArray[np.float32]:
    return decode_vector(b64decode(text))
