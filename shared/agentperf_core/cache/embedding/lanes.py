"""Where an encoder works: in a thread of its own, or on the event loop of who asks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agentperf_core.cache.embedding.book import Asked, VectorBook, stopped
from agentperf_core.cache.embedding.embedders import Embedder, is_only_async
from agentperf_core.cache.vectors.base import VectorError
from agentperf_core.cache.worker import Worker

__all__ = ["LoopLanes", "ThreadLane", "running_loop"]

_CLOSE_WAIT_S = 5.0


class ThreadLane:
    """Encodes in a daemon thread that starts with the first text.

    Args:
        embedder: the encoder; one that must be awaited gets an event loop of the thread's own.
        book: where the vectors go.
        max_batch: how many texts to encode at once.
    """

    def __init__(self, embedder: Embedder, book: VectorBook, max_batch: int) -> None:
        self._embedder = embedder
        self._book = book
        self._max_batch = max_batch
        self._only_async = is_only_async(embedder)
        self._fresh()
        self._worker = Worker(
            "agentperf-encoder", self._step, where="cache.encoder", keep_s=None, renew=self._renew
        )

    def put(self, new: Sequence[Asked]) -> None:
        """Encode these soon, with whatever waits already."""
        with self._lock:
            self._waiting.extend(new)
        try:
            self._worker.wake()
        except RuntimeError:  # the interpreter is going down
            self._book.fail(new, stopped())

    def close(self) -> None:
        """End the thread, at most after the batch that it is at."""
        with self._lock:
            waiting = [*self._waiting]
            self._waiting.clear()
        self._book.fail(waiting, stopped())
        self._worker.stop(_CLOSE_WAIT_S)

    def _step(self) -> bool:
        with self._lock:
            batch = _first(self._waiting, self._max_batch)
        try:
            batch = [asked for asked in batch if self._fits(asked)]
            if batch:
                texts = [asked.text for asked in batch]
                self._book.settle(batch, self._embed(texts, batch[0].context))
        except BaseException as error:
            self._book.fail(batch, error)
        return bool(self._waiting)

    def _embed(self, texts: list[str], context: contextvars.Context) -> Any:
        if not self._only_async:
            return context.run(self._embedder.embed, texts)
        if self._runner is None:
            # One event loop for all batches: connections of the encoder belong to it.
            self._runner = asyncio.Runner()
            self._worker.at_end(self._runner.close)
        return self._runner.run(_awaited(self._embedder, texts), context=context)

    def _fits(self, asked: Asked) -> bool:
        fits = getattr(self._embedder, "fits", None)
        if fits is None or fits(asked.text):
            return True
        msg = "the encoder would read only the beginning of this text"
        self._book.fail([asked], VectorError(msg, reason="too-long"))
        return False

    def _fresh(self) -> None:
        self._lock = threading.RLock()
        self._waiting: deque[Asked] = deque()
        self._runner: asyncio.Runner | None = None

    def _renew(self) -> None:
        self._fresh()
        self._book.renew()


@dataclass(slots=True, eq=False)
class _Lane:
    waiting: deque[Asked] = field(default_factory=deque[Asked])
    task: asyncio.Task[None] | None = None


class LoopLanes:
    """Encodes on event loops, in one task per loop.

    Args:
        embedder: the encoder, which has a way to be awaited.
        book: where the vectors go.
        max_batch: how many texts to encode at once.
    """

    def __init__(self, embedder: Embedder, book: VectorBook, max_batch: int) -> None:
        self._embedder = embedder
        self._book = book
        self._max_batch = max_batch
        self._lanes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = (
            weakref.WeakKeyDictionary()
        )

    def put(self, new: Sequence[Asked], loop: asyncio.AbstractEventLoop) -> None:
        """Encode these soon, on the loop that runs in this thread."""
        lane = self._lanes.get(loop)
        if lane is None:
            lane = self._lanes[loop] = _Lane()
        lane.waiting.extend(new)
        if lane.task is None:
            lane.task = loop.create_task(self._encode(lane))

    async def _encode(self, lane: _Lane) -> None:
        batch: list[Asked] = []
        try:
            while lane.waiting:
                batch = _first(lane.waiting, self._max_batch)
                try:
                    texts = [asked.text for asked in batch]
                    self._book.settle(batch, await self._embedder.aembed(texts))
                except Exception as error:
                    self._book.fail(batch, error)
        finally:
            # Cancelled, when its event loop ends: nobody else will encode these.
            lane.task = None
            left = [*batch, *lane.waiting]
            lane.waiting.clear()
            self._book.fail(left, stopped())


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, if it runs one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _first(waiting: deque[Asked], count: int) -> list[Asked]:
    return [waiting.popleft() for _ in range(min(count, len(waiting)))]


async def _awaited(embedder: Embedder, texts: list[str]) -> Any:
    return await embedder.aembed(texts)
