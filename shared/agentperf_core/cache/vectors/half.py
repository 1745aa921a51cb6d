"""Half an index: some rows in a graph, the newer ones compared one by one; see `growing`."""

from __future__ import annotations

from agentperf_core.cache.vectors.base import Vector
from agentperf_core.cache.vectors.exact import Rows
from agentperf_core.cache.vectors.usearch import Graph

__all__ = ["Half"]

# Neighbours asked for beyond `k`: eight bits mix up the order of those that are about as near.
_SPARE = 8
_TWINS = 16  # among how many an equal vector is looked for, for the same reason
_MOST_ASKED = 1024


class Half:
    """A matrix and the graph over its first rows; its owner locks.

    Attributes:
        rows: the vectors.
        graph: of the rows below the watermark, `None` while there is none.
        watermark: how many rows a search need not compare with.
        stale: how many of these are forgotten.
    """

    def __init__(self, dim: int, *, graph: bool) -> None:
        self.rows = Rows(dim)
        self.graph = Graph(dim) if graph else None
        self.watermark = 0
        self.stale = 0

    def put(self, ident: int, vector: Vector) -> None:
        """Write a vector, compared one by one until the watermark has passed it."""
        self.rows.put(ident, vector, at_least=self.watermark)

    def take(self, ident: int) -> None:
        """Forget a number."""
        row = self.rows.take(ident)
        self.stale += row is not None and row < self.watermark

    def into_graph(self) -> None:
        """Move the watermark over one row."""
        rows, row = self.rows, self.watermark
        self.watermark += 1
        if self.graph is None or rows.numbers[row] < 0 or self._revive_twin(self.graph, row):
            self.stale += 1
        else:
            self.graph.add(row, rows.matrix[row])

    def _revive_twin(self, graph: Graph, row: int) -> bool:
        """Give a forgotten row with the same vector to this one's number, if the graph has one.

        An answer that is renewed often would leave hundreds of equal vectors, which link to each
        other only: the living one among them could not be reached any more.
        """
        if self.stale == 0 or not len(graph):
            return False
        rows = self.rows
        near = graph.near(rows.matrix[row], _TWINS)
        forgotten = near[rows.numbers[near] < 0]
        twins = forgotten[(rows.matrix[forgotten] == rows.matrix[row]).all(axis=1)]
        if not len(twins):
            return False
        rows.move(row, int(twins[0]))
        self.stale -= 1
        return True

    def search(self, query: Vector, k: int) -> list[tuple[int, float]]:
        """The `k` nearest, by the graph as far as it goes."""
        rows, graph = self.rows, self.graph
        # With less than half of them in the graph, comparing with all is about as cheap.
        if graph is None or 2 * self.watermark < rows.used:
            return rows.nearest(query, k)
        found = self._from_graph(graph, query, k)
        if self.watermark < rows.used:
            found += rows.nearest(query, k, start=self.watermark)
            found.sort(key=lambda pair: (-pair[1], pair[0]))
        return found[:k]

    def _from_graph(self, graph: Graph, query: Vector, k: int) -> list[tuple[int, float]]:
        wanted = k + _SPARE
        # As many living ones as without the forgotten, which may stand in front of the nearest.
        enough = min(wanted, self.watermark - self.stale)
        while True:
            found = self.rows.rescored(query, graph.near(query, wanted))
            if len(found) >= enough:
                return found
            if wanted >= _MOST_ASKED:
                return self.rows.nearest(query, k)
            wanted *= 4

    def nbytes(self) -> int:
        """Bytes of both."""
        return self.rows.nbytes() + (self.graph.nbytes() if self.graph is not None else 0)
