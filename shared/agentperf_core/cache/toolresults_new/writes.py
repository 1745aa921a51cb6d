"""Which resources are being written, and which were since a result was read.

Three things may go wrong around a write, and each has its answer here. A read that overlaps with
it may have seen the old state: it is not kept. A result that is being stored while the write ends
slips past the invalidation: results older than the last write are not served. Other processes that
share the store do the same reads: they see the write by an entry of the store.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from agentperf_core.cache.stores import Store
from agentperf_core.clock import Clock
from agentperf_core.events import EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["Notices", "Writes"]

T = TypeVar("T")

Notices: TypeAlias = list[bytes | None] | None
"""The last notices of some tags; `None` if nobody could tell."""

_MOST_TAGS = 10_000
_UNSURE_S = 60.0  # how long a write that was given up may still go on in a thread of its own
_NOTICE_S = 600.0  # how long other processes are told of a write
_OPEN, _DONE = b"open:", b"done:"


@dataclass(slots=True)
class _Resource:
    turn: int = 0  # when a write last began or ended, in turns of all writes
    open: int = 0
    written_at: float = 0.0
    unsure_until: float = 0.0


class Writes:
    """The writes of this process, and notices of them in a store that others share.

    Args:
        store: where the results are.
        answers: stores of what is built on the results.
        clock: where the time comes from.
        bus: where faults of the stores go.
    """

    def __init__(
        self, store: Store, answers: Sequence[Store], *, clock: Clock, bus: EventBus
    ) -> None:
        self._store = store
        self._answers = answers
        self._clock = clock
        self._bus = bus
        self._turn = 0
        self._resources: OrderedDict[str, _Resource] = OrderedDict()
        # What was forgotten here, at the latest: who asks about an unknown tag gets this.
        self._floor = _Resource()
        # Re-entrant: the garbage collector may close a flow that writes while we are in here.
        self._lock = threading.RLock()

    def stamp(self, tags: Sequence[str]) -> int:
        """The last turn in which any of the tags was written."""
        with self._lock:
            return max((self._of(tag).turn for tag in tags), default=0)

    def quiet(self, tags: Sequence[str], stamp: int) -> bool:
        """Whether nothing was written since `stamp`, and nothing is being written now."""
        now = self._clock.monotonic()
        with self._lock:
            return all(
                found.turn <= stamp and not found.open and now >= found.unsure_until
                for found in map(self._of, tags)
            )

    def intact(self, tags: Sequence[str], made_at: float) -> bool:
        """Whether a result is younger than every write of what it read."""
        with self._lock:
            return all(made_at >= self._of(tag).written_at for tag in tags)

    def begin(self, tags: Sequence[str]) -> None:
        """A write begins."""
        with self._lock:
            self._turn += 1
            for tag in tags:
                found = self._resources.setdefault(tag, replace(self._floor))
                found.turn = self._turn
                found.open += 1

    def end(self, tags: Sequence[str], *, settled: bool) -> None:
        """A write ended; not `settled` if it may still go on where nobody sees it."""
        now, later = self._clock.time(), self._clock.monotonic() + _UNSURE_S
        with self._lock:
            self._turn += 1
            for tag in tags:
                found = self._resources[tag]
                found.turn = self._turn
                found.open -= 1
                found.written_at = now
                if not settled:
                    found.unsure_until = later
                self._resources.move_to_end(tag)
            while len(self._resources) > _MOST_TAGS and not self._oldest().open:
                _, gone = self._resources.popitem(last=False)
                self._floor.turn = max(self._floor.turn, gone.turn)
                self._floor.written_at = max(self._floor.written_at, gone.written_at)
                self._floor.unsure_until = max(self._floor.unsure_until, gone.unsure_until)

    def around(self, tags: Sequence[str], step: Step[T]) -> Flow[T]:
        """A call that writes; what was read before it is forgotten, also if it fails half-way.

        Raises:
            BaseException: what the call raised.
        """
        self.begin(tags)
        try:
            yield from self._announce(tags)
            result = yield from step
        except BaseException as error:
            # A thread cannot be stopped: who gave up waiting for it does not know what it did.
            settled = isinstance(error, Exception) and not isinstance(error, TimeoutError)
            self.end(tags, settled=settled)
            if not isinstance(error, GeneratorExit):  # else nobody drives this flow any more
                yield from self._publish(tags, settled=settled)
            raise
        self.end(tags, settled=True)
        yield from self._publish(tags, settled=True)
        return result

    def notices(self, tags: Sequence[str]) -> Flow[Notices]:
        """The last notices of other processes; `None` if nobody can tell."""
        found: list[bytes | None] = []
        if self._store.in_process:
            return found
        try:
            for tag in tags:
                found += [(yield from Step(self._store.get, self._store.aget, _name(tag)))]
        except Exception as error:
            self._bus.fault("tool_cache.store", error)
            return None
        return found

    def unchanged(self, tags: Sequence[str], before: Notices) -> Flow[bool]:
        """Whether no process has written, or begun to write, since `before`."""
        if before is None or any(note and note.startswith(_OPEN) for note in before):
            return False
        return (yield from self.notices(tags)) == before

    def _announce(self, tags: Sequence[str]) -> Flow[None]:
        """Tell other processes that a write begins; what they have read so far is forgotten."""
        if not self._store.in_process:
            for tag in tags:
                yield from self._notice(tag, _OPEN, _NOTICE_S)
                yield from self._forget(self._store, tag)

    def _publish(self, tags: Sequence[str], *, settled: bool) -> Flow[None]:
        """Make everyone forget what was read before a write that has ended."""
        for tag in tags:
            for store in (self._store, *self._answers):
                yield from self._forget(store, tag)
            if not self._store.in_process:
                state, ttl_s = (_DONE, _NOTICE_S) if settled else (_OPEN, _UNSURE_S)
                yield from self._notice(tag, state, ttl_s)

    def _notice(self, tag: str, state: bytes, ttl_s: float) -> Flow[None]:
        note = state + secrets.token_bytes(8)
        try:
            yield from Step(self._store.set, self._store.aset, _name(tag), note, ttl_s)
        except Exception as error:
            self._bus.fault("tool_cache.store", error)

    def _forget(self, store: Store, tag: str) -> Flow[None]:
        try:
            yield from Step(store.invalidate, store.ainvalidate, tag)
        except Exception as error:
            self._bus.fault("tool_cache.invalidate", error)

    def _of(self, tag: str) -> _Resource:
        return self._resources.get(tag, self._floor)

    def _oldest(self) -> _Resource:
        return next(iter(self._resources.values()))


def _name(tag: str) -> str:
    return f"writing:{tag}"
