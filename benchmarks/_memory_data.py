"""Conversations to replay: LoCoMo files with questions, tau-bench tasks chained to sessions."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentperf_core.accounting import TokenCounter
from agentperf_core.types import Message, ToolCall

SYSTEM = Message(
    role="system",
    text="You are a helpful companion with a long memory. Answer truthfully and briefly using what "
    "was said in the conversation. If you do not know, say so.",
)
COUNTER = TokenCounter.for_encoding("o200k_base")
PRIMING = COUNTER.chat.reply_priming


@dataclass(frozen=True)
class Question:
    """Something to ask at the end, and the texts of the turns that hold the answer."""

    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Talk:
    """A conversation: a system prompt, then the rest; a model is called where `calls` say so.

    Attributes:
        messages: the `origin` of one is the date on which it was said, where that is not in it.
        calls: how many messages the model is shown at most, for each of its calls.
    """

    name: str
    messages: Sequence[Message]
    calls: Sequence[int]
    questions: Sequence[Question] = ()


def read_locomo(folder: Path) -> list[Talk]:
    """The conversations of a folder; who speaks first is the user, and is answered each time."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise SystemExit(f"{folder} must be a folder of LoCoMo files (*.json), it has none")
    return [_locomo(file) for file in files]


def _locomo(file: Path) -> Talk:
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    user = data["session_1"][0]["speaker"]
    messages, texts = [SYSTEM], dict[str, str]()
    number = 1
    while f"session_{number}" in data:
        date = data[f"session_{number}_date_time"]
        for at, turn in enumerate(data[f"session_{number}"]):
            said = turn["text"]
            if turn.get("blip_caption"):
                said += f" [shares image: {turn['blip_caption']}]"
            text = f"{turn['speaker']}: {said}"
            text = f"[{date}] {text}" if at == 0 else text
            role = "user" if turn["speaker"] == user else "assistant"
            messages.append(Message(role=role, text=text, origin=None if at == 0 else date))
            texts[turn["dia_id"]] = text
        number += 1
    calls = [at + 1 for at, message in enumerate(messages) if message.role == "user"]
    questions = [_question(one, texts) for one in data["qa"]]
    return Talk(file.stem, messages, calls, [one for one in questions if one.evidence])


def _question(one: dict[str, Any], texts: dict[str, str]) -> Question:
    found = [name for entry in one.get("evidence", []) for name in re.findall(r"D\d+:\d+", entry)]
    return Question(one["question"], tuple(texts[name] for name in found if name in texts))


def read_tau(file: Path, *, tasks: int = 8, sessions: int = 12) -> list[Talk]:
    """Sessions of an agent that works on several tasks one after the other."""
    trials: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for run in json.loads(file.read_text(encoding="utf-8")):
        trials[run["trial"]].append(run)
    found: list[Talk] = []
    for trial in sorted(trials):
        runs = sorted(trials[trial], key=lambda run: run["task_id"])
        starts = range(0, len(runs) - tasks + 1, tasks)
        found += [_session(f"{trial}-{at}", runs[at : at + tasks]) for at in starts]
    return found[:sessions]


def _session(name: str, runs: Sequence[dict[str, Any]]) -> Talk:
    messages = [Message(role="system", text=runs[0]["traj"][0]["content"])]
    for run in runs:
        for at, one in enumerate(run["traj"][1:]):
            messages.append(_message(one, f"-{run['task_id']}-{at}", messages[-1]))
    calls = [at for at, message in enumerate(messages) if message.role == "assistant"]
    return Talk(name, messages, calls)


def _message(one: dict[str, Any], mark: str, before: Message) -> Message:
    text = one.get("content") or ""
    if one["role"] == "tool":
        # Calls are told apart by where they were made: tasks repeat their ids.
        return Message(role="tool", text=text, tool_call_id=before.tool_calls[0].id)
    calls = tuple(
        ToolCall(
            call["id"] + mark, call["function"]["name"], json.loads(call["function"]["arguments"])
        )
        for call in (one.get("tool_calls") or [])[:1]  # the agent made the first one only
    )
    return Message(role=one["role"], text=text, tool_calls=calls)
