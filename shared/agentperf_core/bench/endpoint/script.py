"""What a script is: a function from a chat request to the reply that a model would give."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from agentperf_core.errors import ConfigError
from agentperf_core.types import ToolCall

__all__ = ["ChatRequest", "Reply", "Script", "ScriptedReplies", "text_of"]


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a wire message, whether its content is a string, blocks or missing.

    Example:
        >>> text_of({"role": "user", "content": [{"type": "text", "text": "hi"}]})
        'hi'
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    blocks = (cast("dict[str, Any]", b) for b in cast("list[Any]", content) if isinstance(b, dict))
    return "".join(str(b.get("text", "")) for b in blocks if b.get("type") == "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One request as the script sees it; headers and keys never get this far.

    Attributes:
        model: the model name that the client asked for.
        messages: the messages as plain JSON objects, in the wire format.
        tools: the tool definitions as plain JSON objects.
        stream: True if the client asked for server-sent events.
        params: every other field of the body (temperature, tool_choice, ...).
        number: how many chat requests came before this one.
        digest: fingerprint of the body without its `stream` fields.
        occurrence: how many requests with the same digest came before this one.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    stream: bool = False
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    number: int = 0
    digest: str = ""
    occurrence: int = 0

    @property
    def turn(self) -> tuple[Mapping[str, Any], ...]:
        """The messages from the last user message on: what happened in this turn so far.

        Example:
            >>> request = ChatRequest(
            ...     model="m",
            ...     messages=(
            ...         {"role": "user", "content": "old"},
            ...         {"role": "assistant", "content": "done"},
            ...         {"role": "user", "content": "new"},
            ...     ),
            ... )
            >>> [message["content"] for message in request.turn]
            ['new']
        """
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index].get("role") == "user":
                return self.messages[index:]
        return self.messages

    @property
    def last_user_text(self) -> str:
        """The text of the last user message, empty if there is none."""
        users = [m for m in self.messages if m.get("role") == "user"]
        return text_of(users[-1]) if users else ""

    @property
    def wants_stream_usage(self) -> bool:
        """Whether a stream shall end with a chunk that holds the usage."""
        options = cast("dict[str, Any]", self.params.get("stream_options") or {})
        return bool(options.get("include_usage"))

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The names of the tools on offer, in order."""
        return tuple(str(tool.get("function", {}).get("name", "")) for tool in self.tools)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the scripted model says.

    Attributes:
        text: the text, empty for a reply that only calls tools.
        tool_calls: calls in order; a call with the id `""` gets a reproducible one.
        finish_reason: default `"tool_calls"` if there are any, else `"stop"`.
        reasoning_tokens: hidden tokens that are billed as output and cost time before the text.

    Raises:
        ConfigError: if `reasoning_tokens` is negative.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str | None = None
    reasoning_tokens: int = 0

    def __post_init__(self) -> None:
        if self.reasoning_tokens < 0:
            msg = f"reasoning_tokens is a count, got {self.reasoning_tokens!r}; pass 0 or more"
            raise ConfigError(msg)

    @classmethod
    def calling(cls, *calls: tuple[str, Mapping[str, Any]], text: str = "") -> Reply:
        """A reply that calls tools, given as `(name, arguments)` pairs.

        Example:
            >>> Reply.calling(("get_order", {"order_id": 7})).tool_calls[0].name
            'get_order'
        """
        return cls(text, tuple(ToolCall("", name, arguments) for name, arguments in calls))

    @property
    def reason(self) -> str:
        """The finish reason that goes over the wire."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")


Script: TypeAlias = Callable[[ChatRequest], Reply]
"""Called from the server's threads, several at once: a script with state needs its own lock."""


class ScriptedReplies:
    """A script that gives one reply after the other, in order of arrival.

    Args:
        replies: what to answer; a plain string is a text reply.
        cycle: start again after the last one instead of failing the request.

    Raises:
        ConfigError: if there is no reply, or when a request comes after the last one.

    Example:
        >>> script = ScriptedReplies([Reply.calling(("clock", {})), "It is noon."])
        >>> request = ChatRequest(model="m", messages=({"role": "user", "content": "Time?"},))
        >>> script(request).reason, script(request).text
        ('tool_calls', 'It is noon.')
    """

    def __init__(self, replies: Iterable[Reply | str], *, cycle: bool = False) -> None:
        self._replies = tuple(Reply(r) if isinstance(r, str) else r for r in replies)
        self._cycle = cycle
        self._next = 0
        self._lock = threading.Lock()
        if not self._replies:
            msg = "a script needs at least one reply, got []; pass replies or a function"
            raise ConfigError(msg)

    def __call__(self, request: ChatRequest) -> Reply:
        """The next reply, whatever the request says."""
        with self._lock:
            index = self._next
            self._next += 1
        if index >= len(self._replies) and not self._cycle:
            msg = (
                f"the script holds {len(self._replies)} replies and got request {index + 1}; "
                "add a reply or pass cycle=True"
            )
            raise ConfigError(msg)
        return self._replies[index % len(self._replies)]
