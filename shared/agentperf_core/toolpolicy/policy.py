"""What is declared of a tool: what it touches, how it may be run, and what may be kept of it.

Nothing is assumed of a tool: one without a policy, or with the default policy, is never cached,
repeated, shared between equal calls, or run before it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from agentperf_core.errors import ConfigError, require_positive
from agentperf_core.toolpolicy._tags import ALL, fields_of, fill, names_of
from agentperf_core.toolpolicy.substitute import Substitute

__all__ = ["CacheScope", "ToolPolicy"]

CacheScope: TypeAlias = Literal["run", "session", "global"]

_KEPT = ("ttl_s", "stale_ttl_s", "negative_ttl_s")
_SECONDS = (*_KEPT, "timeout_s", "retry_wait_s", "breaker_s")
_COUNTS = ("max_concurrency", "breaker", "rate", "max_bytes")
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
        timeout_s: seconds a call may take once it runs; `None` for no limit of its own.
        max_concurrency: how many calls of it may run at once; `None` for no limit of its own.
        rate: calls per second on average, with bursts of one second's worth; `None` for no limit.
        exclusive: name of a group of tools of which one call runs at a time, in order.
        retries: how often a call that raised or took too long is made again.
        retry_wait_s: seconds before the first repetition; twice as long before each further one,
            and shortened at random by up to a half.
        breaker: failures in a row after which calls are turned away; `None` for never.
        breaker_s: seconds between trials while they are.
        substitute: a light function to answer in place of the tool, see `Substitute`.
        priority: who waits with a higher one runs first.
        prefetch: it may be called on a guess, before anybody asks; what comes of it is kept.

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
    timeout_s: float | None = None
    max_concurrency: int | None = None
    rate: float | None = None
    exclusive: str | None = None
    retries: int = 0
    retry_wait_s: float = 0.1
    breaker: int | None = None
    breaker_s: float = 30.0
    substitute: Substitute | Callable[..., Any] | None = None
    priority: float = 0
    prefetch: bool = False

    def __post_init__(self) -> None:
        for name in _NAMES:
            object.__setattr__(self, name, names_of(name, getattr(self, name)))
        seconds = {name: getattr(self, name) for name in _SECONDS}
        require_positive(**seconds, **{name: getattr(self, name) for name in _COUNTS})
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
        if self.substitute is not None:
            object.__setattr__(self, "substitute", Substitute.of(self.substitute))
        for contradiction in (*self._contradictions(), *self._odd_calls()):
            raise ConfigError(contradiction)
        self._check_templates()

    @property
    def repeatable(self) -> bool:
        """Whether one call may stand for several: it may be shared, repeated and started early."""
        return self.read_only or self.idempotent

    def _odd_calls(self) -> Iterator[str]:
        if not _is_count(self.retries):
            yield (
                f"retries must be a whole number >= 0, got {self.retries!r}; leave it out for none"
            )
        elif self.retries and not self.repeatable:
            yield (
                f"retries={self.retries!r} needs read_only=True or idempotent=True, got False for "
                "both; declare that a call may be made again, or drop retries"
            )
        if self.prefetch and not (self.read_only and self.ttl_s is not None):
            yield (
                f"prefetch=True needs read_only=True and ttl_s, got read_only={self.read_only!r} "
                f"and ttl_s={self.ttl_s!r}; declare both, or drop prefetch"
            )
        if self.exclusive is not None and not self.exclusive:
            yield "exclusive names a group, got ''; leave it out for none"

    def _contradictions(self) -> Iterator[str]:
        if self.ttl_s is not None and self.writes:
            yield (
                f"ttl_s={self.ttl_s!r} and writes={self.writes!r} exclude each other: a result "
                "that is served writes nothing; drop one"
            )
        if self.read_only and self.writes:
            yield f"read_only=True and writes={self.writes!r} exclude each other; drop one"
        if self.ttl_s is not None and not self.repeatable:
            yield (
                f"ttl_s={self.ttl_s!r} needs read_only=True or idempotent=True, got False for "
                "both; declare that a call may be left out, or drop ttl_s"
            )
        for name in _KEPT[1:]:
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
                for name in fields_of(setting, template):
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
        return self._tags_of(self.reads, arguments)

    def tags_touched(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The tags of all that it reads or writes: a call that writes one of them disturbs it."""
        return self._tags_of((*self.reads, *self.writes), arguments)

    def _tags_of(self, templates: Sequence[str], arguments: Mapping[str, Any]) -> tuple[str, ...]:
        tags: list[str] = []
        for template in templates:
            tag, family = fill(template, arguments)
            tags += (tag,) if family is None else (tag, family + ALL)
        return tuple(dict.fromkeys(tags))

    def tags_written(self, arguments: Mapping[str, Any]) -> tuple[str, ...]:
        """The tags whose results are forgotten after a call."""
        tags: list[str] = []
        for template in self.writes:
            tag, family = fill(template, arguments)
            if family is None:
                tags.append(tag)
            else:
                tags += (family + ALL,) if tag == family else (tag, family)
        return tuple(dict.fromkeys(tags))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
