"""What tells one message of a conversation from another, cheap enough to take at every call."""

from __future__ import annotations

from collections.abc import Hashable, Sized

from agentperf_core.types import Message

__all__ = ["ByValue", "mark_of"]


def mark_of(message: Message) -> Hashable:
    """Equal for two messages if and only if both say the same.

    Example:
        >>> mark_of(Message(role="user", text="a")) == mark_of(Message(role="user", text="a"))
        True
    """
    calls = tuple((call.id, call.name, repr(call.arguments)) for call in message.tool_calls)
    blocks = repr(message.blocks) if message.blocks else ""
    return message.role, message.text, message.name, calls, message.tool_call_id, blocks


class ByValue:
    """A list or a mapping as part of a mark: equal to another if their contents are.

    Comparing costs next to nothing where both hold the same objects, as they do from one call of a
    conversation to the next.

    Args:
        value: what to compare; a copy of yours, if yours may change.

    Example:
        >>> ByValue([1, {"a": 2}]) == ByValue([1, {"a": 2}]), ByValue([1]) == ByValue([2])
        (True, False)
    """

    __slots__ = ("_value",)

    def __init__(self, value: Sized) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByValue) and self._value == other._value

    def __hash__(self) -> int:
        return hash(len(self._value))
