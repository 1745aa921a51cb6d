"""What a cache gets from an adapter and gives back: requests, answers, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from agentperf_core.cache.decisions import CacheDecision
from agentperf_core.cache.policy import AnswerFacts, CachePolicy

__all__ = ["AnswerCodec", "CacheRequest", "Hit", "Question"]

T = TypeVar("T")


class AnswerCodec(Protocol[T]):
    """How an adapter turns its framework's answer into plain data and back."""

    def facts(self, answer: T) -> AnswerFacts:
        """What the policy needs to know of the answer."""
        ...

    def encode(self, answer: T) -> Mapping[str, Any]:
        """The answer as plain JSON data."""
        ...

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> T:
        """A fresh answer with a fresh id, marked with the decision."""
        ...

    def mark(self, answer: T, decision: CacheDecision) -> T:
        """The model's own answer, marked with the decision."""
        ...


class Question:
    """What a request asks in words, for the semantic tier.

    Attributes:
        scope: digest of everything that must be equal to the letter: tenant, version, model, system
            prompts, tools, parameters, and of the conversation all but `text` and `parent`.
            Questions of different scopes never meet.
        text: the last user turn.
        parent: the user turns before it, back to the last self-contained one, joined by newlines;
            `None` at the start of a conversation.

    Example:
        >>> Question("0f", "and on Mondays?", "When does the Louvre open?").parent
        'When does the Louvre open?'
    """

    __slots__ = ("_settle", "_settled", "text")

    def __init__(self, scope: str, text: str, parent: str | None = None) -> None:
        self.text = text
        self._settled: tuple[str, str | None] | None = (scope, parent)
        self._settle: Callable[[], tuple[str, str | None]] | None = None

    @classmethod
    def later(cls, text: str, settle: Callable[[], tuple[str, str | None]]) -> Question:
        """A question whose scope and parent are found when asked for, since exact hits never ask.

        Args:
            text: the last user turn.
            settle: gives scope and parent.
        """
        made = cls("", text)
        made._settled, made._settle = None, settle
        return made

    @property
    def scope(self) -> str:
        """See the class."""
        return self._values()[0]

    @property
    def parent(self) -> str | None:
        """See the class."""
        return self._values()[1]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Question)
            and self.text == other.text
            and self._values() == other._values()
        )

    def __hash__(self) -> int:
        return hash((self.text, self._values()))

    def __repr__(self) -> str:
        # No text: a question may end up in a log by way of an error.
        return f"Question({len(self.text)} characters)"

    def _values(self) -> tuple[str, str | None]:
        found = self._settled
        if found is None:
            found = self._settled = self._settle() if self._settle is not None else ("", None)
            self._settle = None
        return found


# Not frozen, here and in `CacheDecision`: a setter of its own per field costs a hit 3 us.
@dataclass(slots=True)
class CacheRequest:
    """One request as the cache sees it; `build_request` makes it, and nobody changes it.

    Attributes:
        key: what the store is asked for; `None` if the request cannot be cached.
        bypass: why not, where `key` is `None`.
        wording: digest of the exact request, where `key` is that of its normalised wording.
        question: what is asked in words; `None` if nothing is (a tool step, an image).
        tags: names by which the entry can be forgotten.
        expires_at: seconds since the Unix epoch: what the answer is built on expires then.
        model: name of the model, for prices.
        policy: the policy of the request's route; `None` for the cache's own.
    """

    key: str | None
    bypass: str = ""
    wording: str | None = field(default=None, kw_only=True)
    question: Question | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)
    expires_at: float | None = field(default=None, kw_only=True)
    model: str | None = field(default=None, kw_only=True)
    policy: CachePolicy | None = field(default=None, kw_only=True)


@dataclass(slots=True)
class Hit(Generic[T]):
    """An answer that is there: a fresh copy, marked with the decision."""

    answer: T
    decision: CacheDecision
