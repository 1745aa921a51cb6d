"""Guards: differences that no similarity can outweigh, in named profiles.

On edited questions cosine is blind (a changed number keeps .94 on average with MiniLM, a negation
.96, swapped arguments .99), so these differences refuse reuse whatever the score says. On natural
paraphrases guards only trade hits for safety: they are insurance, and that is why there are
profiles. Rules and lists are for English; other languages get the rules that need no word list, and
are served only on equal words until labels say more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agentperf_core.cache.semantic.contrast import Contrast
from agentperf_core.cache.semantic.wording import Wording
from agentperf_core.errors import ConfigError

__all__ = ["GUARDS", "GuardProfile", "profile_of", "refusal", "refusal_of"]


@dataclass(frozen=True, slots=True)
class GuardProfile:
    """Which differences refuse reuse.

    Attributes:
        name: as it appears in decisions.
        hard: guards that always hold.
        cold: guards that hold until enough labels of this cache's own traffic have come in; from
            then on they only weigh in the score.

    Example:
        >>> profile_of("faq").name
        'faq'
        >>> sorted(profile_of({"number", "negation"}).hard)
        ['negation', 'number']
    """

    name: str
    hard: frozenset[str]
    cold: frozenset[str]


def _number(contrast: Contrast) -> bool:
    return contrast.number in {"number", "unit"}


def _number_added(contrast: Contrast) -> bool:
    return contrast.number == "number-added"


def _order(contrast: Contrast) -> bool:
    return contrast.number == "order" or contrast.reordered()


def _entity(contrast: Contrast) -> bool:
    return contrast.names() == "entity"


def _entity_added(contrast: Contrast) -> bool:
    return contrast.names() == "entity-added"


def _language(contrast: Contrast) -> bool:
    return contrast.a.language != contrast.b.language


def _foreign(contrast: Contrast) -> bool:
    return contrast.a.language != "en" and contrast.a.content != contrast.b.content


def _fresh(contrast: Contrast) -> bool:
    return (contrast.a.fresh or contrast.b.fresh) and not contrast.same_words


def _task(contrast: Contrast) -> bool:
    return (contrast.a.task or contrast.b.task) and not contrast.same_words


# Cheapest and most telling first.
GUARDS: dict[str, Callable[[Contrast], bool]] = {
    "opposite": lambda contrast: contrast.opposite,
    "number": _number,
    "number-added": _number_added,
    "negation": Contrast.negated,
    "identifier": Contrast.identifier,
    "language": _language,
    "entity": _entity,
    "order": _order,
    "kind": Contrast.kind,
    "fresh": _fresh,
    "task": _task,
    "slot": Contrast.slot,
    "entity-added": _entity_added,
    "foreign": _foreign,
}
_ALWAYS = frozenset({"opposite", "number", "negation", "identifier", "language"})
PROFILES = {
    "strict": GuardProfile("strict", frozenset(GUARDS), frozenset()),
    "balanced": GuardProfile(
        "balanced",
        _ALWAYS | {"number-added", "entity", "order"},
        frozenset({"kind", "fresh", "task", "slot", "foreign"}),
    ),
    "faq": GuardProfile("faq", _ALWAYS, frozenset({"entity", "order", "kind", "foreign"})),
}


def profile_of(profile: str | Iterable[str] | GuardProfile) -> GuardProfile:
    """A profile by name, or one made of named guards that always hold.

    Raises:
        ConfigError: if the profile or a guard is unknown.
    """
    if isinstance(profile, GuardProfile):
        return profile
    if isinstance(profile, str):
        if profile not in PROFILES:
            names = ", ".join(PROFILES)
            raise ConfigError(f"unknown guard profile {profile!r}: use {names} or a set of guards")
        return PROFILES[profile]
    chosen = frozenset(profile)
    if unknown := sorted(chosen - GUARDS.keys()):
        raise ConfigError(f"unknown guards {unknown!r}: choose among {', '.join(GUARDS)}")
    return GuardProfile("own", chosen, frozenset())


def refusal(a: Wording, b: Wording, profile: str | Iterable[str] | GuardProfile) -> str | None:
    """The guard that forbids to answer `b` with the answer of `a`, or None.

    Guards that hold only at the start count too.

    Example:
        >>> old = Wording.of("How do I open a savings account?")
        >>> refusal(old, Wording.of("How do I close a savings account?"), "balanced")
        'opposite'
        >>> refusal(old, Wording.of("Please, how can I open a savings account?"), "faq") is None
        True
    """
    chosen = profile_of(profile)
    return refusal_of(Contrast(a, b), chosen.hard | chosen.cold)


def refusal_of(contrast: Contrast, names: frozenset[str]) -> str | None:
    """The first of the named guards that holds for a pair, or None."""
    for name, holds in GUARDS.items():
        if name in names and holds(contrast):
            return name
    return None
