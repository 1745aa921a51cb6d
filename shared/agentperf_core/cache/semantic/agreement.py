"""Whether two answers say the same: the label that the semantic tier learns from.

Deterministic answers to questions that mean the same are often equal to the letter; where a model
words them anew, numbers and negations must be the same and the texts must be near in meaning. A
judge of your own (a small model) can replace it: any `(text, text) -> bool`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agentperf_core.cache.semantic.guards import refusal
from agentperf_core.cache.semantic.wording import Wording

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ANSWER_LIMIT", "agree", "answer_form"]

ANSWER_LIMIT = 2000  # characters of an answer that are kept for comparing

# A careful border: answers below it count as different, which costs hits and never a wrong one.
_SAME_MEANING = 0.92


def answer_form(text: str) -> str:
    """What of an answer is kept to compare others with: case and spacing do not count."""
    return " ".join(text.casefold().split())[:ANSWER_LIMIT]


def agree(
    fresh: str, stored: str, *, vector: Callable[[str], NDArray[np.float32]] | None = None
) -> bool:
    """Whether two answers, in `answer_form`, say the same.

    Args:
        fresh: the model's answer.
        stored: the answer that would have been served.
        vector: gives unit vectors of texts; `None` accepts equal texts only.

    Example:
        >>> agree(answer_form("It is  Paris."), answer_form("it is Paris."))
        True
        >>> agree("the fee is 3 euros", "the fee is 5 euros")
        False
    """
    if fresh == stored:
        return True
    if vector is None or not fresh or not stored:
        return False
    if refusal(Wording.of(fresh), Wording.of(stored), "strict") is not None:
        return False
    return float(vector(fresh) @ vector(stored)) >= _SAME_MEANING
