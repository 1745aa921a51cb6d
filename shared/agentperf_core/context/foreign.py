"""Messages of a framework, as windows of the core take them: by mark, read where they are new."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

from agentperf_core.context.recalling import RecallSettings, RecallWhen, recall_settings
from agentperf_core.errors import require_callable
from agentperf_core.types import Message

__all__ = ["Foreign"]

M = TypeVar("M")


class Foreign(Generic[M]):
    """What an adapter says of its messages, and what users say of them put into core words.

    Args:
        to_core: the core's message for one of the framework.
        from_core: the framework's message for one of the core.
        mark: what tells a message from all others, see `SlidingWindow.follow`.
        date: when a message was said, where the framework's users note it.

    Example:
        >>> texts = Foreign(
        ...     lambda text: Message(role="user", text=text),
        ...     lambda message: message.text,
        ...     mark=hash,
        ...     date=lambda message: None,
        ... )
        >>> texts.reader(["a", "b"])(1).text
        'b'
    """

    def __init__(
        self,
        to_core: Callable[[M], Message],
        from_core: Callable[[Message], M],
        *,
        mark: Callable[[M], Hashable],
        date: Callable[[Message], str | None],
    ) -> None:
        self._to_core = to_core
        self._from_core = from_core
        self._mark = mark
        self._date = date

    def options(
        self,
        pin: Callable[[M], bool] | None,
        oversize: Literal["cut", "error"] | Callable[[M, int], M],
    ) -> dict[str, Any]:
        """The fields `pin` and `oversize` of `WindowSettings`, for functions of the framework's.

        Raises:
            ConfigError: if `pin` cannot be called.
        """
        require_callable("it takes a message and says whether it stays", pin=pin)
        return {
            "pin": pin and self._pinned(pin),
            "oversize": self._smaller(oversize) if callable(oversize) else oversize,
        }

    def recall(
        self, given: RecallSettings | RecallWhen | Mapping[str, Any] | None
    ) -> RecallSettings | None:
        """Settings that know where dates are.

        Raises:
            ConfigError: if they are no settings.
        """
        return recall_settings(given, date=self._date)

    def marks_of(self, messages: Sequence[M]) -> list[Hashable]:
        """What a window knows the messages by."""
        return [self._mark(message) for message in messages]

    def reader(self, messages: Sequence[M]) -> Callable[[int], Message]:
        """What reads the message at a place."""
        return lambda place: self._to_core(messages[place])

    def _pinned(self, pin: Callable[[M], bool]) -> Callable[[Message], bool]:
        return lambda message: pin(self._from_core(message))

    def _smaller(self, shorten: Callable[[M, int], M]) -> Callable[[Message, int], Message]:
        return lambda message, tokens: self._to_core(shorten(self._from_core(message), tokens))
