"""Who summarises, when, and how long a summary may be."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeAlias

from agentperf_core.accounting.pricing import PRICES, PriceBook
from agentperf_core.context.settings import WindowSettings
from agentperf_core.errors import ConfigError, require_given, require_number, require_positive
from agentperf_core.types import Message, Usage

__all__ = ["Summarize", "SummarySettings", "Written", "trim_settings"]

_USUAL = 512
_LEAST = 32
_LONGER = {"summary_tokens": "tokens"}  # where window and summary share one list of arguments
_PARTS = 4  # of a part of a long span: so that the summaries of its parts are one part in the end


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value <= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An answer of a summariser.

    Attributes:
        text: the summary.
        usage: what the call used, if it is known.
        model: who wrote it, as the price book knows it.
    """

    text: str
    usage: Usage | None = None
    model: str | None = None


Answer: TypeAlias = str | Written


class Summarize(Protocol):
    """Writes a summary: any function, awaited or not; `ChatSummarizer` makes one of a model.

    One that has both sides offers the awaited one as an attribute `acall`.
    """

    def __call__(
        self, messages: Sequence[Message], previous: str | None, max_tokens: int, /
    ) -> Answer | Awaitable[Answer]:
        """The summary of some messages.

        Args:
            messages: what is to be summarised, in order; parts of a message that is too long for
                one call come as messages of their own.
            previous: the summary so far, which the new one must contain; `None` at first.
            max_tokens: how long it may be; what is longer loses its middle.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarySettings:
    """How summaries are made.

    Attributes:
        summarize: who writes them.
        tokens: what a summary may cost in the prompt; default 512, or a quarter of a small window.
        background: whether they are written after the turn, beside the conversation, and adopted at
            the next cut. Without it, the call that cuts waits for the summary.
        ahead: how full the window is when a summary of what will leave it is begun, as a share.
        timeout_s: seconds that one call of the summariser may take.
        chunk_tokens: how much is given to one call; longer spans are summarised part by part, and
            then the summaries of the parts.
        prices: what calls cost.

    Raises:
        ConfigError: if a number cannot mean anything, or `summarize` cannot be called.

    Example:
        >>> settings = SummarySettings(summarize=lambda messages, previous, most: "a summary")
        >>> settings.tokens_of(1000), settings.tokens_of(8000)
        (250, 512)
    """

    summarize: Summarize
    tokens: int | None = None
    background: bool = True
    ahead: float = 0.75
    timeout_s: float = 60.0
    chunk_tokens: int = 8000
    prices: PriceBook = field(default=PRICES)

    def __post_init__(self) -> None:
        if not callable(self.summarize):
            msg = (
                f"summarize is a function of messages, previous and max_tokens, got "
                f"{self.summarize!r}; make one of a model with ChatSummarizer(...)"
            )
            raise ConfigError(msg)
        require_number("leave it out for 60", timeout_s=self.timeout_s)
        require_number("leave it out for 8000", chunk_tokens=self.chunk_tokens)
        require_positive(
            tokens=self.tokens, timeout_s=self.timeout_s, chunk_tokens=self.chunk_tokens
        )
        require_given(PriceBook, "leave it out for PRICES", prices=self.prices)
        if not _is_share(self.ahead):
            msg = f"ahead is a share of the window, above 0 and at most 1, got {self.ahead!r}"
            raise ConfigError(msg + "; 0.75 suits most")
        least = _PARTS * (self.tokens or _LEAST)
        if (self.tokens or _LEAST) < _LEAST or self.chunk_tokens < least:
            msg = (
                f"a summary has at least {_LEAST} tokens and at most a quarter of chunk_tokens, "
                f"got {self.tokens!r} tokens and chunk_tokens={self.chunk_tokens!r}"
            )
            raise ConfigError(msg + "; leave both out for the defaults")

    def tokens_of(self, room: int) -> int:
        """What a summary may cost in a prompt with so much room.

        Raises:
            ConfigError: if that is more than half of the room.
        """
        tokens = self.tokens
        if tokens is None:
            tokens = max(min(_USUAL, room // 4, self.chunk_tokens // _PARTS), _LEAST)
        if 2 * tokens > room:
            msg = (
                f"a summary of {tokens} tokens takes more than half of the {room} that there is "
                "room for; give more max_tokens or a smaller summary"
            )
            raise ConfigError(msg)
        return tokens


def trim_settings(
    summarize: Summarize | None, **options: Any
) -> tuple[WindowSettings, SummarySettings | None]:
    """Both settings out of one list of arguments, as adapters take them.

    Args:
        summarize: who summarises; `None` for nobody.
        **options: fields of `WindowSettings` and `SummarySettings`, whose `tokens` are
            `summary_tokens` here.

    Raises:
        ConfigError: if one of them is no field, or see there.

    Example:
        >>> window, summary = trim_settings(None, max_tokens=4000, keep_turns=3)
        >>> window.keep_turns, summary
        (3, None)
    """
    windows = {one.name for one in fields(WindowSettings)}
    summaries = {one.name for one in fields(SummarySettings)} - {"summarize", "tokens"}
    unknown = options.keys() - windows - summaries - _LONGER.keys()
    if unknown:
        known = sorted(windows | summaries | _LONGER.keys())
        msg = f"a trimmed conversation has the settings {', '.join(known)}, got {sorted(unknown)!r}"
        raise ConfigError(msg + "; check the spelling")
    require_positive(summary_tokens=options.get("summary_tokens"))  # by the name that it has here
    window = WindowSettings(**{name: options[name] for name in options.keys() & windows})
    if summarize is None:
        return window, None
    given = {_LONGER.get(name, name): options[name] for name in options.keys() - windows}
    return window, SummarySettings(summarize=summarize, **given)
