"""Which calls are likely next in one conversation: rules applied to what happens, nothing run.

Recorded runs are gone through with it when rules are learnt, and live ones when calls are made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from agentperf_core.tools.prefetch.paths import canonical
from agentperf_core.tools.prefetch.rules import PrefetchRule
from agentperf_core.tools.prefetch.sources import Seen

__all__ = ["Foresight", "KeyOf", "Offer", "call_key"]

KeyOf: TypeAlias = Callable[[str, Mapping[str, Any]], bytes]

_MOST_ROWS = 1000  # of one rule at one call: a result may hold any number of elements
_MOST_CALLS = 10_000  # that a conversation remembers


def call_key(tool: str, arguments: Mapping[str, Any]) -> bytes:
    """The same for equal calls.

    Raises:
        TypeError: if the arguments are not plain JSON data.
    """
    return canonical([tool, arguments])


@dataclass(slots=True, eq=False)
class Offer:
    """A call that somebody may ask for.

    Attributes:
        source: the text of the rule that proposes it, or whoever else does.
        tool: name of the tool.
        arguments: plain JSON data.
        key: the same for equal calls.
        trust: how likely it is used, as far as is known; the likeliest goes first.
    """

    source: str
    tool: str
    arguments: Mapping[str, Any]
    key: bytes
    trust: float
    strand: _Strand | None = None


class _Strand:
    """What one rule proposes at one call, in order: all at once, or a little ahead of the model."""

    __slots__ = ("_ahead", "_key_of", "_out", "_rest", "_rule", "_used")

    def __init__(self, rule: PrefetchRule, seen: Seen, key_of: KeyOf) -> None:
        self._rule = rule
        self._key_of = key_of
        self._rest = deque(islice(rule.calls(seen), _MOST_ROWS))
        self._ahead = rule.ahead
        self._used = 0
        self._out = 0

    def used(self) -> None:
        """The model asked for one of them."""
        self._used += 1
        self._out -= 1

    def next(self, known: Iterable[Mapping[bytes, object]]) -> Iterator[Offer]:
        """What is to be proposed now, without what is known."""
        rule, evidence = self._rule, self._rule.evidence
        while self._rest and (self._ahead is None or self._out < max(self._ahead, self._used)):
            arguments = self._rest.popleft()
            key = self._key_of(rule.call, arguments)
            if any(key in calls for calls in known):
                continue
            self._out += 1
            trust = evidence.at_least if evidence is not None else 1.0
            yield Offer(str(rule), rule.call, arguments, key, trust, self)


class Foresight:
    """Follows one conversation and says which calls are likely next.

    A call is proposed once, and not if it was made before; `forget` makes it new again.

    Args:
        rules: what to look for.
        most: how many calls of one rule may be proposed at once.
        key_of: the same for equal calls of a tool.

    Example:
        >>> rules = [PrefetchRule.parse("after get_user: get_order(id=result.orders[])")]
        >>> foresight = Foresight(rules)
        >>> [offer.arguments for offer in foresight.finished("get_user", {}, {"orders": [7, 8]})]
        [{'id': 7}, {'id': 8}]
        >>> foresight.asked(call_key("get_order", {"id": 7}))[0].tool
        'get_order'
    """

    def __init__(
        self, rules: Sequence[PrefetchRule], *, most: int = 20, key_of: KeyOf = call_key
    ) -> None:
        self._most = most
        self._key_of = key_of
        self._after: dict[str | None, list[PrefetchRule]] = {}
        for rule in rules:
            self._after.setdefault(rule.after, []).append(rule)
        self._asked: dict[bytes, None] = {}
        self._offered: dict[bytes, Offer] = {}

    @property
    def listens(self) -> bool:
        """Whether any rule looks at what the user says."""
        return None in self._after

    def heard(self, message: str) -> list[Offer]:
        """The user has said something."""
        return self._apply(None, {"message": message})

    def asked(self, key: bytes) -> tuple[Offer | None, list[Offer]]:
        """A call is made: the proposal that foresaw it, and what is to be proposed next."""
        self._asked[key] = None
        for calls in (self._asked, self._offered):
            if len(calls) > _MOST_CALLS:
                del calls[next(iter(calls))]
        offer = self._offered.pop(key, None)
        if offer is None or offer.strand is None:
            return offer, []
        offer.strand.used()
        return offer, self._more(offer.strand)

    def finished(self, tool: str, arguments: Mapping[str, Any], result: object) -> list[Offer]:
        """A call has ended."""
        return self._apply(tool, {"arguments": arguments, "result": result})

    def proposed(
        self, source: str, calls: Iterable[tuple[str, Mapping[str, Any]]], trust: float
    ) -> list[Offer]:
        """Somebody else proposes calls."""
        found: list[Offer] = []
        for tool, arguments in islice(calls, self._most):
            key = self._key_of(tool, arguments)
            if key not in self._asked and key not in self._offered:
                self._offered[key] = Offer(source, tool, arguments, key, trust)
                found.append(self._offered[key])
        return found

    def forget(self, key: bytes) -> None:
        """What this call said is no longer true, or is not known any more."""
        self._asked.pop(key, None)
        self._offered.pop(key, None)

    def _apply(self, after: str | None, seen: Seen) -> list[Offer]:
        found: list[Offer] = []
        for rule in self._after.get(after, ()):
            found += self._more(_Strand(rule, seen, self._key_of))
        return found

    def _more(self, strand: _Strand) -> list[Offer]:
        found: list[Offer] = []
        for offer in islice(strand.next((self._asked, self._offered)), self._most):
            self._offered[offer.key] = offer
            found.append(offer)
        return found
