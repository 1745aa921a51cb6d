"""Names and tags in a policy: what they may look like, and what they mean for one call."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from typing import Any, cast

from agentperf_core.errors import ConfigError

__all__ = ["ALL", "fields_of", "fill", "names_of"]

ALL = "*"


def names_of(setting: str, value: object) -> tuple[str, ...] | None:
    """A setting that lists names, as a tuple; `key_args` may be `None`.

    Raises:
        ConfigError: if it is something else.
    """
    if value is None and setting == "key_args":
        return None
    if not isinstance(value, str) and isinstance(value, Iterable):
        names = tuple(cast("Iterable[object]", value))
        if all(isinstance(name, str) for name in names):
            return cast("tuple[str, ...]", names)
    msg = f"{setting} must be a list of names, got {value!r}; write [{value!r}] for one"
    raise ConfigError(msg)


def fields_of(setting: str, template: str) -> list[str]:
    """The arguments that a template names.

    Raises:
        ConfigError: if it is no template of a tag.
    """
    hint = "write it as 'orders', 'orders:*' or 'orders:{order_id}'"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        msg = f"{setting} holds tags, got {template!r} ({error}); {hint}"
        raise ConfigError(msg) from error
    fields = [(name, form, turn) for _, name, form, turn in parts if name is not None]
    plain = all(name.isidentifier() and not form and not turn for name, form, turn in fields)
    if not plain or not parts or not parts[0][0] or template == ALL:
        msg = f"{setting} holds tags that begin with a fixed name, got {template!r}; {hint}"
        raise ConfigError(msg)
    return [name for name, _, _ in fields]


def fill(template: str, arguments: Mapping[str, Any]) -> tuple[str, str | None]:
    """A tag and the family that it belongs to, `None` for a tag of its own.

    A tag that is its own family means all of the family.
    """
    if template.endswith(ALL) and "{" not in template:
        family = template[: -len(ALL)]
        return family, family
    if "{" not in template:
        return template, None
    family = template.partition("{")[0]
    values: dict[str, str] = {}
    for _, name, _, _ in string.Formatter().parse(template):
        if name is None:
            continue
        value = arguments.get(name)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            return family, family
        values[name] = str(value)
    return template.format_map(values), family
