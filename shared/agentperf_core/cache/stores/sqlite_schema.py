"""The tables of an SQLite file of ours, and whether a file has them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from agentperf_core.errors import ConfigError

__all__ = ["CACHE", "Schema", "prepare"]


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file of one kind holds.

    Attributes:
        kind: what such a file is called in errors.
        program: the application id, by which we, and `file`, tell it from others.
        version: of the tables; at least 1.
        tables: the statements that make them.
        forgets: whether a file of an earlier version is emptied; if not, it is refused.
    """

    kind: str
    program: int
    version: int
    tables: tuple[str, ...]
    forgets: bool


_TABLES = (
    """CREATE TABLE namespaces (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        namespace INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        size INTEGER NOT NULL,
        expires REAL,
        used REAL NOT NULL,
        UNIQUE (namespace, key)
    )""",
    "CREATE INDEX by_use ON entries (namespace, used)",
    "CREATE INDEX by_end ON entries (namespace, expires) WHERE expires IS NOT NULL",
    """CREATE TABLE tags (
        tag BLOB NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (tag, entry)
    ) WITHOUT ROWID""",
    "CREATE INDEX tags_of ON tags (entry)",
    """CREATE TABLE leases (
        namespace INTEGER NOT NULL, key BLOB NOT NULL, holder BLOB NOT NULL, expires REAL NOT NULL,
        PRIMARY KEY (namespace, key)
    ) WITHOUT ROWID""",
    """CREATE TRIGGER entry_kept AFTER INSERT ON entries BEGIN
        UPDATE namespaces SET bytes = bytes + new.size WHERE id = new.namespace;
    END""",
    """CREATE TRIGGER entry_gone AFTER DELETE ON entries BEGIN
        UPDATE namespaces SET bytes = bytes - old.size WHERE id = old.namespace;
        DELETE FROM tags WHERE entry = old.id;
    END""",
)

CACHE = Schema("cache", 0x41675066, 1, _TABLES, forgets=True)  # "AgPf"
"""What a cache forgets, it learns again."""


def prepare(connection: sqlite3.Connection, path: Path, schema: Schema = CACHE) -> None:
    """Make the tables in an empty file; accept one that has them.

    Raises:
        ConfigError: if the file belongs to another program or a later version, or if its file
            system cannot do what several processes need.
        sqlite3.Error: if it is damaged, or no database at all.
    """
    _refuse_others(connection, path, schema)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only an empty file heeds it
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        msg = (
            f"path must be on a file system on which SQLite can use a write-ahead log, got "
            f"{str(path)!r} (journal mode {mode!r}); give a path on a local disk"
        )
        raise ConfigError(msg)
    connection.execute("BEGIN IMMEDIATE")
    if (
        _version(connection) != schema.version
    ):  # asked again: another process may have made them by now
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        for (table,) in tables:
            connection.execute(f'DROP TABLE "{table}"')
        for statement in schema.tables:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {schema.program}")
        connection.execute(f"PRAGMA user_version = {schema.version}")
    connection.execute("COMMIT")


def _refuse_others(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (program,) = connection.execute("PRAGMA application_id").fetchone()
    version, kind = _version(connection), schema.kind
    if objects and program != schema.program:
        msg = f"path must be a {kind} of ours, got {str(path)!r}, a database of another program; "
    elif version > schema.version or (objects and version < schema.version and not schema.forgets):
        which = f"{schema.version} or older" if schema.forgets else f"{schema.version}"
        msg = f"path must be a {kind} of version {which}, got {str(path)!r} of {version}; "
    else:
        return
    msg += "give another path"
    raise ConfigError(msg)


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]
