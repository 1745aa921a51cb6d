"""What a single word is, looked up once: most words of a question have been met before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from agentperf_core.cache.semantic import words
from agentperf_core.cache.semantic.axes import axes
from agentperf_core.cache.semantic.forms import affixed
from agentperf_core.cache.semantic.numbers import is_numeric
from agentperf_core.cache.semantic.spelling import stem

__all__ = ["Word", "normal_form", "word_of"]

MAX_STEM = 40  # characters; a longer "word" is a code, and would only fill the memory of words
Spots = tuple[tuple[int, int], ...]

# Small words that give what follows a part to play: swap two of them and the question is another.
ROLES = words.listed(
    """from to into onto than over under by before after against of for with without in on at as
    if when because versus vs about per via through towards until since while""",
)
_SYNONYM = {stem(word): stem(first) for word, first in words.SYNONYMS.items()}


def _poles() -> tuple[dict[str, Spots], dict[str, Spots]]:
    """What each normal form belongs to, among full words and among small ones."""
    full: dict[str, list[tuple[int, int]]] = {}
    small: dict[str, list[tuple[int, int]]] = {}
    for number, weak, poles in axes():
        for pole, members in enumerate(poles):
            for member in members:
                spots = (small if weak else full).setdefault(stem(member), [])
                if (number, pole) not in spots:
                    spots.append((number, pole))
    return (
        {word: tuple(spots) for word, spots in full.items()},
        {word: tuple(spots) for word, spots in small.items()},
    )


_POLES, _SMALL_POLES = _poles()


@dataclass(frozen=True, slots=True)
class Word:
    """A token as all questions see it.

    Attributes:
        token: as it is written.
        stem: without its inflection.
        content: its normal form, synonyms folded; `None` if it carries no content.
        is_role: whether it gives what follows a part to play.
        is_negation: whether it denies.
        is_numeric: whether it is a number, or may be.
        is_affixed: whether it may be the denial of another word, see `affixed`.
        mark: what it is as an identifier or address; `None` if it is none.
        poles: (axis, pole) that it stands for as a full word; `small_poles` as a small one.
    """

    token: str
    stem: str
    content: str | None
    is_role: bool
    is_negation: bool
    is_numeric: bool
    is_affixed: bool
    mark: str | None
    poles: Spots
    small_poles: Spots


def word_of(token: str) -> Word:
    """What a token is.

    Example:
        >>> word_of("purchases").content, word_of("not").is_negation, word_of("a-12").mark
        ('buy', True, 'a12')
    """
    return _known(token) if len(token) <= MAX_STEM else _read(token, token)


def normal_form(word: str) -> str:
    """A word without its inflection, or the one that stands for it and its synonyms."""
    short = stem(word)
    return _SYNONYM.get(short, short)


def _read(token: str, short: str) -> Word:
    is_role, is_negation = token in ROLES, token in words.NEGATIONS
    is_empty = is_role or is_negation or token in words.STOP or token[0].isdigit()
    return Word(
        token=token,
        stem=short,
        content=None if is_empty else _SYNONYM.get(short, short),
        is_role=is_role,
        is_negation=is_negation,
        is_numeric=is_numeric(token),
        is_affixed=affixed(token),
        mark=_mark(token),
        poles=_POLES.get(short, ()),
        small_poles=_SMALL_POLES.get(short, ()),
    )


@lru_cache(maxsize=20_000)
def _known(token: str) -> Word:
    return _read(token, stem(token))


def _mark(token: str) -> str | None:
    if "@" in token or "://" in token or "_" in token:
        return token
    if token[0].isalpha() and any(c.isdigit() for c in token):
        return token.replace("-", "")
    return None
