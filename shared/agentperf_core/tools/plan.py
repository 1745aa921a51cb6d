"""Plans: tool calls that may use each other's results, as a program or a model writes them down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from agentperf_core.errors import ConfigError

__all__ = ["Plan", "PlannedCall", "read_plan"]

_FIELDS = ("id", "tool", "arguments", "depends_on")
_OTHER_NAMES = {"name": "tool", "args": "arguments"}  # as they are in a LangChain tool call
_SHAPE = 'write {"id": "b", "tool": "search", "arguments": {...}, "depends_on": ["a"]}'


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call of a plan.

    Attributes:
        id: its name in the plan.
        tool: name of the tool.
        arguments: by name; strings may refer to results of other calls, see `tools.references`.
        depends_on: ids of calls that must have succeeded before; those that the arguments refer to
            need not be named.

    Raises:
        ConfigError: if a field is not what it must be.

    Example:
        >>> PlannedCall("mail", "send", {"to": "$user.mail"}, depends_on=["check"]).depends_on
        ('check',)
    """

    id: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    depends_on: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, value in (("id", self.id), ("tool", self.tool)):
            if not isinstance(value, str) or not value:  # pyright: ignore[reportUnnecessaryIsInstance] - models write them
                msg = f"{name} of a planned call must be a name, got {value!r}; {_SHAPE}"
                raise ConfigError(msg)
        if not _is_fields(self.arguments):
            msg = (
                f"arguments of call {self.id!r} must be an object with names as keys, "
                f"got {type(self.arguments).__name__}; {_SHAPE}"
            )
            raise ConfigError(msg)
        object.__setattr__(self, "depends_on", self._ids())

    def _ids(self) -> tuple[str, ...]:
        given: object = self.depends_on
        if isinstance(given, (list, tuple)):
            ids = [_id(one) for one in cast("Sequence[object]", given)]
            if all(isinstance(one, str) for one in ids):
                return cast("tuple[str, ...]", tuple(ids))
        msg = f"depends_on of call {self.id!r} must be a list of ids, got {given!r}; {_SHAPE}"
        raise ConfigError(msg)


Plan: TypeAlias = Sequence[PlannedCall | Mapping[str, Any]]
"""Calls in the order in which their results are wanted, as values or as plain JSON objects."""


def read_plan(plan: Plan) -> tuple[PlannedCall, ...]:
    """The calls of a plan.

    Objects have the fields of a `PlannedCall`; `name` and `args` may stand for `tool` and
    `arguments`, and ids may be whole numbers.

    Raises:
        ConfigError: if it is no list, or a call has a field too many, too few, or of a wrong type.

    Example:
        >>> read_plan([{"id": 1, "tool": "search", "arguments": {"query": "Ada"}}])[0].tool
        'search'
    """
    if not isinstance(plan, (list, tuple)):
        msg = f"a plan must be a list of calls, got {type(plan).__name__}; {_SHAPE}"
        raise ConfigError(msg)
    return tuple(_call(one) for one in cast("Sequence[object]", plan))


def _call(value: object) -> PlannedCall:
    if isinstance(value, PlannedCall):
        return value
    if not _is_fields(value):
        msg = f"a planned call must be an object, got {value!r}; {_SHAPE}"
        raise ConfigError(msg)
    fields = dict(cast("Mapping[str, Any]", value))
    if fields.get("type") == "tool_call":
        del fields["type"]
    for other, name in _OTHER_NAMES.items():
        if other in fields and name not in fields:
            fields[name] = fields.pop(other)
    odd = sorted(fields.keys() - set(_FIELDS))
    missing = [name for name in _FIELDS[:2] if fields.get(name) is None]
    if odd or missing:
        wrong = f"lacks {missing}" if missing else f"has {odd}, which mean nothing"
        msg = f"a planned call has the fields {_FIELDS}, got one that {wrong}; {_SHAPE}"
        raise ConfigError(msg)
    fields["id"] = _id(fields["id"])
    return PlannedCall(**{name: one for name, one in fields.items() if one is not None})


def _id(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else value


def _is_fields(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) for key in cast("Mapping[object, object]", value)
    )
