"""One value of a store: what it is, and what can be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agentperf_core.cache.codec import Entry, OldVersion, unpack
from agentperf_core.cache.totals import STATS_PREFIX, TOOL_STATS_PREFIX
from agentperf_core.errors import CodecError

__all__ = ["QUESTIONS", "Kind", "Stored", "kind_of", "stored"]

Kind: TypeAlias = Literal[
    "answer", "tool result", "question", "embedding", "learnt", "statistics", "note", "unreadable"
]
"""What a stored value is; only answers and tool results are entries that `inspect` shows."""

QUESTIONS = "~q:"
_LEARNT = ":state"
_BESIDE: tuple[tuple[str, Kind], ...] = (
    (QUESTIONS, "question"),
    (STATS_PREFIX, "statistics"),
    (TOOL_STATS_PREFIX, "statistics"),
    ("embedding:", "embedding"),
    ("writing:", "note"),
)
_TOOL_FIELDS = ({"result", "failed"}, {"error", "kind", "failed"})


def kind_of(key: str) -> Kind | None:
    """What is stored under a key, as far as the key says it; `None` for an entry.

    Example:
        >>> kind_of("~stats:1f"), kind_of("~q:0f:state"), kind_of("5d41402abc4b2a76")
        ('statistics', 'learnt', None)
    """
    for prefix, kind in _BESIDE:
        if key.startswith(prefix):
            return "learnt" if prefix == QUESTIONS and key.endswith(_LEARNT) else kind
    return None


@dataclass(frozen=True, slots=True)
class Stored:
    """One entry.

    Attributes:
        key: where it is stored.
        kind: what it is.
        size: bytes of the value.
        age_s: seconds since it was made; `None` if it cannot be read.
        left_s: seconds for which it may still be served, stale or not; `None` for ever, or if its
            time is not in it, as with tool results.
        is_stale: whether it is past its time already.
        entry: what is in it; `None` if it cannot be read.
        problem: why not.
    """

    key: str
    kind: Kind
    size: int
    age_s: float | None = None
    left_s: float | None = None
    is_stale: bool = False
    entry: Entry | None = None
    problem: str = ""

    def as_dict(self, *, show_text: bool = False) -> dict[str, Any]:
        """Plain JSON data.

        Args:
            show_text: with what was asked and answered.
        """
        found: dict[str, Any] = {"key": self.key, "kind": self.kind, "size": self.size}
        entry = self.entry
        if entry is None:
            return found | {"problem": self.problem}
        found |= {
            "age_s": self.age_s,
            "left_s": self.left_s,
            "stale": self.is_stale,
            "made_at": entry.made_at,
            "took_s": entry.took_s,
            "model": entry.model,
            "tags": list(entry.tags),
            "usage": None if entry.usage is None else entry.usage.as_dict(),
        }
        if entry.question is not None:
            found["scope"] = entry.question.scope
        if show_text:
            question = entry.question
            found["question"] = None if question is None else question.text
            found["parent"] = None if question is None else question.parent
            found["body"] = dict(entry.body)
        return found


def stored(key: str, raw: bytes, now: float) -> Stored:
    """An entry as it is now.

    Args:
        key: where it is stored.
        raw: its value.
        now: seconds since the Unix epoch.
    """
    try:
        entry = unpack(raw)
    except OldVersion:
        return Stored(key, "unreadable", len(raw), problem="it is of another version")
    except CodecError:
        return Stored(key, "unreadable", len(raw), problem="it cannot be read")
    kind: Kind = "tool result" if set(entry.body) in _TOOL_FIELDS else "answer"
    return Stored(
        key,
        kind,
        len(raw),
        age_s=max(now - entry.made_at, 0.0),
        left_s=None if entry.until is None else max(entry.until - now, 0.0),
        is_stale=entry.fresh_until is not None and now >= entry.fresh_until,
        entry=entry,
    )
