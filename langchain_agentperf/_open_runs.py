"""Which runs of a handler are open, and which of their chunks were counted already."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal
from uuid import UUID

__all__ = ["OpenRuns"]

_MAX_OPEN = 16_384


class _Stream:
    __slots__ = ("chunks", "last", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.last: object = None
        self.chunks = 0


class OpenRuns:
    """Tells a new event from one that was delivered before; remembers a bounded number of runs.

    An event arrives twice at a handler that is listed twice (in a chain's config and in the call's,
    LangChain joins the lists as they are). A chunk arrives twice as a token and as an event of the
    protocol, because some models call `on_llm_new_token` while LangChain sends events for them.
    """

    def __init__(self) -> None:
        # By the number of the id: hashing a UUID runs Python code, at a third of a microsecond.
        self._open: dict[int, _Stream | None] = {}

    def begin(self, run_id: UUID) -> bool:
        """Whether the run is new."""
        number = run_id.int
        if number in self._open:
            return False
        self._open[number] = None
        if len(self._open) > _MAX_OPEN:
            with suppress(RuntimeError):  # another thread changed the dict meanwhile
                self._open.pop(next(iter(self._open)), None)
        return True

    def is_new(self, run_id: UUID, chunk: object, source: Literal["token", "event"]) -> bool:
        """Whether a chunk counts; the source that came first is the one that counts.

        Chunks of a run that is not open (closed, or begun before the handler came) do not: nobody
        would ever forget such a run again.
        """
        if run_id.int not in self._open:
            return False
        stream = self._open.get(run_id.int)
        if stream is None:
            stream = self._open[run_id.int] = _Stream(source)
        if stream.source != source or (chunk is not None and stream.last is chunk):
            return False
        stream.last = chunk
        stream.chunks += 1
        return True

    def close(self, run_id: UUID) -> int:
        """Forget a run and say how many chunks it had."""
        stream = self._open.pop(run_id.int, None)
        return stream.chunks if stream is not None else 0
