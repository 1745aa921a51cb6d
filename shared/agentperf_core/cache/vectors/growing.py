"""An index that starts exact and gets a graph when it is large enough, off the callers' path.

::

    row:   0 ........... watermark ........... used
           in the graph  | not yet, compared one by one

A background thread moves the watermark, one row at a time. So a new vector is found at once, a
search costs the graph plus what is behind the watermark, and nobody waits for a build. A row below
the watermark is never written again: the graph would find it where its old vector was. When too
many of them are forgotten, the thread copies the others into a new matrix and graph.
"""

from __future__ import annotations

import threading
from collections import deque

from agentperf_core.cache.vectors.base import Vector
from agentperf_core.cache.vectors.exact import check_count, oldest_over
from agentperf_core.cache.vectors.half import Half
from agentperf_core.cache.vectors.units import checked_vector
from agentperf_core.cache.vectors.usearch import Graph
from agentperf_core.cache.worker import Worker
from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.events import BUS, EventBus
from agentperf_core.optional import require

__all__ = ["BORDER", "GrowingIndex"]

BORDER = 5000
"""From how many vectors on a graph is worth its room: at 384 numbers, comparing with 5,000 takes
0.3 ms and takes no building, the graph 0.2 ms, and 0.6 ms at 100,000 where comparing takes 24
(`benchmarks/bench_vectors.py`)."""

# Forgotten rows that the graph leads to: more than this, and more than half as many as there are
# vectors, is worth a new graph.
_STALE = 1000
# With a shorter pause or none, a search beside the build waited 1 to 6 ms for its turn (the 95th
# percentile); with this one 0.4 ms, and the build takes a third longer.
_PAUSE_S = 1e-4


class GrowingIndex:
    """A vector index for any number of vectors; see `VectorIndex`.

    Exact up to `border`, then usearch's HNSW graph in eight bits, with the cosines of what it finds
    computed from the float32 vectors. At 100,000 vectors of 384 numbers: 0.6 ms, the nearest one
    found in more than 99 of 100 searches, and about 400 MB. Without usearch it stays exact.

    Args:
        dim: how many numbers a vector has.
        border: from how many vectors on to build a graph; zero for always.
        max_entries: the oldest goes when there are more; `None` for no limit.
        bus: where a failing build is reported.

    Raises:
        ConfigError: if an argument is negative, or zero where that means nothing.
        MissingExtra: if numpy is not installed, or `border` is zero and usearch is not.

    Example:
        >>> import numpy
        >>> index = GrowingIndex(2, border=0)
        >>> for ident, vector in enumerate(numpy.eye(2, dtype=numpy.float32)):
        ...     _ = index.add(ident, vector)
        >>> index.settle()
        True
        >>> index.search(numpy.array([0.6, 0.8], numpy.float32), k=1)
        [(1, 0.800000011920929)]
    """

    def __init__(
        self,
        dim: int,
        *,
        border: int = BORDER,
        max_entries: int | None = None,
        bus: EventBus = BUS,
    ) -> None:
        require_positive(dim=dim, max_entries=max_entries)
        if border < 0:
            msg = f"border must be >= 0, got {border!r}; zero builds a graph from the start"
            raise ConfigError(msg)
        if border == 0:
            require("usearch", extra="semantic", purpose="a graph from the start (border=0)")
        self._dim = dim
        self._border = border
        self._max_entries = max_entries
        self._half = Half(dim, graph=False)
        self._next: Half | None = None
        self._to_copy: deque[int] = deque()
        self._broken = False
        self._settled = threading.Event()
        self._settled.set()
        self._lock = threading.Lock()
        self._worker = Worker(
            "agentperf-vectors",
            self._step,
            where="cache.vectors",
            pause_s=_PAUSE_S,
            renew=self._after_fork,
            bus=bus,
        )

    def __len__(self) -> int:
        return len(self._half.rows.row_of)

    @property
    def nbytes(self) -> int:
        """Bytes that the vectors and the graph take."""
        return self._half.nbytes() + (self._next.nbytes() if self._next is not None else 0)

    @property
    def in_graph(self) -> int:
        """How many rows a search need not compare with; zero while everything is exact."""
        return self._half.watermark if self._half.graph is not None else 0

    def settle(self, timeout_s: float | None = None) -> bool:
        """Wait for the background thread; whether it was done within `timeout_s` seconds."""
        if not self._settled.is_set():
            self._worker.wake()  # a forked child has no thread until it needs one
        return self._settled.wait(timeout_s)

    def add(self, ident: int, vector: Vector) -> int | None:
        """Add a unit vector, in place of what the number had; see `VectorIndex.add`."""
        row = checked_vector(vector, self._dim)
        with self._lock:
            self._take(ident)
            self._half.put(ident, row)
            if self._next is not None:
                self._to_copy.append(ident)
            gone = oldest_over(self._half.rows, self._max_entries, self._take)
            behind = self._has_work()
        if behind:
            self._wake()
        return gone

    def remove(self, ident: int) -> None:
        """Forget a number; one that is not there is no error."""
        with self._lock:
            self._take(ident)
            behind = self._has_work()
        if behind:
            self._wake()

    def search(self, vector: Vector, k: int) -> list[tuple[int, float]]:
        """The `k` nearest with their cosines, best first; see `VectorIndex.search`."""
        query = checked_vector(vector, self._dim)
        check_count(k)
        with self._lock:
            return self._half.search(query, k)

    def _take(self, ident: int) -> None:
        self._half.take(ident)
        if self._next is not None:
            self._next.take(ident)

    def _has_work(self) -> bool:
        half = self._half
        if self._broken:
            return False
        if self._next is not None:
            return True
        if half.graph is None:
            return len(half.rows.row_of) > self._border
        living = len(half.rows.row_of)
        few = living <= self._border // 2
        return few or half.watermark < half.rows.used or half.stale > max(_STALE, living // 2)

    def _wake(self) -> None:
        self._settled.clear()
        self._worker.wake()

    def _step(self) -> bool:
        """One row's worth of work; whether there may be more."""
        with self._lock:
            try:
                if self._has_work():
                    self._work()
            except Exception:
                # Without usearch, or without memory for it: exact from here on.
                self._broken, self._next = True, None
                self._half.graph, self._half.watermark = None, 0
                self._settled.set()
                raise
            more = self._has_work()
            if not more:
                self._settled.set()
            return more

    def _work(self) -> None:
        half = self._half
        if self._next is not None:
            self._copy_one(self._next)
        elif half.graph is None:
            half.graph = Graph(self._dim)
        elif half.watermark < half.rows.used:
            half.into_graph()
        else:
            graph = len(half.rows.row_of) > self._border // 2
            self._next = Half(self._dim, graph=graph)
            self._to_copy = deque(half.rows.row_of)

    def _copy_one(self, new: Half) -> None:
        if not self._to_copy:
            self._half, self._next = new, None
            return
        ident = self._to_copy.popleft()
        row = self._half.rows.row_of.get(ident)
        if row is not None and ident not in new.rows.row_of:
            new.put(ident, self._half.rows.matrix[row])
            if new.graph is not None:
                new.into_graph()

    def _after_fork(self) -> None:
        # A thread of the parent may have been inside usearch, whose lock nobody here will open:
        # without the graph every search is exact until this process has built its own.
        busy = self._lock.locked()
        self._lock = threading.Lock()
        if busy or not self._settled.is_set():
            self._next = None
            self._half.graph, self._half.watermark, self._half.stale = None, 0, 0
            self._settled = threading.Event()
