"""Vectors of questions, as a cache needs them: known ones at once, new ones in batches.

Texts that come while a batch is being encoded form the next one: no look-up waits for others, and a
hundred at once cost a few batches instead of a hundred. Equal texts are encoded once.

A sync encoder works in a thread of its own, so that no event loop waits for it. An encoder that can
only be awaited is awaited on the event loop of who asks, since its connections may belong to that
one, and in the thread for sync callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, wait
from itertools import count

from agentperf_core.cache.embedding.book import VectorBook
from agentperf_core.cache.embedding.embedders import as_embedder, is_only_async
from agentperf_core.cache.embedding.lanes import LoopLanes, ThreadLane, running_loop
from agentperf_core.cache.vectors.base import Vector, VectorError
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, Step
from agentperf_core.optional import require

__all__ = ["QuestionEmbedder"]


class QuestionEmbedder:
    """Unit vectors of texts; safe under threads and event loops.

    Whatever goes wrong with a text is a `VectorError` for those who asked for it.

    Args:
        source: the encoder, see `as_embedder`.
        name: what to tell its model by, see `as_embedder`.
        cache_size: how many vectors to keep, the last used ones.
        max_batch: how many texts to encode at once.
        dim: how many numbers a vector must have; `None` for as many as the first one has.
        max_chars: longer texts are refused; nobody asks the same page twice in other words.
        max_wait_s: seconds that `vector` waits, so that an encoder that hangs stops nobody.

    Raises:
        ConfigError: if there is no way to ask `source`, or a number is not positive.
        MissingExtra: if numpy is not installed.

    Example:
        >>> from agentperf_core.flow import run
        >>> def letters(texts: list[str]) -> list[list[float]]:
        ...     return [[text.count("a"), text.count("b")] for text in texts]
        >>> embedder = QuestionEmbedder(letters, name="letters")
        >>> run(embedder.vector("aaabbbb")).tolist()
        [0.6000000238418579, 0.800000011920929]
        >>> embedder.space
        'letters:2:unit'
    """

    def __init__(
        self,
        source: object,
        *,
        name: str | None = None,
        cache_size: int = 10_000,
        max_batch: int = 32,
        dim: int | None = None,
        max_chars: int = 8000,
        max_wait_s: float = 30.0,
    ) -> None:
        require_positive(cache_size=cache_size, max_batch=max_batch, dim=dim)
        require_positive(max_chars=max_chars, max_wait_s=max_wait_s)
        require("numpy", extra="semantic", purpose="a semantic cache")
        self._embedder = as_embedder(source, name=name)
        self._only_async = is_only_async(self._embedder)
        self._max_wait_s = max_wait_s
        self._book = VectorBook(cache_size, dim=dim, max_chars=max_chars)
        self._thread = ThreadLane(self._embedder, self._book, max_batch)
        self._loops = LoopLanes(self._embedder, self._book, max_batch)

    @property
    def name(self) -> str:
        """The name of the encoder."""
        return self._embedder.name

    @property
    def dim(self) -> int | None:
        """How many numbers a vector has; `None` before the first one, if it was not given."""
        return self._book.dim

    @property
    def space(self) -> str:
        """What vectors must have in common to be compared, for the names of keys and indexes.

        Raises:
            VectorError: before the first vector, if no `dim` was given.
        """
        if self.dim is None:
            msg = "the size of the vectors is known after the first one; or give dim="
            raise VectorError(msg, reason="size")
        return f"{self.name}:{self.dim}:unit"

    def peek(self, text: str) -> Vector | None:
        """The vector if it is known already, read-only."""
        return self._book.peek(text)

    def known(self, texts: Sequence[str]) -> list[Vector] | None:
        """The vectors of all these texts, if none of them has to be encoded; read-only."""
        found = [vector for text in texts if (vector := self.peek(text)) is not None]
        return found if len(found) == len(texts) else None

    def vector(self, text: str) -> Flow[Vector]:
        """The vector of a text, read-only.

        Raises:
            VectorError: if there is none; `reason` says why.
        """
        return (yield from self.vectors((text,)))[0]

    def vectors(
        self, texts: Sequence[str], *, max_wait_s: float | None = None
    ) -> Flow[list[Vector]]:
        """The vectors of several texts, encoded together where they can be.

        Args:
            texts: what to encode.
            max_wait_s: seconds to wait, if fewer than the embedder's own; encoding goes on behind.

        Raises:
            VectorError: if one of them has none.
        """
        known = self.known(texts)
        if known is not None:
            return known
        patience_s = self._max_wait_s if max_wait_s is None else min(max_wait_s, self._max_wait_s)
        return (yield from Step(self._wait, self._await, texts, patience_s))

    def submit(self, text: str) -> Future[Vector]:
        """Start to encode in the background; never raises.

        Returns:
            A future of the vector; its exception is a `VectorError`. It cannot be cancelled, since
            others may wait for the same text.
        """
        return self._begin((text,))[0]

    def submit_all(self, texts: Sequence[str]) -> Future[list[Vector]]:
        """Like `submit`, for several texts; done when all of them are."""
        futures = self._begin(texts)
        done, left = Future[list[Vector]](), count(len(futures) - 1, -1)

        def landed(_: Future[Vector]) -> None:
            if next(left):
                return
            try:
                done.set_result([future.result() for future in futures])
            except VectorError as error:
                done.set_exception(error)
            futures.clear()  # they hold this function: a circle would keep whoever waits alive

        for future in list(futures):
            future.add_done_callback(landed)
        return done

    def close(self) -> None:
        """End the thread; who asks from now on, or still waits, gets a `VectorError`."""
        self._book.closed = True
        self._thread.close()

    def _begin(self, texts: Sequence[str]) -> list[Future[Vector]]:
        futures, new = self._book.ask(texts)
        loop = running_loop() if self._only_async else None
        if new and loop is not None:
            self._loops.put(new, loop)
        elif new:
            self._thread.put(new)
        return futures

    def _wait(self, texts: Sequence[str], patience_s: float) -> list[Vector]:
        if self._only_async and running_loop() is not None:
            # A sync caller stops the event loop that it is on: it must not wait for what runs
            # there, and asks again in the thread.
            futures, new = self._book.ask(texts, join=False)
            self._thread.put(new)
        else:
            futures = self._begin(texts)
        if wait(futures, patience_s).not_done:
            raise _too_slow(patience_s)
        return [future.result() for future in futures]

    async def _await(self, texts: Sequence[str], patience_s: float) -> list[Vector]:
        futures = self._begin(texts)
        try:
            async with asyncio.timeout(patience_s):
                return [await asyncio.wrap_future(future) for future in futures]
        except TimeoutError as error:
            raise _too_slow(patience_s) from error


def _too_slow(patience_s: float) -> VectorError:
    msg = f"the encoder took longer than max_wait_s={patience_s}"
    return VectorError(msg, reason="timeout")
