"""What to do with one message that is larger than there is room for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias, cast

from agentperf_core.accounting.estimate import O200K, estimate_tokens
from agentperf_core.accounting.framing import compact_json
from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.turns import with_text
from agentperf_core.types import Message

__all__ = ["Oversize", "rough_tokens", "shortened"]

Oversize: TypeAlias = Literal["cut", "error"] | Callable[[Message, int], Message]
"""Cut its middle out, raise `ContextOverflow`, or a function of the message and the tokens that
there is room for, such as a compressor."""

_HEAD = 0.6  # what a document says first says most; its end is next
_SAMPLE = 4096  # characters
_SHORT = 80  # characters of an argument that is left as it is
_CHARACTERS = 8  # of a token, at most, in text that is worth cutting well


def rough_tokens(text: str) -> int:
    """Tokens of a text that is too long to be counted: by its beginning.

    Example:
        >>> rough_tokens("word " * 10_000)
        9643
    """
    sample = text[:_SAMPLE]
    return estimate_tokens(sample, O200K) * len(text) // max(len(sample), 1)


def shortened(message: Message, tokens: int, counter: TokenCounter) -> Message:
    """The message with the middle of its text left out, and a marker in its place.

    Of a message whose tool calls are too large, the long texts among their arguments are cut, too.

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
    if not message.tool_calls:
        return _text_cut(message, tokens, counter)
    arguments = sum(len(compact_json(call.arguments)) for call in message.tool_calls)
    cuts = (_text_cut, _calls_cut) if len(message.text) > arguments else (_calls_cut, _text_cut)
    found = cuts[0](message, tokens, counter)
    return found if counter.count_message(found) <= tokens else cuts[1](found, tokens, counter)


def _text_cut(message: Message, tokens: int, counter: TokenCounter) -> Message:
    # Counting ten megabytes takes seconds, and all but a few kilobytes are left out anyway.
    room = len(message.text)
    keep = min(room, max(tokens, 0) * _CHARACTERS)
    while True:
        text = _cut(message.text, keep)
        found = replace(with_text(message, text), blocks=message.blocks)
        if keep == 0:
            return found
        cost = counter.count_message(found)
        if cost <= tokens:
            return found
        # In proportion, and a little more, so that few rounds are needed.
        keep = int(keep * min(tokens / cost, 0.95) * 0.97)


def _calls_cut(message: Message, tokens: int, counter: TokenCounter) -> Message:
    """The message with every long text in its calls cut to the same length, as short as needed."""
    changed = replace(with_text(message, message.text), blocks=message.blocks)
    keep = max(tokens, 0) * _CHARACTERS
    while True:
        calls = (replace(c, arguments=_clipped(c.arguments, keep)) for c in message.tool_calls)
        found = replace(changed, tool_calls=tuple(calls))
        if keep < _SHORT or counter.count_message(found) <= tokens:
            return found
        keep //= 2


def _clipped(value: Any, keep: int) -> Any:
    if isinstance(value, str):
        # The marker must not be longer than what it stands for.
        return _cut(value, keep) if len(value) > keep + _SHORT else value
    if isinstance(value, Mapping):
        return {key: _clipped(one, keep) for key, one in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_clipped(one, keep) for one in cast("list[Any]", value)]
    return value


def _cut(text: str, keep: int) -> str:
    head = int(keep * _HEAD)
    left_out = len(text) - keep
    marker = f"\n[... {left_out:,} characters left out to fit the context ...]\n"
    return text[:head] + marker + text[head + left_out :]
