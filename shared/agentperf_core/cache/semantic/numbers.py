"""Numbers in a question: figures, number words, percentages and amounts, with their units."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from agentperf_core.cache.semantic.words import groups, in_order

__all__ = ["NONE", "Numbers", "is_numeric", "read_numbers"]

Quantity = tuple[float, str]  # value, unit ("" if none is named)

UNITS = groups(
    """second seconds sec secs
    minute minutes min mins
    hour hours hr hrs
    day days
    week weeks wk wks
    month months
    year years yr yrs
    kg kilogram kilograms kilo kilos kgs
    g gram grams
    mg milligram milligrams
    lb lbs pound pounds
    oz ounce ounces
    km kilometer kilometers kilometre kilometres kms
    m meter meters metre metres
    cm centimeter centimeters centimetre centimetres
    mm millimeter millimeters
    mile miles mi
    foot feet ft
    inch inches
    yard yards
    l liter liters litre litres
    ml milliliter milliliters
    gallon gallons
    celsius centigrade
    fahrenheit
    kelvin
    percent percentage %
    gb gigabyte gigabytes
    mb megabyte megabytes
    tb terabyte terabytes
    kb kilobyte kilobytes
    mph
    kmh kph
    usd dollar dollars bucks $
    eur euro euros \u20ac
    gbp quid \u00a3
    jpy yen \u00a5
    inr rupee rupees rs \u20b9
    cent cents
    calorie calories kcal
    watt watts
    volt volts""",
)
CURRENCIES = {"$": "usd", "\u20ac": "eur", "\u00a3": "gbp", "\u00a5": "jpy", "\u20b9": "inr"}

SCALES = {
    "k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9,
    "trillion": 1e12, "lakh": 1e5, "crore": 1e7, "hundred": 1e2, "dozen": 12.0,
}  # fmt: skip

_ONES = in_order(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen""",
)
_TENS = in_order("twenty thirty forty fifty sixty seventy eighty ninety")
_VALUES = {word: float(value) for value, word in enumerate(_ONES)} | {
    word: 10.0 * (place + 2) for place, word in enumerate(_TENS)
}
_ORDINALS = {
    word: float(value)
    for value, word in enumerate(
        in_order("third fourth fifth sixth seventh eighth ninth tenth"), start=3
    )
}
_MULTIPLIERS = {"hundred", "thousand", "million", "billion", "trillion", "lakh", "crore", "dozen"}
_FIGURE = re.compile(r"^([$\u20ac\u00a3\u00a5\u20b9]?)(\d[\d,]*(?:\.\d+)?)(st|nd|rd|th|%|[a-z]+)?$")
# "one" is mostly a pronoun, "second" a time or a unit, "half" and "double" words of any kind.
_MAYBE = {"one": (1.0, ""), "once": (1.0, ""), "half": (0.5, ""), "twice": (2.0, "")}


class Numbers:
    """The quantities of a text, and those that may be none ("one", "half").

    Attributes:
        sure: value and unit of every quantity, in order of value.
        maybe: values of words that are numbers only sometimes.
        values: the values of `sure`, in the order of the text.
        counts: how often each of the values stands there.
    """

    __slots__ = ("counts", "maybe", "sure", "values")

    def __init__(self, sure: Sequence[Quantity], maybe: Sequence[Quantity]) -> None:
        self.sure = tuple(sorted(sure))
        self.maybe = frozenset(value for value, _ in maybe)
        self.values = tuple(value for value, _ in sure)
        self.counts = Counter(self.values)

    def __bool__(self) -> bool:
        return bool(self.sure)


NONE = Numbers((), ())


def is_numeric(token: str) -> bool:
    """Whether a token is a number or may be one; without any, a text has no numbers.

    Example:
        >>> [is_numeric(token) for token in ("5kg", "twenty", "half", "kg")]
        [True, True, True, False]
    """
    known = token in _VALUES or token in _ORDINALS or token in _MAYBE
    return known or token[0].isdigit() or token[0] in CURRENCIES


def read_numbers(tokens: Sequence[str]) -> Numbers:
    """The numbers of a tokenised, lower-cased text.

    Example:
        >>> read_numbers("wait two weeks for 1,500 dollars".split()).sure
        ((2.0, 'week'), (1500.0, 'usd'))
        >>> read_numbers("one hundred and twenty five $ or 1.5k".split()).sure
        ((125.0, 'usd'), (1500.0, ''))
    """
    sure: list[Quantity] = []
    maybe: list[Quantity] = []
    at = 0
    while at < len(tokens):
        word = tokens[at]
        if word[0].isdigit() or word[0] in CURRENCIES:
            found, at = _figure(tokens, at)
            sure.extend(found)
        elif word in _VALUES and (word != "one" or _followed(tokens, at)):
            value, at = _spelled(tokens, at)
            sure.append((value, _unit(tokens, at)))
        else:
            if word in _ORDINALS:
                sure.append((_ORDINALS[word], "nth"))
            elif word in _MAYBE:
                maybe.append(_MAYBE[word])
            at += 1
    return Numbers(sure, maybe) if sure or maybe else NONE


def _followed(tokens: Sequence[str], at: int) -> bool:
    """Whether "one" counts something: "one hundred", "one week"; not "which one"."""
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    return following in _MULTIPLIERS or (following in UNITS and following != "second")


def _figure(tokens: Sequence[str], at: int) -> tuple[list[Quantity], int]:
    match = _FIGURE.match(tokens[at])
    if match is None:
        # Dates, times, versions: every part counts, in the order of writing.
        parts = re.findall(r"\d+", tokens[at])
        return [(float(part), f"part{place}") for place, part in enumerate(parts)], at + 1
    currency, digits, suffix = match.groups()
    value = float(digits.replace(",", ""))
    at += 1
    unit = CURRENCIES.get(currency, "")
    if suffix in {"st", "nd", "rd", "th"}:
        return [(value, "nth")], at
    if suffix == "m" and not currency:
        unit = "m"
    elif suffix in SCALES:
        value *= SCALES[suffix]
    elif suffix:
        unit = UNITS.get(suffix, suffix)
    while at < len(tokens) and tokens[at] in _MULTIPLIERS | {"k", "bn", "mn"}:
        value *= SCALES[tokens[at]]
        at += 1
    return [(value, unit or _unit(tokens, at))], at


def _spelled(tokens: Sequence[str], at: int) -> tuple[float, int]:
    total = current = 0.0
    while at < len(tokens):
        word = tokens[at]
        if word in _VALUES:
            current += _VALUES[word]
        elif word in _MULTIPLIERS:
            current = max(current, 1.0) * SCALES[word]
            if word != "hundred":
                total, current = total + current, 0.0
        elif (
            not (word == "and" and at + 1 < len(tokens) and tokens[at + 1] in _VALUES)
            or tokens[at - 1] not in _MULTIPLIERS
        ):
            break
        at += 1
    return total + current, at


def _unit(tokens: Sequence[str], at: int) -> str:
    """The unit that follows a number, if one does."""
    return UNITS.get(tokens[at], "") if at < len(tokens) else ""
