"""How large a window may be, and what is done when it is full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.oversize import Oversize
from agentperf_core.errors import (
    ConfigError,
    require_callable,
    require_given,
    require_number,
    require_positive,
)
from agentperf_core.types import Message

__all__ = ["WindowSettings"]

_LEAST = 8  # at least one part in so many of the bound is the conversation's


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSettings:
    """Sizes of a window and the rules of its ladder.

    Attributes:
        max_tokens: what the prompt may cost, `reserve` included; this or `max_messages`.
        max_messages: how many messages there may be.
        low: share of the room that is left full by a cut. A lower one is cut more seldom: with 0.6,
            a prompt costs about three times its new tokens on average, and 0.85 seven times.
        reserve: tokens (or messages) kept free for what stands beside the window: tool schemas, the
            answer, recalled turns.
        keep_results: how many of the latest tool results are never cleared.
        keep_turns: how many turns a cut leaves, where they fit: all older ones are dropped, before
            anything else is tried. Without it, a cut leaves what `low` says.
        pin: which messages are never cut, besides those of the system.
        oversize: what is done with a message that is too large by itself.
        counter: counts tokens; default the estimate, see `TokenCounter`.

    Raises:
        ConfigError: if there is not exactly one bound, or a number cannot mean anything.

    Example:
        >>> WindowSettings(max_tokens=8000, reserve=1000).limit
        8000
    """

    max_tokens: int | None = None
    max_messages: int | None = None
    low: float = 0.6
    reserve: int = 0
    keep_results: int = 3
    keep_turns: int | None = None
    pin: Callable[[Message], bool] | None = None
    oversize: Oversize = "cut"
    counter: TokenCounter = field(default_factory=TokenCounter)

    def __post_init__(self) -> None:
        if (self.max_tokens is None) == (self.max_messages is None):
            msg = (
                "a window is bounded by max_tokens or by max_messages, got "
                f"max_tokens={self.max_tokens!r} and max_messages={self.max_messages!r}; give one"
            )
            raise ConfigError(msg)
        bounds = {"max_tokens": self.max_tokens, "max_messages": self.max_messages}
        given = {name: value for name, value in bounds.items() if value is not None}
        require_number("say how large the window may be", whole=True, least=1, **given)
        require_number("it is a share of the room, and 0.6 suits most", most=1, low=self.low)
        require_positive(keep_turns=self.keep_turns, low=self.low)
        kept = {"reserve": self.reserve, "keep_results": self.keep_results}
        require_number("leave it out for the default", whole=True, **kept)
        require_callable("it takes a message and says whether it stays", pin=self.pin)
        require_given(TokenCounter, "leave it out to estimate", counter=self.counter)
        if self.reserve >= self.limit:
            msg = (
                f"reserve={self.reserve!r} leaves no room in a window of {self.limit!r}; "
                "make it smaller"
            )
            raise ConfigError(msg)
        if self.oversize not in ("cut", "error") and not callable(self.oversize):
            msg = f"oversize is 'cut', 'error' or a function, got {self.oversize!r}; 'cut' is usual"
            raise ConfigError(msg)

    @property
    def limit(self) -> int:
        """The bound, in tokens or messages."""
        return self.max_tokens or self.max_messages or 0

    @property
    def in_tokens(self) -> bool:
        """Whether the bound is one of tokens."""
        return self.max_tokens is not None

    def granted(self, beside: int, *, kept: int = 0) -> int:
        """As much of what a request costs besides as leaves the conversation an eighth.

        For callers who rather send a request that is over the limit than none. Nothing where the
        bound is a number of messages, of which tokens say nothing.

        Args:
            beside: tokens that the rest of the request takes.
            kept: tokens that are kept free for something else.

        Example:
            >>> WindowSettings(max_tokens=8000, reserve=1000).granted(9000)
            6000
        """
        if not self.in_tokens:
            return 0
        return max(min(beside, self.limit - self.reserve - kept - self.limit // _LEAST), 0)

    def cost(self, message: Message) -> int:
        """What a message takes of the bound."""
        return self.counter.count_message(message) if self.in_tokens else 1

    def keeps(self, message: Message) -> bool:
        """Whether a message is never cut."""
        return message.role == "system" or (self.pin is not None and bool(self.pin(message)))
