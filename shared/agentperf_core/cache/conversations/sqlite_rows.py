"""What conversations in SQLite read and write inside one transaction, for one namespace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from agentperf_core.cache.conversations.base import Batch, Kept, State, micros
from agentperf_core.cache.stores.sqlite_rows import blob, text
from agentperf_core.cache.stores.sqlite_schema import Schema

__all__ = ["CONVERSATIONS", "Rows"]

_STATES: Final[tuple[State, State]] = ("active", "archived")
_SWEPT = 100  # conversations forgotten per step; each may have thousands of messages

CONVERSATIONS = Schema(
    kind="file of conversations",
    program=0x41675043,  # "AgPC"
    version=1,
    tables=(
        """CREATE TABLE conversations (
            id INTEGER PRIMARY KEY,
            namespace BLOB NOT NULL,
            name BLOB NOT NULL,
            last INTEGER NOT NULL DEFAULT 0,
            expires REAL,
            UNIQUE (namespace, name)
        )""",
        "CREATE INDEX by_end ON conversations (expires) WHERE expires IS NOT NULL",
        """CREATE TABLE messages (
            row INTEGER PRIMARY KEY,
            conversation INTEGER NOT NULL,
            state INTEGER NOT NULL,
            id INTEGER NOT NULL,
            batch TEXT NOT NULL,
            value BLOB NOT NULL
        )""",
        "CREATE INDEX in_order ON messages (conversation, state, id)",
        """CREATE TRIGGER conversation_gone AFTER DELETE ON conversations BEGIN
            DELETE FROM messages WHERE conversation = old.id;
        END""",
    ),
    forgets=False,
)


class Rows:
    """The conversations of a namespace; every method is one step on a connection.

    Args:
        namespace: tells ours from others in the same file.
        ttl_s: seconds that a conversation is kept after the last write.
    """

    def __init__(self, namespace: str, ttl_s: float | None) -> None:
        self._namespace = blob(namespace)
        self._ttl_s = ttl_s

    def find(self, db: sqlite3.Connection, name: str, now: float) -> int | None:
        """The row of a conversation that has not expired."""
        row = db.execute(
            "SELECT id FROM conversations WHERE namespace = ? AND name = ?"
            " AND (expires IS NULL OR expires > ?)",
            (self._namespace, blob(name), now),
        ).fetchone()
        return None if row is None else row[0]

    def open(self, db: sqlite3.Connection, name: str, now: float) -> int:
        """The row of a conversation, made if it is not there, its time begun anew."""
        key = (self._namespace, blob(name))
        db.execute(
            "DELETE FROM conversations WHERE namespace = ? AND name = ? AND expires <= ?",
            (*key, now),
        )
        expires = None if self._ttl_s is None else now + self._ttl_s
        (found,) = db.execute(
            "INSERT INTO conversations (namespace, name, expires) VALUES (?, ?, ?)"
            " ON CONFLICT (namespace, name) DO UPDATE SET expires = excluded.expires RETURNING id",
            (*key, expires),
        ).fetchone()
        return found

    def first_of(self, db: sqlite3.Connection, talk: int, batch: str) -> int | None:
        """The id of the first message of a batch that is there."""
        found = db.execute(
            "SELECT min(id) FROM messages WHERE conversation = ? AND batch = ?", (talk, batch)
        )
        return found.fetchone()[0]

    def add(self, db: sqlite3.Connection, talk: int, batch: Batch, now: float) -> int:
        """Add messages at the end; the id of the first."""
        (last,) = db.execute("SELECT last FROM conversations WHERE id = ?", (talk,)).fetchone()
        first = max(micros(now), last + 1)
        state = _STATES.index(batch.state)
        db.executemany(
            "INSERT INTO messages (conversation, state, id, batch, value) VALUES (?, ?, ?, ?, ?)",
            [(talk, state, first + at, batch.id, value) for at, value in enumerate(batch.values)],
        )
        if batch.values:
            end = first + len(batch.values) - 1
            db.execute("UPDATE conversations SET last = ? WHERE id = ?", (end, talk))
        return first

    def read(
        self, db: sqlite3.Connection, talk: int, state: State | None, limit: int | None, offset: int
    ) -> list[Kept]:
        """Messages in order."""
        most = -1 if limit is None else max(limit, 0)
        if state is None:
            query, which = _READ_ALL, (talk,)
        else:
            query, which = _READ, (talk, _STATES.index(state))
        return _kept(db.execute(query, (*which, most, max(offset, 0))))

    def count(self, db: sqlite3.Connection, talk: int, state: State | None) -> int:
        """How many messages there are."""
        return db.execute(_COUNT, _which(talk, state)).fetchone()[0]

    def archive(self, db: sqlite3.Connection, kept: Sequence[Kept], talk: int) -> None:
        """Archive messages."""
        db.executemany(
            "UPDATE messages SET state = 1 WHERE conversation = ? AND state = 0 AND id = ?",
            [(talk, one.id) for one in kept],
        )

    def drop(self, db: sqlite3.Connection, kept: Sequence[Kept], talk: int) -> None:
        """Forget messages."""
        db.executemany(
            "DELETE FROM messages WHERE conversation = ? AND state = ? AND id = ?",
            [(talk, _STATES.index(one.state), one.id) for one in kept],
        )

    def one(self, db: sqlite3.Connection, talk: int, ident: int) -> list[Kept]:
        """The message with an id, if it is there."""
        found = db.execute(
            "SELECT id, state, value, batch FROM messages"
            " WHERE conversation = ? AND state IN (0, 1) AND id = ?",
            (talk, ident),
        )
        return _kept(found)

    def forget(self, db: sqlite3.Connection, talk: int, state: State | None) -> int:
        """Forget messages of one state or all; how many there were."""
        return db.execute(_FORGET, _which(talk, state)).rowcount

    def names(self, db: sqlite3.Connection, prefix: str, now: float) -> list[str]:
        """The names of conversations that have messages."""
        start = blob(prefix)
        found = db.execute(
            "SELECT name FROM conversations WHERE namespace = ? AND name >= ?"
            " AND (expires IS NULL OR expires > ?)"
            " AND EXISTS (SELECT 1 FROM messages WHERE conversation = conversations.id)",
            (self._namespace, start, now),
        )
        return [text(name) for (name,) in found if name.startswith(start)]

    def sweep(self, db: sqlite3.Connection, now: float) -> None:
        """Forget conversations whose time is over, of all namespaces, some at a time."""
        db.execute(
            "DELETE FROM conversations WHERE id IN"
            " (SELECT id FROM conversations WHERE expires <= ? LIMIT ?)",
            (now, _SWEPT),
        )


_COUNT = "SELECT count(*) FROM messages WHERE conversation = ? AND state BETWEEN ? AND ?"
_FORGET = "DELETE FROM messages WHERE conversation = ? AND state BETWEEN ? AND ?"
_READ = (
    "SELECT id, state, value, batch FROM messages WHERE conversation = ? AND state = ?"
    " ORDER BY id LIMIT ? OFFSET ?"
)
_READ_ALL = (
    "SELECT id, state, value, batch FROM messages WHERE conversation = ?"
    " ORDER BY id LIMIT ? OFFSET ?"
)


def _which(talk: int, state: State | None) -> tuple[int, int, int]:
    return (talk, 0, 1) if state is None else (talk, _STATES.index(state), _STATES.index(state))


def _kept(rows: Iterable[tuple[int, int, bytes, str]]) -> list[Kept]:
    return [Kept(ident, _STATES[state], value, batch) for ident, state, value, batch in rows]
