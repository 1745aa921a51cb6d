"""A graph over the rows of a matrix: which of them are probably the nearest (HNSW of usearch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentperf_core.cache.vectors.base import Vector
from agentperf_core.optional import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Graph"]

# Eight bits, links per vector, and how many candidates are kept while adding and searching:
# on 100,000 vectors of MiniLM (43,457 questions, the rest noisy copies), 1000 other questions, one
# thread, CPU, with the cosines of the found computed anew: 24, 128 and 128 find the nearest in 99.6
# of 100 searches at 0.32 ms, and 22 s to build; float16 (24, 96, 128) in 99.7 at 0.44 ms, and 28 s;
# usearch's own numbers (16, 128, 64) in eight bits in 98.8. Where a search has to look at more, as
# in clusters of random vectors, memory sets the pace: 0.6 ms with eight bits, 1.1 with float16.
_CONNECTIVITY = 24
_EXPANSION_ADD = 128
_EXPANSION_SEARCH = 128


class Graph:
    """Rows by nearness, kept as int8; its owner locks, and compares the vectors themselves.

    usearch lets one thread change an index at a time, and others wait for it: vectors go in one by
    one, so that a search never waits for more than one of them. Rows are never removed, since it
    would search through what it forgot all the same; the owner passes over them.

    Args:
        dim: how many numbers a vector has.

    Raises:
        MissingExtra: if usearch is not installed.
    """

    def __init__(self, dim: int) -> None:
        module = require("usearch.index", extra="semantic", purpose="a large vector index")
        # Products of unit vectors are cosines, and need no norms.
        self._index: Any = module.Index(
            ndim=dim,
            metric="ip",
            dtype="i8",
            connectivity=_CONNECTIVITY,
            expansion_add=_EXPANSION_ADD,
            expansion_search=_EXPANSION_SEARCH,
        )

    def __len__(self) -> int:
        return len(self._index)

    def add(self, row: int, vector: Vector) -> None:
        """Put a row in; about 0.25 ms at 100,000."""
        # One thread: the default starts as many as there are cores, for every call.
        self._index.add(row, vector, threads=1)

    def near(self, query: Vector, count: int) -> NDArray[np.uint64]:
        """About `count` rows, probably the nearest ones."""
        found: NDArray[np.uint64] = self._index.search(query, count, threads=1).keys
        return found

    def nbytes(self) -> int:
        """Bytes that the graph takes, its copy of the vectors included."""
        return int(self._index.memory_usage)
