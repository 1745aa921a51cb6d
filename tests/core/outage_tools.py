"""A store of conversations that can be down, and what is told of it."""

from __future__ import annotations

from typing import Any

from agentperf_core.cache.conversations import (
    Batch,
    Conversations,
    Kept,
    MemoryConversations,
    State,
)
from agentperf_core.clock import FakeClock
from agentperf_core.events import Event, EventBus
from agentperf_core.flow import Flow


class Breakable(MemoryConversations):
    """A store elsewhere that can be down, or lose its answer on the way back."""

    in_process = False

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.loses_answers = False
        self.asked = 0

    def _ask(self) -> None:
        self.asked += 1
        if self.is_down:
            raise ConnectionError("refused")

    def append(self, name: str, batch: Batch, *, again: bool = False) -> Flow[int]:
        self._ask()
        first = yield from super().append(name, batch, again=again)
        if self.loses_answers:
            raise TimeoutError
        return first

    def names(self, prefix: str = "") -> Flow[list[str]]:
        self._ask()
        return (yield from super().names(prefix))

    def replace(self, name: str, batch: Batch) -> Flow[int]:
        self._ask()
        return (yield from super().replace(name, batch))

    def read(
        self, name: str, *, state: State | None = None, limit: int | None = None, offset: int = 0
    ) -> Flow[list[Kept]]:
        self._ask()
        return (yield from super().read(name, state=state, limit=limit, offset=offset))

    def archive(self, name: str, count: int) -> Flow[list[Kept]]:
        self._ask()
        return (yield from super().archive(name, count))

    def forget(self, name: str, *, state: State | None = None) -> Flow[int]:
        self._ask()
        return (yield from super().forget(name, state=state))


class Outage:
    """Conversations over a store that can be down, and what was told of it."""

    def __init__(self, **options: Any) -> None:
        self.told: list[Event] = []
        bus = EventBus()
        bus.subscribe(self.told.append)
        self.store = Breakable()
        self.clock = FakeClock()
        self.all = Conversations(self.store, bus=bus, clock=self.clock, **options)
        self.talk = self.all.of("s", tenant="t")

    def down(self, is_down: bool = True) -> None:
        self.store.is_down = is_down
        self.clock.advance(10.0)


def texts(said: Any) -> list[str]:
    return [one.record["text"] for one in said]


def record(*words: str) -> list[dict[str, str]]:
    return [{"text": word} for word in words]
