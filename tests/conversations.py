"""Conversations for tests of the context room, and the rules that a provider holds prompts to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context._ladder import STUB
from agentperf_core.context.oversize import shortened
from agentperf_core.context.turns import units_of
from agentperf_core.types import Message, ToolCall

__all__ = ["WORDS", "broken_histories", "histories", "least", "objections", "said"]

WORDS = TokenCounter(lambda text: len(text.split()))


def said(role: Any, words: int, tag: str = "w", **fields: Any) -> Message:
    """A message of so many words."""
    return Message(role=role, text=" ".join(f"{tag}{n}" for n in range(words)), **fields)


def least(history: Sequence[Message]) -> int:
    """The most that any prompt of a conversation costs which is as small as it may be made.

    The system prompt, the question, a stub for what came between, and the last step: each whole or
    cut to its marker, whichever is smaller. Below that an overflow is the right answer.
    """

    def smallest(message: Message) -> int:
        marker = shortened(message, 0, WORDS)
        return min(map(WORDS.count_message, (message, marker)))

    stub = WORDS.count_message(Message(role="user", text=STUB.format(count=99)))
    most = 0
    for upto in range(1, len(history) + 1):
        units = units_of(history[:upto])
        system = sum(WORDS.count_message(m) for m in history[:upto] if m.role == "system")
        question = next((m for m in reversed(history[:upto]) if m.role == "user"), None)
        must = [m for m in units[-1].messages if m.role != "system" and m is not question]
        asked = [question] if question is not None else []
        most = max(most, system + stub + sum(map(smallest, [*asked, *must])))
    return most


def objections(messages: Sequence[Message]) -> list[str]:
    """What a strict provider would say against a prompt (OpenAI's rules for messages)."""
    found: list[str] = []
    waiting: list[str] = []
    spoken = [m for m in messages if m.role != "system"]
    if spoken and spoken[0].role != "user":
        found.append(f"begins with {spoken[0].role}")
    for place, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                found.append(f"{place}: a result without its call")
            else:
                waiting.remove(message.tool_call_id)
            continue
        if waiting:
            found.append(f"{place}: {len(waiting)} calls without results")
        waiting = [call.id for call in message.tool_calls]
    return found


@st.composite
def histories(draw: st.DrawFn, *, most: int = 12, words: int = 12) -> list[Message]:
    """Valid conversations with tool calls; every call has its result."""
    found = [said("system", 3, "s")] if draw(st.booleans()) else []
    number = 0
    for turn in range(draw(st.integers(1, most))):
        found.append(said("user", draw(st.integers(1, words)), f"u{turn}."))
        for step in range(draw(st.integers(0, 3))):
            size = draw(st.integers(1, words))
            calls = draw(st.integers(0, 2))
            ids = [f"c{number + n}" for n in range(calls)]
            number += calls
            asked = tuple(ToolCall(one, "look", {"at": one}) for one in ids)
            found.append(said("assistant", size, f"a{turn}.{step}.", tool_calls=asked))
            found += [
                said("tool", draw(st.integers(1, 3 * words)), f"r{one}.", tool_call_id=one)
                for one in ids
            ]
    return found


@st.composite
def broken_histories(draw: st.DrawFn) -> list[Message]:
    """Conversations in which anything may be missing, doubled or out of place."""
    found = draw(histories(most=5, words=3))
    for _ in range(draw(st.integers(0, 5))):
        if not found:
            break
        at = draw(st.integers(0, len(found) - 1))
        match draw(st.sampled_from(["drop", "double", "move", "empty"])):
            case "drop":
                del found[at]
            case "double":
                found.insert(at, found[at])
            case "move":
                found.append(found.pop(at))
            case _:
                found.insert(at, Message(role="assistant", text="  "))
    return found
