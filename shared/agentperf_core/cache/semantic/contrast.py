"""What differs between two questions, found once per pair and used by guards and score alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from agentperf_core.cache.semantic.forms import alike, negates
from agentperf_core.cache.semantic.numbers import Numbers
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.cache.semantic.words import FAILURES, listed

__all__ = ["Contrast"]

_JOINED = frozenset({"and", "or", "vs", "versus", "between", "both", "&"})
_MOST_FOLDED = 4  # words that differ per side; beyond it a typo is not what sets two texts apart
_TARGETED = listed(
    """from to into onto than over under before after by against of for with without through""",
)


class _Differing(NamedTuple):
    only_a: frozenset[str]
    only_b: frozenset[str]
    folded: int


class Contrast:
    """The difference of two questions.

    Attributes:
        a, b: the two questions.
        opposite: whether a word stands against one of its axis, or against its own negation.
        number: how the numbers differ: "number", "unit", "number-added", "order", or not at all.
    """

    __slots__ = ("_differing", "a", "b", "number", "opposite")

    def __init__(self, a: Wording, b: Wording) -> None:
        self.a, self.b = a, b
        self.opposite = _opposed(a, b)
        self.number = None if a.numbers is b.numbers else _number(a.numbers, b.numbers)
        # Folding costs more than all the rest, and most candidates are refused without it.
        self._differing: _Differing | None = None

    @property
    def only_a(self) -> frozenset[str]:
        """Content words of `a` alone, typos and word forms folded."""
        return self._words().only_a

    @property
    def only_b(self) -> frozenset[str]:
        """Content words of `b` alone, typos and word forms folded."""
        return self._words().only_b

    @property
    def shared(self) -> int:
        """Number of content words in both."""
        return len(self.a.bag) - len(self._words().only_a)

    @property
    def folded(self) -> int:
        """Number of pairs taken for one word (typo, word form)."""
        return self._words().folded

    @property
    def same_words(self) -> bool:
        """Whether both have the same content words."""
        return not self.only_a and not self.only_b

    def identifier(self) -> bool:
        """Whether an identifier, address or quoted string of one is not in the other."""
        differing = self.a.marks ^ self.b.marks
        if not differing:
            return False
        texts = (self.a.text.lower(), self.b.text.lower())
        return any(mark not in texts[0] or mark not in texts[1] for mark in differing)

    def negated(self) -> bool:
        """Whether one side denies what the other states."""
        a, b = self.a, self.b
        if a.negations % 2 == b.negations % 2:
            return False
        # "has not arrived" and "is missing": a failure in the words of the side without "not".
        plain_only = self.only_a if a.negations < b.negations else self.only_b
        return not any(word in FAILURES for word in plain_only)

    def names(self) -> str | None:
        """Whether names were exchanged ("entity") or one side has more ("entity-added")."""
        a, b = self.a, self.b
        if not a.names and not b.names:
            return None
        missing_b = {n for n in a.names & self.only_a if n not in b.stems}
        missing_a = {n for n in b.names & self.only_b if n not in a.stems}
        if missing_b and missing_a:
            return "entity"
        if (missing_b and self.only_b) or (missing_a and self.only_a):
            return "entity" if len(self.only_a) + len(self.only_b) <= 3 else "entity-added"
        return "entity-added" if missing_a or missing_b else None

    def reordered(self) -> bool:
        """Whether the same words play other parts: "from A to B", "A before B", "A beats B"."""
        a, b = self.a, self.b
        if len(a.bag & b.bag) < 2:
            return False
        if a.content != b.content and _exchanged_roles(a, b):
            return True
        if a.bag != b.bag:
            return False
        if _governed(a) != _governed(b):
            # Other small words may be a rewording ("transfer fee"); the very same ones are a swap.
            return sorted(a.tokens) == sorted(b.tokens)
        return _reversed_within(a, b)

    def slot(self) -> bool:
        """Whether the frame is the same and one place in it is filled otherwise."""
        size_a, size_b = len(self.only_a), len(self.only_b)
        if self.a.negations % 2 != self.b.negations % 2:
            return False  # "did not arrive", "is missing": judged as a negation
        if not size_a and not size_b:
            # A word that stands twice, exchanged in one place: "a car ... the best car".
            more, less = Counter(self.a.content), Counter(self.b.content)
            return bool(more - less) and bool(less - more) and not self.folded
        return 1 <= size_a <= 2 and 1 <= size_b <= 2 and self.shared >= max(size_a, size_b)

    def kind(self) -> bool:
        """Whether the same words are asked about in another way: "when" for "where"."""
        a, b = self.a.kind, self.b.kind
        return (
            a != b
            and a in _POINTED
            and b in _POINTED
            and not self.folded
            and len(self.only_a) + len(self.only_b) <= 1
        )

    def _words(self) -> _Differing:
        if self._differing is None:
            only_a, only_b = self.a.bag - self.b.bag, self.b.bag - self.a.bag
            self._differing = (
                _Differing(only_a, only_b, 0)
                if self.opposite
                else _folded(self.a, self.b, only_a, only_b)
            )
        return self._differing


_POINTED = listed("why when where who how") | {
    f"how {kind}" for kind in ("many", "much", "long", "often", "old", "far", "big")
}


def _folded(a: Wording, b: Wording, only_a: frozenset[str], only_b: frozenset[str]) -> _Differing:
    """The words of one side alone, without pairs that are a typo or another form of one word."""
    left, right = set(only_a), set(only_b)
    if len(left) <= _MOST_FOLDED and len(right) <= _MOST_FOLDED:
        for x in only_a:
            for y in right:
                named = x in a.names or y in b.names
                if alike(a.spelled.get(x, x), b.spelled.get(y, y), names=named):
                    left.discard(x)
                    right.discard(y)
                    break
    return _Differing(frozenset(left), frozenset(right), len(only_a) - len(left))


def _number(a: Numbers, b: Numbers) -> str | None:
    if a.sure == b.sure:
        return None if a.values == b.values else "order"
    more, less = a.counts - b.counts, b.counts - a.counts
    if all(v in b.maybe for v in more) and all(v in a.maybe for v in less):
        units_a, units_b = {u for _, u in a.sure} - {""}, {u for _, u in b.sure} - {""}
        return "unit" if units_a and units_b and units_a != units_b else None
    return "number" if more and less else "number-added"


def _opposed(a: Wording, b: Wording) -> bool:
    if a.poles != b.poles and _conflict(a.poles - b.poles, b.poles - a.poles):
        return True
    only_a, only_b = a.bag - b.bag, b.bag - a.bag
    if (
        a.small_poles != b.small_poles
        and len(only_a) <= 1
        and len(only_b) <= 1
        and _conflict(a.small_poles - b.small_poles, b.small_poles - a.small_poles)
    ):
        return True
    if len(only_a) > 6 or len(only_b) > 6:
        return False
    return any(
        negates(a.spelled.get(x, x), b.spelled.get(y, y))
        for x in only_a
        for y in only_b
        if x in a.affixed or y in b.affixed
    )


def _conflict(left: AbstractSet[tuple[int, int]], right: AbstractSet[tuple[int, int]]) -> bool:
    if not left or not right:
        return False
    numbers = {number for number, _ in right}
    return any(number in numbers for number, _ in left)


def _governed(wording: Wording) -> Counter[tuple[str, str]]:
    return Counter((role, word) for role, word in wording.roles if role in _TARGETED)


def _reversed_within(a: Wording, b: Wording) -> bool:
    """Words under one small word in another order; "A and B" is the same as "B and A"."""
    if _JOINED.intersection(a.tokens) and _JOINED.intersection(b.tokens):
        return False
    governed_a, governed_b = a.governed(), b.governed()
    for role in governed_a.keys() & governed_b.keys():
        first, second = governed_a[role], governed_b[role]
        if first == second or sorted(first) != sorted(second):
            continue
        # A clause that moved as a whole ("if ..., how ...") is a rotation of the other.
        if role or not any(first[at:] + first[:at] == second for at in range(1, len(first))):
            return True
    return False


def _exchanged_roles(a: Wording, b: Wording) -> bool:
    """Whether two shared words took each other's place: "from A to B", "A is older than B"."""
    roles_a, roles_b = ({word: role for role, word in side.roles} for side in (a, b))
    moved = {
        (roles_a[word], roles_b[word])
        for word in roles_a.keys() & roles_b.keys()
        if roles_a[word] != roles_b[word]
    }
    known = _TARGETED | {""}
    return any(
        (after, before) in moved and before in known and after in known for before, after in moved
    )
