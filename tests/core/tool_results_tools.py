"""A tool that counts its calls, a codec of plain texts, and a store as other processes see one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentperf_core.cache import MemoryStore
from agentperf_core.cache.toolresults.cache import ToolDecision, ToolRequest, ToolResultCache
from agentperf_core.clock import FakeClock
from agentperf_core.events import EventBus
from agentperf_core.flow import Step
from agentperf_core.toolpolicy import ToolPolicy


@dataclass(frozen=True)
class Text:
    """A result: content, artefact and status, and what the cache says of it."""

    content: str
    artifact: Any = None
    status: str = "success"
    decision: ToolDecision | None = field(default=None, compare=False)


class Pause(Exception):  # noqa: N818 - as LangGraph calls such a signal
    """A question to a person."""


class TextCodec:
    def failed(self, result: Text) -> bool:
        return result.status == "error"

    def error(self, error: Exception) -> str | None:
        return None if isinstance(error, Pause) else str(error)

    def encode(self, result: Text) -> Mapping[str, Any]:
        return {"content": result.content, "artifact": result.artifact, "status": result.status}

    def decode(self, body: Mapping[str, Any], decision: ToolDecision) -> Text:
        return Text(body["content"], body["artifact"], body["status"], decision)

    def mark(self, result: Text, decision: ToolDecision) -> Text:
        return Text(result.content, result.artifact, result.status, decision)


CODEC = TextCodec()
READS = ToolPolicy(read_only=True, ttl_s=60.0, reads=["orders:{order_id}"])
WRITES = ToolPolicy(writes=["orders:{order_id}"])


class Desk:
    """A cache on a clock of its own, and tools around it."""

    def __init__(self, store: Any = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.bus = EventBus()
        self.seen: list[Any] = []
        self.bus.subscribe(self.seen.append)
        self.store = store if store is not None else MemoryStore(clock=self.clock)
        self.cache = ToolResultCache(self.store, clock=self.clock, bus=self.bus, **options)
        self.calls = 0

    @property
    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.seen if hasattr(event, "outcome")]

    def faults(self) -> Mapping[str, int]:
        return self.bus.faults()

    def step(self, work: Callable[[], Text] | None = None) -> Step[Text]:
        def call() -> Text:
            self.calls += 1
            return work() if work is not None else Text(f"result {self.calls}", {"n": self.calls})

        async def acall() -> Text:
            return call()

        return Step(call, acall)

    def ask(self, policy: ToolPolicy | None = READS, **options: Any) -> ToolRequest:
        arguments = options.pop("arguments", {"order_id": 7})
        return ToolRequest(tool="order", arguments=arguments, policy=policy, **options)

    def flow(
        self,
        request: ToolRequest | None = None,
        work: Callable[[], Text] | None = None,
        *,
        refresh: bool = False,
    ) -> Any:
        step = self.step(work)
        return self.cache.run(request or self.ask(), step, CODEC, refresh=step if refresh else None)


class Shared:
    """A store that another process could share: the same bytes, and nothing known of writes."""

    in_process = False

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner

    def get(self, key: str) -> bytes | None:
        return self.inner.get(key)

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()) -> None:
        self.inner.set(key, value, ttl_s, tags)

    def delete(self, key: str) -> bool:
        return self.inner.delete(key)

    def invalidate(self, tag: str) -> int:
        return self.inner.invalidate(tag)

    def clear(self) -> int:
        return self.inner.clear()

    def scan(self, prefix: str = "") -> Iterator[str]:
        return self.inner.scan(prefix)

    async def aget(self, key: str) -> bytes | None:
        return self.get(key)

    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None:
        self.set(key, value, ttl_s, tags)

    async def adelete(self, key: str) -> bool:
        return self.delete(key)

    async def ainvalidate(self, tag: str) -> int:
        return self.invalidate(tag)

    async def aclear(self) -> int:
        return self.clear()

    async def ascan(self, prefix: str = "") -> AsyncIterator[str]:
        for key in self.scan(prefix):
            yield key


class Broken(Shared):
    """A store whose named methods fail."""

    def __init__(self, *names: str) -> None:
        self.broken = set(names)
        super().__init__(MemoryStore())

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name in object.__getattribute__(self, "broken"):
            return _no_connection
        return super().__getattribute__(name)


def _no_connection(*_: object) -> Any:
    msg = "no connection"
    raise ConnectionError(msg)
