"""A look into a store from outside: what lies there, and what takes how much room.

Nothing here is for a hot path: every entry is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from agentperf_core.cache.stored import QUESTIONS, Kind, Stored, kind_of, stored
from agentperf_core.cache.stores import Store
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import ConfigError

__all__ = ["Contents", "contents", "entries", "find_entry", "forget", "question_of"]

Progress: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store holds.

    Attributes:
        entries: how many values, by what they are.
        size: bytes of the values, by what they are.
        problems: how many entries cannot be read, by reason; each is a miss.
    """

    entries: dict[Kind, int] = field(default_factory=dict["Kind", int])
    size: dict[Kind, int] = field(default_factory=dict["Kind", int])
    problems: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def answers(self) -> int:
        """How many answers and tool results."""
        return self.entries.get("answer", 0) + self.entries.get("tool result", 0)

    @property
    def size_bytes(self) -> int:
        """Bytes of all values; keys and what the store adds are not in it."""
        return sum(self.size.values())


def contents(store: Store, *, progress: Progress | None = None) -> Contents:
    """Read everything in a store's namespace once.

    Args:
        store: whose.
        progress: told how many were read.

    Raises:
        Exception: whatever the store raises.

    Example:
        >>> from agentperf_core.cache import MemoryStore
        >>> contents(MemoryStore()).answers
        0
    """
    number, size, problems = Counter[Kind](), Counter[Kind](), Counter[str]()
    for key in _keys(store, "", progress):
        raw = store.get(key)
        if raw is None:
            continue
        kind = kind_of(key)
        if kind is None:
            found = stored(key, raw, 0.0)
            kind = found.kind
            if found.problem:
                problems[found.problem] += 1
        number[kind] += 1
        size[kind] += len(raw)
    return Contents(dict(number), dict(size), dict(problems))


def entries(
    store: Store,
    prefix: str = "",
    *,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress | None = None,
) -> Iterator[Stored]:
    """The entries whose key starts with `prefix`: answers and tool results, in the store's order.

    Args:
        store: where to look.
        prefix: the beginning of the key; decisions and spans show the first 16 digits.
        clock: tells what is how old.
        progress: told how many keys were seen.

    Raises:
        Exception: whatever the store raises.
    """
    for key in _keys(store, prefix, progress):
        if kind_of(key) is None and (raw := store.get(key)) is not None:
            yield stored(key, raw, clock.time())


def find_entry(store: Store, start: str) -> str:
    """The key of an entry by its beginning.

    Raises:
        ConfigError: if no entry begins so, or several do.
        Exception: whatever the store raises.
    """
    if kind_of(start) is None and store.get(start) is not None:
        return start
    found = sorted({key for key in store.scan(start) if kind_of(key) is None}) if start else []
    if len(found) == 1:
        return found[0]
    if found:
        msg = f"key must name one entry, got {start!r}, which {len(found)} begin with; write more"
    else:
        msg = f"key must be one that is stored, got {start!r}; `cache inspect` lists them"
    raise ConfigError(msg)


def question_of(store: Store, key: str) -> str | None:
    """What an entry answers, where the semantic tier keeps questions beside their answers.

    Raises:
        Exception: whatever the store raises.
    """
    for name in _questions(store, key):
        with suppress(ValueError, TypeError, KeyError):
            return str(orjson.loads(store.get(name) or b"")["text"])
    return None


def forget(store: Store, key: str) -> int:
    """Delete an entry, and what was kept of the question that it answers; how many values.

    Raises:
        Exception: whatever the store raises.
    """
    return sum(store.delete(name) for name in (key, *_questions(store, key)))


def _questions(store: Store, key: str) -> list[str]:
    return sorted({name for name in store.scan(QUESTIONS) if name.endswith(f":{key}")})


def _keys(store: Store, prefix: str, progress: Progress | None) -> Iterator[str]:
    seen = set[str]()  # a store may name a key twice
    for key in store.scan(prefix):
        if key not in seen:
            seen.add(key)
            yield key
            if progress is not None:
                progress(len(seen))
