"""Questions and their vectors in a store that outlives the process, or that others share.

The answers are in the store anyway. Beside each stands what was asked, so that a restart finds its
index again, and a process finds what its neighbours learnt: every few seconds, off the path,
the questions are listed and those that are new are read. A plain Redis or a SQLite file is
enough; nothing needs a query engine.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import orjson

from agentperf_core.cache.semantic.memory import Asked, Remembered
from agentperf_core.cache.stores import Store
from agentperf_core.cache.vectors.codec import decode_vector, encode_vector
from agentperf_core.clock import Clock
from agentperf_core.errors import CodecError
from agentperf_core.events import BUS, EventBus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SharedQuestions"]

_VERSION = 1


class SharedQuestions:
    """Keeps questions in a store and lists those that this process does not know yet.

    One that cannot be read is reported and passed over.

    Args:
        store: the store of the answers.
        embedder: the name of the embedder: vectors of another one mean nothing here.
        follow_s: seconds between two looks at what others have added.
        clock: where the time comes from.
        bus: where faults go.
    """

    def __init__(
        self,
        store: Store,
        embedder: str,
        *,
        follow_s: float,
        clock: Clock,
        bus: EventBus = BUS,
    ) -> None:
        self._store = store
        self._prefix = f"~q:{hashlib.sha256(embedder.encode()).hexdigest()[:16]}:"
        self._follow_s = follow_s
        self._clock = clock
        self._bus = bus
        self._next_look = 0.0
        self._known: frozenset[str] = frozenset()

    def due(self) -> bool:
        """Whether it is time to look; says so once per `follow_s` seconds."""
        now = self._clock.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + self._follow_s
        return True

    def keep(
        self,
        scope: str,
        remembered: Remembered,
        asked: Asked,
        ttl_s: float | None,
        tags: Sequence[str],
    ) -> None:
        """Write a question beside its answer, to be forgotten with it."""
        name = f"{self._prefix}{scope}:{remembered.key}"
        self._store.set(name, _pack(remembered, asked), ttl_s, tags)

    def new(self, most: int) -> Iterator[tuple[str, Remembered, Asked]]:
        """Scope by scope, the questions that were written since the last time.

        Args:
            most: how many to read at most.
        """
        names = frozenset(name for name in self._store.scan(self._prefix) if name.count(":") > 2)
        for name in islice(names - self._known, most):
            try:
                raw = self._store.get(name)
                if raw is not None:
                    scope, _, _ = name.removeprefix(self._prefix).partition(":")
                    yield scope, *_unpack(raw)
            except Exception as error:
                self._bus.fault("cache.semantic", error)
        self._known = names

    def save_state(self, state: dict[str, Any]) -> None:
        """Keep what the acceptance has learnt."""
        self._store.set(f"{self._prefix}state", orjson.dumps(state), None)

    def load_state(self) -> dict[str, Any] | None:
        """What an acceptance has learnt before, `None` if nothing is there."""
        raw = self._store.get(f"{self._prefix}state")
        return cast("dict[str, Any]", orjson.loads(raw)) if raw is not None else None

    def clear(self) -> None:
        """Look again at once: the store was emptied."""
        self._next_look = 0.0
        self._known = frozenset()


def _pack(remembered: Remembered, asked: Asked) -> bytes:
    return orjson.dumps(
        {
            "v": _VERSION,
            "key": remembered.key,
            "answer": remembered.answer,
            "text": remembered.text,
            "parent": remembered.parent,
            "said": remembered.said,
            "question": _text(asked.question),
            "before": None if asked.parent is None else _text(asked.parent),
        }
    )


def _unpack(raw: bytes) -> tuple[Remembered, Asked]:
    try:
        record = cast("dict[str, Any]", orjson.loads(raw))
        if record["v"] == _VERSION:
            _check(record)
            before = record["before"]
            return (
                Remembered(
                    key=record["key"],
                    answer=record["answer"],
                    text=record["text"],
                    parent=record["parent"],
                    said=record["said"],
                ),
                Asked(
                    _vector(record["question"]),
                    None if before is None else _vector(before),
                ),
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
    if not isinstance(record["parent"], str | None):
        msg = "parent is a text or nothing"
        raise TypeError(msg)


def _text(vector: NDArray[np.float32]) -> str:
    return b64encode(encode_vector(vector)).decode()


def _vector(text: str) -> NDArray[np.float32]:
    return decode_vector(b64decode(text))
