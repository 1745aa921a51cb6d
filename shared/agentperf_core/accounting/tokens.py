"""Counting tokens: of a text, of a message, of a whole request with its tools."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from agentperf_core.accounting._memo import Memo
from agentperf_core.accounting.encodings import encoding_for_model, load_encoding
from agentperf_core.accounting.estimate import CL100K, O200K, Rates, estimate_tokens
from agentperf_core.accounting.framing import (
    CL100K_CHAT,
    O200K_CHAT,
    ChatFormat,
    compact_json,
    message_tokens,
    tool_tokens,
)
from agentperf_core.errors import ConfigError

if TYPE_CHECKING:
    from agentperf_core.types import Message

__all__ = ["CountMethod", "TokenCounter", "Tokenizer"]

CountMethod: TypeAlias = Literal["tiktoken", "tokenizer", "callable", "estimate"]


@runtime_checkable
class Tokenizer(Protocol):
    """Anything that encodes: a Hugging Face tokenizer, a `tokenizers.Tokenizer`, tiktoken's."""

    def encode(self, text: str, /) -> Sized:
        """The tokens of `text`."""
        ...


class TokenCounter:
    """Counts tokens and remembers each message it has counted.

    A counter made without a tokenizer estimates (see `agentperf_core.accounting.estimate`);
    `method` says which it is. Counting never opens a connection. Safe under threads.

    The memo is keyed by what a message says, not by the object: a changed or rebuilt message is
    counted as what it is. It holds at most `memo_bytes` and drops what was not used for longest.

    Args:
        backend: an object with `encode` (Hugging Face, tokenizers, tiktoken), a callable from text
            to number, or `None` to estimate.
        chat: what frames messages and tools; the default is the public rule for gpt-4o.
        rates: which encoding the estimate imitates.
        memo_bytes: size of the memo in bytes; 0 turns it off.

    Attributes:
        method: `"tiktoken"`, `"tokenizer"`, `"callable"` or `"estimate"`.
        encoding: name of the encoding that is counted or imitated, `None` if it is not known.
        expected_error: relative error that 9 of 10 texts of 2,000 characters stay under (English,
            Chinese, code and JSON, on that encoding); 0.0 if a tokenizer counts. Short texts
            scatter more, and for a model with another vocabulary the error is not known.

    Raises:
        ConfigError: if `backend` is none of these or `memo_bytes` is negative.

    Example:
        >>> from agentperf_core.types import Message
        >>> counter = TokenCounter(lambda text: len(text.split()))
        >>> counter.count_text("two words")
        2
        >>> counter.count_messages([Message(role="user", text="two words")])
        9
    """

    def __init__(
        self,
        backend: Tokenizer | Callable[[str], int] | None = None,
        *,
        chat: ChatFormat = O200K_CHAT,
        rates: Rates = O200K,
        memo_bytes: int = 2**22,
    ) -> None:
        self.chat = chat
        self.encoding: str | None = getattr(backend, "name", None) if _ordinary(backend) else None
        self.expected_error = 0.0
        self._memo = Memo(memo_bytes)
        self._count: Callable[[str], int]
        self.method: CountMethod
        if backend is None:
            self.method, self.encoding = "estimate", rates.encoding
            self.expected_error = rates.error
            self._count = lambda text: estimate_tokens(text, rates)
        elif (ordinary := _ordinary(backend)) is not None:
            self.method = "tiktoken"
            self._count = lambda text: len(ordinary(text))
        elif isinstance(backend, Tokenizer) and not isinstance(backend, str):
            self.method = "tokenizer"
            self._count = _tokenizer_count(backend)
        elif callable(backend):
            self.method = "callable"
            self._count = backend
        else:
            msg = (
                "a token counter counts with an object that has encode(), with a callable or with "
                f"None, got {backend!r}; for a model's name use TokenCounter.for_model(...)"
            )
            raise ConfigError(msg)

    @classmethod
    def for_model(cls, model: str, *, memo_bytes: int = 2**22) -> TokenCounter:
        """The counter of a model: tiktoken where its table knows the model, else the estimate.

        Args:
            model: name of the model; a provider in front of it is ignored.
            memo_bytes: size of the memo in bytes.

        Raises:
            ConfigError: if `model` is empty.

        Example:
            >>> TokenCounter.for_model("claude-sonnet-4-0").method
            'estimate'
        """
        if not model or not model.strip():
            msg = f"a model has a name, got {model!r}; pass the one that the provider uses"
            raise ConfigError(msg)
        name = encoding_for_model(model.strip())
        return (
            cls(memo_bytes=memo_bytes)
            if name is None
            else cls.for_encoding(name, memo_bytes=memo_bytes)
        )

    @classmethod
    def for_encoding(cls, name: str = "o200k_base", *, memo_bytes: int = 2**22) -> TokenCounter:
        """The counter of one of tiktoken's encodings, estimating if it is not on this machine.

        Args:
            name: of the encoding; default that of gpt-4o and what came after it.
            memo_bytes: size of the memo in bytes.

        Raises:
            ConfigError: if tiktoken has no encoding of that name.
        """
        old = name == "cl100k_base"
        chat, rates = (CL100K_CHAT, CL100K) if old else (O200K_CHAT, O200K)
        return cls(load_encoding(name), chat=chat, rates=rates, memo_bytes=memo_bytes)

    def count_text(self, text: str) -> int:
        """Tokens of a text alone, not remembered; markers of the model count as plain text."""
        return self._count(text)

    def count_message(self, message: Message) -> int:
        """Tokens of one message with its frame: its share of a request.

        The frame of a tool call is not public; see `agentperf_core.accounting.framing`.
        """
        calls = tuple((call.name, compact_json(call.arguments)) for call in message.tool_calls)
        blocks = compact_json(message.blocks) if message.blocks else ""
        key = (message.role, message.text, message.name, calls, blocks)
        return self._memo.get(
            key,
            sys.getsizeof(message.text) + len(blocks) + sum(len(text) for _, text in calls),
            lambda: message_tokens(message, self._count, self.chat),
        )

    def count_messages(
        self, messages: Iterable[Message], *, tools: Iterable[Mapping[str, Any]] = ()
    ) -> int:
        """Input tokens of a whole request: messages, tools and the start of the answer.

        Args:
            messages: the messages, oldest first.
            tools: OpenAI-style definitions, `{"type": "function", "function": {...}}`.

        Raises:
            ConfigError: if a tool is not such a mapping.
        """
        counted = sum(self.count_message(message) for message in messages)
        return counted + self.chat.reply_priming + self.count_tools(tools)

    def count_tools(self, tools: Iterable[Mapping[str, Any]]) -> int:
        """Tokens that tool definitions add to a request; each definition is remembered too.

        Raises:
            ConfigError: if a tool is not a mapping or a function has no name.
        """
        total = sum(self._tool(tool) for tool in tools)
        return total + self.chat.func_end if total else 0

    def _tool(self, tool: Mapping[str, Any]) -> int:
        if not isinstance(tool, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass tool objects
            msg = (
                "a tool is counted as its OpenAI-style mapping, got "
                f"{type(tool).__name__!r}; convert it with the framework's own function first"
            )
            raise ConfigError(msg)
        text = compact_json(tool)
        return self._memo.get(
            text, sys.getsizeof(text), lambda: tool_tokens(tool, self._count, self.chat)
        )


def _ordinary(backend: object) -> Callable[[str], Sized] | None:
    """The method of tiktoken that takes markers as plain text; `encode` raises on them."""
    return getattr(backend, "encode_ordinary", None)


def _tokenizer_count(tokenizer: Any) -> Callable[[str], int]:
    # Hugging Face adds the model's start and end marks unless told not to: a frame, not text.
    try:
        tokenizer.encode("", add_special_tokens=False)
        options = {"add_special_tokens": False}
    except TypeError:
        options = {}
    # Fast tokenizers of transformers change their own state while they encode and raise
    # "Already borrowed" when two threads meet.
    lock = threading.Lock()

    def count(text: str) -> int:
        with lock:
            return len(tokenizer.encode(text, **options))

    return count
