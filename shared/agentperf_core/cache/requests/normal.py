"""The normal form of a question's wording, for hits on questions that differ in form only.

Changed is what cannot change the meaning: blanks, the first word's capital, the mark at the end,
contractions, number words, greetings and "please". Rules are for English; what does not look like
an English question of one line stays as it is, and so does everything with code, quoted text or
talk about words. Capitals inside a sentence stay too ("the price of Apple"), except for names that
mean nothing else ("france"). In doubt two forms stay apart: a lost hit costs a call, a wrong one
costs trust.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from agentperf_core.cache.requests.normal_words import (
    ABOUT_WORDS,
    ASKING,
    COMPARISON,
    CONTRACTIONS,
    ENGLISH,
    NUMBERS,
    OPENERS,
    PLAIN_NAMES,
    UNITS,
)

__all__ = ["normalised"]

_LONGEST = 1000  # characters; a longer turn is a document, not a question
_MOST_ROUNDS = 4  # "Hi! Please, could you please ..." takes three


@lru_cache(maxsize=4096)
def normalised(text: str) -> str:
    """The normal form of a question; the text itself where no rule is safe.

    Example:
        >>> normalised("Hi, could you please tell me what's the capital of France?")
        'what is the capital of france'
        >>> normalised("What is C++?"), normalised("What is C?")
        ('what is C++', 'what is C')
        >>> normalised("Translate: It's five."), normalised("x = f('a')")
        ("Translate: It's five.", "x = f('a')")
    """
    if len(text) > _LONGEST:
        return text
    form = " ".join(_unified(text).split())
    if "\n" in text.strip() or _NOT_PROSE.search(form) or not _is_english(form):
        return text
    for _ in range(_MOST_ROUNDS):
        before, form = form, _round(form)
        if form == before:
            break
    return form


# Code, quoted text, markup, formulas. An apostrophe is one only between letters.
_NOT_PROSE = re.compile(
    r"""https?:|: |(?<![A-Za-z])'|'(?![A-Za-z])"""
    r"""|["`\u201c\u201d\u201e\u2018\xab\xbb{}<>=\\|\[\]^~_;]"""
)


def _is_english(form: str) -> bool:
    words = form.lower().replace(",", " ").rstrip("?!. ").split()
    if form.upper() == form or not ABOUT_WORDS.isdisjoint(words):
        return False  # all capitals: "THE US" would be anybody's guess
    return not ENGLISH.isdisjoint(words)


# Same letters in other clothes. Superscripts are none: 10² is not 102.
_CLOTHES = ("<wide>", "<narrow>", "<noBreak>")
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "\u2019": "'", "\u2009": " "}


def _unified(text: str) -> str:
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    return "".join([_unclothed(char) for char in text])


def _unclothed(char: str) -> str:
    if unicodedata.decomposition(char).startswith(_CLOTHES):
        return unicodedata.normalize("NFKC", char)
    return _LIGATURES.get(char, char)


def _round(form: str) -> str:
    form = _without_end(_without_manners(form))
    words = form.split(" ")
    if _opens(form):
        words[0] = words[0][0].lower() + words[0][1:]
    words = ["i" if word == "I" else PLAIN_NAMES.get(word, word) for word in words]
    if COMPARISON.isdisjoint(words):
        words = [_expanded(words, place) for place in range(len(words))]
    return " ".join(words)


def _opens(form: str) -> bool:
    """Whether a form starts with a word whose capital says nothing."""
    first = form.split(" ", 1)[0].rstrip(",").lower()
    return first in OPENERS or first in CONTRACTIONS


_GREETING = re.compile(
    r"^(?:hi|hello|hey|good (?:morning|afternoon|evening))(?: there)?[,.!]? ", re.IGNORECASE
)
_PLEASE = re.compile(r"^(?:(?:can|could|would|will) you )?(?:please|kindly),? ", re.IGNORECASE)
_TELL = re.compile(
    r"^(?:tell me|(?:i would|i'd) like to know|i (?:want|need) to know),? "
    r"(?=(?:what|what's|how|why|when|where|where's|which|who|who's|whose)\b)",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"(?<=[a-z0-9%)])[,.?!] ?(?:please|pls|(?:many )?thanks(?: a lot| in advance)?"
    r"|thank you(?: very much| so much| in advance)?)[.!]*$",
    re.IGNORECASE,
)


def _without_manners(form: str) -> str:
    for manners in (_GREETING, _PLEASE, _TELL):
        found = manners.match(form)
        if found is None:
            continue
        rest = form[found.end() :]
        # "Hello world in C" greets nobody, and "Please Please Me" is a record.
        courteous = rest[:1].islower() or (_opens(rest) and not rest.startswith("Please "))
        if courteous if manners is _PLEASE else _opens(rest):
            form = rest
    found = _THANKS.search(form)
    if found is None:
        return form
    # The mark before the thanks stays for `_without_end`; a comma goes with them.
    return form[: found.start() + (form[found.start()] != ",")]


def _without_end(form: str) -> str:
    """Without the marks at the end, unless they are what is asked about, or a factorial."""
    bare = form.rstrip(".?!")
    marks = form[len(bare) :]
    last = bare.rsplit(" ", 1)[-1]
    if not marks or not last:
        return form
    if "!" in marks and (len(last) == 1 or not last[-1].isalpha()):
        return form
    if "?" in marks and not any(map(_asks, _CLAUSES.split(bare))):
        return form  # "You are coming?" is not "You are coming."
    return bare


_CLAUSES = re.compile(r"[,.!?] ")


def _asks(clause: str) -> bool:
    """Whether a clause is a question or an order by its first word."""
    first = clause.split(" ", 1)[0].lower()
    return first in ASKING or CONTRACTIONS.get(first, "").split(" ")[0] in ASKING


def _expanded(words: list[str], place: int) -> str:
    """A contraction in full, a number in digits, anything else as it is."""
    word = words[place]
    comma = "," if word.endswith(",") else ""
    bare = word.removesuffix(",")
    if place and not bare.islower():
        return word  # inside a sentence, "Seven" is a film
    plain = bare.lower()
    following = words[place + 1].removesuffix("s") if place + 1 < len(words) else ""
    if plain == "one" and not comma and following in UNITS:
        return "1" if place == 0 or words[place - 1] not in _NOT_COUNTED else word
    found = CONTRACTIONS.get(plain) or NUMBERS.get(plain)
    return found + comma if found else word


# "no one day is alike", "the one thousand", "day one week two": there, "one" is not a count.
_NOT_COUNTED = frozenset({"any", "day", "each", "every", "no", "that", "the", "this", "week"})
