"""Which vectors are known, and which texts somebody waits for."""

from __future__ import annotations

import contextvars
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from agentperf_core.cache.vectors.base import Vector, VectorError
from agentperf_core.cache.vectors.units import unit_vectors

__all__ = ["Asked", "VectorBook"]

_MOST_WAITING = 1000


def _unsettled() -> Future[Vector]:
    future = Future[Vector]()
    # A running future cannot be cancelled: who gives up leaves it to all the others.
    future.set_running_or_notify_cancel()
    return future


@dataclass(slots=True, eq=False)
class Asked:
    """A text that is to be encoded, for everybody who waits for it."""

    text: str
    future: Future[Vector] = field(default_factory=_unsettled)
    # Of who asked first: spans and events of the encoder belong under that one's run.
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class VectorBook:
    """The last used vectors by text, and one future for each text that is being encoded.

    Args:
        size: how many vectors to keep.
        dim: how many numbers a vector must have; `None` for as many as the first one has.
        max_chars: longer texts are refused.

    Attributes:
        dim: how many numbers a vector has, `None` before the first one.
        closed: whether new texts are refused.
    """

    def __init__(self, size: int, *, dim: int | None, max_chars: int) -> None:
        self.dim = dim
        self.closed = False
        self._size = size
        self._max_chars = max_chars
        self._known: OrderedDict[str, Vector] = OrderedDict()
        self.renew()

    def renew(self) -> None:
        """Forget who waits: in a forked child nobody will answer them."""
        self._lock = threading.RLock()
        self._flying: dict[str, Asked] = {}

    def peek(self, text: str) -> Vector | None:
        """The vector if it is known."""
        with self._lock:
            vector = self._known.get(text)
            if vector is not None:
                self._known.move_to_end(text)
            return vector

    def ask(
        self, texts: Sequence[str], *, join: bool = True
    ) -> tuple[list[Future[Vector]], list[Asked]]:
        """A future per text, and which texts are to be encoded for that.

        Args:
            texts: in any order, also the same one twice.
            join: whether to wait for what somebody else has asked for already.
        """
        new: list[Asked] = []
        with self._lock:
            futures = [self._future(text, new.append, join=join) for text in texts]
        return futures, new

    def settle(self, batch: Sequence[Asked], given: Any) -> None:
        """Hand out what the encoder returned for a batch.

        Raises:
            VectorError: if that is not one vector per text; nobody got anything then.
        """
        vectors = unit_vectors(given, len(batch), self.dim)
        for asked, vector in zip(batch, vectors, strict=True):
            if isinstance(vector, VectorError):
                self.fail([asked], vector)
                continue
            with self._lock:
                self.dim = len(vector)
                self._known[asked.text] = vector
                if len(self._known) > self._size:
                    self._known.popitem(last=False)
                self._land(asked)
            asked.future.set_result(vector)

    def fail(self, batch: Sequence[Asked], error: BaseException) -> None:
        """Tell everybody who still waits for one of these that there will be nothing."""
        for asked in batch:
            with self._lock:
                self._land(asked)
            if not asked.future.done():
                asked.future.set_exception(_as_vector_error(error))

    def _future(self, text: str, start: Callable[[Asked], None], *, join: bool) -> Future[Vector]:
        known = self.peek(text)
        flying = self._flying.get(text) if join else None
        if flying is not None:
            return flying.future
        asked = Asked(text)
        problem = self._problem(text)
        if known is not None:
            asked.future.set_result(known)
        elif problem is not None:
            asked.future.set_exception(problem)
        else:
            self._flying.setdefault(text, asked)
            start(asked)
        return asked.future

    def _problem(self, text: str) -> VectorError | None:
        if self.closed:
            return stopped()
        if len(text) > self._max_chars:
            msg = f"a text of {len(text)} characters is over max_chars={self._max_chars}"
            return VectorError(msg, reason="too-long")
        if len(self._flying) >= _MOST_WAITING:
            msg = f"{len(self._flying)} texts wait for the encoder; it is too slow for the traffic"
            return VectorError(msg, reason="busy")
        return None

    def _land(self, asked: Asked) -> None:
        if self._flying.get(asked.text) is asked:
            del self._flying[asked.text]


def stopped() -> VectorError:
    """The error of a text that nobody will encode any more."""
    return VectorError("the encoder was closed before it came to this text", reason="stopped")


def _as_vector_error(error: BaseException) -> VectorError:
    """One error per waiting text: a shared one would collect the tracebacks of all who wait."""
    if isinstance(error, VectorError):
        return VectorError(str(error), reason=error.reason)
    # The type only: a message may quote the text.
    wrapped = VectorError(f"the encoder raised {type(error).__name__}", reason="failed")
    wrapped.__cause__ = error
    return wrapped
