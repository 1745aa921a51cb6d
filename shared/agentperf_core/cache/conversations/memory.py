"""Conversations in this process alone: for tests, and for programs that need no more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from agentperf_core.cache.conversations.base import Batch, Kept, State, matches, micros, page
from agentperf_core.clock import SYSTEM_CLOCK, Clock
from agentperf_core.errors import require_positive
from agentperf_core.flow import Flow, Step

__all__ = ["MemoryConversations"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Talk:
    kept: list[Kept] = field(default_factory=list[Kept])
    last: int = 0
    expires: float | None = None


class MemoryConversations:
    """A `ConversationStore` of lists; safe under threads and asyncio.

    Args:
        ttl_s: seconds that a conversation is kept after the last write; default as long as the
            process lives.
        clock: where the time comes from.

    Raises:
        ConfigError: if `ttl_s` is not positive.

    Example:
        >>> from agentperf_core.flow import run
        >>> store = MemoryConversations()
        >>> _ = run(store.append("talk", Batch("0" * 16, (b"hi", b"hello"))))
        >>> [kept.value for kept in run(store.read("talk", limit=1))]
        [b'hi']
    """

    in_process = True

    def __init__(self, *, ttl_s: float | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        require_positive(ttl_s=ttl_s)
        self._ttl_s = ttl_s
        self._clock = clock
        self._talks: dict[str, _Talk] = {}
        self._lock = threading.RLock()  # re-entrant for the garbage collector, as in the stores

    def __repr__(self) -> str:
        return f"MemoryConversations(ttl_s={self._ttl_s!r})"

    def append(self, name: str, batch: Batch, *, again: bool = False) -> Flow[int]:
        """Add messages at the end."""
        return self._alone(self._append, name, batch, again=again)

    def replace(self, name: str, batch: Batch) -> Flow[int]:
        """Forget all messages and add these."""
        return self._alone(self._replace, name, batch)

    def read(
        self, name: str, *, state: State | None = None, limit: int | None = None, offset: int = 0
    ) -> Flow[list[Kept]]:
        """Messages in order."""
        return self._alone(lambda: page(self._in_state(name, state), limit, offset))

    def count(self, name: str, *, state: State | None = None) -> Flow[int]:
        """How many messages there are."""
        return self._alone(lambda: len(self._in_state(name, state)))

    def archive(self, name: str, count: int) -> Flow[list[Kept]]:
        """Archive the oldest active messages."""
        return self._alone(self._archive, name, count)

    def take(self, name: str, count: int) -> Flow[list[Kept]]:
        """Forget the oldest active messages."""
        return self._alone(self._take, name, count)

    def remove(self, name: str, ident: int) -> Flow[Kept | None]:
        """Forget one message."""
        return self._alone(self._remove, name, ident)

    def forget(self, name: str, *, state: State | None = None) -> Flow[int]:
        """Forget messages of one state or all."""
        return self._alone(self._forget, name, state)

    def names(self, prefix: str = "") -> Flow[list[str]]:
        """The names of conversations that have messages."""
        return self._alone(self._names, prefix)

    def close(self) -> None:
        """Nothing is open; what is kept stays."""

    async def aclose(self) -> None:
        """Like `close`."""

    def _alone(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        def locked() -> T:
            with self._lock:
                return work(*args, **kwargs)

        async def alocked() -> T:
            return locked()

        return (yield from Step(locked, alocked))

    def _talk(self, name: str) -> _Talk:
        """The conversation as it is now; one that has expired is empty."""
        talk = self._talks.get(name)
        if talk is None:
            return _Talk()
        if talk.expires is not None and talk.expires <= self._clock.time():
            del self._talks[name]
            return _Talk()
        return talk

    def _in_state(self, name: str, state: State | None) -> list[Kept]:
        return [kept for kept in self._talk(name).kept if matches(kept, state)]

    def _append(self, name: str, batch: Batch, *, again: bool = False) -> int:
        talk = self._talk(name)
        there = next((one.id for one in talk.kept if one.batch == batch.id), None)
        if again and there is not None:
            return there
        first = max(micros(self._clock.time()), talk.last + 1)
        talk.kept += [
            Kept(first + at, batch.state, value, batch.id) for at, value in enumerate(batch.values)
        ]
        talk.last = first + max(len(batch.values) - 1, 0)
        self._renew(name, talk)
        return first

    def _replace(self, name: str, batch: Batch) -> int:
        self._talk(name).kept.clear()
        return self._append(name, batch)

    def _archive(self, name: str, count: int) -> list[Kept]:
        moved = self._in_state(name, "active")[: max(count, 0)]
        if moved:
            ids, talk = {one.id for one in moved}, self._talk(name)
            talk.kept = [
                one._replace(state="archived") if one.id in ids else one for one in talk.kept
            ]
            self._renew(name, talk)
        return [one._replace(state="archived") for one in moved]

    def _take(self, name: str, count: int) -> list[Kept]:
        taken = self._in_state(name, "active")[: max(count, 0)]
        ids, talk = {one.id for one in taken}, self._talk(name)
        talk.kept = [one for one in talk.kept if one.id not in ids]
        return taken

    def _remove(self, name: str, ident: int) -> Kept | None:
        talk = self._talk(name)
        found = next((one for one in talk.kept if one.id == ident), None)
        talk.kept = [one for one in talk.kept if one.id != ident]
        return found

    def _forget(self, name: str, state: State | None) -> int:
        talk = self._talk(name)
        left = [one for one in talk.kept if not matches(one, state)]
        gone, talk.kept = len(talk.kept) - len(left), left
        return gone

    def _names(self, prefix: str) -> list[str]:
        return [
            name for name in list(self._talks) if name.startswith(prefix) if self._talk(name).kept
        ]

    def _renew(self, name: str, talk: _Talk) -> None:
        self._talks[name] = talk
        now = self._clock.time()
        talk.expires = None if self._ttl_s is None else now + self._ttl_s
        if self._ttl_s is not None and len(self._talks) % _SWEPT == 0:
            for other in list(self._talks):
                self._talk(other)


_SWEPT = 64  # conversations begun between two looks for those whose time is over
