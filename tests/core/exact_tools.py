"""A framework, a model and a world of one's own, to test the core's cache without any framework."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentperf_core.cache import (
    AnswerFacts,
    CacheDecision,
    CachePolicy,
    CacheRequest,
    ExactCache,
)
from agentperf_core.clock import FakeClock
from agentperf_core.events import DecisionMade, Event, EventBus, Fault
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.types import Usage

__all__ = [
    "REQUEST",
    "USAGE",
    "Answer",
    "BoomError",
    "Codec",
    "Model",
    "World",
    "drive_async",
    "drive_sync",
]

USAGE = Usage(uncached_input_tokens=100, output_tokens=10)
REQUEST = CacheRequest("k" * 64)


class BoomError(Exception):
    pass


@dataclass(frozen=True)
class Answer:
    """A framework's answer: made once per call, with an id that must be fresh on every hit."""

    text: str
    facts: AnswerFacts = field(default_factory=lambda: AnswerFacts(finish_reason="stop"))
    decision: CacheDecision | None = None
    copy: int = 0


class Codec:
    """How the adapters of this test read their answers."""

    def __init__(self) -> None:
        self.decoded = 0

    def facts(self, answer: Answer) -> AnswerFacts:
        return replace(answer.facts, usage=USAGE)

    def encode(self, answer: Answer) -> Mapping[str, Any]:
        return {"text": answer.text}

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> Answer:
        self.decoded += 1
        return Answer(body["text"], decision=decision, copy=self.decoded)

    def mark(self, answer: Answer, decision: CacheDecision) -> Answer:
        return replace(answer, decision=decision)


class Model:
    """Counts its calls; takes a second of the fake clock for each."""

    def __init__(self, clock: FakeClock, **facts: Any) -> None:
        self.calls = 0
        self.step: Step[Answer] = Step(self.call, self.later)
        self._clock = clock
        self._facts: dict[str, Any] = {"finish_reason": "stop", **facts}

    def call(self) -> Answer:
        self.calls += 1
        self._clock.advance(1)
        return Answer(f"answer {self.calls}", AnswerFacts(**self._facts))

    async def later(self) -> Answer:
        await asyncio.sleep(0)
        return self.call()


@dataclass
class World:
    clock: FakeClock = field(default_factory=FakeClock)
    bus: EventBus = field(default_factory=EventBus)
    codec: Codec = field(default_factory=Codec)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bus.subscribe(self.events.append)

    def cache(
        self, store: Any = None, policy: CachePolicy | None = None, **options: Any
    ) -> ExactCache:
        return ExactCache(store, policy=policy, clock=self.clock, bus=self.bus, **options)

    def decisions(self) -> list[str]:
        return [event.outcome for event in self.events if isinstance(event, DecisionMade)]

    def faults(self) -> list[str]:
        return [event.where for event in self.events if isinstance(event, Fault)]


def drive_sync(flow: Flow[Any]) -> Any:
    return run(flow)


def drive_async(flow: Flow[Any]) -> Any:
    return asyncio.run(arun(flow))
