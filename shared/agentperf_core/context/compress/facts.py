"""What must not be lost when a text gets shorter: numbers, names, negations, code.

Found by form alone, without a model. What this cannot see: a name of one ordinary word that only
ever begins a sentence, names in scripts without capital letters (but for katakana), numbers that
are written as words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agentperf_core.context.compress._checks import checked_text
from agentperf_core.context.lexical import terms_of

__all__ = ["NEGATION", "Facts", "facts_of", "lost_facts", "protected_spans"]

_CODE = re.compile(r"(?ms)^(```|~~~).*?(?:^\1|\Z)|`[^`\n]+`")
_NUMBER = re.compile(r"\d+(?:[.,:/\u00a0-]\d+)*%?")
# Identifiers, addresses, acronyms; then a capital inside a sentence, and capitals in a row.
_IDENTIFIER = re.compile(
    r"https?://\S+|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.]+|\b[^\W_]+(?:_[^\W_]+)+\b"
    r"|\b[a-z]+[A-Z]\w*\b|\b[A-Z][A-Z0-9]+\b"
)
_CAPITAL = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_KATAKANA = re.compile(r"[\u30a1-\u30fa\u30fc]{3,}")
_BEGINS = re.compile(r"(?:\A|[.!?:\u3002\uff01\uff1f]\W*|\n\W*|[\"'(\u201c\u00ab]\s*)\Z")

NEGATION = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|neither|nor|cannot|without|unless|except)\b"
    r"|n['\u2019]t\b"
    r"|\b(?:nicht|kein\w*|nie|niemals|ohne|weder)\b"
    r"|\b(?:ne|pas|jamais|sans|aucune?|rien)\b"
    r"|\b(?:nunca|sin|ning\u00fan|ninguna?|nada|tampoco)\b"
    r"|\b(?:non|mai|senza|nessun\w*|n\u00e3o|sem|nenhuma?)\b"
    r"|\b(?:niet|geen|nooit|zonder)\b"
    r"|\b(?:\u043d\u0435|\u043d\u0435\u0442|\u0431\u0435\u0437|\u043d\u0438\u043a\u043e\u0433\u0434\u0430|\u043d\u0438)\b"
    r"|[\u4e0d\u6ca1\u6c92\u65e0\u7121\u672a\u522b]"
    r"|(?:\u306a\u3044|\u307e\u305b\u3093|\u306a\u304b\u3063)"
    r"|(?:\uc54a|\uc5c6|\ubabb)",
    re.IGNORECASE,
)
_SCOPE = 4  # words
_SENTENCE = re.compile(r"[^.!?\u3002\uff01\uff1f\n]+")


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a text.

    Attributes:
        numbers: as they are written.
        names: names, identifiers and addresses.
        code: fenced and inline code, with its marks.
        negations: per word that negates, the words that it is said of.
    """

    numbers: frozenset[str]
    names: frozenset[str]
    code: frozenset[str]
    negations: tuple[frozenset[str], ...]

    def __len__(self) -> int:
        return len(self.numbers) + len(self.names) + len(self.code) + len(self.negations)


def facts_of(text: str) -> Facts:
    """The facts of a text.

    Raises:
        ConfigError: if it is no text.

    Example:
        >>> found = facts_of("Since 2019 our office in Oslo does not open on `MONDAY`.")
        >>> sorted(found.numbers), sorted(found.names), sorted(found.code)
        (['2019'], ['Oslo'], ['`MONDAY`'])
        >>> len(found.negations)
        1
    """
    text = checked_text(text)
    code = frozenset(match.group().strip() for match in _CODE.finditer(text))
    prose = _CODE.sub(" ", text)
    return Facts(
        numbers=frozenset(_NUMBER.findall(prose)),
        names=frozenset(_names(prose)),
        code=code,
        negations=tuple(_negations(prose)),
    )


def lost_facts(before: Facts, after: str) -> list[str]:
    """Which facts another wording does not hold, each as its kind and, in quotes, what it is.

    A negation is there if one of the same words is negated.

    Raises:
        ConfigError: if the other wording is no text.

    Example:
        >>> lost_facts(facts_of("Do not pay Ana 20 euros."), "Pay Ana 20 euros.")
        ['negation of ana, euro, pay']
        >>> lost_facts(facts_of("Do not pay Ana 20 euros."), "Never pay Ana 20.")
        []
    """
    lowered = checked_text(after, "another wording").lower()
    numbers = set(_NUMBER.findall(after))
    lost = [f"number {one!r}" for one in sorted(before.numbers - numbers)]
    lost += [f"name {one!r}" for one in sorted(before.names) if one.lower() not in lowered]
    lost += [f"code {one!r}" for one in sorted(before.code) if one not in after]
    negated = list(_negations(_CODE.sub(" ", after)))
    lost += [
        f"negation of {', '.join(sorted(words))}"
        for words in before.negations
        if not any(words & other or not words for other in negated)
    ]
    return lost


def protected_spans(text: str) -> list[tuple[int, int]]:
    """Where the facts of a text stand, in order.

    Example:
        >>> text = "We never ship to Oslo."
        >>> [text[start:end] for start, end in protected_spans(text)]
        ['never', 'Oslo']
    """
    found = [match.span() for match in _CODE.finditer(text)]
    prose = _CODE.sub(lambda match: " " * len(match.group()), text)
    found += [match.span() for kind in (_NUMBER, NEGATION) for match in kind.finditer(prose)]
    found += _name_spans(prose)
    return sorted(found)


def _names(prose: str) -> Iterator[str]:
    return (prose[start:end].rstrip(".,;)") for start, end in _name_spans(prose))


def _name_spans(prose: str) -> Iterator[tuple[int, int]]:
    yield from (match.span() for match in _IDENTIFIER.finditer(prose))
    yield from (match.span() for match in _KATAKANA.finditer(prose))
    run: list[re.Match[str]] = []
    began = False
    for match in _CAPITAL.finditer(prose):
        if not match.group()[0].isupper() or len(match.group()) < 2:
            yield from _of_run(run, began=began)
            run = []
            continue
        if not run or prose[run[-1].end() : match.start()] != " ":
            yield from _of_run(run, began=began)
            before = prose[max(match.start() - 8, 0) : match.start()]
            run, began = [], _BEGINS.search(before) is not None
        run.append(match)
    yield from _of_run(run, began=began)


def _of_run(run: list[re.Match[str]], *, began: bool) -> Iterator[tuple[int, int]]:
    """The name that capitalised words in a row are; the first of a sentence may be any word."""
    if began and (len(run) < 2 or run[0].group().lower() in _STARTERS):
        run = run[1:]
    if run:
        yield run[0].start(), run[-1].end()


_STARTERS = frozenset(
    "a an the this that these those in on at by for from to of with and but or if when while as he "  # noqa: SIM905 - a list of words reads best as words
    "she it they we you i his her its their our my your is are was were do does did has have had "
    "can could will would should may might must there here what who where why how which after "
    "before since until although because however also then thus so no not please der die das ein "
    "eine le la les un une el los las il lo o os".split()
)


def _negations(prose: str) -> Iterator[frozenset[str]]:
    for match in _SENTENCE.finditer(prose):
        sentence = match.group()
        for negation in NEGATION.finditer(sentence):
            # Most languages say after it what is negated; where nothing follows, it came before.
            scope = terms_of(NEGATION.sub(" ", sentence[negation.end() :]))[:_SCOPE]
            scope = scope or terms_of(NEGATION.sub(" ", sentence[: negation.start()]))[-_SCOPE:]
            yield frozenset(term for term in scope if not term.isdigit())
