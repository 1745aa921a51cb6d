"""A store in one SQLite file: durable, shared by the processes of a machine, without a server."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from os import PathLike

from agentperf_core.cache.closing import Closing
from agentperf_core.cache.stores.sqlite_file import SQLiteFile, default_path, file_path
from agentperf_core.cache.stores.sqlite_rows import BATCH, OF_KEY, OF_TAG, Rows, blob, text
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive

__all__ = ["SQLiteStore"]

_KEPT_READS = 10_000  # noted until the next write; a process that only reads keeps no more
_TIDY_S = 60.0


class SQLiteStore(Closing):
    """Keeps values in a file in WAL mode: readers never wait, writers wait for one another.

    A process that is killed loses nothing that was set, a machine that loses power the last entries
    at most. Reading writes nothing: when an entry was last used is noted in process, and written
    with a later `set`, once a minute or when there is no room. The bound on bytes is the
    namespace's; the file is a little larger and, once grown, reuses its space.

    The async methods run on four threads of the store's own.

    Args:
        path: the file, on a local disk; default `agentperf/cache.sqlite3` in the user's cache
            folder. Made with mode 0600, its folder with 0700, where they are not there yet.
        namespace: several stores share a file under different names; `clear` keeps to its own.
        max_bytes: how much this namespace may hold. Expired entries go first, then those that were
            not used for longest.
        timeout_s: seconds to wait for another writer; after that the call raises
            `sqlite3.OperationalError`. What forgets entries waits for 5 seconds.
        clock: where the time comes from.

    Raises:
        ConfigError: if a bound is not positive, or the file is no cache of ours that can be used.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, SQLiteStore(f"{folder}/cache.db") as store:
        ...     store.set("question", b"answer", ttl_s=3600, tags=["docs"])
        ...     store.get("question"), store.invalidate("docs"), store.get("question")
        (b'answer', 1, None)
    """

    in_process = False

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        *,
        namespace: str = "agentperf",
        max_bytes: int = 1024**3,
        timeout_s: float = 0.05,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        require_positive(max_bytes=max_bytes, timeout_s=timeout_s)
        self._file = SQLiteFile(file_path(path, default_path), timeout_s=timeout_s)
        self._name = namespace
        self._clock = clock
        self._reads: dict[bytes, float] = {}
        self._tidied_at = clock.time()
        with self._file.transaction(patient=True) as connection:
            self._rows = Rows(connection, namespace, max_bytes)

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self._file.path)!r}, namespace={self._name!r})"

    @property
    def size_bytes(self) -> int:
        """Bytes that the namespace holds, keys and overhead counted, expired entries too."""
        with self._file.connection() as connection:
            return self._rows.size(connection)

    def get(self, key: str) -> bytes | None:
        """The value, or `None` if it is absent or expired."""
        raw, now = blob(key), self._clock.time()
        with self._file.connection() as connection:
            value = self._rows.get(connection, raw, now)
        if value is not None and len(self._reads) < _KEPT_READS:
            self._reads[raw] = now
        return value

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        """Keep a value; one that alone exceeds the bound on bytes is not kept."""
        now, listed = self._clock.time(), [blob(tag) for tag in tags]
        with self._file.transaction() as connection:
            self._rows.put(connection, blob(key), value, ttl_s, listed, now)
            is_full = self._rows.is_full(connection)
            if is_full or now - self._tidied_at >= _TIDY_S or len(self._reads) >= _KEPT_READS:
                self._tidied_at = now
                self._note_reads(connection)
                self._rows.drop_expired(connection, now)
            if is_full:
                self._rows.evict(connection)

    def delete(self, key: str) -> bool:
        """Forget one value; whether it was there (an expired one was not)."""
        with self._file.transaction(patient=True) as connection:
            return self._rows.forget(connection, OF_KEY, blob(key), self._clock.time()) == 1

    def invalidate(self, tag: str) -> int:
        """Forget every entry with this tag; how many could still have been served."""
        with self._file.transaction(patient=True) as connection:
            return self._rows.forget(connection, OF_TAG, blob(tag), self._clock.time())

    def clear(self) -> int:
        """Forget the namespace and give its space back; how many entries could be served."""
        with self._file.connection() as connection:
            (last,) = connection.execute("SELECT max(id) FROM entries").fetchone()
        gone, is_done, now = 0, False, self._clock.time()
        while not is_done:
            # In steps: other processes write between them.
            with self._file.transaction(patient=True) as connection:
                live, is_done = self._rows.forget_up_to(connection, last or 0, now)
            gone += live
        with suppress(sqlite3.OperationalError), self._file.connection() as connection:
            # As a script: execute() takes one step of a statement without columns, that is a page.
            connection.executescript("PRAGMA incremental_vacuum")
        return gone

    def scan(self, prefix: str = "") -> Iterator[str]:
        """The live keys that start with `prefix`, in the order of their bytes."""
        start = first = blob(prefix)
        while True:
            with self._file.connection() as connection:
                page = self._rows.page(connection, start, self._clock.time())
            yield from (text(key) for key in page if key.startswith(first))
            if not page or not page[-1].startswith(first):
                return
            start = page[-1] + b"\0"  # the next key that can be

    def try_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Become the leader for a key, if nobody is."""
        with self._file.transaction() as connection:
            now = self._clock.time()
            return self._rows.lead(connection, blob(key), blob(holder), ttl_s, now)

    def keep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Let the lease go on, if `holder` still has it."""
        with self._file.transaction() as connection:
            now = self._clock.time()
            return self._rows.keep_leading(connection, blob(key), blob(holder), ttl_s, now)

    def stop_leading(self, key: str, holder: str) -> None:
        """End the lease if `holder` still has it."""
        with self._file.transaction() as connection:
            self._rows.stop_leading(connection, blob(key), blob(holder))

    def close(self) -> None:
        """Write when entries were last used, and close the file; it opens again when used."""
        with suppress(sqlite3.Error), self._file.transaction() as connection:
            self._note_reads(connection)
        self._file.close()

    # The same from an event loop ------------------------------------------------------------------

    async def aget(self, key: str) -> bytes | None:
        """Like `get`."""
        return await self._file.arun(self.get, key)

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        """Like `set`."""
        await self._file.arun(self.set, key, value, ttl_s, tags)

    async def adelete(self, key: str) -> bool:
        """Like `delete`."""
        return await self._file.arun(self.delete, key)

    async def ainvalidate(self, tag: str) -> int:
        """Like `invalidate`."""
        return await self._file.arun(self.invalidate, tag)

    async def aclear(self) -> int:
        """Like `clear`."""
        return await self._file.arun(self.clear)

    async def ascan(self, prefix: str = "") -> AsyncIterator[str]:
        """Like `scan`."""
        keys = self.scan(prefix)
        while batch := await self._file.arun(list, islice(keys, BATCH)):
            for key in batch:
                yield key

    async def atry_lead(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `try_lead`."""
        return await self._file.arun(self.try_lead, key, holder, ttl_s)

    async def akeep_leading(self, key: str, holder: str, ttl_s: float) -> bool:
        """Like `keep_leading`."""
        return await self._file.arun(self.keep_leading, key, holder, ttl_s)

    async def astop_leading(self, key: str, holder: str) -> None:
        """Like `stop_leading`."""
        await self._file.arun(self.stop_leading, key, holder)

    async def aclose(self) -> None:
        """Like `close`."""
        await asyncio.to_thread(self.close)

    def _note_reads(self, connection: sqlite3.Connection) -> None:
        reads, self._reads = self._reads, {}
        self._rows.note_reads(connection, reads)
