"""What an SQLite store reads and writes inside one transaction, for one namespace."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["BATCH", "OF_KEY", "OF_TAG", "Rows", "blob", "text"]

BATCH = 1000  # rows per step of what may be long; some 10 ms of the only writer's time
_OVERHEAD = 150  # bytes that an entry takes beside key and value: its columns and three indexes
_TAG_OVERHEAD = 20
_ROOM = 0.9  # of the bound is left after an eviction, so that not every write evicts

_LIVE = "(expires IS NULL OR expires > ?)"
OF_KEY: Final = "namespace = ? AND key = ?"
OF_TAG: Final = "namespace = ? AND id IN (SELECT entry FROM tags WHERE tag = ?)"

# The statements are put together from the constants above, never from arguments.
_GET = f"SELECT value FROM entries WHERE {OF_KEY} AND {_LIVE}"  # noqa: S608
_PAGE = f"SELECT key FROM entries WHERE namespace = ? AND key >= ? AND {_LIVE} ORDER BY key LIMIT ?"  # noqa: S608
_UP_TO = f"SELECT id, {_LIVE} FROM entries WHERE namespace = ? AND id <= ? LIMIT ?"  # noqa: S608
_LEAD = """
INSERT INTO leases (namespace, key, holder, expires) VALUES (?, ?, ?, ?)
ON CONFLICT (namespace, key) DO UPDATE SET holder = excluded.holder, expires = excluded.expires
WHERE leases.expires <= ?"""


class Rows:
    """The rows of a namespace; every method is one step on a connection.

    Args:
        connection: to enter the name with, within a transaction.
        name: of the namespace.
        max_bytes: how much it may hold.
    """

    def __init__(self, connection: sqlite3.Connection, name: str, max_bytes: int) -> None:
        connection.execute("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", (name,))
        found = connection.execute("SELECT id FROM namespaces WHERE name = ?", (name,))
        self._id: int = found.fetchone()[0]
        self._max_bytes = max_bytes

    def get(self, connection: sqlite3.Connection, key: bytes, now: float) -> bytes | None:
        """The value of a key that has not expired."""
        row = connection.execute(_GET, (self._id, key, now)).fetchone()
        return None if row is None else row[0]

    def put(
        self,
        connection: sqlite3.Connection,
        key: bytes,
        value: bytes,
        ttl_s: float | None,
        tags: Sequence[bytes],
        now: float,
    ) -> None:
        """Keep a value in place of what there was, if there is time and room for it."""
        connection.execute(f"DELETE FROM entries WHERE {OF_KEY}", (self._id, key))  # noqa: S608
        size = len(key) + len(value) + sum(len(tag) + _TAG_OVERHEAD for tag in tags) + _OVERHEAD
        if size > self._max_bytes or (ttl_s is not None and ttl_s <= 0):
            return
        ends = None if ttl_s is None else now + ttl_s
        added = connection.execute(
            "INSERT INTO entries (namespace, key, value, size, expires, used)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (self._id, key, value, size, ends, now),
        )
        if tags:
            connection.executemany(
                "INSERT OR IGNORE INTO tags (tag, entry) VALUES (?, ?)",
                [(tag, added.lastrowid) for tag in tags],
            )

    def forget(
        self, connection: sqlite3.Connection, which: str, argument: bytes, now: float
    ) -> int:
        """Delete the entries of `OF_KEY` or `OF_TAG`; how many of them were live."""
        (live,) = connection.execute(
            f"SELECT count(*) FROM entries WHERE {which} AND {_LIVE}",  # noqa: S608
            (self._id, argument, now),
        ).fetchone()
        connection.execute(f"DELETE FROM entries WHERE {which}", (self._id, argument))  # noqa: S608
        return live

    def forget_up_to(
        self, connection: sqlite3.Connection, last: int, now: float
    ) -> tuple[int, bool]:
        """Delete a batch of entries with an id up to `last`: how many lived, and was it all."""
        page = connection.execute(_UP_TO, (now, self._id, last, BATCH)).fetchall()
        connection.executemany("DELETE FROM entries WHERE id = ?", [row[:1] for row in page])
        return sum(live for _, live in page), len(page) < BATCH

    def page(self, connection: sqlite3.Connection, start: bytes, now: float) -> list[bytes]:
        """The first live keys from `start` on, in order; none if there are no more."""
        return [key for (key,) in connection.execute(_PAGE, (self._id, start, now, BATCH))]

    def size(self, connection: sqlite3.Connection) -> int:
        """Bytes that the namespace holds."""
        found = connection.execute("SELECT bytes FROM namespaces WHERE id = ?", (self._id,))
        return found.fetchone()[0]

    def is_full(self, connection: sqlite3.Connection) -> bool:
        """Whether it holds more than it may."""
        return self.size(connection) > self._max_bytes

    def note_reads(self, connection: sqlite3.Connection, reads: Mapping[bytes, float]) -> None:
        """Write when keys were last read."""
        connection.executemany(
            f"UPDATE entries SET used = max(used, ?) WHERE {OF_KEY}",  # noqa: S608
            [(at, self._id, key) for key, at in list(reads.items())],
        )

    def drop_expired(self, connection: sqlite3.Connection, now: float) -> None:
        """Delete what has expired, up to `BATCH` entries."""
        connection.execute("DELETE FROM leases WHERE expires <= ?", (now,))
        connection.execute(
            "DELETE FROM entries WHERE id IN"
            " (SELECT id FROM entries WHERE namespace = ? AND expires <= ? LIMIT ?)",
            (self._id, now, BATCH),
        )

    def evict(self, connection: sqlite3.Connection) -> None:
        """Delete what was not used for longest: as much as must be, and more while it is quick."""
        held, victims = self.size(connection), list[tuple[int]]()
        oldest = connection.execute(
            "SELECT id, size FROM entries WHERE namespace = ? ORDER BY used, id", (self._id,)
        )
        for ident, size in oldest:
            is_enough = held <= self._max_bytes
            if is_enough and (held <= _ROOM * self._max_bytes or len(victims) >= BATCH):
                break
            victims.append((ident,))
            held -= size
        oldest.close()
        connection.executemany("DELETE FROM entries WHERE id = ?", victims)

    def lead(
        self, connection: sqlite3.Connection, key: bytes, holder: bytes, ttl_s: float, now: float
    ) -> bool:
        """Take the lease of a key, if nobody has it."""
        return connection.execute(_LEAD, (self._id, key, holder, now + ttl_s, now)).rowcount == 1

    def keep_leading(
        self, connection: sqlite3.Connection, key: bytes, holder: bytes, ttl_s: float, now: float
    ) -> bool:
        """Let the lease of a key go on, if it is still the holder's."""
        kept = connection.execute(
            f"UPDATE leases SET expires = ? WHERE {OF_KEY} AND holder = ? AND expires > ?",  # noqa: S608
            (now + ttl_s, self._id, key, holder, now),
        )
        return kept.rowcount == 1

    def stop_leading(self, connection: sqlite3.Connection, key: bytes, holder: bytes) -> None:
        """Give the lease back, if it is still the holder's."""
        connection.execute(
            f"DELETE FROM leases WHERE {OF_KEY} AND holder = ?",  # noqa: S608
            (self._id, key, holder),
        )


def blob(string: str) -> bytes:
    """Text as SQLite keeps it here: TEXT takes no lone surrogate, and functions stop at a NUL."""
    return string.encode("utf-8", "surrogatepass")


def text(raw: bytes) -> str:
    """What `blob` was made from."""
    return raw.decode("utf-8", "surrogatepass")
