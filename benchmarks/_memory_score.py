"""Replaying a conversation through one method, and what is counted of its prompts.

"Cached" are the tokens of the messages with which a prompt begins just like the one before it; a
provider's prompt cache, or a local model's, has no more to reuse. Tokens are exact (o200k_base).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from _memory_data import COUNTER, PRIMING, Talk

from agentperf_core.accounting.framing import compact_json
from agentperf_core.testing import chat_objections
from agentperf_core.types import Message

cpu_s = time.process_time


class Method(Protocol):
    """Something that decides what a model is shown; made for one conversation and budget."""

    def add(self, at: int) -> None:
        """Take note of the next message."""
        ...

    def prompt(self) -> Any:
        """What the model is shown now, as the method has it."""
        ...

    def asked(self, question: Message) -> Any:
        """What it is shown if this is asked; nobody remembers that it was."""
        ...

    def shown(self, prompt: Any) -> Sequence[Message]:
        """A prompt as core messages; not timed."""
        ...

    def own_cpu_s(self) -> float | None:
        """What the last prompt cost, if the method measured it itself; negative for not at all."""
        ...


Make: TypeAlias = Callable[[Talk, int], Method]


@dataclass
class Score:
    """Counts over all calls of a method; rates are shares of calls."""

    calls: int = 0
    tokens: int = 0
    cached: int = 0
    over: int = 0
    invalid: int = 0
    cpu_ms: list[float] = field(default_factory=list[float])
    asked_ms: list[float] = field(default_factory=list[float])
    recalls: list[float] = field(default_factory=list[float])
    asked_over: int = 0

    def row(self) -> dict[str, float | int]:
        """The figures of the method."""
        every = np.array([*self.cpu_ms, *self.asked_ms])
        found: dict[str, float | int] = {
            "uncached_tokens_per_call": round((self.tokens - self.cached) / self.calls, 1),
            "tokens_per_call": round(self.tokens / self.calls, 1),
            "cached_share": round(self.cached / self.tokens, 4),
            "over_budget": round(self.over / self.calls, 4),
            "invalid": round(self.invalid / (self.calls + len(self.recalls)), 4),
            "cpu_ms_p50": round(float(np.percentile(every, 50)), 4),
            "cpu_ms_p99": round(float(np.percentile(every, 99)), 4),
            "cpu_ms_mean": round(float(every.mean()), 4),
            "cpu_ms_worst": round(float(every.max()), 4),
            "calls": self.calls,
        }
        if not self.recalls:
            return found
        asked = {
            "evidence_recall": round(float(np.mean(self.recalls)), 4),
            "questions": len(self.recalls),
            "questions_over_budget": round(self.asked_over / len(self.recalls), 4),
            "question_cpu_ms_mean": round(float(np.mean(self.asked_ms or [0])), 4),
        }
        return {**asked, **found}


def replay(make: Make, talks: Sequence[Talk], budget: int) -> Score:
    """All conversations through one method."""
    score = Score()
    for talk in talks:
        gc.collect()
        gc.disable()  # a collection belongs to no turn
        try:
            _replay(make(talk, budget), talk, budget, score)
        finally:
            gc.enable()
    return score


def _replay(method: Method, talk: Talk, budget: int, score: Score) -> None:
    added, before = 0, list[Message]()
    for upto in talk.calls:
        start = cpu_s()
        while added < upto:
            method.add(added)
            added += 1
        found = method.prompt()
        _note(score.cpu_ms, cpu_s() - start, method)
        prompt = list(method.shown(found))
        tokens = _cost(prompt)
        score.calls += 1
        score.tokens += tokens
        score.cached += _common(before, prompt)
        score.over += tokens > budget
        score.invalid += is_invalid(prompt)
        before = prompt
    for at in range(added, len(talk.messages)):
        method.add(at)
    for question in talk.questions:
        asked = Message(role="user", text=question.text)
        start = cpu_s()
        found = method.asked(asked)
        _note(score.asked_ms, cpu_s() - start, method)
        prompt = list(method.shown(found))
        texts = [message.text for message in prompt]
        there = [any(said in text for text in texts) for said in question.evidence]
        score.recalls.append(sum(there) / len(there))
        score.asked_over += _cost(prompt) > budget
        score.invalid += is_invalid(prompt)


def _note(times_ms: list[float], took_s: float, method: Method) -> None:
    own = method.own_cpu_s()
    if own is None or own >= 0:
        times_ms.append(1e3 * (took_s if own is None else own))


def _cost(prompt: Sequence[Message]) -> int:
    return PRIMING + sum(map(COUNTER.count_message, prompt))


def _common(before: Sequence[Message], prompt: Sequence[Message]) -> int:
    """Tokens of the messages with which both begin."""
    tokens = 0
    for one, other in zip(before, prompt, strict=False):
        if one is not other and one != other:
            break
        tokens += COUNTER.count_message(other)
    return tokens


def is_invalid(prompt: Sequence[Message]) -> bool:
    """Whether a strict provider refuses a prompt, see `chat_objections`."""
    return bool(chat_objections([_as_sent(message) for message in prompt]))


def _as_sent(message: Message) -> dict[str, Any]:
    sent: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_call_id is not None:
        sent["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        sent["tool_calls"] = [
            {
                "id": call.id,
                "function": {"name": call.name, "arguments": compact_json(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return sent
