"""What kind of question is asked, and in which language."""

from __future__ import annotations

import re

from agentperf_core.cache.semantic.words import listed

__all__ = ["kind_of", "language_of"]

# The more special before the more general: at the same place the first one counts.
_KINDS = {
    "how many": r"how many|(?:what(?: is| was)? the )?number of",
    "how much": r"how much|what (?:is|are|was) the (?:cost|price|amount|fee)s?\b"
    r"|what does .{1,40} cost",
    "how long": r"how long|how (?:many|much) time|how soon|how quickly",
    "how often": r"how often|how frequently|how many times",
    "how old": r"how old|what age|at what age",
    "how far": r"how far|what distance",
    "how big": r"how (?:big|tall|large|high|deep|heavy|wide|fast|hot|cold)",
    "why": r"why|how come|for what reason|what (?:is|are|was) the reasons?|what causes?"
    r"|what makes",
    "when": r"when (?:is|are|was|were|do|does|did|will|can|should|would)"
    r"|(?:at |on )?what (?:time|date|day|year)|which (?:day|year|month)",
    "where": r"where|(?:in |at )?(?:what|which) (?:place|city|country|location)s?",
    "who": r"who|whose|whom",
    "how": r"how|what (?:is|are) (?:the |a |some )?(?:\w+ ){0,2}"
    r"(?:way|ways|steps?|process|procedure|method)s?\b|steps to|is there (?:a|any) way"
    r"|(?:show|tell|help|teach) me (?:how )?to|ways? (?:to|of)",
    "which": r"which",
    "what": r"what",
}
_WHETHER = re.compile(
    r"^\W*(?:please )?(?:is|are|was|were|am|do|does|did|can|could|will|would|should|has|have|had"
    r"|may|might)\b",
)
# All in one: it finds the earliest place, and there the first of the kinds.
_KIND = re.compile(r"\b(?:" + "|".join(f"({pattern})" for pattern in _KINDS.values()) + ")")
_NAME_OF = dict(enumerate(_KINDS, start=1))
# "Could you tell me where ...": the question begins behind it.
_LEAD = re.compile(
    r"^\W*(?:(?:hi|hello|hey|please|ok(?:ay)?|so|excuse me|sorry)\b\W*)*"
    r"(?:(?:can|could|would|will) (?:you|someone|anyone|somebody|u) (?:please |kindly )?"
    r"(?:tell|explain|show|help|let|describe|advise)\b(?: (?:to )?(?:me|us))?(?: know)?"
    r"|(?:please )?(?:tell me|explain(?: to me)?|let me know|describe)"
    r"|do you (?:happen to )?know"
    r"|i (?:want|wanted|would like|need|wish|am trying) to (?:know|ask|find out|understand)"
    r"|i (?:was|am) (?:just )?wondering|any idea)\W*\b",
)
_SCRIPTS = (
    ("dense", re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")),
    ("cyrillic", re.compile("[\u0400-\u04ff]")),
    ("greek", re.compile("[\u0370-\u03ff]")),
    ("hebrew", re.compile("[\u0590-\u05ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
    ("indic", re.compile("[\u0900-\u0dff]")),
    ("hangul", re.compile("[\uac00-\ud7af]")),
)
# Function words that give a Latin-script language away.
_FOREIGN = {
    "es": listed(
        "el los las una por para que c\u00f3mo como qu\u00e9 est\u00e1 mi es del cu\u00e1l "
        "d\u00f3nde puedo y con",
    ),
    "fr": listed(
        "le les une des pour que comment est-ce quel quelle je mon ma est du avec puis et o\u00f9",
    ),
    "de": listed(
        "der die das ein eine ich wie kann mein meine ist und f\u00fcr nicht wo was mit zu den",
    ),
    "pt": listed(
        "os uma para que como n\u00e3o meu minha \u00e9 do da posso onde qual com e o",
    ),
    "it": listed(
        "il gli una per che come non mio mia \u00e8 del della posso dove quale con e",
    ),
    "nl": listed("het een hoe kan ik mijn niet voor van dat met waar wat de"),
}
_ANY_FOREIGN = frozenset[str]().union(*_FOREIGN.values())
_MARKED = re.compile("[\u00bf\u00a1\u00e0-\u00ff\u0153\u00df]")


def kind_of(low: str) -> str:
    """What a lower-cased question asks for; "statement" if it asks nothing.

    The earliest question word decides; at the same place the more special one.

    Example:
        >>> [kind_of(t) for t in ("how much is it", "what is the best way to pay", "it is gone")]
        ['how much', 'how', 'statement']
    """
    if (lead := _LEAD.match(low)) is not None:
        low = low[lead.end() :]
    found = _KIND.search(low)
    if (found is None or found.start() > 0) and _WHETHER.match(low):
        return "whether"
    return _NAME_OF[found.lastindex or 0] if found is not None else "statement"


def language_of(text: str, tokens: tuple[str, ...]) -> str:
    """A guess: the script if it is not Latin, else the language its small words belong to.

    Example:
        >>> language_of("Wie kann ich meine Karte sperren?", ("wie", "kann", "ich", "meine"))
        'de'
    """
    if text.isascii():
        return _latin(tokens, 2)
    for name, pattern in _SCRIPTS:
        if len(pattern.findall(text)) * 4 >= len(text) - text.count(" "):
            return name
    return _latin(tokens, 1 if _MARKED.search(text.lower()) else 2)


def _latin(tokens: tuple[str, ...], least: int) -> str:
    best, most = "en", least - 1
    if len(_ANY_FOREIGN.intersection(tokens)) <= most:
        return best
    for language, common in _FOREIGN.items():
        count = len(common.intersection(tokens))
        if count > most and count * 5 >= len(tokens):
            best, most = language, count
    return best
