"""The file of an SQLite store: who may read it, whether it is ours, and connections to it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from agentperf_core.cache.stores.sqlite_schema import CACHE, Schema, prepare
from agentperf_core.errors import ConfigError

__all__ = ["SQLiteFile", "default_path", "file_path"]

P = ParamSpec("P")
T = TypeVar("T")

_PATIENT_S = 5.0  # to set up, and for what nobody waits for on a hot path
_IDLE = 8
_THREADS = 4  # readers hardly wait for each other, writers queue anyway


def default_path() -> Path:
    """Where the cache lives if nobody says: in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "agentperf" / "cache.sqlite3"


def file_path(path: str | os.PathLike[str] | None, default: Callable[[], Path]) -> Path:
    """The path of a file that somebody gave, or the default.

    Raises:
        ConfigError: if it is no path.
    """
    if path is not None and not isinstance(cast("object", path), str | os.PathLike):
        msg = f"path must be the path of a file, got {path!r}; leave it out for the default"
        raise ConfigError(msg)
    return default() if path is None else Path(path)


class SQLiteFile:
    """Connections to one database file; safe under threads, and in a child after a fork.

    Args:
        path: the file; it gets mode 0600, and its folder 0700, where they are not there yet.
        timeout_s: seconds to wait for another writer.
        schema: what it is to hold.

    Raises:
        ConfigError: if the file is something else, damaged, of a later version, or out of reach.
    """

    def __init__(self, path: Path, *, timeout_s: float, schema: Schema = CACHE) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._idle: list[sqlite3.Connection] = []
        self._pool: ThreadPoolExecutor | None = None
        try:
            _make(path)
            with self.connection() as connection:
                _wait_for(connection, _PATIENT_S)
                prepare(connection, path, schema)
                _wait_for(connection, timeout_s)
        except (sqlite3.Error, OSError) as error:
            msg = (
                f"path must be a file that SQLite can use as a {schema.kind}, got {str(path)!r} "
                f"({error}); give another path, or move that file away if it is a damaged "
                f"{schema.kind}"
            )
            raise ConfigError(msg) from error
        _files.add(self)
        # Python 3.13 warns about connections that end with the garbage.
        weakref.finalize(self, _close, self._idle)

    @contextmanager
    def connection(self) -> Generator[sqlite3.Connection]:
        """A connection that no other thread uses meanwhile."""
        connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()  # a transaction of it ends with it, undone
            raise
        if len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    @contextmanager
    def transaction(self, *, patient: bool = False) -> Generator[sqlite3.Connection]:
        """A connection whose changes are kept as a whole or not at all.

        Args:
            patient: wait for another writer for seconds, not for the budget of a look-up.
        """
        with self.connection() as connection:
            if patient:
                _wait_for(connection, _PATIENT_S)
            # IMMEDIATE: one that reads first and then writes fails if another one wrote meanwhile.
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
            if patient:
                _wait_for(connection, self._timeout_s)

    async def arun(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call on one of the file's own threads: a disk may be slow, an event loop not."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="agentperf-sqlite")
        job = self._pool.submit(call, *args, **kwargs)
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """Close what is idle; the next use opens it again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        _close(self._idle)

    def after_fork(self) -> None:
        """Leave what is the parent's alone: to use or close its connections harms its locks."""
        _of_parents.append(list(self._idle))
        self._idle.clear()
        self._pool = None

    def _take(self) -> sqlite3.Connection:
        with suppress(IndexError):
            return self._idle.pop()
        # No mmap: a file that is cut off under a mapping kills the process (SIGBUS).
        connection = sqlite3.connect(
            self.path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
        )
        # A crash of the process loses nothing; one of the machine the last entries, not the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -8000")
        return connection


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives the files beside it (-wal, -shm) the same mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _wait_for(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


def _close(idle: list[sqlite3.Connection]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop().close()


_files: weakref.WeakSet[SQLiteFile] = weakref.WeakSet()
_of_parents: list[list[sqlite3.Connection]] = []  # kept, so that nothing finalises them


def _after_fork() -> None:
    for file in list(_files):
        file.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
