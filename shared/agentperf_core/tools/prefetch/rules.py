"""Rules of prefetch: after this call, with these parts of what it said, comes that call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

import orjson

from agentperf_core.errors import ConfigError, require_instance, require_positive
from agentperf_core.tools.prefetch.evidence import Evidence
from agentperf_core.tools.prefetch.sources import Constant, Key, Seen, Source, Taken, read_source

__all__ = ["PrefetchRule", "read_rules", "rules_from_json", "rules_to_json"]

_FORM = "after get_user: get_order(order_id=result.orders[].id)"
_NAME = r"[^\s:(),='\"]+"
_HEAD = re.compile(rf"\s*(?:after (?P<after>{_NAME})|on message): (?P<call>{_NAME})\(")
_TAIL = re.compile(r"\)(?:, (?P<ahead>\d+) ahead)?\s*")
_ARGUMENT = re.compile(r"([^\W\d]\w*)=")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchRule:
    """After a call, or when the user has said something, another call is likely.

    Attributes:
        after: name of the tool whose call has ended; `None` for a message of the user.
        call: name of the tool that is likely called next; read-only.
        arguments: where each of its arguments comes from, as the text of a source, see
            `tools.prefetch.sources`; what is no text is a constant. Two that are taken from one
            list mean the same element of it; lists that have nothing to do with each other give all
            pairs.
        ahead: how many calls to be ahead of the model in a list; more once it goes on through the
            list (as many as it has asked for so far). `None` for all of the list at once.
        evidence: what a learnt rule is based on.

    Raises:
        ConfigError: if a source cannot be read, or a number or name cannot mean anything.

    Example:
        >>> rule = PrefetchRule.parse("after get_user: get_order(order_id=result.orders[].id)")
        >>> list(rule.calls({"result": {"orders": [{"id": 7}, {"id": 8}]}}))
        [{'order_id': 7}, {'order_id': 8}]
        >>> rule == PrefetchRule(after="get_user", call="get_order",
        ...                      arguments={"order_id": "result.orders[].id"})
        True
    """

    after: str | None
    call: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ahead: int | None = None
    evidence: Evidence | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        require_positive(ahead=self.ahead)
        for name in (self.call, self.after):
            if name is not None and not re.fullmatch(_NAME, name):
                msg = f"a rule names tools, got {name!r}; write it like {_FORM!r}"
                raise ConfigError(msg)
        read = {name: _source(name, given) for name, given in sorted(self.arguments.items())}
        # Learnt and declared rules are compared by what they say, and kept in sets.
        object.__setattr__(self, "arguments", _Sources(read))
        roots = {source.root for source in read.values() if not isinstance(source, Constant)}
        allowed = {"message"} if self.after is None else {"result", "arguments"}
        if not roots <= allowed:
            msg = (
                f"{'after a call' if self.after else 'on a message'} values are taken from "
                f"{sorted(allowed)!r}, got {sorted(roots)!r} in {str(self)!r}; name one of these"
            )
            raise ConfigError(msg)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule from its text, the form that `str()` gives.

        Raises:
            ConfigError: if it is none.
        """
        head = _HEAD.match(text)
        if head is None:
            raise _unreadable(text)
        arguments, at = _read_arguments(text, head.end())
        tail = _TAIL.fullmatch(text, at)
        if tail is None:
            raise _unreadable(text)
        ahead = int(tail["ahead"]) if tail["ahead"] else None
        return cls(after=head["after"], call=head["call"], arguments=arguments, ahead=ahead)

    def __str__(self) -> str:
        when = f"after {self.after}" if self.after is not None else "on message"
        given = ", ".join(f"{name}={source}" for name, source in self.arguments.items())
        ahead = f", {self.ahead} ahead" if self.ahead is not None else ""
        return f"{when}: {self.call}({given}){ahead}"

    @property
    def several(self) -> bool:
        """Whether it may propose several calls at once."""
        return any(
            not isinstance(source, Constant) and (source.lists or source.pattern)
            for source in self.sources.values()
        )

    @property
    def sources(self) -> Mapping[str, Source]:
        """Where each argument comes from."""
        return cast("Mapping[str, Source]", self.arguments)

    def calls(self, seen: Seen) -> Iterator[dict[str, Any]]:
        """The arguments of the calls that it proposes, in the order of what they are taken from.

        Args:
            seen: `"result"` and `"arguments"` of the earlier call, or `"message"`.
        """
        rows: Iterable[tuple[Mapping[Key, int | str], dict[str, Any]]] = [({}, {})]
        known: set[Key] = set()
        for name, source in self.sources.items():
            shared = tuple(key for key in source.lists if key in known)
            known.update(source.lists)
            rows = _joined(rows, name, source, shared, seen)
        for _, arguments in rows:
            yield arguments

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data: the text, and what it is based on."""
        found: dict[str, Any] = {"rule": str(self)}
        if self.evidence is not None:
            found["evidence"] = self.evidence.as_dict()
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The rule of `as_dict()`.

        Raises:
            ConfigError: if it is none.
        """
        try:
            rule, evidence = cls.parse(data["rule"]), data.get("evidence")
            return replace(rule, evidence=Evidence(**evidence)) if evidence is not None else rule
        except (KeyError, TypeError, AttributeError) as error:
            msg = f"a rule has a text and its evidence, got {data!r}; write it with as_dict()"
            raise ConfigError(msg) from error


class _Sources(dict[str, Source]):
    """Sources by name of the argument; nobody changes them, so they have a hash."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - see above
        return hash(tuple((name, str(source)) for name, source in self.items()))


def read_rules(rules: Iterable[PrefetchRule | str]) -> tuple[PrefetchRule, ...]:
    """Rules and texts of rules, as rules without those that say the same again.

    Raises:
        ConfigError: if one is neither.
    """
    if isinstance(rules, str):
        msg = f"rules are a list, got the text {rules!r}; write [{rules!r}]"
        raise ConfigError(msg)
    require_instance(Iterable, f"write [{_FORM!r}]", rules=rules)
    found: dict[PrefetchRule, None] = {}
    for rule in rules:
        if isinstance(rule, str):
            found.setdefault(PrefetchRule.parse(rule))
        elif isinstance(cast("object", rule), PrefetchRule):
            found.setdefault(rule)
        else:
            msg = f"rules are PrefetchRule values or their text, got {rule!r}; write {_FORM!r}"
            raise ConfigError(msg)
    return tuple(found)


def rules_to_json(rules: Iterable[PrefetchRule]) -> str:
    """Rules as a JSON text, to be kept in a file.

    Example:
        >>> rules = read_rules(["after a: b(x=result.y)"])
        >>> rules_from_json(rules_to_json(rules)) == rules
        True
    """
    return orjson.dumps([rule.as_dict() for rule in rules], option=orjson.OPT_INDENT_2).decode()


def rules_from_json(text: str | bytes) -> tuple[PrefetchRule, ...]:
    """The rules of `rules_to_json`.

    Raises:
        ConfigError: if the text holds none.
    """
    try:
        found: object = orjson.loads(text)
    except ValueError as error:
        msg = f"rules are kept as JSON, got {text[:80]!r}; write them with rules_to_json()"
        raise ConfigError(msg) from error
    if not isinstance(found, list):
        msg = f"rules are kept as a list, got {found!r}; write them with rules_to_json()"
        raise ConfigError(msg)
    return tuple(PrefetchRule.from_dict(one) for one in cast("list[Any]", found))


def _source(name: str, given: object) -> Source:
    if isinstance(given, Constant | Taken):
        return given
    if not isinstance(given, str):
        return Constant(given)
    source, end = read_source(given)
    if end != len(given):
        msg = f"argument {name!r} has one source, got {given!r}; drop {given[end:]!r}"
        raise ConfigError(msg)
    return source


def _read_arguments(text: str, at: int) -> tuple[dict[str, Source], int]:
    found: dict[str, Source] = {}
    while text[at : at + 1] != ")":
        at += 2 if found and text.startswith(", ", at) else 0
        name = _ARGUMENT.match(text, at)
        if name is None or name[1] in found:
            raise _unreadable(text)
        found[name[1]], at = read_source(text, name.end())
    return found, at


def _unreadable(text: str) -> ConfigError:
    return ConfigError(f"a rule reads like {_FORM!r}, got {text!r}; write it in this form")


def _joined(
    rows: Iterable[tuple[Mapping[Key, int | str], dict[str, Any]]],
    name: str,
    source: Source,
    shared: tuple[Key, ...],
    seen: Seen,
) -> Iterator[tuple[Mapping[Key, int | str], dict[str, Any]]]:
    """Every row with every value of a source that belongs to the same elements."""
    values: dict[tuple[Any, ...], list[tuple[Mapping[Key, int | str], Any]]] = {}
    for place, value in source.find(seen):
        if value is not None:
            values.setdefault(tuple(place[key] for key in shared), []).append((place, value))
    for at, arguments in rows:
        for place, value in values.get(tuple(at[key] for key in shared), ()):
            yield {**at, **place}, {**arguments, name: value}
