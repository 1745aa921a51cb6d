"""Summaries over real conversations, replayed turn by turn: within budget, nothing left untold."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conversations import objections

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context import SummarizingTrimmer, SummarySettings, WindowSettings
from agentperf_core.types import Message, ToolCall

DATA = Path(os.environ.get("AGENTPERF_DATA", ""))
LOCOMO = DATA / "memory" / "locomo" / "26.json"  # of the train part
TAU = DATA / "tools" / "tau_bench" / "gpt-4o-airline.json"
needs_locomo = pytest.mark.skipif(
    not LOCOMO.is_file(), reason="AGENTPERF_DATA has no memory/locomo"
)
needs_tau = pytest.mark.skipif(not TAU.is_file(), reason="AGENTPERF_DATA has no tools/tau_bench")
COUNTER = TokenCounter()


def summarize(messages: Any, previous: str | None, max_tokens: int) -> str:
    """As long as a model's, and as meaningless as it needs to be here."""
    return "something was said " * 50


def trimmer_of(budget: int) -> SummarizingTrimmer:
    window = WindowSettings(max_tokens=budget, counter=COUNTER)
    return SummarizingTrimmer(window, SummarySettings(summarize=summarize))


def talk() -> Iterator[Message]:
    found = json.loads(LOCOMO.read_text(encoding="utf-8"))
    yield Message(role="system", text="You talk with a friend.")
    number = 1
    while f"session_{number}" in found:
        for said in found[f"session_{number}"]:
            role = "user" if said["speaker"] == found["speaker_a"] else "assistant"
            yield Message(role=role, text=said["text"])
        number += 1


@needs_locomo
@pytest.mark.parametrize("budget", [4096, 8192])
def test_a_conversation_of_months(budget: int):
    trimmer = trimmer_of(budget)
    view = trimmer.view()
    before: list[Message] = []
    calls = uncached = 0
    for message in talk():
        trimmer.add(message)
        view = trimmer.look()
        if message.role == "user":
            assert view.tokens <= budget
            assert view.coverage.share == 1.0
            pairs = zip(before, view.messages, strict=False)
            same = next((at for at, (a, b) in enumerate(pairs) if a != b), len(before))
            uncached += sum(map(COUNTER.count_message, view.messages[same:]))
            calls += 1
            before = list(view.messages)
        trimmer.begin()
        trimmer.settle()
    assert view.summary is not None
    assert uncached / calls <= 220


def _tau_message(said: dict[str, Any]) -> Message:
    calls = tuple(
        ToolCall(one["id"], one["function"]["name"], json.loads(one["function"]["arguments"]))
        for one in said.get("tool_calls") or ()
    )
    text, call_id = said.get("content") or "", said.get("tool_call_id")
    return Message(role=said["role"], text=text, tool_calls=calls, tool_call_id=call_id)


@needs_tau
@pytest.mark.parametrize("budget", [6144, 12288])
def test_agents_with_tools(budget: int):
    """Eight tasks in a row: no prompt is over budget or invalid, and all of the lost is told."""
    tasks = [task["traj"] for task in json.loads(TAU.read_text(encoding="utf-8"))][:24]
    for first in range(0, len(tasks), 8):
        trimmer = trimmer_of(budget)
        trimmer.add(_tau_message(tasks[first][0]))
        for task in tasks[first : first + 8]:
            for said in task[1:]:
                message = _tau_message(said)
                if message.role == "assistant":
                    view = trimmer.look()
                    assert view.tokens <= budget
                    assert objections(view.messages) == []
                    assert view.coverage.pending == 0
                trimmer.add(message)
                trimmer.begin()
                trimmer.settle()
        assert trimmer.view().coverage.share > 0.8
