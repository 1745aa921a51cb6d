"""A question read once: its words, numbers, names, negations and the frame it is asked in."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

from agentperf_core.cache.semantic import words
from agentperf_core.cache.semantic.axes import axes
from agentperf_core.cache.semantic.forms import affixed
from agentperf_core.cache.semantic.frames import kind_of, language_of
from agentperf_core.cache.semantic.numbers import Numbers, read_numbers
from agentperf_core.cache.semantic.spelling import expanded, stem

__all__ = ["POLES", "SMALL_POLES", "Wording"]

MAX_CHARS = 1000  # a longer text is compared by its beginning and its end; its middle must be equal
MAX_KEPT = 500  # characters; an entry takes up to 25 kB, so longer texts are parsed every time
MAX_STEM = 40  # characters; a longer "word" is a code, and would only fill the memory of stems
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
Spots = dict[str, tuple[tuple[int, int], ...]]  # (axis, pole) pairs by normal form
_SYNONYM = {stem(word): stem(first) for word, first in words.SYNONYMS.items()}


def _poles() -> tuple[Spots, Spots]:
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


POLES, SMALL_POLES = _poles()


class Wording:
    """One question, parsed. Build it with `Wording.of`, which keeps the last few thousand.

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
        signature: content words per governing small word, for the order of arguments.
    """

    __slots__ = (
        "affixed", "bag", "content", "fresh", "kind", "language", "marks", "names", "negations",
        "numbers", "poles", "roles", "signature", "small_poles", "spelled", "stems", "task", "text",
        "tokens",
    )  # fmt: skip

    def __init__(self, text: str) -> None:
        self.text = text
        plain = _plain(text)
        low = _FILLERS.sub(" ", expanded(plain.lower()))
        self.tokens = tuple(_merged(_TOKEN.findall(low)))
        self.stems = tuple(
            stem(token) if len(token) <= MAX_STEM else token for token in self.tokens
        )
        self.numbers: Numbers = read_numbers(self.tokens)
        self.negations = sum(token in words.NEGATIONS for token in self.tokens)
        self.marks = _marks(plain, self.tokens)
        self.language = language_of(plain, self.tokens)
        self.kind = kind_of(low)
        self._read_content(low)
        self.names = _names(plain)
        self._read_poles()
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

    def _read_content(self, low: str) -> None:
        content: list[str] = []
        spelled: dict[str, str] = {}
        roles: list[tuple[str, str]] = []
        role = ""
        for token, short in zip(self.tokens, self.stems, strict=True):
            if token in ROLES:
                role = token
                continue
            if token in words.STOP or token in words.NEGATIONS or token[0].isdigit():
                continue
            normal = _SYNONYM.get(short, short)
            content.append(normal)
            spelled.setdefault(normal, token)
            roles.append((role, normal))
        if self.language == "dense":
            content = [*content, *_DENSE.findall(low)]
        self.content = tuple(content)
        self.bag = frozenset(content)
        self.spelled = spelled
        self.affixed = frozenset(normal for normal, token in spelled.items() if affixed(token))
        self.roles = tuple(roles)
        per_role: dict[str, list[str]] = {}
        for governed, word in roles:
            per_role.setdefault(governed, []).append(word)
        self.signature = {governed: tuple(found) for governed, found in per_role.items()}

    def _read_poles(self) -> None:
        self.poles = frozenset(spot for short in self.stems for spot in POLES.get(short, ()))
        self.small_poles = frozenset(
            spot for short in self.stems for spot in SMALL_POLES.get(short, ())
        )


# Small words that give what follows a part to play: swap two of them and the question is another.
ROLES = words.listed(
    """from to into onto than over under by before after against for of with without in on at as
    if when because versus vs about per via through towards until since while""",
)


@lru_cache(maxsize=8192)
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


def _marks(plain: str, tokens: tuple[str, ...]) -> frozenset[str]:
    marks = {match.strip().lower() for match in _QUOTED.findall(plain)}
    for token in tokens:
        if token.isalpha():  # most are
            continue
        if "@" in token or "://" in token or "_" in token:
            marks.add(token)
        elif not token[0].isdigit() and any(c.isdigit() for c in token) and token[0].isalpha():
            marks.add(token.replace("-", ""))
    return frozenset(marks)


def _names(plain: str) -> frozenset[str]:
    """Capitalised words inside sentences; none where every word is capitalised, or none is."""
    found = list(_NAME.finditer(plain))
    capital = [m for m in found if m.group()[0].isupper()]
    if not capital or len(capital) >= 0.8 * len(found) > 1:
        return frozenset()
    names: set[str] = set()
    for match in capital:
        before = plain[: match.start()].rstrip()
        word = match.group().lower().removesuffix("'s")
        if not before or before[-1] in '.?!:"\n' or word in words.STOP or word.startswith("i'"):
            continue
        short = stem(word)
        names.add(_SYNONYM.get(short, short))
    return frozenset(names)


def _is_task(tokens: tuple[str, ...]) -> bool:
    for token in tokens[:4]:
        if token in words.TASKS:
            return True
        if token not in {"please", "kindly", "hi", "hello", "hey", "pls", "just", "now"}:
            return False
    return False
