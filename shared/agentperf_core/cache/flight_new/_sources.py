"""How the items of a live stream get onto its tape: drawn by its readers, or by a task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from agentperf_core.cache._tape import Tape, running_loop

__all__ = ["DrawnTape", "PumpedTape"]

T = TypeVar("T")


class DrawnTape(Tape[T]):
    """A sync stream, drawn by whichever reader needs the next item first."""

    def __init__(self, source: Iterator[T], max_items: int) -> None:
        super().__init__(max_items)
        self._source = source
        self._puller: int | None = None

    def _can_wait(self) -> bool:
        # Who is inside the source right now would wait for itself.
        return self._puller != threading.get_ident()

    def _begin_pull(self) -> bool:
        if self._puller is not None:
            return False
        self._puller = threading.get_ident()
        return True

    def _pull(self) -> None:
        self._puller = threading.get_ident()  # for an async reader, it began in another thread
        try:
            item = next(self._source)
        except StopIteration:
            self._end(None)
        except BaseException as error:
            self._end(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._publish(item)
        with self._changed:
            self._puller = None
            given_up = not self._seats and not self._ended
            self._wake()
        if given_up:
            self._give_up()

    def _give_up(self) -> None:
        with self._changed:
            if self._puller is not None:
                return  # whoever draws it right now closes it
            self._puller = threading.get_ident()
        self._end(GeneratorExit())
        close: Callable[[], object] | None = getattr(self._source, "close", None)
        if close is not None:
            close()

    def _check_source(self) -> None:
        """A reader that draws it comes back."""


class PumpedTape(Tape[T]):
    """An async stream, drawn by a task of its event loop."""

    def __init__(self, source: AsyncIterator[T], max_items: int) -> None:
        super().__init__(max_items)
        self._loop = asyncio.get_running_loop()
        self._pump = self._loop.create_task(self._draw(source))

    async def aclosed(self) -> None:
        """Wait for the task, if it is one of this event loop."""
        if running_loop() is self._loop and self._pump is not asyncio.current_task():
            await asyncio.wait([self._pump])

    async def _draw(self, source: AsyncIterator[T]) -> None:
        try:
            async for item in source:
                self._publish(item)
        except BaseException as error:
            self._end(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._end(None)

    def _can_wait(self) -> bool:
        # Waiting on any event loop would hold up all of it, on this one for ever.
        return running_loop() is None and self._loop.is_running()

    def _begin_pull(self) -> bool:
        return False

    def _pull(self) -> None:
        """Only the task draws."""

    def _give_up(self) -> None:
        self._end(asyncio.CancelledError())
        if running_loop() is self._loop:
            self._pump.cancel()
        else:
            with suppress(RuntimeError):  # its loop has closed, and the stream with it
                self._loop.call_soon_threadsafe(self._pump.cancel)

    def _check_source(self) -> None:
        if not self._loop.is_running():
            msg = "the event loop of the shared stream has stopped; call again"
            raise ConnectionError(msg)
