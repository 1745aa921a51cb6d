"""What a cache gets from an adapter and gives back: requests, answers, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from agentperf_core.cache.policy import AnswerFacts, CacheDecision

__all__ = ["AnswerCodec", "CacheRequest", "Hit"]

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


@dataclass(frozen=True, slots=True)
class CacheRequest:
    """One request as the cache sees it.

    Attributes:
        key: from `request_key`; `None` if the request cannot be cached.
        bypass: why not, where `key` is `None`.
    """

    key: str | None
    bypass: str = ""


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    """An answer that is there: a fresh copy, marked with the decision."""

    answer: T
    decision: CacheDecision
