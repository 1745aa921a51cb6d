"""The nearest questions by the store's own search, where it is a Redis with the query engine.

Then no process keeps the questions of all others: each look-up is one request, within the budget of
a store and behind a breaker of its own. While the engine does not answer, the questions are read
and searched in process, as with any other store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agentperf_core.cache.semantic.kept import pack_question, unpack_question
from agentperf_core.cache.semantic.memory import (
    Asked,
    Near,
    Remembered,
    placed,
    question_cosine,
)
from agentperf_core.cache.stores.guard import Guard
from agentperf_core.cache.vectors.base import RemoteMatch
from agentperf_core.clock import Clock
from agentperf_core.events import BUS, DecisionMade, EventBus
from agentperf_core.flow import Flow, run

if TYPE_CHECKING:
    from agentperf_core.cache.vectors.redis import StoredVectors

__all__ = ["Engine"]

_ROOM = "cache.index"


class Engine:
    """Keeps and finds questions in a server's index.

    Args:
        index: the index, whose entries are those of the store.
        budget_s: seconds that a search may take.
        clock: where the time comes from.
        bus: where faults go, and the decisions of the room `"cache.index"`: `"redis"` or
            `"process"` for where questions are searched, `"open"` or `"closed"` for the breaker.

    Attributes:
        checked: whether it is known what the server can.
    """

    def __init__(
        self, index: StoredVectors, *, budget_s: float, clock: Clock, bus: EventBus = BUS
    ) -> None:
        self._index = index
        self._bus = bus
        self._guard = Guard(
            "the query engine", where=_ROOM, budget_s=budget_s, clock=clock, bus=bus
        )
        self.checked = False
        self._dim: int | None = None

    @property
    def able(self) -> bool:
        """Whether the server was found to have what it takes; false before `check`."""
        return self._dim is not None

    @property
    def answers(self) -> bool:
        """Whether it is able, and does not fail at present."""
        return self.able and not self._guard.breaker.is_open

    def check(self, dim: int) -> None:
        """Find out whether the server can search vectors of `dim` numbers; may wait.

        Raises:
            Exception: whatever the client raises, if the server cannot be asked.
        """
        why_not = run(self._index.available(dim))
        self.checked = True
        if why_not is None:
            self._dim = dim
        outcome, reason = ("redis", "the query engine searches questions for all processes")
        if why_not is not None:
            outcome, reason = "process", f"questions are searched in this process: {why_not}"
        self._bus.emit(DecisionMade(room=_ROOM, outcome=outcome, reason=reason))

    def nearest(self, scope: str, asked: Asked, k: int) -> Flow[list[Near] | None]:
        """The `k` most alike questions of a scope, best first; `None` without an answer."""
        if not self.able:
            return None
        vector = placed(asked)
        found = yield from self._guard.flow(None, self._index.search, scope, vector, k)
        if found is None:
            return None
        return sorted(self._near(asked, found), key=lambda one: -one.cosine)

    def keep(
        self,
        scope: str,
        remembered: Remembered,
        asked: Asked,
        ttl_s: float | None,
        tags: Sequence[str],
    ) -> str:
        """Write a question into the store, to be found by all; its key there."""
        vector, payload = placed(asked), pack_question(scope, remembered, asked)
        adding = self._index.add(
            scope, remembered.key, vector, payload=payload, ttl_s=ttl_s, tags=tags
        )
        run(adding)
        return self._index.key(scope, remembered.key, dim=len(vector))

    def forget(self, scope: str, key: str) -> None:
        """Forget the question whose answer is stored under `key`."""
        if self._dim is not None:
            for dim in (self._dim, 2 * self._dim):  # follow-ups have two vectors in one
                run(self._index.remove(scope, key, dim=dim))

    def _near(self, asked: Asked, found: Sequence[RemoteMatch]) -> Iterator[Near]:
        for number, match in enumerate(found):
            try:
                kept = unpack_question(match.payload, vectors=asked.parent is not None)
            except Exception as error:
                self._bus.fault(_ROOM, error)
                continue
            cosine = question_cosine(asked, kept.asked, match.cosine)
            if cosine is not None:
                yield Near(number, kept.remembered, cosine)
