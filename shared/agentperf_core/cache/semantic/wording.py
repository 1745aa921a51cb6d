"""A question read once: its words, numbers, names, negations and the frame it is asked in."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

from agentperf_core.cache.semantic import words
from agentperf_core.cache.semantic.frames import kind_of, language_of
from agentperf_core.cache.semantic.lexicon import Word, normal_form, word_of
from agentperf_core.cache.semantic.numbers import NONE, Numbers, read_numbers
from agentperf_core.cache.semantic.spelling import expanded

__all__ = ["Wording"]

MAX_CHARS = 1000  # a longer text is compared by its beginning and its end; its middle must be equal
MAX_KEPT = 500  # characters; an entry takes up to 25 kB, so longer texts are parsed every time
MAX_TRIGRAMS = 500

_TOKEN = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.]+|https?://\S+"  # addresses
    r"|[$\u20ac\u00a3\u00a5\u20b9]?\d+(?:[.,:/-]\d+)*(?:%|[^\W\d_]{1,12}\b)?"  # 1,500 12/05 5kg 3rd
    r"|[^\W_]*\d[\w-]*|[^\W\d_]\w*(?:[+#]+)?(?:[-_.][^\W_]\w*)*|[$\u20ac\u00a3\u00a5\u20b9%]",
)
_FILLERS = re.compile(r"\b(?:" + "|".join(words.FILLERS) + r")(?=\W|$)")
_NAME = re.compile(r"[^\W\d_][\w'-]*")
_QUOTED = re.compile(r"[\"\u201c\u201d`]([^\"\u201c\u201d`]{1,200})[\"\u201c\u201d`]")
_DENSE = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")


class Wording:
    """One question, parsed. Build it with `Wording.of`, which keeps the last thousands.

    Attributes:
        text: as given.
        tokens: lower-cased words and figures, contractions and phrasal verbs resolved.
        stems: normal form of every token.
        content: normal forms of the content words, in order; synonyms folded.
        bag: the set of `content`.
        spelled: content word as written, for each normal form.
        affixed: normal forms of the content words that may deny another one, see `affixed`.
        numbers: quantities with units.
        marks: identifiers, addresses and quoted strings.
        names: capitalised words inside a sentence, in normal form.
        negations: how many negations it has.
        kind: what is asked: "how", "when", "where", "who", "why", "how many", "whether", ...
        language: "en", another code, or the name of a script.
        poles: (axis, pole) of its full words; `small_poles` of its function words.
        fresh, task: whether it asks for something that goes stale, or for a deed.
        roles: the content words in order, each with the small word that governs it.
    """

    __slots__ = (
        "affixed", "bag", "content", "fresh", "kind", "language", "marks", "names", "negations",
        "numbers", "poles", "roles", "small_poles", "spelled", "stems", "task", "text", "tokens",
    )  # fmt: skip

    def __init__(self, text: str) -> None:
        self.text = text
        plain = _plain(text)
        low = _FILLERS.sub(" ", expanded(plain.lower()))
        read = [word_of(token) for token in _merged(_TOKEN.findall(low))]
        # One string for all texts that have the word: they are the most of what is kept of a text.
        self.tokens = tuple([word.token for word in read])
        self.stems = tuple([word.stem for word in read])
        numeric = any(word.is_numeric for word in read)
        self.numbers: Numbers = read_numbers(self.tokens) if numeric else NONE
        self.negations = sum([word.is_negation for word in read])
        self.marks = _quoted(plain).union([word.mark for word in read if word.mark is not None])
        self.language = language_of(plain, self.tokens)
        self.kind = kind_of(low)
        self._read_content(read, low)
        self.names = _names(plain)
        self.poles = frozenset([spot for word in read for spot in word.poles])
        self.small_poles = frozenset([spot for word in read for spot in word.small_poles])
        self.fresh = not words.FRESH.isdisjoint(self.tokens)
        self.task = _is_task(self.tokens)

    @staticmethod
    def of(text: str) -> Wording:
        """The parsed form of a text, remembered for the next time.

        Example:
            >>> a = Wording.of("Please, how do I cancel my 2 cards?")
            >>> a.content, a.numbers.values, a.kind
            (('cancel', 'card'), (2.0,), 'how')
        """
        return _parsed(text) if len(text) <= MAX_KEPT else Wording(text)

    def trigrams(self) -> set[str]:
        """Letter triples, of a long text those of its beginning.

        Made when asked for: of all that is kept of a text they would take the most memory.
        """
        squeezed = " ".join(self.tokens)[:MAX_TRIGRAMS]
        return {squeezed[at : at + 3] for at in range(len(squeezed) - 2)}

    def governed(self) -> dict[str, list[str]]:
        """Content words per governing small word, for the order of arguments."""
        found: dict[str, list[str]] = {}
        for role, normal in self.roles:
            found.setdefault(role, []).append(normal)
        return found

    def _read_content(self, read: list[Word], low: str) -> None:
        content: list[str] = []
        spelled: dict[str, str] = {}
        roles: list[tuple[str, str]] = []
        affixed: list[str] = []
        role = ""
        for word in read:
            normal = word.content
            if normal is not None:
                content.append(normal)
                spelled.setdefault(normal, word.token)
                roles.append((role, normal))
                if word.is_affixed:
                    affixed.append(normal)
            elif word.is_role:
                role = word.token
        if self.language == "dense":
            content = [*content, *_DENSE.findall(low)]
        self.content = tuple(content)
        self.bag = frozenset(content)
        self.spelled = spelled
        self.affixed = frozenset(affixed)
        self.roles = tuple(roles)


@lru_cache(maxsize=16_384)
def _parsed(text: str) -> Wording:
    return Wording(text)


def _plain(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text)
    if len(plain) > MAX_CHARS:
        half = MAX_CHARS // 2
        middle = " ".join(plain[half:-half].lower().split()).encode(errors="surrogatepass")
        # Reads as an identifier, which guards compare in every profile of ours.
        digest = hashlib.blake2b(middle, digest_size=8).hexdigest()
        plain = f"{plain[:half]} middle0{digest} {plain[-half:]}"
    return plain.translate({0x2018: "'", 0x2019: "'", 0x02BC: "'", 0x60: "`"})


def _merged(tokens: list[str]) -> list[str]:
    """Phrasal verbs and compounds as one word."""
    merged: list[str] = []
    for token in tokens:
        known = words.PHRASES.get(token)
        if merged and (pair := words.PHRASES.get(f"{merged[-1]}_{token}")) is not None:
            merged[-1] = pair
        elif known is None and "-" in token and not token[0].isdigit() and "@" not in token:
            merged.extend(part for part in token.split("-") if part)
        else:
            merged.append(known or token)
    return merged


def _quoted(plain: str) -> frozenset[str]:
    return frozenset([match.strip().lower() for match in _QUOTED.findall(plain)])


def _names(plain: str) -> frozenset[str]:
    """Capitalised words inside sentences; none where every word is capitalised, or none is."""
    found = _NAME.findall(plain)
    capital = [word for word in found if word[0].isupper()]
    if len(capital) >= 0.8 * len(found) > 1 or not any(map(_named, capital)):
        return frozenset()
    names: set[str] = set()
    for match in _NAME.finditer(plain):
        word = _named(match.group()) if match.group()[0].isupper() else None
        if word is None:
            continue
        before = plain[: match.start()].rstrip()
        if before and before[-1] not in '.?!:"\n':
            names.add(normal_form(word))
    return frozenset(names)


def _named(capital: str) -> str | None:
    """What a capitalised word may name."""
    word = capital.lower().removesuffix("'s")
    return None if word in words.STOP or word.startswith("i'") else word


def _is_task(tokens: tuple[str, ...]) -> bool:
    for token in tokens[:4]:
        if token in words.TASKS:
            return True
        if token not in {"please", "kindly", "hi", "hello", "hey", "pls", "just", "now"}:
            return False
    return False
