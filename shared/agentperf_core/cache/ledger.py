"""What caches have done, kept in their store: counters that outlive the process.

A cache on a store that others share writes its counters there, each cache under a key of its own,
so that nobody overwrites anybody and no step has to be atomic. Whoever wants to know adds them up,
see `totals`. Writing happens behind the calls: at most every `EVERY_S` seconds, by one thread for
all caches of the process, and once more when the process ends.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol
from uuid import uuid4

from agentperf_core.cache.stores import Store
from agentperf_core.cache.totals import KEEP_S, STATS_PREFIX, Countable, stats_record
from agentperf_core.clock import Clock
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus

__all__ = ["EVERY_S", "Ledger"]

EVERY_S = 10.0


class _Counter(Protocol):
    """What counts."""

    def snapshot(self) -> Countable: ...

    def reset(self) -> None: ...


class Ledger:
    """Writes the counters of one cache to its store.

    Args:
        store: where; one that is in this process alone gets nothing.
        counter: what is counted.
        prefix: what the key of the record begins with; it tells what kind of cache it is.
        clock: where the time comes from.
        bus: where faults go.
    """

    def __init__(
        self,
        store: Store,
        counter: _Counter,
        *,
        prefix: str = STATS_PREFIX,
        clock: Clock,
        bus: EventBus,
    ) -> None:
        self._prefix = prefix
        self._store = store
        self._counter = counter
        self._clock = clock
        self._bus = bus
        self._written: Countable | None = None
        self._begin()
        # Set for good where nothing is to be written: then `touch` is one look at an attribute.
        self._is_due = store.in_process
        if not store.in_process:
            _ledgers.add(self)

    def touch(self) -> None:
        """Something was counted: write it before long."""
        if not self._is_due:
            self._is_due = True
            _clerk.soon(self)

    def write(self) -> None:
        """Write the counters now, if they have changed; never raises."""
        self._is_due = False  # first: what is counted from now on needs another round
        try:
            stats = self._counter.snapshot()
            if stats == self._written:
                return
            record = stats_record(stats, since=self._since, at=self._clock.time())
            self._store.set(self._key, record, KEEP_S)
            self._written = stats
        except ConfigError:
            self._is_due = True  # a store for async code alone: there is no loop here to use it on
        except Exception as error:
            self._bus.fault("cache.stats", error)

    def after_fork(self) -> None:
        """Begin anew in a child process: what was counted before is the parent's to write."""
        self._counter.reset()
        self._written = None
        self._is_due = False
        self._begin()

    def _begin(self) -> None:
        self._key = f"{self._prefix}{uuid4().hex}"
        self._since = self._clock.time()


class _Clerk:
    """Writes what is due, for all ledgers of the process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._due = set[Ledger]()
        # A queue that the garbage collector may enter: it can close a stream that counts.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()

    def soon(self, ledger: Ledger) -> None:
        self._due.add(ledger)
        self._wake.put(None)
        if self._thread is None:
            with self._lock, suppress(RuntimeError):  # the interpreter is going down
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._work, name="agentperf-stats", daemon=True
                    )
                    self._thread.start()

    def flush(self) -> None:
        for ledger in self._taken():
            ledger.write()

    def _taken(self) -> Iterator[Ledger]:
        with suppress(KeyError):
            while True:
                yield self._due.pop()

    def _work(self) -> None:
        while True:
            self._wake.get()
            time.sleep(EVERY_S)
            with suppress(Empty):
                while True:
                    self._wake.get_nowait()
            self.flush()


_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()
_clerk = _Clerk()
atexit.register(_clerk.flush)


def _after_fork() -> None:
    _clerk.reset()
    for ledger in list(_ledgers):
        ledger.after_fork()


def _on_fork(register: Callable[..., None] | None) -> None:
    if register is not None:
        register(after_in_child=_after_fork)


_on_fork(getattr(os, "register_at_fork", None))
