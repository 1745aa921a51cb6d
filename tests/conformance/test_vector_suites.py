"""The published suite for vector indexes, on every index of this process."""

from __future__ import annotations

import pytest

from agentperf_core.cache.vectors import ExactIndex, GrowingIndex, VectorIndex, new_index
from agentperf_core.testing.vectors import DIM, VectorIndexConformance


class TestExactIndex(VectorIndexConformance):
    @pytest.fixture
    def index(self) -> VectorIndex:
        return ExactIndex(DIM)


class TestNewIndex(VectorIndexConformance):
    """With what the suite adds it stays exact."""

    @pytest.fixture
    def index(self) -> VectorIndex:
        return new_index(DIM)


class TestIndexThatCrossesTheBorder(VectorIndexConformance):
    """Exact first, then a graph while the suite goes on."""

    @pytest.fixture
    def index(self) -> VectorIndex:
        return GrowingIndex(DIM, border=100)


class TestIndexWithAGraphFromTheStart(VectorIndexConformance):
    @pytest.fixture
    def index(self) -> VectorIndex:
        return new_index(DIM, kind="graph")
