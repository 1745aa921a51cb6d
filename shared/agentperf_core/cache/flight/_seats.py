"""The seats of those who read a live stream."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

__all__ = ["Reader", "Seat"]

T = TypeVar("T")


class Seat:
    """How far a reader is; apart from it, so that the tape does not keep a forgotten reader."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position = 0


T_co = TypeVar("T_co", covariant=True)


class _Tape(Protocol[T_co]):
    """What a reader needs of the tape."""

    def get(self, at: int) -> tuple[T_co] | None: ...

    async def aget(self, at: int) -> tuple[T_co] | None: ...

    def leave(self, seat: Seat) -> bool: ...

    async def aclosed(self) -> None: ...


class Reader(Generic[T]):
    """A seat at a live stream: an iterator, sync or async, of all its items from the first.

    All readers get the same objects, so copy an item before you change it.

    Attributes:
        following: whether another caller opened the stream.
    """

    __slots__ = ("_seat", "_tape", "following")

    def __init__(self, tape: _Tape[T], seat: Seat, *, following: bool) -> None:
        self._tape: _Tape[T] | None = tape
        self._seat = seat
        self.following = following

    def __iter__(self) -> Reader[T]:
        return self

    def __next__(self) -> T:
        found = self._tape.get(self._seat.position) if self._tape is not None else None
        if found is None:
            self.close()
            raise StopIteration
        self._seat.position += 1
        return found[0]

    def __aiter__(self) -> Reader[T]:
        return self

    async def __anext__(self) -> T:
        found = await self._tape.aget(self._seat.position) if self._tape is not None else None
        if found is None:
            await self.aclose()
            raise StopAsyncIteration
        self._seat.position += 1
        return found[0]

    def close(self) -> None:
        """Leave; the last reader to leave closes the stream."""
        tape, self._tape = self._tape, None
        if tape is not None:
            tape.leave(self._seat)

    async def aclose(self) -> None:
        """Like `close`; waits until a stream of this event loop is closed."""
        tape, self._tape = self._tape, None
        if tape is not None and tape.leave(self._seat):
            await tape.aclosed()

    def __del__(self) -> None:
        self.close()
