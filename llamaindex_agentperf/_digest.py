"""Short digests and estimates that stand in for texts: no span holds a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import BoundArguments
from typing import Any, TypeAlias, cast

from llama_index.core.base.llms.types import ChatMessage, CompletionResponse, ToolCallBlock
from llama_index.core.tools import BaseTool

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.cache.requests.keys import Unkeyable, canonical
from agentperf_core.telemetry import input_digest
from agentperf_core.types import Message, Role, ToolCall, Usage
from llamaindex_agentperf._usage import Answer

__all__ = ["Prompt", "estimate", "prompt_hash", "tool_hash"]

Prompt: TypeAlias = str | Sequence[ChatMessage]


def tool_hash(tool: BaseTool, bound: BoundArguments) -> str | None:
    """Digest of a tool call's arguments; `None` if they have no canonical form."""
    given = dict(bound.arguments)
    positional = cast("Sequence[Any]", given.pop("args", ()))
    named = {**given.pop("kwargs", {}), **given}
    named.pop(getattr(tool, "ctx_param_name", None), None)
    try:
        return input_digest(canonical([positional, named]))
    except Unkeyable:
        return None


def prompt_hash(model: str | None, prompt: Prompt) -> str:
    """Cheap digest of a model request: model, number of messages, the last message's text."""
    if isinstance(prompt, str):
        number, text = 1, prompt
    else:
        number, text = len(prompt), (prompt[-1].content or "") if prompt else ""
    return input_digest(f"{model}|{number}|{text}")


# Remembers each message, so that a history that grew by one costs one estimate.
_COUNTER = TokenCounter()
_ROLES: Mapping[str, Role] = {"system": "system", "assistant": "assistant", "tool": "tool"}


def estimate(prompt: Prompt | None, answer: Answer | None) -> Usage:
    """Tokens of a call whose provider reported none, estimated from its texts."""
    messages = (
        [Message(role="user", text=prompt)]
        if isinstance(prompt, str)
        else map(_message, prompt or ())
    )
    written = 0
    if isinstance(answer, CompletionResponse):
        written = _COUNTER.count_text(answer.text)
    elif answer is not None:
        message = _message(answer.message)
        calls = "".join(f"{call.name} {call.arguments}" for call in message.tool_calls)
        written = _COUNTER.count_text(message.text + calls)
    return Usage(
        uncached_input_tokens=_COUNTER.count_messages(messages),
        output_tokens=written,
        estimated=True,
    )


def _message(message: ChatMessage) -> Message:
    calls = tuple(
        ToolCall(block.tool_call_id or "", block.tool_name, _arguments(block.tool_kwargs))
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    )
    role = _ROLES.get(message.role.value, "user")
    return Message(role=role, text=message.content or "", tool_calls=calls)


def _arguments(arguments: Mapping[str, Any] | str) -> Mapping[str, Any]:
    return {"": arguments} if isinstance(arguments, str) else arguments
