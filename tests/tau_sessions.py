"""Recorded tool conversations (tau-bench), several tasks in a row, for replays by real agents."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Session", "needs_tau", "sessions"]

FILE = Path(os.environ.get("AGENTPERF_DATA", "")) / "tools" / "tau_bench" / "gpt-4o-airline.json"

needs_tau = pytest.mark.skipif(
    not FILE.is_file(), reason="AGENTPERF_DATA has no tools/tau_bench/gpt-4o-airline.json"
)


@dataclass
class Session:
    """Tasks in a row, as one conversation.

    Attributes:
        system: the system prompt.
        turns: what the user says, and what was answered to it: messages of assistant and tools.
        tools: names of the tools.
    """

    system: str = ""
    turns: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list[Any])
    tools: set[str] = field(default_factory=set[str])

    def messages(self, role: str) -> Iterator[dict[str, Any]]:
        """What was said in a role, in order."""
        for _, answers in self.turns:
            yield from (one for one in answers if one["role"] == role)


def sessions(count: int, tasks: int = 8) -> list[Session]:
    """The first `count` sessions of so many tasks each."""
    recorded = json.loads(FILE.read_text(encoding="utf-8"))
    return [_session(recorded[n * tasks : (n + 1) * tasks]) for n in range(count)]


def _session(recorded: list[dict[str, Any]]) -> Session:
    found = Session()
    for task in recorded:
        for message in task["traj"]:
            role = message["role"]
            if role == "system":
                found.system = message["content"]
            elif role == "user":
                found.turns.append((message["content"], []))
            else:
                found.turns[-1][1].append(message)
                calls = message.get("tool_calls") or ()
                found.tools.update(call["function"]["name"] for call in calls)
    # A turn without an answer is the end of a task: the user said goodbye.
    found.turns = [turn for turn in found.turns if turn[1] and turn[1][-1]["role"] == "assistant"]
    return found
