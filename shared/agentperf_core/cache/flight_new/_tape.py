"""What a live stream has given so far, for those who read it."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Generic, TypeVar

from agentperf_core.cache._seats import Reader, Seat

__all__ = ["Tape", "running_loop"]

T = TypeVar("T")

_LOOK_S = 1.0  # how often a waiting thread looks whether the event loop of a stream still runs


class _Later:
    """Not there yet."""


_LATER = _Later()


class Tape(ABC, Generic[T]):
    """The items of a stream from its first on, kept as long as a newcomer may want them.

    Args:
        max_items: how many are kept; after that the tape takes no newcomers.
    """

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        self._items: list[T] = []
        self._dropped = 0
        self._ended = False
        self._error: BaseException | None = None
        self._seats: set[Seat] = set()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._at_end: list[Callable[[], object]] = []
        # Re-entrant: the garbage collector may drop a forgotten reader while we are in here.
        self._changed = threading.Condition(threading.RLock())

    def seat(self, *, following: bool = True) -> Reader[T]:
        """A reader that begins with the first item."""
        seat = Seat()
        with self._changed:
            self._seats.add(seat)
        return Reader(self, seat, following=following)

    def follow(self) -> Reader[T] | None:
        """A seat for a sync caller; `None` if it could not read the stream from its first item."""
        with self._changed:
            return self.seat() if self._takes_more() and self._can_wait() else None

    async def afollow(self) -> Reader[T] | None:
        """A seat for an async caller, which can always wait."""
        with self._changed:
            return self.seat() if self._takes_more() else None

    def when_ended(self, then: Callable[[], object]) -> None:
        """Call `then` once the stream has ended; at once if it has."""
        with self._changed:
            if not self._ended:
                self._at_end.append(then)
                return
        then()

    def leave(self, seat: Seat) -> bool:
        """A reader has gone; whether it was the last one of an open stream."""
        with self._changed:
            self._seats.discard(seat)
            last = not self._seats and not self._ended
        if last:
            self._give_up()
        return last

    def get(self, at: int) -> tuple[T] | None:
        """The item at a position, `None` after the last; waits for it.

        Raises:
            Exception: what the source raised, after the items that it gave before.
        """
        while True:
            with self._changed:
                found = self._find(at)
                if not isinstance(found, _Later):
                    return found
                mine = self._begin_pull()
                if not mine:
                    self._changed.wait(_LOOK_S)
                    self._check_source()
            if mine:
                self._pull()

    async def aget(self, at: int) -> tuple[T] | None:
        """Like `get`, without holding up the event loop."""
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                found = self._find(at)
                if not isinstance(found, _Later):
                    return found
                mine = self._begin_pull()
                woken = loop.create_future()
                if not mine:
                    self._waiting.append((loop, woken))
            if mine:
                # Shielded: a pull that has begun is everybody's, also if this reader is cancelled.
                pull = copy_context().run
                await asyncio.shield(loop.run_in_executor(None, pull, self._pull))
            else:
                await woken

    async def aclosed(self) -> None:
        """Wait until a stream of this event loop that was given up is closed."""

    @abstractmethod
    def _can_wait(self) -> bool:
        """Whether this sync caller may wait for an item."""

    @abstractmethod
    def _give_up(self) -> None:
        """Close the source: its last reader has gone."""

    @abstractmethod
    def _begin_pull(self) -> bool:
        """Whether this caller is to draw the next item, and nobody else until it has."""

    @abstractmethod
    def _pull(self) -> None:
        """Draw the next item."""

    @abstractmethod
    def _check_source(self) -> None:
        """Raise if nobody will ever draw the next item."""

    def _takes_more(self) -> bool:
        kept = not self._dropped and len(self._items) < self._max_items
        # One that has ended is whole: who waited for it to open may be late.
        return kept and (self._error is None if self._ended else bool(self._seats))

    def _find(self, at: int) -> tuple[T] | _Later | None:
        if at - self._dropped < len(self._items):
            return (self._items[at - self._dropped],)
        if not self._ended:
            return _LATER
        if self._error is None:
            return None
        if isinstance(self._error, Exception):
            raise self._error
        msg = "the shared stream was given up by the caller that drew it; call again"
        raise ConnectionError(msg) from self._error

    def _publish(self, item: T) -> None:
        with self._changed:
            self._items.append(item)
            if len(self._items) > self._max_items:
                read = min((seat.position for seat in self._seats), default=0)
                del self._items[: read - self._dropped]
                self._dropped = read
            self._wake()

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            if self._ended:
                return
            self._ended, self._error = True, error
            then, self._at_end = self._at_end, []
            self._wake()
        for call in then:
            call()

    def _wake(self) -> None:
        self._changed.notify_all()
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        here = running_loop()
        for loop, woken in waiting:
            if loop is here:
                _set(woken)
            else:
                with suppress(RuntimeError):  # the reader's loop has closed
                    loop.call_soon_threadsafe(_set, woken)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, `None` in sync code."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
