"""Summarisers for tests: they say which messages they were given, fail, hang or say nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

from conversations import WORDS, said

from agentperf_core.context import (
    SummarizingTrimmer,
    SummarySettings,
    WindowSettings,
    Written,
)
from agentperf_core.events import EventBus
from agentperf_core.types import Message, Usage

__all__ = ["Scribe", "chat", "trimmer_of"]


class Scribe:
    """Writes down the first word of each message; remembers what it was asked.

    Attributes:
        asked: messages, earlier summary and limit of every call.
        fails: raised instead, as long as it is there.
        says: answered instead, if it is there.
        gate: waited for before the answer, if it is there.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[list[Message], str | None, int]] = []
        self.fails: Exception | None = None
        self.says: Any = None
        self.gate: threading.Event | None = None
        self.begun = threading.Event()

    def __call__(self, messages: Sequence[Message], previous: str | None, max_tokens: int) -> Any:
        self.asked.append((list(messages), previous, max_tokens))
        self.begun.set()
        if self.gate is not None:
            self.gate.wait(20)
        if self.fails is not None:
            raise self.fails
        if self.says is not None:
            return self.says
        heads = [previous] if previous else []
        heads += [found[0] for one in messages if (found := re.findall(r"[a-z]+\d+", one.text))]
        usage = Usage(uncached_input_tokens=100, output_tokens=10)
        return Written(text=" ".join(heads) or "-", usage=usage, model="gpt-4o-mini")

    @property
    def seen(self) -> list[Message]:
        """All messages that it was ever given."""
        return [message for messages, _, _ in self.asked for message in messages]


def trimmer_of(
    scribe: Any, limit: int = 200, *, bus: EventBus | None = None, low: float = 0.6, **options: Any
) -> SummarizingTrimmer:
    options = {"tokens": 60, **options}
    window = WindowSettings(max_tokens=limit, counter=WORDS, low=low)
    summary = SummarySettings(summarize=scribe, **options)
    return SummarizingTrimmer(window, summary, bus=bus or EventBus())


def chat(first: int, count: int) -> list[Message]:
    """Turns of twenty tokens: what a user says and what is answered."""
    return [
        said(role, 6, f"{role[0]}{number}.")
        for number in range(first, first + count)
        for role in ("user", "assistant")
    ]
