"""Vector indexes beyond the published suite: growth, graphs, bounds, the codec, forks and ends."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fork_tools import exit_code_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentperf_core.cache.vectors import (
    ExactIndex,
    GrowingIndex,
    VectorError,
    decode_vector,
    encode_vector,
    new_index,
)
from agentperf_core.errors import CodecError, ConfigError, MissingExtra
from agentperf_core.events import EventBus

DIM = 48


def units(count: int, seed: int = 0, dim: int = DIM) -> Any:
    """Clustered, as questions are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(2, count // 20), dim), dtype=np.float32)
    rows = centres[rng.integers(0, len(centres), count)]
    rows = rows + 0.4 * rng.standard_normal((count, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def filled(count: int, **kwargs: Any) -> tuple[GrowingIndex, Any]:
    index, vectors = GrowingIndex(DIM, **kwargs), units(count)
    for ident, vector in enumerate(vectors):
        index.add(ident, vector)
    return index, vectors


# Growing


def test_an_index_stays_exact_up_to_the_border_and_gets_a_graph_behind_it():
    index, _ = filled(300, border=300)
    assert index.settle(30)
    assert index.in_graph == 0
    index.add(300, units(1, seed=9)[0])
    assert index.settle(30)
    assert index.in_graph == 301


def test_the_graph_finds_what_comparing_with_all_finds():
    index, vectors = filled(3000, border=0)
    assert index.settle(60)
    queries = units(3000)[:200] + 0.05 * np.random.default_rng(1).standard_normal((200, DIM))
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    best = (queries @ vectors.T).argmax(axis=1)
    found = [index.search(query, k=1)[0][0] for query in queries]
    assert sum(a == b for a, b in zip(found, best.tolist(), strict=True)) >= 198


def test_cosines_are_those_of_the_vectors_and_not_of_their_rounded_copies():
    index, vectors = filled(500, border=0)
    assert index.settle(30)
    for ident, cosine in index.search(vectors[3], k=10):
        assert abs(cosine - float(vectors[ident] @ vectors[3])) < 1e-6


def test_an_index_at_work_answers_exactly():
    """During the first build, nothing that is there is missed."""
    index, vectors = filled(2000, border=100)
    for ident in range(0, 2000, 37):
        assert index.search(vectors[ident], k=1)[0][0] == ident
    assert index.settle(60)


def test_many_forgotten_vectors_are_worth_a_new_graph():
    index, vectors = filled(2500, border=100)
    assert index.settle(60)
    for ident in range(2300):
        index.remove(ident)
    assert index.settle(60)
    assert index.in_graph == len(index) == 200
    for ident in range(2300, 2500):
        assert index.search(vectors[ident], k=1)[0][0] == ident


def test_few_vectors_that_are_left_need_no_graph():
    index, vectors = filled(2500, border=2000)
    assert index.settle(60)
    assert index.in_graph == 2500
    for ident in range(2450):
        index.remove(ident)
    assert index.settle(60)
    assert index.in_graph == 0
    assert index.search(vectors[2490], k=1)[0][0] == 2490


def test_what_changes_during_a_rebuild_is_in_the_new_graph():
    index, _ = filled(2500, border=100)
    assert index.settle(60)
    for ident in range(2300):
        index.remove(ident)
    fresh = units(300, seed=5)
    for ident, vector in enumerate(fresh):
        index.add(2400 + ident, vector)  # half of them in place of others
        if ident % 3 == 0:
            index.remove(2400 + ident)
    assert index.settle(60)
    for ident, vector in enumerate(fresh):
        nearest = index.search(vector, k=1)[0]
        assert (nearest[0] == 2400 + ident and nearest[1] > 0.9999) is (ident % 3 != 0)


def test_forgotten_twins_in_front_do_not_hide_the_living():
    """An answer that was renewed a thousand times left a thousand equal vectors in the graph."""
    index, vectors = filled(800, border=0)
    for _ in range(900):
        index.add(0, vectors[0])
        assert index.settle(30)
    assert [ident for ident, _ in index.search(vectors[0], k=1)] == [0]
    assert len(index.search(vectors[0], k=20)) == 20


@pytest.mark.parametrize("kind", ["exact", "graph"])
def test_a_full_index_lets_the_oldest_go_and_says_which(kind: Any):
    index, vectors = new_index(DIM, kind=kind, max_entries=10), units(15)
    gone = [index.add(ident, vector) for ident, vector in enumerate(vectors)]
    assert gone == [None] * 10 + [0, 1, 2, 3, 4]
    assert len(index) == 10
    assert {ident for ident, _ in index.search(vectors[0], k=15)} == set(range(5, 15))


def test_a_bounded_index_takes_bounded_memory():
    index = ExactIndex(DIM, max_entries=100)
    vectors = units(100)
    for ident in range(5000):
        index.add(ident, vectors[ident % 100])
    assert index.nbytes <= 256 * (DIM * 4 + 8)


def test_without_usearch_it_stays_exact_and_says_so_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    bus = EventBus()
    index, vectors = filled(300, border=100, bus=bus)
    assert index.settle(30)
    assert index.in_graph == 0
    assert index.search(vectors[250], k=1)[0][0] == 250
    assert bus.faults() == {"cache.vectors": 1}
    with pytest.raises(MissingExtra, match=r"agentperf-pack\[semantic\]"):
        new_index(DIM, kind="graph")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: new_index(0), "dim"),
        (lambda: new_index(8, kind="hnsw"), "'hnsw'"),  # pyright: ignore[reportArgumentType]
        (lambda: new_index(8, max_entries=0), "max_entries"),
        (lambda: GrowingIndex(8, border=-1), "border"),
        (lambda: new_index(8).search(np.ones(8, np.float32), k=0), "k must"),
    ],
    ids=["dim", "kind", "max_entries", "border", "k"],
)
def test_arguments_that_mean_nothing_are_refused(make: Callable[[], object], said: str):
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in str(caught.value)


def test_the_thread_of_a_build_ends_with_it_and_with_its_index():
    index, _ = filled(300, border=100)
    assert index.settle(30)
    assert _ended()
    index, _ = filled(5000, border=100)
    del index
    gc.collect()
    assert _ended()


def _ended() -> bool:
    for thread in threading.enumerate():
        if thread.name == "agentperf-vectors":
            thread.join(30)
            if thread.is_alive():
                return False
    return True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_goes_on_without_the_parents_build():
    index, vectors = filled(3000, border=100)
    with warnings.catch_warnings():
        # Python 3.12 and later warn of what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            found = [index.search(vectors[ident], k=1)[0][0] for ident in (0, 1500, 2999)]
            index.add(9999, units(1, seed=3)[0])
            code = 0 if found == [0, 1500, 2999] and index.settle(40) else 2
        finally:
            os._exit(code)
    assert (
        exit_code_of(
            child, within_s=45, otherwise="the child waited for a lock of the parent's thread"
        )
        == 0
    )


END = """
import numpy as np
from agentperf_core.cache.vectors import GrowingIndex
index = GrowingIndex(64, border=10)
vectors = np.random.default_rng(0).standard_normal((3000, 64), dtype=np.float32)
for ident, vector in enumerate(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)):
    index.add(ident, vector)
print("end")
"""


def test_an_interpreter_that_ends_during_a_build_ends_quietly():
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", END],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


POOL = units(60, seed=2)


class IndexAgainstDict(RuleBasedStateMachine):
    """Whatever is done in whatever order, the index knows what a dictionary knows."""

    def __init__(self) -> None:
        super().__init__()
        self.index = GrowingIndex(DIM, border=4)
        self.known: dict[int, int] = {}

    @rule(ident=st.integers(0, 30), vector=st.integers(0, len(POOL) - 1))
    def add(self, ident: int, vector: int) -> None:
        self.index.add(ident, POOL[vector])
        self.known[ident] = vector

    @rule(ident=st.integers(0, 30))
    def remove(self, ident: int) -> None:
        self.index.remove(ident)
        self.known.pop(ident, None)

    @rule()
    def settle(self) -> None:
        assert self.index.settle(30)

    @precondition(lambda self: self.known)
    @rule(vector=st.integers(0, len(POOL) - 1), k=st.integers(1, 8))
    def search(self, vector: int, k: int) -> None:
        found = self.index.search(POOL[vector], k)
        wanted = sorted(-float(POOL[v] @ POOL[vector]) for v in self.known.values())[:k]
        assert np.allclose([-cosine for _, cosine in found], wanted, atol=1e-5)
        for ident, cosine in found:
            assert abs(float(POOL[self.known[ident]] @ POOL[vector]) - cosine) < 1e-5

    @invariant()
    def knows_how_many(self) -> None:
        assert len(self.index) == len(self.known)


TestIndexAgainstDict = IndexAgainstDict.TestCase


# Codec


@given(st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=50), st.sampled_from(["f2", "f4"]))
def test_a_vector_survives_its_bytes(numbers: list[float], kind: Any):
    vector = np.array(numbers, dtype=np.float32)
    assert np.array_equal(decode_vector(encode_vector(vector, kind=kind)), vector)


def test_float16_costs_a_unit_vector_less_than_a_thousandth_of_cosine():
    for vector in units(200):
        assert abs(float(decode_vector(encode_vector(vector)) @ vector) - 1) < 1e-3


@given(st.binary(max_size=40))
def test_bytes_that_are_no_vector_are_refused(data: bytes):
    try:
        decode_vector(data)
    except CodecError:
        return
    assert data[0] == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"\x02" + data[1:],
        lambda data: data[:1] + b"\x08" + data[2:],
        lambda data: data[:4] + b"\x00\x7e" + data[6:],  # NaN as float16
    ],
    ids=["empty", "cut", "longer", "other version", "other kind", "not finite"],
)
def test_a_damaged_vector_is_refused(damage: Callable[[bytes], bytes]):
    with pytest.raises(CodecError):
        decode_vector(damage(encode_vector(units(1)[0])))


def test_what_cannot_be_kept_is_refused():
    with pytest.raises(ConfigError, match="'f8'"):
        encode_vector(units(1)[0], kind="f8")  # pyright: ignore[reportArgumentType]
    for wrong in (units(2), np.zeros(0, np.float32), np.zeros(70_000, np.float32)):
        with pytest.raises(ConfigError, match="one axis"):
            encode_vector(wrong)


def test_an_index_takes_no_vector_of_another_size():
    index = new_index(8)
    for use in (lambda v: index.add(1, v), lambda v: index.search(v, 1)):
        with pytest.raises(VectorError, match="8 numbers"):
            use(np.ones(9, np.float32))
