"""What is declared of a tool: whether its results may be kept, for whom, and what it touches.

Nothing is assumed of a tool: one without a policy, or with the default policy, is never cached.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from agentperf_core.errors import ConfigError, require_positive

__all__ = ["CacheScope", "ToolPolicy"]

CacheScope: TypeAlias = Literal["run", "session", "global"]

_ALL = "*"
_SECONDS = ("ttl_s", "stale_ttl_s", "negative_ttl_s")
_NAMES = ("ignore_args", "key_args", "volatile_args", "reads", "writes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPolicy:
    """What a tool does and what may be kept of it.

    Resources are named by tags, with the call's arguments where needed: a tool that
    `reads=("orders:{order_id}",)` and is called with `order_id=7` reads `orders:7`, and a call of a
    tool that `writes=("orders:{order_id}",)` makes what was read of `orders:7` forgotten. A
    tag that ends in `*`, such as `orders:*`, means all of them; so does a template whose argument
    is missing or is no single value.

    Attributes:
        read_only: it changes nothing.
        idempotent: calling it again changes nothing more, so that a result may stand in for a call.
        ttl_s: seconds its results may be served; `None` for never.
        stale_ttl_s: seconds after `ttl_s` in which a result is still served while a new one is
            fetched in the background.
        negative_ttl_s: seconds an error may be served, so that a broken tool is left in peace;
            `None` for never.
        cache_scope: who shares results: the calls of one `"run"`, of one `"session"`, or all of a
            tenant (`"global"`).
        ignore_args: arguments that do not change the result, such as a request id.
        key_args: the only arguments that do; all of them where it is `None`.
        volatile_args: arguments that ask for a fresh result when they are true, such as `refresh`.
        reads: tags of what it reads.
        writes: tags of what it writes.
        max_bytes: results above this are not kept, in bytes of their stored form.

    Raises:
        ConfigError: if two settings contradict each other, or a value cannot mean anything.

    Example:
        >>> policy = ToolPolicy(read_only=True, ttl_s=300, reads=["orders:{order_id}"])
        >>> policy.tags_read({"order_id": 7})
        ('orders:7', 'orders:*')
        >>> ToolPolicy(writes=["orders:{order_id}"]).tags_written({"order_id": 7})
        ('orders:7', 'orders:')
    """

    read_only: bool = False
    idempotent: bool = False
    ttl_s: float | None = None
    stale_ttl_s: float | None = None
    negative_ttl_s: float | None = None
    cache_scope: CacheScope = "global"
    ignore_args: Sequence[str] = ()
    key_args: Sequence[str] | None = None
    volatile_args: Sequence[str] = ()
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    max_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        for name in _NAMES:
            object.__setattr__(self, name, _names(name, getattr(self, name)))
        seconds = {name: getattr(self, name) for name in _SECONDS}
        require_positive(**seconds, max_bytes=self.max_bytes)
        for name, value in seconds.items():
            if value is not None and math.isinf(value):
                msg = f"{name} must be a number of seconds, got {value!r}; give a finite one"
                raise ConfigError(msg)
        if self.cache_scope not in get_args(CacheScope):
            msg = (
                f"cache_scope must be one of {get_args(CacheScope)!r}, got {self.cache_scope!r}; "
                "leave it out for 'global'"
            )
            raise ConfigError(msg)
        for contradiction in self._contradictions():
            raise ConfigError(contradiction)
        self._check_templates()

    def _contradictions(self) -> Iterator[str]:
        if self.ttl_s is not None and self.writes:
            yield (
                f"ttl_s={self.ttl_s!r} and writes={self.writes!r} exclude each other: a result "
                "that is served writes nothing; drop one"
            )
        if self.read_only and self.writes:
            yield f"read_only=True and writes={self.writes!r} exclude each other; drop one"
        if self.ttl_s is not None and not self.read_only and not self.idempotent:
            yield (
                f"ttl_s={self.ttl_s!r} needs read_only=True or idempotent=True, got False for "
                "both; declare that a call may be left out, or drop ttl_s"
            )
        for name in _SECONDS[1:]:
            if getattr(self, name) is not None and self.ttl_s is None:
                yield f"{name}={getattr(self, name)!r} needs ttl_s, got ttl_s=None; set ttl_s too"
        if self.key_args is not None and self.ignore_args:
            yield (
                f"key_args={self.key_args!r} and ignore_args={self.ignore_args!r} exclude each "
                "other: what key_args does not name is ignored; drop one"
            )

    def _check_templates(self) -> None:
        for setting in ("reads", "writes"):
            for template in cast("tuple[str, ...]", getattr(self, setting)):
                for name in _fields(setting, template):
                    if setting == "reads" and not self.counts(name):
                        # Two calls would share a result and differ in what it is forgotten by.
                        msg = (
                            f"reads names the argument {name!r}, which "
                            f"ignore_args={self.ignore_args!r} or key_args={self.key_args!r} leave "
                            "out of the key; name it in neither or in both"
                        )
                        raise ConfigError(msg)

    def counts(self, argument: str) -> bool:
        """Whether an argument is part of what makes two calls equal."""
        if self.key_args is not None:
            return argument in self.key_args
        return argument not in self.ignore_args

    def tags_read(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The tags of a result, by which a write makes it forgotten."""
        tags: list[str] = []
        for template in self.reads:
            tag, family = _fill(template, arguments)
            tags += (tag,) if family is None else (tag, family + _ALL)
        return tuple(dict.fromkeys(tags))

    def tags_written(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The tags whose results are forgotten after a call."""
        tags: list[str] = []
        for template in self.writes:
            tag, family = _fill(template, arguments)
            if family is None:
                tags.append(tag)
            else:
                tags += (family + _ALL,) if tag == family else (tag, family)
        return tuple(dict.fromkeys(tags))


def _names(setting: str, value: object) -> tuple[str, ...] | None:
    if value is None and setting == "key_args":
        return None
    if not isinstance(value, str) and isinstance(value, Iterable):
        names = tuple(cast("Iterable[object]", value))
        if all(isinstance(name, str) for name in names):
            return cast("tuple[str, ...]", names)
    msg = f"{setting} must be a list of names, got {value!r}; write [{value!r}] for one"
    raise ConfigError(msg)


def _fields(setting: str, template: str) -> list[str]:
    """The arguments that a template names."""
    hint = "write it as 'orders', 'orders:*' or 'orders:{order_id}'"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        msg = f"{setting} holds tags, got {template!r} ({error}); {hint}"
        raise ConfigError(msg) from error
    fields = [(name, form, turn) for _, name, form, turn in parts if name is not None]
    plain = all(name.isidentifier() and not form and not turn for name, form, turn in fields)
    if not plain or not parts or not parts[0][0] or template == _ALL:
        msg = f"{setting} holds tags that begin with a fixed name, got {template!r}; {hint}"
        raise ConfigError(msg)
    return [name for name, _, _ in fields]


def _fill(template: str, arguments: Mapping[str, Any]) -> tuple[str, str | None]:
    """A tag and the family that it belongs to, `None` for a tag of its own.

    A tag that is its own family means all of the family.
    """
    if template.endswith(_ALL) and "{" not in template:
        family = template[: -len(_ALL)]
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
