"""When something is brought back into a conversation, and how much of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from agentperf_core.context.recall import Embed
from agentperf_core.context.settings import WindowSettings
from agentperf_core.errors import ConfigError, require_callable, require_number
from agentperf_core.types import Message

__all__ = ["RecallSettings", "RecallWhen", "asks", "recall_settings"]

RecallWhen: TypeAlias = Literal["auto", "always", "tool"] | Callable[[str], bool]
"""What a user says is reason enough: a question, anything, nothing (the model has a tool and asks
for itself), or whatever a function of the text says."""

_WITHOUT_TOKENS = 1024  # what may come back into a window that is bounded by messages

_MARKS = re.compile(r"[?\uff1f\u061f\u037e]")
_CUES = re.compile(
    r"\b(?:remember|remind|recall|recap|earlier|previously|last time"
    r"|erinner|vorhin|souviens|rappelle|recuerda|ricord)|"
    r"^\W*(?:who|whose|whom|what|when|where|which|why|how|did|do|does|is|are|was|were|has|have|can"
    r"|could|tell me|list|summari[sz]e)\b|記得|记得|之前|覚え",
    re.IGNORECASE,
)


def asks(text: str) -> bool:
    """Whether a text asks for something that may have been said before.

    A question mark of any script, an asking word at the beginning, or a word that points back. Of
    the messages that people write to each other in LoCoMo, 29 in 100 do; of its questions, all.

    Example:
        >>> asks("And the blue one?"), asks("Tell me about Ana."), asks("It rained all day.")
        (True, True, False)
    """
    return bool(_MARKS.search(text) or _CUES.search(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallSettings:
    """When earlier messages come back, and how much of the window they may take.

    Attributes:
        when: what is reason enough, see `RecallWhen`.
        share: of the window's bound, for what comes back; the rest is for the conversation. Chosen
            on three LoCoMo conversations (26, 30, 41), and flat from 0.3 to 0.4.
        embed: vectors of texts, to search by meaning, too; words are always searched.
        neighbours: how many messages around a found one come with it.
        date: when a message was said, as the model shall read it.

    Raises:
        ConfigError: if a value cannot mean anything.

    Example:
        >>> RecallSettings(share=0.1).room(WindowSettings(max_tokens=8000))
        800
    """

    when: RecallWhen = "auto"
    share: float = 0.35
    embed: Embed | None = None
    neighbours: int = 1
    date: Callable[[Message], str | None] | None = None

    def __post_init__(self) -> None:
        require_number("0.35 suits most", share=self.share)
        if not 0 < self.share < 1:
            msg = f"share is a part of the window, above 0 and below 1, got {self.share!r}"
            msg += "; 0.35 suits most"
            raise ConfigError(msg)
        require_number("1 suits conversations", whole=True, neighbours=self.neighbours)
        require_callable("it takes a list of texts and returns their vectors", embed=self.embed)
        require_callable("it takes a message and returns when it was said", date=self.date)
        if self.when not in ("auto", "always", "tool") and not callable(self.when):
            msg = f"when is 'auto', 'always', 'tool' or a function, got {self.when!r}; use 'auto'"
            raise ConfigError(msg)

    def room(self, window: WindowSettings) -> int:
        """Tokens for what comes back into a window with these settings."""
        return int(window.limit * self.share) if window.in_tokens else _WITHOUT_TOKENS

    def reserved(self, window: WindowSettings) -> int:
        """The same in the window's measure; nothing where only the model asks."""
        if self.when == "tool":
            return 0
        return self.room(window) if window.in_tokens else 1

    def wanted(self, text: str) -> bool:
        """Whether something is to be looked for after a user has said this."""
        if callable(self.when):
            return bool(self.when(text))
        return self.when == "always" or (self.when == "auto" and asks(text))


def recall_settings(
    given: RecallSettings | RecallWhen | Mapping[str, Any] | None,
    *,
    date: Callable[[Message], str | None] | None = None,
) -> RecallSettings | None:
    """Settings out of what users give for them: the whole, its fields, only `when`, or nothing.

    Args:
        given: one of these.
        date: when a message was said, where `given` does not tell how to find out.

    Raises:
        ConfigError: if it is none of these.
    """
    if given is None:
        return None
    if isinstance(given, Mapping):
        try:
            given = RecallSettings(**given)
        except TypeError as error:
            names = ", ".join(field.name for field in fields(RecallSettings))
            msg = f"recall has the settings {names}, got {[*given]!r}; check the spelling"
            raise ConfigError(msg) from error
    elif not isinstance(given, RecallSettings):
        given = RecallSettings(when=given)
    return given if given.date is not None else replace(given, date=date)
