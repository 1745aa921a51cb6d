"""Conversations in one SQLite file: durable, shared by the processes of a machine."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import ParamSpec, TypeVar

from agentperf_core.cache.conversations.base import Batch, Kept, State
from agentperf_core.cache.conversations.given import require_text
from agentperf_core.cache.conversations.sqlite_rows import CONVERSATIONS, Rows
from agentperf_core.cache.stores.sqlite_file import SQLiteFile, file_path
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, Step

__all__ = ["SQLiteConversations", "default_path"]

P = ParamSpec("P")
T = TypeVar("T")

_TIDY_S = 60.0


def default_path() -> Path:
    """Where conversations live if nobody says: among the user's data, not in a cache folder."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "agentperf" / "conversations.sqlite3"


class SQLiteConversations:
    """A `ConversationStore` in a file in WAL mode; the async side runs on threads of its own.

    The file is not that of a cache: a cache's may be emptied. A process that is killed loses
    nothing that was kept, a machine that loses power the last messages at most.

    Args:
        path: the file, on a local disk; default `agentperf/conversations.sqlite3` in the user's
            data folder. Made with mode 0600, its folder with 0700, where they are not there yet.
        namespace: several stores share a file under different names.
        ttl_s: seconds that a conversation is kept after the last write; default for ever.
        timeout_s: seconds to wait for other writers; after that the write fails as a whole.
        clock: where the time comes from.

    Raises:
        ConfigError: if a number is not positive, or the file is none of ours that can be used.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from agentperf_core.flow import run
        >>> with TemporaryDirectory() as folder:
        ...     store = SQLiteConversations(f"{folder}/talks.db")
        ...     _ = run(store.append("talk", Batch("0" * 16, (b"hi",))))
        ...     print(run(store.count("talk")))
        ...     store.close()
        1
    """

    in_process = False

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        *,
        namespace: str = "agentperf",
        ttl_s: float | None = None,
        timeout_s: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        require_positive(ttl_s=ttl_s, timeout_s=timeout_s)
        require_text("leave it out for the default", namespace=namespace)
        where = file_path(path, default_path)
        self._file = SQLiteFile(where, timeout_s=timeout_s, schema=CONVERSATIONS)
        self._identity = _identity(where)
        self._rows = Rows(namespace, ttl_s)
        self._name = namespace
        self._clock = clock
        self._tidied_at = clock.time()

    def __repr__(self) -> str:
        return f"SQLiteConversations({str(self._file.path)!r}, namespace={self._name!r})"

    def append(self, name: str, batch: Batch, *, again: bool = False) -> Flow[int]:
        """Add messages at the end."""
        return self._write(self._try_again if again else self._append, name, batch)

    def replace(self, name: str, batch: Batch) -> Flow[int]:
        """Forget all messages and add these."""
        return self._write(self._replace, name, batch)

    def read(
        self, name: str, *, state: State | None = None, limit: int | None = None, offset: int = 0
    ) -> Flow[list[Kept]]:
        """Messages in order."""

        def read(db: sqlite3.Connection, now: float) -> list[Kept]:
            talk = self._rows.find(db, name, now)
            return [] if talk is None else self._rows.read(db, talk, state, limit, offset)

        return self._look(read)

    def count(self, name: str, *, state: State | None = None) -> Flow[int]:
        """How many messages there are."""

        def count(db: sqlite3.Connection, now: float) -> int:
            talk = self._rows.find(db, name, now)
            return 0 if talk is None else self._rows.count(db, talk, state)

        return self._look(count)

    def archive(self, name: str, count: int) -> Flow[list[Kept]]:
        """Archive the oldest active messages."""
        return self._write(self._archive, name, count)

    def take(self, name: str, count: int) -> Flow[list[Kept]]:
        """Forget the oldest active messages."""
        return self._write(self._take, name, count)

    def remove(self, name: str, ident: int) -> Flow[Kept | None]:
        """Forget one message."""
        return self._write(self._remove, name, ident)

    def forget(self, name: str, *, state: State | None = None) -> Flow[int]:
        """Forget messages of one state or all."""
        return self._write(self._forget, name, state)

    def names(self, prefix: str = "") -> Flow[list[str]]:
        """The names of conversations that have messages."""
        return self._look(lambda db, now: self._rows.names(db, prefix, now))

    def close(self) -> None:
        """Close the file; it opens again when it is used."""
        self._file.close()

    async def aclose(self) -> None:
        """Like `close`."""
        await asyncio.to_thread(self.close)

    # One transaction each ---------------------------------------------------------------------

    def _append(self, db: sqlite3.Connection, now: float, name: str, batch: Batch) -> int:
        return self._rows.add(db, self._rows.open(db, name, now), batch, now)

    def _try_again(self, db: sqlite3.Connection, now: float, name: str, batch: Batch) -> int:
        talk = self._rows.open(db, name, now)
        there = self._rows.first_of(db, talk, batch.id)
        return self._rows.add(db, talk, batch, now) if there is None else there

    def _replace(self, db: sqlite3.Connection, now: float, name: str, batch: Batch) -> int:
        talk = self._rows.open(db, name, now)
        self._rows.forget(db, talk, None)
        return self._rows.add(db, talk, batch, now)

    def _archive(self, db: sqlite3.Connection, now: float, name: str, count: int) -> list[Kept]:
        talk = self._rows.find(db, name, now)
        if talk is None:
            return []
        found = self._rows.read(db, talk, "active", count, 0)
        if found:
            self._rows.archive(db, found, self._rows.open(db, name, now))
        return [kept._replace(state="archived") for kept in found]

    def _take(self, db: sqlite3.Connection, now: float, name: str, count: int) -> list[Kept]:
        talk = self._rows.find(db, name, now)
        if talk is None:
            return []
        found = self._rows.read(db, talk, "active", count, 0)
        self._rows.drop(db, found, talk)
        return found

    def _remove(self, db: sqlite3.Connection, now: float, name: str, ident: int) -> Kept | None:
        talk = self._rows.find(db, name, now)
        if talk is None:
            return None
        found = self._rows.one(db, talk, ident)
        self._rows.drop(db, found, talk)
        return found[0] if found else None

    def _forget(self, db: sqlite3.Connection, now: float, name: str, state: State | None) -> int:
        talk = self._rows.find(db, name, now)
        return 0 if talk is None else self._rows.forget(db, talk, state)

    def _check_file(self) -> None:
        """See that the file is still where it was: SQLite would write to a deleted one for good.

        An outage and not a new file: who reads a new one takes a lost history for an empty one.
        """
        if _identity(self._file.path) != self._identity:
            msg = f"{str(self._file.path)!r} was deleted or replaced; restart to use what is there"
            raise FileNotFoundError(msg)

    def _look(self, work: Callable[[sqlite3.Connection, float], T]) -> Flow[T]:
        def look() -> T:
            self._check_file()
            with self._file.connection() as db:
                return work(db, self._clock.time())

        return (yield from Step(look, lambda: self._file.arun(look)))

    def _write(self, work: Callable[..., T], *args: object) -> Flow[T]:
        def write() -> T:
            self._check_file()
            with self._file.transaction() as db:
                now = self._clock.time()
                if now - self._tidied_at >= _TIDY_S:
                    self._tidied_at = now
                    self._rows.sweep(db, now)
                return work(db, now, *args)

        return (yield from Step(write, lambda: self._file.arun(write)))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
