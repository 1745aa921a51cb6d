"""Live streams: several readers of one model stream that is still coming.

Single flight gives a waiting caller the answer once it has landed. A reader of a stream wants its
first words when the model says them. So the first caller of a key opens the stream, and equal
callers get a seat: they see what came so far, then every item as it comes.

Nobody is the leader of an open stream. A sync stream is drawn by whichever reader needs the next
item first, so one that stops reading holds up nobody. An async stream belongs to its event loop and
is drawn by a task there, so one that is cancelled tears nothing down. The stream is closed when its
last reader has gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Generic, Literal, TypeVar

from agentperf_core.cache.flight._seats import Reader
from agentperf_core.cache.flight._sources import DrawnTape, PumpedTape
from agentperf_core.cache.flight._tape import Tape
from agentperf_core.cache.flight.single import Failed, Landed, Lead, SingleFlight
from agentperf_core.cache.policy import CacheDecision
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, Step
from agentperf_core.types import Usage

__all__ = ["LiveStreams", "Opening", "Reader", "joined_decision"]

T = TypeVar("T")


class Opening(Generic[T]):
    """The duty to open a stream, or to say that there is none to share.

    Use it as a context manager around the opening: an error in it lets the others try.
    """

    __slots__ = ("_key", "_lead", "_streams")

    def __init__(
        self, streams: LiveStreams[T], key: str | None, lead: Lead[Tape[T]] | None
    ) -> None:
        self._streams = streams
        self._key = key
        self._lead = lead

    def start(self, source: Iterator[T]) -> Reader[T]:
        """Share a sync stream; returns when its first item is there.

        Raises:
            Exception: what the source raises before its first item; then the others may try.
        """
        tape = DrawnTape(source, self._streams.max_items)
        reader = tape.seat(following=False)
        tape.get(0)
        self._share(tape)
        return reader

    async def astart(self, source: AsyncIterator[T]) -> Reader[T]:
        """Like `start`, for an async stream.

        Raises:
            Exception: what the source raises before its first item; then the others may try.
        """
        tape = PumpedTape(source, self._streams.max_items)
        reader = tape.seat(following=False)
        try:
            await tape.aget(0)
        except BaseException:
            await reader.aclose()
            raise
        self._share(tape)
        return reader

    def pass_on(self) -> None:
        """There is no stream to share: a stored answer was found, or it was not opened."""
        if self._lead is not None:
            self._lead.land(None)

    def __enter__(self) -> Opening[T]:
        if self._lead is not None:
            self._lead.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if self._lead is not None:
            self._lead.__exit__(kind, error, trace)
            if error is not None:
                self._lead.fail(error)
        self.pass_on()

    def _share(self, tape: Tape[T]) -> None:
        if self._key is not None and self._lead is not None:
            self._streams.add(self._key, tape)
            self._lead.land(tape)


class LiveStreams(Generic[T]):
    """The streams in flight, by key; safe under threads and event loops.

    Args:
        max_items: a stream that has given more items takes no new readers and forgets what all of
            its readers have read.
        max_wait_s: seconds to wait for another caller to open a stream before opening one, too.

    Raises:
        ConfigError: if one of them is not positive.

    Example:
        >>> from agentperf_core.flow import run
        >>> streams = LiveStreams[str]()
        >>> opening = run(streams.join("key"))
        >>> with opening:
        ...     mine = opening.start(iter(["Hello ", "you"]))
        >>> theirs = run(streams.join("key"))
        >>> next(mine), list(theirs), list(mine)
        ('Hello ', ['Hello ', 'you'], ['you'])
    """

    def __init__(self, *, max_items: int = 20_000, max_wait_s: float | None = 60.0) -> None:
        require_positive(max_items=max_items)
        self.max_items = max_items
        self._flight = SingleFlight[Tape[T]](max_wait_s)
        self._open: dict[str, Tape[T]] = {}

    def __len__(self) -> int:
        """How many streams are open to new readers."""
        return len(self._open)

    def join(self, key: str | None) -> Flow[Reader[T] | Opening[T]]:
        """A seat at the live stream of `key`, or the duty to open one.

        Args:
            key: of the request; `None` for one that must not be shared.

        Raises:
            BaseException: the error of those who tried to open it, if they failed twice.
        """
        if key is None:
            return Opening(self, None, None)
        seat = yield from _seat(self._open.get(key))
        if seat is not None:
            return seat
        joined = yield from self._flight.join(key)
        if isinstance(joined, Failed):
            raise joined.error
        if isinstance(joined, Landed):
            seat = yield from _seat(joined.value)
            return seat if seat is not None else Opening(self, None, None)
        return Opening(self, key, joined)

    def read_out(self, key: str | None) -> Flow[None]:
        """Read the open stream of `key` to its end, if there is one, for a caller who needs it all.

        Its reader may have stopped half way, and nobody else would draw what is left. Whoever is
        inside the stream right now is not held up, and what the stream raises is for its readers.
        """
        tape = self._open.get(key) if key is not None and self._open else None
        if tape is None or self._flight.is_led_here(key):
            return
        seat = yield from _seat(tape)
        if seat is not None:
            yield from Step(_drain, _adrain, seat)

    def add(self, key: str, tape: Tape[T]) -> None:
        """Let others find an open stream until it ends; called by its `Opening`."""
        if self._open.setdefault(key, tape) is tape:
            tape.when_ended(lambda: self._open.pop(key, None))


def _seat(tape: Tape[T] | None) -> Flow[Reader[T] | None]:
    return (yield from Step(tape.follow, tape.afollow)) if tape is not None else None


def _drain(seat: Reader[Any]) -> None:
    try:
        with suppress(Exception):
            for _ in seat:
                pass
    finally:
        seat.close()


async def _adrain(seat: Reader[Any]) -> None:
    try:
        with suppress(Exception):
            async for _ in seat:
                pass
    finally:
        await seat.aclose()


def joined_decision(key: str | None, usage: Usage | None = None) -> CacheDecision:
    """The record of a reader that shared the live stream of another caller.

    Args:
        key: of the request.
        usage: what the stream cost its opener, once it is known.
    """
    outcome: Literal["coalesced"] = "coalesced"
    return CacheDecision(
        outcome=outcome,
        reason="an equal stream was live",
        key=key[:16] if key is not None else None,
        saved_usage=usage,
    )
