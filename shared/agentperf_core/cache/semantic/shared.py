"""Questions and their vectors in a store that outlives the process, or that others share.

The answers are in the store anyway. Beside each stands what was asked, so that a restart finds its
index again, and a process finds what its neighbours learnt: every few seconds, off the path, those
that are new are read. What is new is found by listing all, or, in Redis, told by who wrote it. A
plain Redis or a SQLite file is enough; where the store has a query engine, see `engine`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, TypeAlias, cast

import orjson

from agentperf_core.cache.semantic.engine import Engine
from agentperf_core.cache.semantic.kept import pack_question, unpack_question
from agentperf_core.cache.semantic.memory import Asked, Remembered
from agentperf_core.cache.stores import Store
from agentperf_core.cache.stores.base import listed
from agentperf_core.cache.stores.layers import budget_of, innermost
from agentperf_core.cache.stores.redis import RedisStore
from agentperf_core.clock import Clock
from agentperf_core.errors import CodecError
from agentperf_core.events import BUS, EventBus
from agentperf_core.flow import Flow, Step

__all__ = ["IndexPlace", "SharedQuestions"]

IndexPlace: TypeAlias = Literal["auto", "process"]
"""Search questions in the store where it can, or always in this process."""


class SharedQuestions:
    """Keeps questions in a store and lists those that this process does not know yet.

    One that cannot be read is reported and passed over.

    Args:
        store: the store of the answers.
        embedder: the name of the embedder: vectors of another one mean nothing here.
        follow_s: seconds between two looks at what others have added.
        clock: where the time comes from.
        bus: where faults go.
        index: where questions are searched.

    Attributes:
        engine: searches in the store; `None` where it cannot or shall not.
    """

    def __init__(
        self,
        store: Store,
        embedder: str,
        *,
        follow_s: float,
        clock: Clock,
        bus: EventBus = BUS,
        index: IndexPlace = "auto",
    ) -> None:
        self._store = store
        self._prefix = f"~q:{hashlib.sha256(embedder.encode()).hexdigest()[:16]}:"
        self._follow_s = follow_s
        self._clock = clock
        self._bus = bus
        self._next_look = 0.0
        self._known: frozenset[str] = frozenset()
        redis = innermost(store)
        self._news = redis.news if isinstance(redis, RedisStore) else None
        self._place: bytes | None = None
        self.engine: Engine | None = None
        if isinstance(redis, RedisStore) and index == "auto":
            self.engine = Engine(
                redis.vectors(self._prefix), budget_s=budget_of(store), clock=clock, bus=bus
            )

    def due(self) -> bool:
        """Whether it is time to look; says so once per `follow_s` seconds."""
        now = self._clock.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + self._follow_s
        return True

    def keep(
        self,
        scope: str,
        remembered: Remembered,
        asked: Asked,
        ttl_s: float | None,
        tags: Sequence[str],
    ) -> None:
        """Write a question beside its answer, to be forgotten with it."""
        if self.engine is not None and self.engine.able:
            name = self.engine.keep(scope, remembered, asked, ttl_s, tags)
        else:
            name = self._name(scope, remembered.key)
            self._store.set(name, pack_question(scope, remembered, asked), ttl_s, tags)
        self._announce(name)

    def new(self, most: int, known: Container[str]) -> Iterator[tuple[str, Remembered, Asked]]:
        """Scope by scope, the questions that were written since the last time.

        Args:
            most: how many to read at most.
            known: keys of answers whose questions need not be read.
        """
        unread = (name for name in self._unread() if _key(name) not in known)
        for name in islice(unread, most):
            try:
                raw = self._store.get(name)
                if raw is not None:
                    kept = unpack_question(raw)
                    scope, _, _ = name.removeprefix(self._prefix).partition(":")
                    asked = cast("Asked", kept.asked)
                    yield kept.scope or scope, kept.remembered, asked
            except Exception as error:
                self._bus.fault("cache.semantic", error)

    def take(self, entry: str) -> Flow[dict[str, str]]:
        """Forget the questions whose answer's key begins with `entry`.

        Returns:
            By the keys of the answers, which answers these are.

        Raises:
            Exception: whatever the store raises.
        """
        store, taken = self._store, dict[str, str]()
        for name in (yield from listed(store, self._prefix)):
            if not _is_question(name) or not _key(name).startswith(entry):
                continue
            raw = yield from Step(store.get, store.aget, name)
            if raw is not None:
                try:
                    kept = unpack_question(raw, vectors=False).remembered
                    taken[kept.key] = kept.answer
                except CodecError as error:
                    self._bus.fault("cache.semantic", error)
            yield from Step(store.delete, store.adelete, name)
        return taken

    def forget_if_gone(self, scope: str, key: str) -> None:
        """Forget a question whose answer is no longer there; may wait.

        Raises:
            Exception: whatever the store raises: one that fails has not lost the answer.
        """
        if self._store.get(key) is None:
            self._store.delete(self._name(scope, key))
            if self.engine is not None:
                self.engine.forget(scope, key)

    def save_state(self, state: dict[str, Any]) -> None:
        """Keep what the acceptance has learnt."""
        self._store.set(f"{self._prefix}state", orjson.dumps(state), None)

    def load_state(self) -> dict[str, Any] | None:
        """What an acceptance has learnt before, `None` if nothing is there."""
        raw = self._store.get(f"{self._prefix}state")
        return cast("dict[str, Any]", orjson.loads(raw)) if raw is not None else None

    def clear(self) -> None:
        """Look again at once: the store was emptied."""
        self._next_look = 0.0
        self._known = frozenset()

    def _unread(self) -> Iterable[str]:
        """Names of questions that were perhaps not read yet."""
        told = self._told()
        if told is not None:
            return told
        # Before looking: what is written meanwhile is told after this.
        self._place = self._announce("")
        names = frozenset(filter(_is_question, self._store.scan(self._prefix)))
        before, self._known = self._known, names
        return names - before

    def _told(self) -> Iterable[str] | None:
        """What the others have announced; `None` if everything has to be looked at."""
        place, self._place = self._place, None
        if self._news is None or place is None:
            return None
        try:
            told = self._news.since(self._prefix, place)
        except Exception as error:
            self._bus.fault("cache.semantic", error)
            return None
        if told is None:
            return None
        self._place, names = told
        return filter(None, names)

    def _announce(self, name: str) -> bytes | None:
        """The place of the news; `None` if there are none: then the others look at everything."""
        if self._news is None:
            return None
        try:
            return self._news.announce(self._prefix, name)
        except Exception as error:  # a user who may not, for example
            self._bus.fault("cache.semantic", error)
            return None

    def _name(self, scope: str, key: str) -> str:
        return f"{self._prefix}{scope}:{key}"


def _is_question(name: str) -> bool:
    return name.count(":") > 2  # and not what was learnt


def _key(name: str) -> str:
    return name.rpartition(":")[2]
