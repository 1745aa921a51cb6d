"""Conversations with their large messages made shorter, the same way at every look.

A message is compressed for what was asked before it, which never changes afterwards. So each call
of an agent sends the same words again, in every process and after every restart, and the prompt
cache keeps its prefix; what was sent is never rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentperf_core.context.compress._checks import (
    checked_list,
    checked_text,
    require_all,
    require_one,
)
from agentperf_core.context.compress.compressor import Compressor
from agentperf_core.context.compress.records import Compressed
from agentperf_core.context.oversize import shortened
from agentperf_core.context.turns import with_text
from agentperf_core.errors import ConfigError, require_instance
from agentperf_core.flow import Flow, arun, run
from agentperf_core.types import Message, Role

__all__ = ["MessageCompressor", "Shortened", "compressed_oversize"]

_ROLES = ("tool", "user", "system")


@dataclass(frozen=True, slots=True)
class Shortened:
    """A conversation and what was made shorter in it.

    Attributes:
        messages: in order; unchanged ones are the objects that were given.
        changed: place and result of each message that became shorter or should have.
    """

    messages: tuple[Message, ...]
    changed: tuple[tuple[int, Compressed], ...] = ()

    @property
    def saved(self) -> int:
        """How many tokens fewer the texts have."""
        return sum(one.before - one.tokens for _, one in self.changed)

    def record(self) -> dict[str, Any]:
        """Plain JSON data, small enough to be kept with every answer."""
        faults = dict.fromkeys(fault for _, one in self.changed for fault in one.faults)
        return {
            "messages": len(self.changed),
            "saved_tokens": self.saved,
            "over_target": sum(not one.fits for _, one in self.changed),
            "faults": list(faults),
        }


class MessageCompressor:
    """Compresses tool results, and on request the documents that users or prompts bring.

    Of a user's message, the last paragraph is taken for the question and stays as it is.

    Args:
        compressor: what does it; default `Compressor(ratio=3, min_tokens=500)`.
        roles: whose messages: `"tool"`, `"user"`, `"system"`.
        skip_tools: names of tools whose results are never touched, such as one that reads the files
            that the model is going to edit.

    Raises:
        ConfigError: if a role is none of these, or an argument is of another kind.

    Example:
        >>> from agentperf_core.accounting.tokens import TokenCounter
        >>> words = TokenCounter(lambda text: len(text.split()))
        >>> shorter = MessageCompressor(Compressor(ratio=2, counter=words))
        >>> result = "Our shop is in Oslo. It opens at nine. We sell shoes. Returns take 30 days."
        >>> asked = Message(role="user", text="How long do returns take?")
        >>> found = shorter.shorten([asked, Message(role="tool", text=result, tool_call_id="c1")])
        >>> found.messages[1].text, found.saved
        ('We sell shoes. Returns take 30 days.', 9)
    """

    def __init__(
        self,
        compressor: Compressor | None = None,
        *,
        roles: Collection[Role] = ("tool",),
        skip_tools: Collection[str] = (),
    ) -> None:
        require_instance(
            Compressor, "write for instance Compressor(ratio=3)", compressor=compressor
        )
        given = checked_list(roles, f"roles are a list, of {_ROLES!r}")
        if not given or any(one not in _ROLES for one in given):
            msg = f"roles are among {_ROLES!r}, got {roles!r}; leave it out for tool results alone"
            raise ConfigError(msg)
        names = checked_list(skip_tools, "skip_tools is a list of names")
        self._compressor = (
            compressor if compressor is not None else Compressor(ratio=3, min_tokens=500)
        )
        self._roles = frozenset(given)
        self._skip_tools = frozenset(checked_text(one, "a tool's name") for one in names)

    def shorten(self, messages: Sequence[Message]) -> Shortened:
        """The conversation with its large messages made shorter.

        Raises:
            ConfigError: if it is no list of `Message`.
        """
        return run(self.shortening(messages))

    async def ashorten(self, messages: Sequence[Message]) -> Shortened:
        """Like `shorten`."""
        return await arun(self.shortening(messages))

    def shortening(self, messages: Sequence[Message]) -> Flow[Shortened]:
        """The flow behind both, for callers that are flows themselves."""
        require_all(Message, "those of a framework are translated by its adapter", messages)
        found: list[Message] = []
        changed: list[tuple[int, Compressed]] = []
        query = next((one.text for one in messages if one.role == "user"), "")
        names = _tool_names(messages) if self._skip_tools else {}
        for place, message in enumerate(messages):
            if message.role == "user":
                query = message.text
            skipped = (message.name or names.get(message.tool_call_id or "")) in self._skip_tools
            if message.role not in self._roles or not message.text or skipped:
                found.append(message)
                continue
            text, blank, question = message.text, "", ""
            if message.role == "user":
                text, blank, question = message.text.rpartition("\n\n")
                query = question
            if not text.strip():
                found.append(message)
                continue
            result = (yield from self._compressor.compressing([text], query=query))[0]
            if result.steps:
                changed.append((place, result))
            whole = with_text(message, f"{result.text}{blank}{question}")
            same = result.text == text
            found.append(message if same else replace(whole, blocks=message.blocks))
        return Shortened(tuple(found), tuple(changed))


def _tool_names(messages: Sequence[Message]) -> dict[str, str]:
    """Which tool each call was of: results of some frameworks do not say."""
    return {call.id: call.name for message in messages for call in message.tool_calls}


def compressed_oversize(compressor: Compressor) -> Callable[[Message, int], Message]:
    r"""What `WindowSettings(oversize=...)` does with a message that is too large by itself.

    Its last paragraph is taken for what it is about. Where compression is not enough, the middle is
    cut out, as it would have been without.

    Args:
        compressor: what does it.

    Raises:
        ConfigError: if it is none.

    Example:
        >>> from agentperf_core.context import Window, WindowSettings
        >>> oversize = compressed_oversize(Compressor())
        >>> window = Window(WindowSettings(max_tokens=100, oversize=oversize))
        >>> page = "We sell shoes. Hats are new. Snow fell. " * 40 + "Returns take 30 days."
        >>> window.add(Message(role="user", text=page + "\n\nHow long do returns take?"))
        >>> "30 days" in window.messages()[0].text, window.tokens <= 100
        (True, True)
    """
    require_one(Compressor, "write for instance Compressor(ratio=3)", compressor)
    counter = compressor.counter

    def fit(message: Message, tokens: int) -> Message:
        frame = counter.count_message(replace(with_text(message, ""), blocks=message.blocks))
        query = message.text.rpartition("\n\n")[2] if message.role == "user" else ""
        room = max(tokens - frame, 1)
        text = compressor.compress(message.text, query=query, tokens=room).text
        found = replace(with_text(message, text), blocks=message.blocks)
        if counter.count_message(found) <= tokens:
            return found
        return shortened(found, tokens, counter)

    return fit
