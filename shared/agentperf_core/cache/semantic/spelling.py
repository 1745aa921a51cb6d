"""Words without their dress: contractions resolved, inflections cut off."""

from __future__ import annotations

import re
from functools import lru_cache

from agentperf_core.cache.semantic.words import listed

__all__ = ["expanded", "stem"]

_CONTRACTIONS = (
    (re.compile(r"\bcan(?:'t|not)\b|\bcant\b"), "can not"),
    (re.compile(r"\bwon't\b|\bwont\b"), "will not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"\bain't\b"), "is not"),
    (re.compile(r"n't\b"), " not"),
    (
        re.compile(r"\b(do|does|did|is|are|was|were|has|have|had|should|could|would)nt\b"),
        r"\1 not",
    ),
    (re.compile(r"\b(?:i'm|im)\b"), "i am"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"\b(what|where|who|how|when|why|that|there|it|here|let)'s\b"), r"\1 is"),
    (re.compile(r"'s\b|'(?=\s|$)"), ""),
    (re.compile(r"\bgonna\b"), "going to"),
    (re.compile(r"\bwanna\b"), "want to"),
)
# A contraction has an apostrophe or is one of these.
_BARE = re.compile(
    r"\b(?:cannot|cant|wont|(?:do|does|did|is|are|was|were|has|have|had|should|could|would)nt|im"
    r"|gonna|wanna)\b"
)
_SUFFIXES = ("ingly", "edly", "ings", "ing", "ies", "ied", "ers", "ed", "es", "er", "s", "ly")
_KEEP = listed("news always perhaps series species business this his less us yes plus bus gas")


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A word without its inflection, the same for "charge", "charged" and "charging".

    A plain suffix rule, harsher than a dictionary and the same on both sides of a comparison.

    Example:
        >>> stem("charges") == stem("charging") == stem("charged")
        True
    """
    if word in _KEEP or len(word) < 4:
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            if suffix == "s" and word.endswith("ss"):
                break
            word = word[: -len(suffix)] + ("y" if suffix in {"ies", "ied"} else "")
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "lsaeiou":
        word = word[:-1]  # stopped -> stop
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def expanded(low: str) -> str:
    """A lower-cased text with its contractions written out.

    Example:
        >>> expanded("what's this? it doesn't work")
        'what is this? it does not work'
    """
    if "'" in low or _BARE.search(low):
        for pattern, plain in _CONTRACTIONS:
            low = pattern.sub(plain, low)
    return low
