"""Which chunks of a run were counted already."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal
from uuid import UUID

__all__ = ["Streams"]

_MAX_OPEN = 16_384


class _Stream:
    __slots__ = ("chunks", "last", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.last: object = None
        self.chunks = 0


class Streams:
    """Tells a new chunk from one that was delivered before; remembers a bounded number of runs.

    A chunk arrives twice at a handler that is listed twice (in a chain's config and in the call's,
    LangChain joins the lists as they are). It arrives twice as a token and as an event of the
    protocol, too, because some models call `on_llm_new_token` while LangChain sends events.
    """

    def __init__(self) -> None:
        # By the number of the id: hashing a UUID runs Python code.
        self.open: dict[int, _Stream] = {}

    def is_new(self, run_id: UUID, chunk: object, source: Literal["token", "event"]) -> bool:
        """Whether a chunk of an open run counts; the source that came first is the one that does.

        Never ask for a run that is not open: nobody would `close` it.
        """
        stream = self.open.get(run_id.int)
        if stream is None:
            stream = self.open[run_id.int] = _Stream(source)
            if len(self.open) > _MAX_OPEN:
                with suppress(RuntimeError):  # another thread changed the dict meanwhile
                    self.open.pop(next(iter(self.open)), None)
        if stream.source != source or (chunk is not None and stream.last is chunk):
            return False
        stream.last = chunk
        stream.chunks += 1
        return True

    def close(self, run_id: UUID) -> int:
        """Forget a run and say how many chunks it had."""
        stream = self.open.pop(run_id.int, None)
        return stream.chunks if stream is not None else 0
