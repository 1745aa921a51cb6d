"""What every `agentperf_core.cache.vectors.VectorIndex` must do, as tests to inherit.

Give one fixture, `index`: an empty index of vectors of `DIM` numbers. An index that works in the
background may be of the kind that is still at it: the suite asks it to `settle()` where it can.

Example:
    >>> from agentperf_core.cache.vectors import ExactIndex
    >>> from agentperf_core.testing.vectors import DIM, VectorIndexConformance
    >>> class TestExactIndex(VectorIndexConformance):  # in a test module, with @pytest.fixture
    ...     def index(self) -> ExactIndex:
    ...         return ExactIndex(DIM)
"""
# ruff: noqa: S101 - assertions are what a conformance suite is made of

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from agentperf_core.cache.vectors import Vector, VectorError, VectorIndex
from agentperf_core.optional import require

__all__ = ["DIM", "VectorIndexConformance"]

DIM = 32
"""How many numbers the vectors of the suite have."""

_MANY = 400


class VectorIndexConformance:
    """The `VectorIndex` protocol; needs the fixture `index`."""

    def test_an_empty_index_finds_nothing(self, index: VectorIndex) -> None:
        """Nothing is near where nothing is."""
        assert len(index) == 0
        assert index.search(_unit(0), k=3) == []

    def test_the_nearest_come_first_with_their_cosines(self, index: VectorIndex) -> None:
        """Numbers and cosines in order, as many as were asked for."""
        vectors = _units(_MANY)
        for ident, vector in enumerate(vectors):
            index.add(ident, vector)
        _settle(index)
        for ident in (0, 17, _MANY - 1):
            found = index.search(vectors[ident], k=4)
            cosines = [cosine for _, cosine in found]
            assert found[0][0] == ident
            assert abs(cosines[0] - 1.0) < 1e-4
            assert cosines == sorted(cosines, reverse=True)
            assert len(found) == 4
            for other, cosine in found:
                assert abs(cosine - float(vectors[other] @ vectors[ident])) < 1e-3

    def test_a_new_vector_is_found_at_once(self, index: VectorIndex) -> None:
        """What `add` returned from is there, whatever happens in the background."""
        for ident, vector in enumerate(_units(_MANY)):
            index.add(ident, vector)
            assert index.search(vector, k=1)[0][0] == ident
        assert len(index) == _MANY

    def test_fewer_than_asked_for_are_all_of_them(self, index: VectorIndex) -> None:
        """`k` is a limit, not a promise."""
        for ident in (5, 6):
            index.add(ident, _unit(ident))
        assert {ident for ident, _ in index.search(_unit(5), k=10)} == {5, 6}

    def test_a_removed_number_is_not_found(self, index: VectorIndex) -> None:
        """Neither before nor after the background has seen it."""
        for ident in range(_MANY):
            index.add(ident, _unit(ident))
        index.remove(3)
        _settle(index)
        index.remove(4)
        index.remove(999_999)
        for gone in (3, 4):
            assert gone not in {ident for ident, _ in index.search(_unit(gone), k=_MANY)}
        assert len(index) == _MANY - 2

    def test_the_last_vector_of_a_number_counts(self, index: VectorIndex) -> None:
        """Adding again replaces."""
        for ident in range(_MANY):
            index.add(ident, _unit(ident))
        _settle(index)
        index.add(7, _unit(1_000_007))
        for _ in range(2):
            assert index.search(_unit(1_000_007), k=1)[0][0] == 7
            assert dict(index.search(_unit(7), k=_MANY))[7] < 0.99
            _settle(index)
        assert len(index) == _MANY

    def test_one_number_may_be_replaced_again_and_again(self, index: VectorIndex) -> None:
        """What a number had before does not stand in the way of what others have now."""
        for ident in range(_MANY):
            index.add(ident, _unit(ident))
        _settle(index)
        for _ in range(3 * _MANY):
            index.add(0, _unit(0))
        _settle(index)
        found = index.search(_unit(0), k=8)
        assert found[0][0] == 0
        assert len({ident for ident, _ in found}) == 8
        assert len(index) == _MANY

    def test_an_emptied_index_starts_anew(self, index: VectorIndex) -> None:
        """All forgotten, then others added."""
        for ident in range(_MANY):
            index.add(ident, _unit(ident))
        for ident in range(_MANY):
            index.remove(ident)
        _settle(index)
        assert (len(index), index.search(_unit(1), k=3)) == (0, [])
        index.add(5, _unit(1))
        assert abs(index.search(_unit(1), k=3)[0][1] - 1.0) < 1e-4

    def test_a_vector_of_another_size_is_refused(self, index: VectorIndex) -> None:
        """With the error that a cache counts as a miss."""
        index.add(1, _unit(1))
        assert _refusals(index, _unit(1)[:-1]) == ["size", "size"]
        assert len(index) == 1

    def test_a_vector_that_is_not_finite_is_refused(self, index: VectorIndex) -> None:
        """NaN would compare as neither nearer nor farther."""
        bad = _unit(1).copy()
        bad[3] = float("nan")
        assert _refusals(index, bad) == ["not-finite", "not-finite"]

    def test_the_caller_may_change_its_vector_afterwards(self, index: VectorIndex) -> None:
        """An index keeps a copy."""
        vector = _unit(1).copy()
        index.add(1, vector)
        vector[:] = 0
        assert abs(index.search(_unit(1), k=1)[0][1] - 1.0) < 1e-4

    def test_threads_may_read_while_others_write(self, index: VectorIndex) -> None:
        """A found number has the cosine of its own vector, and those that stay are found."""
        kept = _units(_MANY)
        for ident, vector in enumerate(kept):
            index.add(ident, vector)
        wrong: list[object] = []
        written = threading.Event()

        def write(number: int) -> None:
            for turn in range(_MANY):
                ident = 10_000 * (number + 1) + turn
                index.add(ident, _unit(ident))
                if turn % 2:
                    index.remove(ident - 1)

        def read(number: int) -> None:
            turn = number
            while not written.is_set():
                ident = turn % _MANY
                found = index.search(kept[ident], k=5)
                if found[0][0] != ident or abs(found[0][1] - 1.0) > 1e-4:
                    wrong.append(found)
                wrong.extend(one for one in found if _cosine(one[0], kept[ident]) - one[1] > 1e-3)
                turn += 7

        readers = _started(read, 3, wrong)
        for thread in _started(write, 3, wrong):
            thread.join()
        written.set()
        for thread in readers:
            thread.join()
        assert wrong == []
        assert len(index) == _MANY + 3 * _MANY // 2


def _started(
    work: Callable[[int], None], count: int, wrong: list[object]
) -> list[threading.Thread]:
    def guarded(number: int) -> None:
        try:
            work(number)
        except Exception as error:  # the assertion at the end shows it
            wrong.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def _unit(seed: int) -> Vector:
    np = require("numpy", extra="semantic", purpose="the conformance suite of vector indexes")
    vector = np.random.default_rng(seed).standard_normal(DIM, dtype=np.float32)
    unit: Vector = vector / np.linalg.norm(vector)
    return unit


def _units(count: int) -> list[Vector]:
    return [_unit(seed) for seed in range(count)]


def _cosine(ident: int, other: Vector) -> float:
    return float(_unit(ident) @ other)


def _settle(index: VectorIndex) -> None:
    settle: Any = getattr(index, "settle", None)
    if settle is not None:
        assert settle(30.0), "the background work did not end"


def _refusals(index: VectorIndex, vector: Vector) -> list[str]:
    """Why `add` and `search` refuse a vector."""
    reasons: list[str] = []
    for use in (partial(index.add, 2, vector), partial(index.search, vector, k=1)):
        try:
            use()
        except VectorError as error:
            reasons.append(error.reason)
    return reasons
