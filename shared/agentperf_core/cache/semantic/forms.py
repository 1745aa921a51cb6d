"""Two words: slips and forms of one, or one the denial of the other."""

from __future__ import annotations

from agentperf_core.cache.semantic.axes import OPPOSED_PREFIXES

__all__ = ["affixed", "alike", "negates"]

_NEGATING = ("un", "dis", "in", "im", "il", "ir", "non", "de", "mis", "anti", "a", "counter")
_OPPOSED = [*OPPOSED_PREFIXES, *((second, first) for first, second in OPPOSED_PREFIXES)]
_AGAINST = {
    first: [other for prefix, other in _OPPOSED if prefix == first] for first, _ in _OPPOSED
}
_SIZES = sorted({len(prefix) for prefix in _AGAINST})
_AFFIXES = (*_NEGATING, *_AGAINST)


def alike(x: str, y: str, *, names: bool = False) -> bool:
    """Whether two words are one: a slip of the keyboard, or forms of one word.

    Example:
        >>> alike("transfer", "trasnfer"), alike("verify", "verification"), alike("visa", "vista")
        (True, True, False)
    """
    # Of the pairs that are tried most begin differently.
    if x[:1] != y[:1] and x[:2] != y[1::-1]:
        return False
    if any(c.isdigit() for c in x + y):
        return False
    if len(x) > len(y):
        x, y = y, x
    if not names and len(x) >= 5:
        stemlike = len(x) - 1 if len(x) < 10 else len(x) - 3
        if x[:stemlike] == y[:stemlike] and len(y) - len(x) <= 7:
            return True
    # In four letters a changed one makes another word, two swapped ones mostly do not.
    if len(x) < 4 or (len(x) == 4 and sorted(x) != sorted(y)) or (names and len(x) < 7):
        return False
    return _slips(x, y, 2 if len(x) >= 9 and not names else 1)


def _slips(x: str, y: str, most: int) -> bool:
    """Whether at most `most` letters were missed, added, changed or swapped; `x` is the shorter."""
    if len(y) - len(x) > most:
        return False
    if x[0] != y[0] and not (x[:2] == y[1::-1] and x[2:] == y[2:]):
        return False
    start = 0
    while start < len(x) and x[start] == y[start]:
        start += 1
    x, y = x[start:], y[start:]
    while x and y and x[-1] == y[-1]:
        x, y = x[:-1], y[:-1]
    if most == 1:
        return len(y) <= 1 or (len(x) == len(y) == 2 and x == y[::-1])
    return len(y) <= 2 or (len(y) == 3 and sorted(x) == sorted(y))


def affixed(word: str) -> bool:
    """Whether a word can be one of the two that `negates` is true of; never false for both.

    Example:
        >>> affixed("unlock"), affixed("careless"), affixed("lock")
        (True, True, False)
    """
    return word.startswith(_AFFIXES) or word.endswith("less")


def negates(x: str, y: str) -> bool:
    """Whether one word is the other with "un-", "-less" and the like, or with an opposed prefix."""
    short, long = (x, y) if len(x) < len(y) else (y, x)
    # Both need the beginning of the short word in the long one: this runs for many pairs of words.
    if len(short) >= 3 and short[:3] in long:
        if any(_is_negation(prefix, short, long) for prefix in _NEGATING):
            return True
        root = short.removesuffix("ful")
        if len(root) >= 3 and long == f"{root}less":
            return True
    return any(
        _exchanged(x, y, x[:size], opposed)
        for size in _SIZES
        for opposed in _AGAINST.get(x[:size], ())
    )


def _is_negation(prefix: str, short: str, long: str) -> bool:
    """Whether the long word is the short one behind a prefix, in about the same form."""
    if long == prefix + short:
        return True
    rest = long[len(prefix) :]
    return (
        len(short) >= 5
        and long.startswith(prefix)
        and rest[:4] == short[:4]
        and -1 <= len(rest) - len(short) <= 2
    )


def _exchanged(x: str, y: str, first: str, second: str) -> bool:
    """Whether two words differ in one prefix standing for the other."""
    if not y.startswith(second):
        return False
    rest_x, rest_y = x[len(first) :], y[len(second) :]
    return len(rest_x) >= 3 and rest_x[:4] == rest_y[:4] and abs(len(rest_x) - len(rest_y)) <= 2
