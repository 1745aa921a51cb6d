"""What to do with one message that is larger than there is room for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.turns import with_text
from agentperf_core.types import Message

__all__ = ["Oversize", "shortened"]

Oversize: TypeAlias = Literal["cut", "error"] | Callable[[Message, int], Message]
"""Cut its middle out, raise `ContextOverflow`, or a function of the message and the tokens that
there is room for, such as a compressor."""

_HEAD = 0.6  # what a document says first says most; its end is next
_CHARACTERS = 8  # of a token, at most, in text that is worth cutting well


def shortened(message: Message, tokens: int, counter: TokenCounter) -> Message:
    """The message with the middle of its text left out, and a marker in its place.

    Args:
        message: its blocks that are not text stay.
        tokens: what it may cost, its frame included; the marker alone if that is too few.
        counter: counts it.

    Example:
        >>> words = TokenCounter(lambda text: len(text.split()))
        >>> long = Message(role="user", text=" ".join(map(str, range(100))))
        >>> words.count_message(shortened(long, 20, words)) <= 20
        True
    """
    # Counting ten megabytes takes seconds, and all but a few kilobytes are left out anyway.
    room = len(message.text)
    keep = min(room, max(tokens, 0) * _CHARACTERS)
    while True:
        head = int(keep * _HEAD)
        tail = keep - head
        marker = f"\n[... {room - keep:,} characters left out to fit the context ...]\n"
        text = message.text[:head] + marker + message.text[room - tail :]
        found = replace(with_text(message, text), blocks=message.blocks)
        if keep == 0:
            return found
        cost = counter.count_message(found)
        if cost <= tokens:
            return found
        # In proportion, and a little more, so that few rounds are needed.
        keep = int(keep * min(tokens / cost, 0.95) * 0.97)
