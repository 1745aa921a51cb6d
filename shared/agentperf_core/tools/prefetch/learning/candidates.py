"""Rules that recorded runs suggest: an argument of a call was there before, in what was said.

Only suggestions: how often they would have been right is counted elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice, product
from typing import Any, TypeAlias, TypeVar

from agentperf_core.tools.prefetch.learning.nodes import Places, key_of
from agentperf_core.tools.prefetch.learning.runs import Called
from agentperf_core.tools.prefetch.learning.shapes import shape_of
from agentperf_core.tools.prefetch.rules import PrefetchRule
from agentperf_core.tools.prefetch.sources import Constant, Source

__all__ = ["suggested"]

T = TypeVar("T")

_MOST_SOURCES = 6  # of one argument: the most frequent ones
_MOST_WAYS = 64  # to combine them for one call
_MOST_RULES = 40  # from one tool to another
_EMPTY = frozenset((key_of(None), key_of("")))
_USUAL = 0.5  # share of the calls in which an argument has one value: it may be taken for constant

Slot: TypeAlias = tuple[str, str]
"""A tool and one of its arguments."""
Link: TypeAlias = tuple[str | None, str, str]
"""What came before (`None` for what the user said), and a slot of the call that came later."""


def suggested(
    runs: Sequence[Sequence[Called | str]], tools: Collection[str], *, min_runs: int
) -> list[PrefetchRule]:
    """Rules that would have foreseen a call of these tools in at least `min_runs` runs."""
    slots = _values(runs, tools)
    shapes = {slot: shape_of(values) for slot, values in slots.items()}
    patterns = dict.fromkeys(shape for shape in shapes.values() if shape is not None)
    places = [[Places(event, patterns) for event in run] for run in runs]
    links = _counted(places, lambda run: _linked(run, tools, shapes))
    sources: dict[Link, list[Source]] = defaultdict(list)
    for (link, source), count in links.most_common():
        if count >= min_runs and len(sources[link]) < _MOST_SOURCES:
            sources[link].append(source)
    usual = {slot: found for slot, values in slots.items() if (found := _usual(values))}
    rules = _counted(places, lambda run: _ways(run, tools, sources, usual))
    kept: list[PrefetchRule] = []
    between: Counter[tuple[str | None, str]] = Counter()
    for rule, count in rules.most_common():
        between[rule.after, rule.call] += 1
        if count >= min_runs and between[rule.after, rule.call] <= _MOST_RULES:
            kept.append(rule)
    return kept


def _counted(
    runs: Iterable[Sequence[Places]], found: Callable[[Sequence[Places]], Iterable[T]]
) -> Counter[T]:
    """In how many runs something is found; in order of appearance, for equal results always."""
    counts: Counter[T] = Counter()
    for run in runs:
        counts.update(dict.fromkeys(found(run)).keys())
    return counts


def _values(
    runs: Sequence[Sequence[Called | str]], tools: Collection[str]
) -> dict[Slot, list[Any]]:
    """What each argument was, call by call."""
    found: dict[Slot, list[Any]] = defaultdict(list)
    for run in runs:
        for event in run:
            if not isinstance(event, str) and event[0] in tools:
                for name, value in event[1].items():
                    found[event[0], name].append(value)
    return found


def _usual(values: Sequence[Any]) -> Constant | None:
    """The value that most calls have, if there is one and it says something."""
    value, count = Counter(map(key_of, values)).most_common(1)[0]
    if count < _USUAL * len(values) or value in _EMPTY:
        return None
    return Constant(next(one for one in values if key_of(one) == value))


def _pairs(run: Sequence[Places], tools: Collection[str]) -> Iterator[tuple[Places, Places]]:
    """What came before, and a call that may be foreseen."""
    for at, later in enumerate(run):
        if later.tool in tools:
            for earlier in run[:at]:
                yield earlier, later


def _linked(
    run: Sequence[Places], tools: Collection[str], shapes: dict[Slot, str | None]
) -> Iterator[tuple[Link, Source]]:
    for earlier, later in _pairs(run, tools):
        tool = str(later.tool)
        for name, value in later.arguments.items():
            for source in earlier.of(value):
                # A pattern of another argument would only find this one by accident.
                pattern = None if isinstance(source, Constant) else source.pattern
                if pattern is None or pattern == shapes.get((tool, name)):
                    yield (earlier.tool, tool, name), source


def _ways(
    run: Sequence[Places],
    tools: Collection[str],
    sources: dict[Link, list[Source]],
    usual: dict[Slot, Constant],
) -> Iterator[PrefetchRule]:
    """The rules by which one event would have led to a later call."""
    for earlier, later in _pairs(run, tools):
        tool, ways = str(later.tool), list[list[Source]]()
        for name, value in later.arguments.items():
            there = earlier.of(value)
            found = [s for s in sources.get((earlier.tool, tool, name), ()) if s in there]
            constant = usual.get((tool, name))
            if constant is not None and key_of(constant.value) == key_of(value):
                found.append(constant)
            ways.append(found)
        for chosen in islice(product(*ways), _MOST_WAYS):
            arguments = dict(zip(later.arguments, chosen, strict=True))
            yield PrefetchRule(after=earlier.tool, call=tool, arguments=arguments)
